#include "members.h"
#include "moment.h"
#include "number.h"
#include "record.h"
#include "utf8.h"

/* Tags: the number of a field and its wire type, in one byte as far as field 15. */
#define TAG(field, wire) ((unsigned char)((field) << 3 | (wire)))
enum { VARINT = 0, FIXED64 = 1, DELIMITED = 2 };

static char *write_varint(char *at, uint64_t number)
{
    while (number >= 0x80) {
        *at++ = (char)(number | 0x80);
        number >>= 7;
    }
    *at++ = (char)number;
    return at;
}

static bool put_varint(Text *text, uint64_t number)
{
    if (!text_reserve(text, 10)) {
        return false;
    }
    text->at = write_varint(text->at, number);
    return true;
}

static bool put_tag(Text *text, unsigned char tag)
{
    return text_put(text, &tag, 1);
}

static bool put_string(Text *text, int field, Span value)
{
    return utf8_valid(value) && put_tag(text, TAG(field, DELIMITED)) && put_varint(text, value.size) &&
           text_put(text, value.at, value.size);
}

/* A message inside a message has its length before it, which is known behind it. One byte is kept free, as
   nearly all that stands in metadata is shorter than 128 bytes; for what is longer the content moves on. */
typedef struct {
    size_t begins;
} Inner;

static bool open_inner(Text *text, int field, Inner *inner)
{
    if (!put_tag(text, TAG(field, DELIMITED)) || !TEXT_PUT(text, "\0")) {
        return false;
    }
    inner->begins = text_size(text);
    return true;
}

static bool close_inner(Text *text, Inner inner)
{
    size_t size = text_size(text) - inner.begins, more = 0;
    for (size_t rest = size >> 7; rest; rest >>= 7) {
        more++;
    }
    if (!text_reserve(text, more)) {
        return false;
    }
    char *content = text->at - size;
    if (more) {
        memmove(content + more, content, size);
    }
    write_varint(content - 1, size);
    text->at += more;
    return true;
}

static bool put_list(Text *text, Span array, Keys *keys, int levels);
static bool put_struct(Text *text, Span document, Keys *keys, int levels);

static bool put_double(Text *text, double number)
{
    uint64_t bits;
    unsigned char bytes[9] = {TAG(2, FIXED64)};
    memcpy(&bits, &number, sizeof bits);
    for (int place = 0; place < 8; place++) {
        bytes[1 + place] = (unsigned char)(bits >> (8 * place));
    }
    return text_put(text, bytes, sizeof bytes);
}

/* The content of a google.protobuf.Value. */
static bool put_value(Text *text, const Element *element, Keys *keys, int levels)
{
    const unsigned char *at = element->value.at;
    Inner inner;
    switch (element->type) {
    case BSON_NULL:
        return TEXT_PUT(text, "\x08\0");
    case BSON_INT32:
        return put_double(text, bson_int32(at));
    case BSON_INT64:
        return put_double(text, (double)bson_int64(at));
    case BSON_DOUBLE:
        return put_double(text, bson_double(at));
    case BSON_STRING:
        return put_string(text, 3, element->value);
    case BSON_BOOL:
        return put_tag(text, TAG(4, VARINT)) && text_put(text, at, 1);
    case BSON_DOCUMENT:
        return open_inner(text, 5, &inner) && put_struct(text, element->value, keys, levels - 1) &&
               close_inner(text, inner);
    case BSON_ARRAY:
        return open_inner(text, 6, &inner) && put_list(text, element->value, keys, levels - 1) &&
               close_inner(text, inner);
    default:
        return false;
    }
}

static bool put_list(Text *text, Span array, Keys *keys, int levels)
{
    Reader reader;
    Element element;
    Step step;
    if (levels == 0 || !bson_open(array, &reader)) {
        return false;
    }
    while ((step = bson_next(&reader, &element)) == BSON_ELEMENT) {
        Inner value;
        if (!open_inner(text, 1, &value) || !put_value(text, &element, keys, levels) ||
            !close_inner(text, value)) {
            return false;
        }
    }
    return step == BSON_END;
}

static bool put_struct(Text *text, Span document, Keys *keys, int levels)
{
    Members members;
    Step step;
    if (levels == 0 || !members_open(&members, document, keys)) {
        return false;
    }
    while ((step = members_next(&members)) == BSON_ELEMENT) {
        Inner entry, value;
        if (!open_inner(text, 1, &entry) || !put_string(text, 1, members.key) ||
            !open_inner(text, 2, &value) || !put_value(text, &members.element, keys, levels) ||
            !close_inner(text, value) || !close_inner(text, entry)) {
            return false;
        }
    }
    members_close(&members);
    return step == BSON_END;
}

static bool put_metadata(Text *text, Span metadata)
{
    Keys keys;
    Inner inner;
    keys.count = 0;
    return open_inner(text, 10, &inner) && (!metadata.size || put_struct(text, metadata, &keys, LEVELS)) &&
           close_inner(text, inner);
}

static bool put_moment(Text *text, int field, int64_t milliseconds)
{
    Inner inner;
    int32_t rest;
    int64_t seconds = moment_seconds(milliseconds, &rest);
    return open_inner(text, field, &inner) &&
           (!seconds || (put_tag(text, TAG(1, VARINT)) && put_varint(text, (uint64_t)seconds))) &&
           (!rest || (put_tag(text, TAG(2, VARINT)) && put_varint(text, (uint64_t)rest * 1000000))) &&
           close_inner(text, inner);
}

static bool put_field(Text *text, int field, Span value)
{
    return !value.size || put_string(text, field, value);
}

static bool put_etag(Text *text, int64_t rev)
{
    Inner inner;
    return open_inner(text, 14, &inner) && number_put_integer(text, rev) && close_inner(text, inner);
}

bool message_put(Text *text, const Contact *contact)
{
    Inner whole;
    if (!open_inner(text, 1, &whole) || !put_field(text, 1, contact->id) ||
        !put_field(text, 2, contact->fingerprint) || (contact->trusted && !TEXT_PUT(text, "\x18\x01"))) {
        return false;
    }
    for (int field = 0; field < TEXTS; field++) {
        if (!put_field(text, 4 + field, contact->texts[field])) {
            return false;
        }
    }
    return put_metadata(text, contact->metadata) &&
           (!contact->verified || put_moment(text, 11, contact->verified_at)) &&
           put_moment(text, 12, contact->created_at) && put_moment(text, 13, contact->updated_at) &&
           put_etag(text, contact->rev) && close_inner(text, whole);
}
