#include "document.h"

#include "bson.h"
#include "contact.h"
#include "terms.h"
#include "value.h"

const char document_doc[] =
    "document(account, contact): the BSON that is stored, or None where Python has to make it.";

/* A contact has about 600 bytes and twenty terms. */
enum { ROOM = 2048, ROOM_OF_TERMS = 64 * 8 };

enum { ID, FINGERPRINT, TRUSTED, UPDATED_AT, REV, METADATA, VERIFIED_AT, FIRST_TEXT, FIELDS = FIRST_TEXT + TEXTS };

static const char *const NAMES[FIELDS] = {"id",   "fingerprint", "trusted", "updated_at", "rev",      "metadata",
                                          "verified_at", "name", "description", "email", "phone", "nickname",
                                          "preferences"};
static PyObject *names[FIELDS];

typedef PyObject *Fields[FIELDS];

bool document_prepare(void)
{
    for (int field = 0; field < FIELDS; field++) {
        if (names[field] == NULL && (names[field] = PyUnicode_InternFromString(NAMES[field])) == NULL) {
            return false;
        }
    }
    return true;
}

static bool put_little_endian(Text *text, uint64_t number, int size)
{
    if (!text_reserve(text, 8)) {
        return false;
    }
    for (int place = 0; place < size; place++) {
        text->at[place] = (char)(number >> (8 * place));
    }
    text->at += size;
    return true;
}

static bool put_size(Text *text, size_t size)
{
    return size <= INT32_MAX && put_little_endian(text, size, 4);
}

static bool put_header(Text *text, int type, const char *key)
{
    char sign = (char)type;
    return text_put(text, &sign, 1) && text_put(text, key, strlen(key) + 1);
}

/* A document or array has its size before it, which is known behind it. */
static bool open_document(Text *text, size_t *begins)
{
    *begins = text_size(text);
    return put_size(text, 0);
}

static bool close_document(Text *text, size_t begins)
{
    if (!TEXT_PUT(text, "\0")) {
        return false;
    }
    size_t end = text_size(text);
    text_rewind(text, begins);
    bool fits = put_size(text, end - begins);
    text_rewind(text, end);
    return fits;
}

static bool put_string(Text *text, PyObject *value)
{
    Span utf8;
    return value_text(value, &utf8) && put_size(text, utf8.size + 1) && text_put(text, utf8.at, utf8.size) &&
           TEXT_PUT(text, "\0");
}

/* Numbers of 32 bits are stored as such. The type stands before the key. */
static int type_of_integer(int64_t number)
{
    return number >= INT32_MIN && number <= INT32_MAX ? BSON_INT32 : BSON_INT64;
}

static bool put_integer(Text *text, int64_t number)
{
    return put_little_endian(text, (uint64_t)number, type_of_integer(number) == BSON_INT32 ? 4 : 8);
}

static bool put_double(Text *text, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return put_little_endian(text, bits, 8);
}

static bool put_place(Text *text, size_t place)
{
    char digits[20];
    char *at = digits + sizeof digits;
    *--at = 0;
    do {
        *--at = (char)('0' + place % 10);
        place /= 10;
    } while (place > 0);
    return text_put(text, at, (size_t)(digits + sizeof digits - at));
}

/* What stands for a sign that means something in a key. */
static const char *escape_of(unsigned char sign)
{
    switch (sign) {
    case '%':
        return "%25";
    case '.':
        return "%2E";
    case '$':
        return "%24";
    case 0:
        return "%00";
    default:
        return NULL;
    }
}

static bool put_key(Text *text, PyObject *key)
{
    Span utf8;
    if (!value_text(key, &utf8) || !text_reserve(text, 3 * utf8.size + 1)) {
        return false;
    }
    for (size_t place = 0; place < utf8.size; place++) {
        const char *escape = escape_of(utf8.at[place]);
        if (escape) {
            memcpy(text->at, escape, 3);
            text->at += 3;
        } else {
            *text->at++ = (char)utf8.at[place];
        }
    }
    *text->at++ = 0;
    return true;
}

/* Where an element begins is where its type is written, once its value is known. */
typedef struct {
    PyObject *key; /* NULL in a list */
    size_t place;
} Name;

static bool put_name(Text *text, int type, Name name)
{
    char sign = (char)type;
    return text_put(text, &sign, 1) && (name.key ? put_key(text, name.key) : put_place(text, name.place));
}

static bool put_object(Text *text, PyObject *members, int levels);
static bool put_list(Text *text, PyObject *list, int levels);

static bool put_element(Text *text, Name name, PyObject *value, int levels)
{
    int64_t integer;
    if (PyUnicode_CheckExact(value)) {
        return put_name(text, BSON_STRING, name) && put_string(text, value);
    }
    if (PyBool_Check(value)) {
        char sign = value == Py_True;
        return put_name(text, BSON_BOOL, name) && text_put(text, &sign, 1);
    }
    if (value == Py_None) {
        return put_name(text, BSON_NULL, name);
    }
    if (PyFloat_CheckExact(value)) {
        return put_name(text, BSON_DOUBLE, name) && put_double(text, PyFloat_AS_DOUBLE(value));
    }
    if (PyDict_CheckExact(value)) {
        return put_name(text, BSON_DOCUMENT, name) && put_object(text, value, levels - 1);
    }
    if (PyList_CheckExact(value)) {
        return put_name(text, BSON_ARRAY, name) && put_list(text, value, levels - 1);
    }
    return value_integer(value, &integer) && put_name(text, type_of_integer(integer), name) &&
           put_integer(text, integer);
}

