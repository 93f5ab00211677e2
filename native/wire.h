/* Reading protobuf's wire format: one field after the other, never beyond the span that was given. */
#ifndef WIRE_H
#define WIRE_H

#include "bson.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_DELIMITED = 2 };

/* `bytes` is the content of a delimited field, `number` the value of any other. */
typedef struct {
    int number;
    int type;
    Span bytes;
    uint64_t value;
} Field;

/* The next field, of `rest`, which is then what stands behind it. What is cut off, or of another type, is broken. */
typedef enum { WIRE_BROKEN, WIRE_END, WIRE_FIELD } WireStep;

WireStep wire_next(Span *rest, Field *field);

#endif
