/* The members of stored metadata, one after the other, under the keys that callers know. */
#ifndef MEMBERS_H
#define MEMBERS_H

#include "bson.h"

/* A key has at most 128 bytes; stored, each may take three. */
enum { LONGEST_KEY = 3 * 128, MOST_KEYS = 512 };

/* The keys of all objects that are open, those of the outer ones first. */
typedef struct {
    Span seen[MOST_KEYS];
    size_t count;
} Keys;

typedef struct {
    Reader reader;
    Keys *keys;
    size_t first;
    Span key; /* without escapes; valid until the next step */
    Element element;
    unsigned char plain[LONGEST_KEY];
} Members;

bool members_open(Members *members, Span document, Keys *keys);

/* BROKEN also for a key that this service does not store as it is, such as one that stands twice: what Python
   makes of them depends on how dictionaries fill. */
Step members_next(Members *members);

/* Forgets the keys of this object; called behind the last member. */
void members_close(Members *members);

#endif
