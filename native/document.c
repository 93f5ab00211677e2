#include "document.h"

#include "contact.h"
#include "storable.h"
#include "terms.h"
#include "value.h"

const char document_doc[] =
    "document(account, contact): the BSON that is stored, or None where Python has to make it.";
const char newborn_doc[] =
    "newborn(account, id, draft, fingerprint, trusted): the BSON of the contact that is born so, or None.";

/* A contact has about 600 bytes and twenty terms. */
enum { ROOM = 2048, ROOM_OF_TERMS = 64 * 8 };

/* Attributes of a contact; a draft has those from METADATA on. */
enum { ID, FINGERPRINT, TRUSTED, UPDATED_AT, REV, METADATA, VERIFIED_AT, FIRST_TEXT };
enum { FIELDS = FIRST_TEXT + TEXTS };

static const char *const NAMES[FIELDS] = {"id",          "fingerprint", "trusted", "updated_at",  "rev",
                                          "metadata",    "verified_at", "name",    "description", "email",
                                          "phone",       "nickname",    "preferences"};
static PyObject *names[FIELDS];

typedef PyObject *Fields[FIELDS];

/* What a contact says of itself in Python, and what it says in numbers. */
typedef struct {
    PyObject *account;
    PyObject *id;
    PyObject *fingerprint;
    PyObject *metadata; /* NULL for none */
    PyObject **texts;
    bool trusted;
    bool verified;
    int64_t verified_at;
    int64_t updated_at;
    int64_t rev;
} Storable;

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

static bool put_moment(Text *text, const char *key, int64_t milliseconds)
{
    return storable_put_header(text, BSON_DATE, key) && storable_put_int64(text, milliseconds);
}

static bool put_terms(Text *text, const Storable *contact)
{
    Findable findable = {
        .account = contact->account,
        .trusted = contact->trusted,
        .verified = contact->verified,
        .email = contact->texts[EMAIL],
        .phone = contact->texts[PHONE],
        .metadata = contact->metadata,
    };
    Text found;
    size_t begins;
    bool all = text_open(&found, ROOM_OF_TERMS) && terms_put(&found, &findable) &&
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

static bool put_texts(Text *text, PyObject **texts)
{
    for (int place = 0; place < TEXTS; place++) {
        if (!PyUnicode_CheckExact(texts[place])) {
            return false;
        }
        bool is_absent = PyUnicode_GET_LENGTH(texts[place]) == 0;
        if (!is_absent && !put_text(text, NAMES[FIRST_TEXT + place], texts[place])) {
            return false;
        }
    }
    return true;
}

static bool put_metadata(Text *text, PyObject *metadata)
{
    return metadata == NULL || PyDict_GET_SIZE(metadata) == 0 ||
           (storable_put_header(text, BSON_DOCUMENT, "metadata") && storable_put_object(text, metadata, LEVELS));
}

static bool put_document(Text *text, const Storable *contact)
{
    size_t begins;
    return storable_open(text, &begins) && put_text(text, "_id", contact->id) &&
           put_text(text, "account", contact->account) &&
           put_text(text, "fingerprint", contact->fingerprint) &&
           storable_put_header(text, BSON_BOOL, "trusted") && storable_put_bool(text, contact->trusted) &&
           put_moment(text, "updated_at", contact->updated_at) &&
           storable_put_header(text, storable_type(contact->rev), "rev") &&
           storable_put_integer(text, contact->rev) && put_terms(text, contact) &&
           put_texts(text, contact->texts) && put_metadata(text, contact->metadata) &&
           (!contact->verified || put_moment(text, "verified_at", contact->verified_at)) &&
           storable_close(text, begins);
}

static PyObject *document_of(const Storable *contact)
{
    Text text;
    if (text_open(&text, ROOM) && put_document(&text, contact)) {
        return text_close(&text);
    }
    text_discard(&text);
    return NULL;
}

static bool read_bool(PyObject *value, bool *flag)
{
    *flag = value == Py_True;
    return PyBool_Check(value);
}

static bool read_moment(PyObject *value, bool *is_there, int64_t *milliseconds)
{
    *is_there = value != Py_None;
    return !*is_there || value_moment(value, milliseconds);
}

static PyObject *document_of_contact(PyObject *account, Fields fields)
{
    Storable contact = {
        .account = account,
        .id = fields[ID],
        .fingerprint = fields[FINGERPRINT],
        .metadata = fields[METADATA],
        .texts = fields + FIRST_TEXT,
    };
    bool is_read = PyDict_CheckExact(fields[METADATA]) && read_bool(fields[TRUSTED], &contact.trusted) &&
                   value_moment(fields[UPDATED_AT], &contact.updated_at) &&
                   value_integer(fields[REV], &contact.rev) &&
                   read_moment(fields[VERIFIED_AT], &contact.verified, &contact.verified_at);
    return is_read ? document_of(&contact) : NULL;
}

/* As service/domain/contact.py lets contacts be born. */
static PyObject *document_of_newborn(PyObject *const *arguments, Fields fields)
{
    Span id;
    Storable contact = {
        .account = arguments[0],
        .id = arguments[1],
        .fingerprint = arguments[3],
        .metadata = fields[METADATA] == Py_None ? NULL : fields[METADATA],
        .texts = fields + FIRST_TEXT,
        .rev = 1,
    };
    bool is_read = (contact.metadata == NULL || PyDict_CheckExact(contact.metadata)) &&
                   value_text(contact.id, &id) && contact_time(id, &contact.updated_at) &&
                   read_bool(arguments[4], &contact.trusted) &&
                   read_moment(fields[VERIFIED_AT], &contact.verified, &contact.verified_at);
    if (contact.trusted && !contact.verified) {
        contact.verified = true;
        contact.verified_at = contact.updated_at;
    }
    return is_read ? document_of(&contact) : NULL;
}

static bool read_fields(PyObject *source, Fields fields, int first)
{
    memset(fields, 0, sizeof(Fields));
    for (int field = first; field < FIELDS; field++) {
        fields[field] = PyObject_GetAttr(source, names[field]);
        if (fields[field] == NULL) {
            return false;
        }
    }
    return true;
}

static void forget(Fields fields)
{
    for (int field = 0; field < FIELDS; field++) {
        Py_XDECREF(fields[field]);
    }
}

/* What the caller has to hear: no memory, or an interrupt that came while Python told the offset of a time. */
static bool is_grave(void)
{
    return PyErr_Occurred() && (PyErr_ExceptionMatches(PyExc_MemoryError) || !PyErr_ExceptionMatches(PyExc_Exception));
}

/* Where there is no document, Python makes it, or finds the error again: a text that has no UTF-8, say. */
static PyObject *document_or_none(PyObject *made)
{
    if (made != NULL || is_grave()) {
        return made;
    }
    PyErr_Clear();
    return Py_NewRef(Py_None);
}

static bool has_arguments(Py_ssize_t count, Py_ssize_t wanted)
{
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "%zd arguments are needed, not %zd", wanted, count);
    }
    return count == wanted;
}

PyObject *document(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    Fields fields;
    PyObject *result = NULL;
    if (!has_arguments(count, 2)) {
        return NULL;
    }
    if (read_fields(arguments[1], fields, ID)) {
        result = document_or_none(document_of_contact(arguments[0], fields));
    }
    forget(fields);
    return result;
}

PyObject *newborn(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    Fields fields;
    PyObject *result = NULL;
    if (!has_arguments(count, 5)) {
        return NULL;
    }
    if (read_fields(arguments[2], fields, METADATA)) {
        result = document_or_none(document_of_newborn(arguments, fields));
    }
    forget(fields);
    return result;
}
