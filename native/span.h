/* Bytes that belong to somebody else. */
#ifndef SPAN_H
#define SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const unsigned char *at;
    size_t size;
} Span;

/* Compares with a literal; the sizes come first, since nearly all comparisons end there. */
#define SPAN_IS(span, literal) \
    ((span).size == sizeof(literal) - 1 && memcmp((span).at, literal, sizeof(literal) - 1) == 0)

#endif
