/* Metadata as a caller sends it, a google.protobuf.Struct: service/domain/metadata.py has the rules in Python. */
#ifndef METADATA_H
#define METADATA_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "span.h"

/* What is kept of the content of a Struct for a new contact, as a new dictionary. NULL, at times with Python's error
   set, for what breaks a rule or may break one. */
PyObject *metadata_kept(Span message);

#endif