static bool put_object(Text *text, PyObject *members, int levels)
{
    size_t begins;
    Py_ssize_t position = 0;
    PyObject *key, *value;
    if (levels == 0 || !open_document(text, &begins)) {
        return false;
    }
    while (PyDict_Next(members, &position, &key, &value)) {
        if (!put_element(text, (Name){.key = key}, value, levels)) {
            return false;
        }
    }
    return close_document(text, begins);
}

static bool put_list(Text *text, PyObject *list, int levels)
{
    size_t begins;
    if (levels == 0 || !open_document(text, &begins)) {
        return false;
    }
    for (Py_ssize_t place = 0; place < PyList_GET_SIZE(list); place++) {
        if (!put_element(text, (Name){.place = (size_t)place}, PyList_GET_ITEM(list, place), levels)) {
            return false;
        }
    }
    return close_document(text, begins);
}

static bool put_text(Text *text, const char *key, PyObject *value)
{
    return put_header(text, BSON_STRING, key) && put_string(text, value);
}

static bool put_moment(Text *text, const char *key, PyObject *value)
{
    int64_t milliseconds;
    return value_moment(value, &milliseconds) && put_header(text, BSON_DATE, key) &&
           put_little_endian(text, (uint64_t)milliseconds, 8);
}

static bool put_rev(Text *text, PyObject *value)
{
    int64_t rev;
    return value_integer(value, &rev) && put_header(text, type_of_integer(rev), "rev") && put_integer(text, rev);
}

static bool put_bool(Text *text, const char *key, PyObject *value)
{
    char sign = value == Py_True;
    return PyBool_Check(value) && put_header(text, BSON_BOOL, key) && text_put(text, &sign, 1);
}

static bool put_terms(Text *text, PyObject *account, const Fields fields)
{
    Findable contact = {
        .account = account,
        .trusted = fields[TRUSTED] == Py_True,
        .verified = fields[VERIFIED_AT] != Py_None,
        .email = fields[FIRST_TEXT + EMAIL],
        .phone = fields[FIRST_TEXT + PHONE],
        .metadata = fields[METADATA],
    };
    Text found;
    size_t begins;
    bool all = text_open(&found, ROOM_OF_TERMS) && terms_put(&found, &contact) &&
               put_header(text, BSON_ARRAY, "terms") && open_document(text, &begins);
    size_t count = all ? text_size(&found) / sizeof(int64_t) : 0;
    for (size_t place = 0; all && place < count; place++) {
        int64_t term;
        memcpy(&term, PyBytes_AS_STRING(found.bytes) + place * sizeof term, sizeof term);
        all = put_name(text, type_of_integer(term), (Name){.place = place}) && put_integer(text, term);
    }
    text_discard(&found);
    return all && close_document(text, begins);
}

static bool put_texts(Text *text, const Fields fields)
{
    for (int field = FIRST_TEXT; field < FIELDS; field++) {
        if (!PyUnicode_CheckExact(fields[field])) {
            return false;
        }
        if (PyUnicode_GET_LENGTH(fields[field]) > 0 && !put_text(text, NAMES[field], fields[field])) {
            return false;
        }
    }
    return true;
}

static bool put_metadata(Text *text, PyObject *metadata)
{
    return PyDict_GET_SIZE(metadata) == 0 ||
           (put_header(text, BSON_DOCUMENT, "metadata") && put_object(text, metadata, LEVELS));
}

static bool put_document(Text *text, PyObject *account, const Fields fields)
{
    size_t begins;
    return open_document(text, &begins) && put_text(text, "_id", fields[ID]) &&
           put_text(text, "account", account) && put_text(text, "fingerprint", fields[FINGERPRINT]) &&
           put_bool(text, "trusted", fields[TRUSTED]) && put_moment(text, "updated_at", fields[UPDATED_AT]) &&
           put_rev(text, fields[REV]) && put_terms(text, account, fields) && put_texts(text, fields) &&
           put_metadata(text, fields[METADATA]) &&
           (fields[VERIFIED_AT] == Py_None || put_moment(text, "verified_at", fields[VERIFIED_AT])) &&
           close_document(text, begins);
}

static PyObject *written(PyObject *account, const Fields fields)
{
    Text text;
    if (text_open(&text, ROOM) && put_document(&text, account, fields)) {
        return text_close(&text);
    }
    text_discard(&text);
    /* A text that has no UTF-8 is an error that Python finds again. */
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_UnicodeError)) {
        return NULL;
    }
    PyErr_Clear();
    return Py_NewRef(Py_None);
}

PyObject *document(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    Fields fields;
    int read = 0;
    PyObject *result = NULL;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "an account and a contact are needed");
        return NULL;
    }
    while (read < FIELDS && (fields[read] = PyObject_GetAttr(arguments[1], names[read])) != NULL) {
        read++;
    }
    if (read == FIELDS) {
        result = written(arguments[0], fields);
    }
    while (read > 0) {
        Py_DECREF(fields[--read]);
    }
    return result;
}
