#include "utf8.h"

static bool continues(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

size_t utf8_read(const unsigned char *at, const unsigned char *end, uint32_t *code)
{
    size_t left = (size_t)(end - at);
    if (left >= 1 && at[0] < 0x80) {
        *code = at[0];
        return 1;
    }
    if (left >= 2 && at[0] >= 0xC2 && at[0] <= 0xDF && continues(at[1])) {
        *code = (uint32_t)(at[0] & 0x1F) << 6 | (at[1] & 0x3F);
        return 2;
    }
    if (left >= 3 && (at[0] & 0xF0) == 0xE0 && continues(at[1]) && continues(at[2])) {
        *code = (uint32_t)(at[0] & 0x0F) << 12 | (uint32_t)(at[1] & 0x3F) << 6 | (at[2] & 0x3F);
        return *code >= 0x800 && (*code < 0xD800 || *code > 0xDFFF) ? 3 : 0;
    }
    if (left >= 4 && (at[0] & 0xF8) == 0xF0 && continues(at[1]) && continues(at[2]) && continues(at[3])) {
        *code = (uint32_t)(at[0] & 0x07) << 18 | (uint32_t)(at[1] & 0x3F) << 12 |
                (uint32_t)(at[2] & 0x3F) << 6 | (at[3] & 0x3F);
        return *code >= 0x10000 && *code <= 0x10FFFF ? 4 : 0;
    }
    return 0;
}

bool utf8_valid(Span text)
{
    const unsigned char *at = text.at, *end = text.at + text.size;
    while (at < end) {
        if (end - at >= 8 && (eight_bytes(at) & HIGH_BITS) == 0) {
            at += 8;
        } else if (*at < 0x80) {
            at++;
        } else {
            uint32_t code;
            size_t size = utf8_read(at, end, &code);
            if (size == 0) {
                return false;
            }
            at += size;
        }
    }
    return true;
}
