/* What a caller says of a new contact, read and checked: service/rpc/messages.py and service/domain/validation.py say
   the same in Python. */
#ifndef DRAFT_H
#define DRAFT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char new_contact_doc[];

/* new_contact(request) of the module. */
PyObject *new_contact(PyObject *module, PyObject *argument);

#endif
