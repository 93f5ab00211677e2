/* A contact of Python as the document that is stored: service/storage/documents.py says the same in Python. */
#ifndef DOCUMENT_H
#define DOCUMENT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "span.h"

extern const char document_doc[], newborn_doc[];

/* document(account, contact) and newborn(account, id, draft, fingerprint, trusted) of the module. */
PyObject *document(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *newborn(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

/* To be called once, before the first document. */
bool document_prepare(void);

#endif
