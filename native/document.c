#include "document.h"

#include "contact.h"
#include "storable.h"
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

static bool put_text(Text *text, const char *key, PyObject *value)
{
    return storable_put_header(text, BSON_STRING, key) && storable_put_text(text, value);
}

static bool put_moment(Text *text, const char *key, PyObject *value)
{
    int64_t milliseconds;
    return value_moment(value, &milliseconds) && storable_put_header(text, BSON_DATE, key) &&
           storable_put_int64(text, milliseconds);
}

static bool put_rev(Text *text, PyObject *value)
{
    int64_t rev;
    return value_integer(value, &rev) && storable_put_header(text, storable_type(rev), "rev") &&
           storable_put_integer(text, rev);
}

static bool put_bool(Text *text, const char *key, PyObject *value)
{
    return PyBool_Check(value) && storable_put_header(text, BSON_BOOL, key) &&
           storable_put_bool(text, value == Py_True);
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
               storable_put_header(text, BSON_ARRAY, "terms") && storable_open(text, &begins);
    size_t count = all ? text_size(&found) / sizeof(int64_t) : 0;
    for (size_t place = 0; all && place < count; place++) {
        int64_t term;
        memcpy(&term, PyBytes_AS_STRING(found.bytes) + place * sizeof term, sizeof term);
        all = storable_put_place(text, storable_type(term), place) && storable_put_integer(text, term);
    }
    text_discard(&found);
    return all && storable_close(text, begins);
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
           (storable_put_header(text, BSON_DOCUMENT, "metadata") && storable_put_object(text, metadata, LEVELS));
}

static bool put_document(Text *text, PyObject *account, const Fields fields)
{
    size_t begins;
    return storable_open(text, &begins) && put_text(text, "_id", fields[ID]) &&
           put_text(text, "account", account) && put_text(text, "fingerprint", fields[FINGERPRINT]) &&
           put_bool(text, "trusted", fields[TRUSTED]) && put_moment(text, "updated_at", fields[UPDATED_AT]) &&
           put_rev(text, fields[REV]) && put_terms(text, account, fields) && put_texts(text, fields) &&
           put_metadata(text, fields[METADATA]) &&
           (fields[VERIFIED_AT] == Py_None || put_moment(text, "verified_at", fields[VERIFIED_AT])) &&
           storable_close(text, begins);
}

static PyObject *written(PyObject *account, const Fields fields)
{
    Text text;
    if (text_open(&text, ROOM) && put_document(&text, account, fields)) {
        return text_close(&text);
    }
    text_discard(&text);
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return NULL;
    }
    /* A text that has no UTF-8, say, is an error that Python finds again. */
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
