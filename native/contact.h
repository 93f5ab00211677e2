/* A contact as it is stored: service/storage/documents.py says the same in Python. */
#ifndef CONTACT_H
#define CONTACT_H

#include "bson.h"

/* The limit of metadata is 16 levels; what is deeper is left to Python. */
#define LEVELS 24

enum { NAME, DESCRIPTION, EMAIL, PHONE, NICKNAME, PREFERENCES, TEXTS };

typedef struct {
    Span id;
    Span fingerprint;
    bool trusted;
    Span texts[TEXTS]; /* of size 0 when absent */
    Span metadata;     /* the document, of size 0 when absent */
    bool verified;
    int64_t verified_at;
    int64_t created_at;
    int64_t updated_at;
    int64_t rev;
} Contact;

/* The time in an id, false for what is no id. */
bool contact_time(Span id, int64_t *milliseconds);

/* False for a document that is not exactly what this service stores: then Python decides what becomes of it.
   Texts are not looked into: whoever writes them checks them. */
bool contact_read(Span document, Contact *contact);

#endif
