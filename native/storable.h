/* Writing BSON from values of Python. All refuse what no contact has; Python's error is set at times. */
#ifndef STORABLE_H
#define STORABLE_H

#include "bson.h"
#include "text.h"

/* A document or array has its size before it, which is known behind it. */
bool storable_open(Text *text, size_t *begins);
bool storable_close(Text *text, size_t begins);

/* The type of an element with its key or its place in a list; the value follows. */
bool storable_put_header(Text *text, int type, const char *key);
bool storable_put_place(Text *text, int type, size_t place);

bool storable_put_text(Text *text, PyObject *value);
bool storable_put_integer(Text *text, int64_t number);
bool storable_put_int64(Text *text, int64_t number);
bool storable_put_bool(Text *text, bool value);

/* Numbers of 32 bits are stored as such. */
int storable_type(int64_t number);

/* A dictionary, all keys escaped. */
bool storable_put_object(Text *text, PyObject *members, int levels);

#endif
