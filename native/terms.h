/* The terms of a contact: service/domain/terms.py says the same in Python. */
#ifndef TERMS_H
#define TERMS_H

#include "text.h"

/* What of a contact has terms, as it is in Python. */
typedef struct {
    PyObject *account;
    bool trusted;
    bool verified;
    PyObject *email;
    PyObject *phone;
    PyObject *metadata; /* a dictionary, or NULL for none */
} Findable;

/* All its terms into `found`, 64 bits each, sorted, each once. False for what is left to Python, or with Python's
   error set. */
bool terms_put(Text *found, const Findable *contact);

#endif
