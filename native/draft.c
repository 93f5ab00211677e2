#include "draft.h"

#include "metadata.h"
#include "moment.h"
#include "value.h"
#include "wire.h"

const char new_contact_doc[] =
    "new_contact(request): of the bytes of a CreateContactRequest or an EnsureContactRequest the fields of a Draft and "
    "the request id, or None where Python has to read it, or to say what is wrong with it.";

/* Places in the answer: the fields of a Draft, in their order. */
enum { FINGERPRINT, NAME, DESCRIPTION, EMAIL, PHONE, NICKNAME, PREFERENCES, METADATA, VERIFIED_AT, FIELDS };

/* Both requests have the contact first; what one of them does not know is ignored behind. */
enum { CONTACT_FIELD = 1, REQUEST_ID_FIELD = 2 };
enum { FINGERPRINT_FIELD = 2, NAME_FIELD = 4, PREFERENCES_FIELD = 9, METADATA_FIELD = 10, VERIFIED_AT_FIELD = 11 };

typedef PyObject *Fields[FIELDS];

/* A limit in characters, or in bytes where texts have lines. As service/domain/limits.py has them. */
static const struct {
    Py_ssize_t limit;
    bool has_lines;
} RULES[FIELDS] = {
    [NAME] = {256, false}, [DESCRIPTION] = {4 * 1024, true}, [EMAIL] = {254, false},
    [PHONE] = {32, false}, [NICKNAME] = {128, false},        [PREFERENCES] = {32 * 1024, true},
};
enum { FINGERPRINT_BYTES = 512 };

static bool is_line_sign(unsigned char sign)
{
    return sign == '\t' || sign == '\n' || sign == '\r';
}

static bool has_control(Span text, bool has_lines)
{
    for (size_t place = 0; place < text.size; place++) {
        unsigned char sign = text.at[place];
        bool is_control = sign < 0x20 ? !(has_lines && is_line_sign(sign)) : sign == 0x7F;
        /* U+0080 to U+009F. */
        bool is_high_control = sign == 0xC2 && place + 1 < text.size && text.at[place + 1] < 0xA0;
        if (is_control || is_high_control) {
            return true;
        }
    }
    return false;
}

/* One that the service gives out itself. */
static bool is_reserved(Span text)
{
    if (text.size < 3 || (*text.at != 'd' && *text.at != 'r' && *text.at != 'q')) {
        return false;
    }
    size_t place = 1;
    while (place < text.size && text.at[place] >= '0' && text.at[place] <= '9') {
        place++;
    }
    return place > 1 && place < text.size && text.at[place] == ':';
}

/* At an edge, what is not ASCII may be space. */
static bool is_edge(unsigned char sign)
{
    return sign > ' ' && sign < 0x80;
}

static bool is_fingerprint(Span text)
{
    return text.size == 0 || (text.size <= FINGERPRINT_BYTES && is_edge(text.at[0]) &&
                              is_edge(text.at[text.size - 1]) && !has_control(text, false) && !is_reserved(text));
}

static PyObject *decoded(Span text)
{
    return PyUnicode_DecodeUTF8((const char *)text.at, (Py_ssize_t)text.size, "strict");
}

static PyObject *text_of(Span text, int place)
{
    if (has_control(text, RULES[place].has_lines)) {
        return NULL;
    }
    PyObject *value = decoded(text);
    if (value != NULL) {
        Py_ssize_t size = RULES[place].has_lines ? (Py_ssize_t)text.size : PyUnicode_GET_LENGTH(value);
        if (size > RULES[place].limit) {
            Py_CLEAR(value);
        }
    }
    return value;
}

