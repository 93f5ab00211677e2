#include "wire.h"

/* Bytes of a value of 64 bits, and of a tag or a length, of 32: protobuf takes no longer ones. */
enum { LONGEST_VALUE = 10, LONGEST_SIZE = 5, HIGHEST_FIELD = 31 };

static bool read_varint(Span *rest, size_t longest, uint64_t *number)
{
    *number = 0;
    for (size_t place = 0; place < rest->size && place < longest; place++) {
        unsigned char byte = rest->at[place];
        *number |= (uint64_t)(byte & 0x7F) << (7 * place);
        if (byte < 0x80) {
            *rest = (Span){rest->at + place + 1, rest->size - place - 1};
            return place < LONGEST_VALUE - 1 || byte <= 1;
        }
    }
    return false;
}

static bool read_bytes(Span *rest, uint64_t size, Span *bytes)
{
    if (size > rest->size) {
        return false;
    }
    *bytes = (Span){rest->at, (size_t)size};
    *rest = (Span){rest->at + size, rest->size - (size_t)size};
    return true;
}

static bool read_fixed64(Span *rest, uint64_t *number)
{
    Span bytes;
    if (!read_bytes(rest, 8, &bytes)) {
        return false;
    }
    *number = (uint64_t)bson_int64(bytes.at);
    return true;
}

static bool read_value(Span *rest, Field *field)
{
    uint64_t size;
    switch (field->type) {
    case WIRE_VARINT:
        return read_varint(rest, LONGEST_VALUE, &field->value);
    case WIRE_FIXED64:
        return read_fixed64(rest, &field->value);
    case WIRE_DELIMITED:
        return read_varint(rest, LONGEST_SIZE, &size) && read_bytes(rest, size, &field->bytes);
    default:
        return false;
    }
}

WireStep wire_next(Span *rest, Field *field)
{
    uint64_t tag;
    if (rest->size == 0) {
        return WIRE_END;
    }
    if (!read_varint(rest, LONGEST_SIZE, &tag) || tag >> 3 == 0 || tag >> 3 > HIGHEST_FIELD) {
        return WIRE_BROKEN;
    }
    field->number = (int)(tag >> 3);
    field->type = (int)(tag & 7);
    return read_value(rest, field) ? WIRE_FIELD : WIRE_BROKEN;
}
