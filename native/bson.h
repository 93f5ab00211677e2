/* Reading BSON that nobody has checked: no step leaves the span that it was given. */
#ifndef BSON_H
#define BSON_H

#include "span.h"

enum {
    BSON_DOUBLE = 0x01,
    BSON_STRING = 0x02,
    BSON_DOCUMENT = 0x03,
    BSON_ARRAY = 0x04,
    BSON_BOOL = 0x08,
    BSON_DATE = 0x09,
    BSON_NULL = 0x0A,
    BSON_INT32 = 0x10,
    BSON_INT64 = 0x12,
};

/* The rest of a document or array, without the byte that ends it. */
typedef struct {
    const unsigned char *at;
    const unsigned char *end;
} Reader;

/* `value` is the text of a string, all of a document or array, and the bytes of any other value. */
typedef struct {
    int type;
    Span key;
    Span value;
} Element;

typedef enum { BSON_BROKEN, BSON_END, BSON_ELEMENT } Step;

bool bson_open(Span document, Reader *reader);

/* The next element. Types that no contact has are BROKEN, as is what is cut off or has a wrong length. */
Step bson_next(Reader *reader, Element *element);

/* The document or array that begins at this offset of a buffer. */
bool bson_at(Span buffer, size_t offset, Span *document);

int32_t bson_int32(const unsigned char *at);
int64_t bson_int64(const unsigned char *at);
double bson_double(const unsigned char *at);

#endif
