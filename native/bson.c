#include "bson.h"

/* Byte by byte, so that the order of bytes is BSON's on every machine; compilers make one load of it. */
static uint64_t little_endian(const unsigned char *at, int size)
{
    uint64_t number = 0;
    for (int place = 0; place < size; place++) {
        number |= (uint64_t)at[place] << (8 * place);
    }
    return number;
}

int32_t bson_int32(const unsigned char *at)
{
    return (int32_t)(uint32_t)little_endian(at, 4);
}

int64_t bson_int64(const unsigned char *at)
{
    return (int64_t)little_endian(at, 8);
}

double bson_double(const unsigned char *at)
{
    uint64_t bits = little_endian(at, 8);
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

bool bson_at(Span buffer, size_t offset, Span *document)
{
    if (offset > buffer.size || buffer.size - offset < 5) {
        return false;
    }
    const unsigned char *at = buffer.at + offset;
    int32_t size = bson_int32(at);
    if (size < 5 || (size_t)size > buffer.size - offset || at[size - 1] != 0) {
        return false;
    }
    *document = (Span){at, (size_t)size};
    return true;
}

bool bson_open(Span document, Reader *reader)
{
    Span whole;
    if (!bson_at(document, 0, &whole) || whole.size != document.size) {
        return false;
    }
    *reader = (Reader){whole.at + 4, whole.at + whole.size - 1};
    return true;
}

static bool read_key(Reader *reader, Span *key)
{
    const unsigned char *at = reader->at;
    while (at < reader->end && *at != 0) {
        at++;
    }
    if (at == reader->end) {
        return false;
    }
    *key = (Span){reader->at, (size_t)(at - reader->at)};
    reader->at = at + 1;
    return true;
}

static bool read_string(Reader *reader, Span *text)
{
    size_t left = (size_t)(reader->end - reader->at);
    if (left < 5) {
        return false;
    }
    int32_t size = bson_int32(reader->at);
    if (size < 1 || (size_t)size > left - 4 || reader->at[4 + size - 1] != 0) {
        return false;
    }
    *text = (Span){reader->at + 4, (size_t)size - 1};
    reader->at += 4 + size;
    return true;
}

static bool read_document(Reader *reader, Span *document)
{
    Span rest = {reader->at, (size_t)(reader->end - reader->at)};
    if (!bson_at(rest, 0, document)) {
        return false;
    }
    reader->at += document->size;
    return true;
}

static bool read_fixed(Reader *reader, size_t size, Span *value)
{
    if ((size_t)(reader->end - reader->at) < size) {
        return false;
    }
    *value = (Span){reader->at, size};
    reader->at += size;
    return true;
}

static bool read_value(Reader *reader, Element *element)
{
    switch (element->type) {
    case BSON_STRING:
        return read_string(reader, &element->value);
    case BSON_DOCUMENT:
    case BSON_ARRAY:
        return read_document(reader, &element->value);
    case BSON_BOOL:
        return read_fixed(reader, 1, &element->value) && *element->value.at <= 1;
    case BSON_NULL:
        return read_fixed(reader, 0, &element->value);
    case BSON_INT32:
        return read_fixed(reader, 4, &element->value);
    case BSON_DOUBLE:
    case BSON_DATE:
    case BSON_INT64:
        return read_fixed(reader, 8, &element->value);
    default:
        return false;
    }
}

Step bson_next(Reader *reader, Element *element)
{
    if (reader->at == reader->end) {
        return BSON_END;
    }
    element->type = *reader->at++;
    if (!read_key(reader, &element->key) || !read_value(reader, element)) {
        return BSON_BROKEN;
    }
    return BSON_ELEMENT;
}