/* A google.protobuf.Timestamp, cut to milliseconds. */
static PyObject *moment_of(Span message)
{
    Field field;
    WireStep step;
    int64_t parts[2] = {0, 0};
    while ((step = wire_next(&message, &field)) == WIRE_FIELD) {
        if (field.number > 2 || field.type != WIRE_VARINT) {
            return NULL;
        }
        memcpy(&parts[field.number - 1], &field.value, sizeof field.value);
    }
    int64_t seconds = parts[0], nanos = parts[1];
    bool is_moment = step == WIRE_END && nanos >= 0 && nanos < 1000000000 && seconds >= INT64_MIN / 1000 &&
                     seconds <= INT64_MAX / 1000 - 1 && moment_known(seconds * 1000 + nanos / 1000000);
    return is_moment ? value_of_moment(seconds * 1000 + nanos / 1000000) : NULL;
}

static PyObject *value_of(Span content, int place)
{
    switch (place) {
    case FINGERPRINT:
        return is_fingerprint(content) ? decoded(content) : NULL;
    case METADATA:
        return metadata_kept(content);
    case VERIFIED_AT:
        return moment_of(content);
    default:
        return text_of(content, place);
    }
}

/* -1 for what the server writes and nobody sends, or what is of a later version. */
static int place_of(int field)
{
    switch (field) {
    case FINGERPRINT_FIELD:
        return FINGERPRINT;
    case METADATA_FIELD:
        return METADATA;
    case VERIFIED_AT_FIELD:
        return VERIFIED_AT;
    default:
        return field >= NAME_FIELD && field <= PREFERENCES_FIELD ? field - NAME_FIELD + NAME : -1;
    }
}

/* A field that stands twice would be merged. */
static bool read_fields(Span message, Fields fields)
{
    Field field;
    WireStep step;
    while ((step = wire_next(&message, &field)) == WIRE_FIELD) {
        int place = place_of(field.number);
        if (place < 0 || field.type != WIRE_DELIMITED || fields[place] != NULL) {
            return false;
        }
        fields[place] = value_of(field.bytes, place);
        if (fields[place] == NULL) {
            return false;
        }
    }
    return step == WIRE_END;
}

static PyObject *absent(int place)
{
    return place < METADATA ? PyUnicode_FromStringAndSize(NULL, 0) : Py_NewRef(Py_None);
}

static PyObject *tuple_of(Fields fields)
{
    PyObject *result = PyTuple_New(FIELDS);
    for (int place = 0; result != NULL && place < FIELDS; place++) {
        PyObject *value = fields[place] ? fields[place] : absent(place);
        fields[place] = NULL;
        if (value == NULL) {
            Py_CLEAR(result);
        } else {
            PyTuple_SET_ITEM(result, place, value);
        }
    }
    return result;
}

static PyObject *fields_of(Span contact)
{
    Fields fields = {NULL};
    PyObject *result = read_fields(contact, fields) ? tuple_of(fields) : NULL;
    for (int place = 0; place < FIELDS; place++) {
        Py_XDECREF(fields[place]);
    }
    return result;
}

static bool read_request(Span message, Span parts[2])
{
    Field field;
    WireStep step;
    while ((step = wire_next(&message, &field)) == WIRE_FIELD) {
        if (field.number > REQUEST_ID_FIELD || field.type != WIRE_DELIMITED || parts[field.number - 1].at != NULL) {
            return false;
        }
        parts[field.number - 1] = field.bytes;
    }
    return step == WIRE_END && parts[CONTACT_FIELD - 1].at != NULL;
}

static PyObject *answer(Span message)
{
    Span parts[2] = {{NULL, 0}, {NULL, 0}};
    PyObject *fields = read_request(message, parts) ? fields_of(parts[CONTACT_FIELD - 1]) : NULL;
    PyObject *request_id = fields ? decoded(parts[REQUEST_ID_FIELD - 1]) : NULL;
    if (request_id == NULL) {
        Py_XDECREF(fields);
        return NULL;
    }
    return Py_BuildValue("NN", fields, request_id);
}

PyObject *new_contact(PyObject *module, PyObject *argument)
{
    (void)module;
    Py_buffer request;
    if (PyObject_GetBuffer(argument, &request, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *result = answer((Span){request.buf, (size_t)request.len});
    PyBuffer_Release(&request);
    if (result != NULL || (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_MemoryError))) {
        return result;
    }
    PyErr_Clear();
    return Py_NewRef(Py_None);
}
