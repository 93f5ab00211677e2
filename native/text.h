/* The text of many records, written into one growing bytes object of Python. */
#ifndef TEXT_H
#define TEXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "span.h"

/* `bytes` is NULL, with Python's error set, after memory ran out: then every reservation fails. */
typedef struct {
    PyObject *bytes;
    char *at;
    char *end;
} Text;

bool text_open(Text *text, size_t room);

/* The finished object, NULL with Python's error set; the text is closed either way. */
PyObject *text_close(Text *text);
void text_discard(Text *text);

bool text_grow(Text *text, size_t more);

/* Room for so many bytes at `text->at`. What is written without a reservation is a bug. */
static inline bool text_reserve(Text *text, size_t more)
{
    return (size_t)(text->end - text->at) >= more || text_grow(text, more);
}

static inline size_t text_size(const Text *text)
{
    return (size_t)(text->at - PyBytes_AS_STRING(text->bytes));
}

static inline void text_rewind(Text *text, size_t size)
{
    text->at = PyBytes_AS_STRING(text->bytes) + size;
}

/* Most of what is written are short constants: inlined, each is a comparison and a few stores. */
#if defined(__GNUC__)
__attribute__((always_inline))
#endif
static inline bool text_put(Text *text, const void *bytes, size_t size)
{
    if (!text_reserve(text, size)) {
        return false;
    }
    memcpy(text->at, bytes, size);
    text->at += size;
    return true;
}

#define TEXT_PUT(text, literal) text_put(text, literal, sizeof(literal) - 1)

#endif
