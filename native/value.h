/* Values of Python as bytes: exactly the types that a contact is made of, and no subclass of them. */
#ifndef VALUE_H
#define VALUE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "span.h"

/* The UTF-8 of a text, which belongs to the text. False, at times with Python's error set, for what is none. */
bool value_text(PyObject *value, Span *utf8);

bool value_integer(PyObject *value, int64_t *number);

/* A datetime of UTC, in milliseconds since 1970. */
bool value_moment(PyObject *value, int64_t *milliseconds);

/* The datetime of UTC for such milliseconds of the years 1 to 9999; NULL with Python's error set. */
PyObject *value_of_moment(int64_t milliseconds);

/* To be called once, before the first value. */
bool value_prepare(void);

#endif
