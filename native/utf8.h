/* UTF-8, read as strictly as Python reads it: no surrogates, nothing longer than needed. */
#ifndef UTF8_H
#define UTF8_H

#include "span.h"

/* The length of the character at `at` and its code point; 0 where there is none. */
size_t utf8_read(const unsigned char *at, const unsigned char *end, uint32_t *code);
bool utf8_valid(Span text);

#define EVERY_BYTE(value) (UINT64_C(0x0101010101010101) * (value))
#define HIGH_BITS EVERY_BYTE(0x80)

static inline uint64_t eight_bytes(const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Not zero when one of the eight is that byte; now and then also when none is. */
static inline uint64_t may_have(uint64_t word, unsigned char byte)
{
    uint64_t rest = word ^ EVERY_BYTE(byte);
    return (rest - EVERY_BYTE(1)) & ~rest & HIGH_BITS;
}

#endif
