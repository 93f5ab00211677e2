#include "terms.h"

#include <stdlib.h>

#include "blake2b.h"
#include "contact.h"
#include "normal.h"
#include "number.h"
#include "value.h"

/* Most texts to be hashed are shorter. */
enum { ROOM = 256 };

typedef struct {
    Text account; /* how each hashed text begins */
    Text parts;   /* what follows behind the kind: keys, value and its type */
    Text scratch;
    Text *found;
} Hashing;

/* Each part has a NUL and its length in characters before it, so that no two lists of parts are one text. */
#define PART(length, literal) "\0" length ":" literal
#define PUT_PART(text, length, literal) TEXT_PUT(text, PART(length, literal))
#define KIND(length, literal) \
    ((Span){(const unsigned char *)PART(length, literal), sizeof(PART(length, literal)) - 1})

static Span written(const Text *text)
{
    return (Span){(const unsigned char *)PyBytes_AS_STRING(text->bytes), text_size(text)};
}

static bool put_part(Text *text, int64_t characters, Span utf8)
{
    return TEXT_PUT(text, "\0") && number_put_integer(text, characters) && TEXT_PUT(text, ":") &&
           text_put(text, utf8.at, utf8.size);
}

static bool put_text(Text *text, PyObject *value)
{
    Span utf8;
    return value_text(value, &utf8) && put_part(text, PyUnicode_GET_LENGTH(value), utf8);
}

static bool put_scratch(Hashing *hashing)
{
    Span ascii = written(&hashing->scratch);
    return put_part(&hashing->parts, (int64_t)ascii.size, ascii);
}

/* The term of all that stands in `parts`, of which then only as much stays as before the last of them. */
static bool put_term(Hashing *hashing, Span kind, size_t before)
{
    Blake2b hash;
    blake2b_open(&hash);
    blake2b_add(&hash, written(&hashing->account));
    blake2b_add(&hash, kind);
    blake2b_add(&hash, written(&hashing->parts));
    uint64_t term = blake2b_close(&hash);
    text_rewind(&hashing->parts, before);
    return text_put(hashing->found, &term, sizeof term);
}

static bool put_flag(Hashing *hashing, Span kind, bool value)
{
    return (value ? PUT_PART(&hashing->parts, "4", "True") : PUT_PART(&hashing->parts, "5", "False")) &&
           put_term(hashing, kind, 0);
}

static bool put_normal(Hashing *hashing, Span kind, PyObject *value, bool (*normal)(Text *, Span))
{
    Span utf8;
    text_rewind(&hashing->scratch, 0);
    if (!value_text(value, &utf8) || !normal(&hashing->scratch, utf8)) {
        return false;
    }
    return text_size(&hashing->scratch) == 0 || (put_scratch(hashing) && put_term(hashing, kind, 0));
}

static bool put_number(Hashing *hashing, PyObject *value)
{
    int64_t integer;
    text_rewind(&hashing->scratch, 0);
    bool is_written = PyFloat_CheckExact(value)
                          ? number_put_repr(&hashing->scratch, PyFloat_AS_DOUBLE(value))
                          : value_integer(value, &integer) && number_put_integer(&hashing->scratch, integer);
    return is_written && PUT_PART(&hashing->parts, "6", "number") && put_scratch(hashing);
}

static bool put_typed(Hashing *hashing, PyObject *value)
{
    Text *parts = &hashing->parts;
    if (PyUnicode_CheckExact(value)) {
        return PUT_PART(parts, "4", "text") && put_text(parts, value);
    }
    if (PyBool_Check(value)) {
        return PUT_PART(parts, "4", "bool") &&
               (value == Py_True ? PUT_PART(parts, "4", "True") : PUT_PART(parts, "5", "False"));
    }
    if (value == Py_None) {
        return PUT_PART(parts, "4", "null") && PUT_PART(parts, "0", "");
    }
    return put_number(hashing, value);
}

static bool put_scalar(Hashing *hashing, PyObject *value)
{
    size_t path = text_size(&hashing->parts);
    return put_typed(hashing, value) && put_term(hashing, KIND("5", "value"), path);
}

static bool put_list(Hashing *hashing, PyObject *list)
{
    for (Py_ssize_t place = 0; place < PyList_GET_SIZE(list); place++) {
        PyObject *each = PyList_GET_ITEM(list, place);
        if (!PyDict_CheckExact(each) && !PyList_CheckExact(each) && !put_scalar(hashing, each)) {
            return false;
        }
    }
    return true;
}

static bool put_members(Hashing *hashing, PyObject *members, int levels);

static bool put_member(Hashing *hashing, PyObject *value, int levels)
{
    if (PyDict_CheckExact(value)) {
        return put_members(hashing, value, levels - 1);
    }
    return PyList_CheckExact(value) ? put_list(hashing, value) : put_scalar(hashing, value);
}

static bool put_members(Hashing *hashing, PyObject *members, int levels)
{
    Py_ssize_t position = 0;
    PyObject *key, *value;
    size_t before = text_size(&hashing->parts);
    if (levels == 0) {
        return false;
    }
    while (PyDict_Next(members, &position, &key, &value)) {
        if (!put_text(&hashing->parts, key)) {
            return false;
        }
        size_t path = text_size(&hashing->parts);
        if (!put_term(hashing, KIND("4", "path"), path) || !put_member(hashing, value, levels)) {
            return false;
        }
        text_rewind(&hashing->parts, before);
    }
    return true;
}

static bool put_all(Hashing *hashing, const Findable *contact)
{
    Span account;
    Text *begin = &hashing->account;
    return value_text(contact->account, &account) &&
           number_put_integer(begin, PyUnicode_GET_LENGTH(contact->account)) && TEXT_PUT(begin, ":") &&
           text_put(begin, account.at, account.size) &&
           put_flag(hashing, KIND("7", "trusted"), contact->trusted) &&
           put_flag(hashing, KIND("8", "verified"), contact->verified) &&
           put_normal(hashing, KIND("5", "email"), contact->email, normal_put_text) &&
           put_normal(hashing, KIND("5", "phone"), contact->phone, normal_put_phone) &&
           (contact->metadata == NULL || put_members(hashing, contact->metadata, LEVELS));
}

static int compared(const void *one, const void *other)
{
    int64_t left, right;
    memcpy(&left, one, sizeof left);
    memcpy(&right, other, sizeof right);
    return (left > right) - (left < right);
}

/* The same scalar may stand in a list twice. */
static void sort_once_each(Text *found)
{
    char *first = PyBytes_AS_STRING(found->bytes), *end = found->at, *out = first;
    qsort(first, (size_t)(end - first) / sizeof(int64_t), sizeof(int64_t), compared);
    for (const char *at = first; at < end; at += sizeof(int64_t)) {
        if (out == first || memcmp(out - sizeof(int64_t), at, sizeof(int64_t)) != 0) {
            memmove(out, at, sizeof(int64_t));
            out += sizeof(int64_t);
        }
    }
    found->at = out;
}

bool terms_put(Text *found, const Findable *contact)
{
    Hashing hashing = {.found = found};
    bool all = text_open(&hashing.account, ROOM) && text_open(&hashing.parts, ROOM) &&
               text_open(&hashing.scratch, ROOM) && put_all(&hashing, contact);
    text_discard(&hashing.account);
    text_discard(&hashing.parts);
    text_discard(&hashing.scratch);
    if (all) {
        sort_once_each(found);
    }
    return all;
}
