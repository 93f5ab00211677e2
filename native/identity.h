/* Who a stored contact is: what the unique index is about. */
#ifndef IDENTITY_H
#define IDENTITY_H

#include "bson.h"

typedef struct {
    Span account;
    Span fingerprint;
    bool trusted;
} Identity;

/* False for a document without them, or that cannot be read as far as the last of them. */
bool identity_read(Span document, Identity *identity);

#endif
