/* service._native: from the documents of a reply to the records of an export, without Python objects
   between. service/storage/transcode.py does the same in Python and is what this is tested against. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "document.h"
#include "draft.h"
#include "identity.h"
#include "line.h"
#include "record.h"
#include "value.h"

typedef enum { JSON_LINES, JSON_ARRAY, CSV_SAFE, CSV_RAW, CONTACTS, FORMATS } Format;

/* The names that service/domain/encoding.py gives them. */
static const char *const NAMES[FORMATS] = {"jsonl", "json", "csv-safe", "csv-raw", "contacts"};

/* A record is seldom larger, so that the text seldom grows. */
enum { HEADROOM = 16 * 1024 };

typedef struct {
    Format format;
    Span documents;
    PyObject *slow;
    Text text;
    Text scratch;
    /* Of the last record: the id in its document, or the one that `slow` gave. */
    Span id;
    PyObject *slow_id;
} Run;

static bool put_contact(Run *run, const Contact *contact)
{
    switch (run->format) {
    case JSON_LINES:
        return json_put(&run->text, contact) && TEXT_PUT(&run->text, "\n");
    case JSON_ARRAY:
        return json_put(&run->text, contact);
    case CSV_SAFE:
    case CSV_RAW:
        return csv_put(&run->text, contact, run->format == CSV_SAFE, &run->scratch);
    default:
        return message_put(&run->text, contact);
    }
}

/* What is not exactly as this service stores it becomes a record, or an error, by Python's own rules. */
static bool put_slowly(Run *run, Span document)
{
    PyObject *answer =
        PyObject_CallFunction(run->slow, "y#", (const char *)document.at, (Py_ssize_t)document.size);
    PyObject *record, *id;
    bool written = false;
    if (answer != NULL && PyArg_ParseTuple(answer, "SU", &record, &id)) {
        written = text_put(&run->text, PyBytes_AS_STRING(record), (size_t)PyBytes_GET_SIZE(record));
        Py_INCREF(id);
        Py_XSETREF(run->slow_id, id);
    }
    Py_XDECREF(answer);
    return written;
}

static bool put_record(Run *run, uint32_t start)
{
    Span document;
    Contact contact;
    if (!bson_at(run->documents, start, &document)) {
        PyErr_SetString(PyExc_ValueError, "no document begins there");
        return false;
    }
    size_t before = text_size(&run->text);
    if (contact_read(document, &contact) && put_contact(run, &contact)) {
        run->id = contact.id;
        Py_CLEAR(run->slow_id);
        return true;
    }
    if (PyErr_Occurred()) {
        return false;
    }
    text_rewind(&run->text, before);
    return put_slowly(run, document);
}

static bool put_records(Run *run, Span starts, Span separator, Py_ssize_t most_bytes, Py_ssize_t *records)
{
    Py_ssize_t most_records = *records;
    for (*records = 0; *records < most_records && text_size(&run->text) < (size_t)most_bytes; ++*records) {
        uint32_t start;
        memcpy(&start, starts.at + (size_t)*records * sizeof start, sizeof start);
        if ((*records && !text_put(&run->text, separator.at, separator.size)) || !put_record(run, start)) {
            return false;
        }
    }
    return true;
}

static PyObject *last_id(const Run *run)
{
    if (run->slow_id != NULL) {
        Py_INCREF(run->slow_id);
        return run->slow_id;
    }
    return PyUnicode_FromStringAndSize((const char *)run->id.at, (Py_ssize_t)run->id.size);
}

static PyObject *answer(Run *run, Py_ssize_t records)
{
    PyObject *id = last_id(run);
    PyObject *text = text_close(&run->text);
    run->text.bytes = NULL;
    if (id == NULL || text == NULL) {
        Py_XDECREF(id);
        Py_XDECREF(text);
        return NULL;
    }
    return Py_BuildValue("NnN", text, records, id);
}

static bool find_format(const char *name, Format *format)
{
    for (int each = 0; each < FORMATS; each++) {
        if (strcmp(name, NAMES[each]) == 0) {
            *format = (Format)each;
            return true;
        }
    }
    PyErr_Format(PyExc_ValueError, "no format has the name %s", name);
    return false;
}

static PyObject *transcode(PyObject *module, PyObject *arguments)
{
    (void)module;
    const char *name;
    Py_buffer separator, documents, starts;
    Py_ssize_t first, most_bytes, most_records;
    Run run = {.slow = NULL};
    if (!PyArg_ParseTuple(arguments, "sy*y*y*nnnO:transcode", &name, &separator, &documents, &starts, &first,
                          &most_bytes, &most_records, &run.slow)) {
        return NULL;
    }
    Py_ssize_t count = starts.len / (Py_ssize_t)sizeof(uint32_t);
    PyObject *result = NULL;
    if (first < 0 || first > count || most_bytes < 0 || most_records < 0) {
        PyErr_SetString(PyExc_ValueError, "outside of the documents");
    } else if (find_format(name, &run.format) && text_open(&run.text, (size_t)most_bytes + HEADROOM) &&
               text_open(&run.scratch, HEADROOM)) {
        run.documents = (Span){documents.buf, (size_t)documents.len};
        Span left = {(const unsigned char *)starts.buf + (size_t)first * sizeof(uint32_t),
                     (size_t)(count - first) * sizeof(uint32_t)};
        Py_ssize_t records = Py_MIN(most_records, count - first);
        if (put_records(&run, left, (Span){separator.buf, (size_t)separator.len}, most_bytes, &records)) {
            result = answer(&run, records);
        }
    }
    text_discard(&run.text);
    text_discard(&run.scratch);
    Py_XDECREF(run.slow_id);
    PyBuffer_Release(&separator);
    PyBuffer_Release(&documents);
    PyBuffer_Release(&starts);
    return result;
}

static bool put_starts(Text *text, Span cursor, Span batch)
{
    Reader reader;
    Element element;
    Step step;
    if (!bson_open(batch, &reader)) {
        return false;
    }
    while ((step = bson_next(&reader, &element)) == BSON_ELEMENT && element.type == BSON_DOCUMENT) {
        uint32_t start = (uint32_t)(element.value.at - cursor.at);
        if (!text_put(text, &start, sizeof start)) {
            return false;
        }
    }
    return step == BSON_END;
}

static bool put_starts_of_cursor(Text *text, Span cursor)
{
    Reader reader;
    Element element;
    if (!bson_open(cursor, &reader)) {
        return false;
    }
    while (bson_next(&reader, &element) == BSON_ELEMENT) {
        if (element.type == BSON_ARRAY && SPAN_IS(element.key, "firstBatch")) {
            return put_starts(text, cursor, element.value);
        }
    }
    return false;
}

static PyObject *starts(PyObject *module, PyObject *argument)
{
    (void)module;
    Py_buffer cursor;
    Text text;
    if (PyObject_GetBuffer(argument, &cursor, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    if (text_open(&text, HEADROOM)) {
        if (put_starts_of_cursor(&text, (Span){cursor.buf, (size_t)cursor.len})) {
            result = text_close(&text);
            text.bytes = NULL;
        } else if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "no documents are in this reply");
        }
    }
    text_discard(&text);
    PyBuffer_Release(&cursor);
    return result;
}

static PyObject *identity(PyObject *module, PyObject *argument)
{
    (void)module;
    Py_buffer document;
    Identity who;
    if (PyObject_GetBuffer(argument, &document, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *result;
    if (identity_read((Span){document.buf, (size_t)document.len}, &who)) {
        result = Py_BuildValue("s#s#O", (const char *)who.account.at, (Py_ssize_t)who.account.size,
                               (const char *)who.fingerprint.at, (Py_ssize_t)who.fingerprint.size,
                               who.trusted ? Py_True : Py_False);
    } else {
        result = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&document);
    return result;
}

static PyMethodDef METHODS[] = {
    {"console_line", (PyCFunction)(void (*)(void))console_line, METH_FASTCALL, console_line_doc},
    {"document", (PyCFunction)(void (*)(void))document, METH_FASTCALL, document_doc},
    {"identity", identity, METH_O,
     "identity(document): account, fingerprint and class, or None where it cannot be told."},
    {"json_line", (PyCFunction)(void (*)(void))json_line, METH_FASTCALL, json_line_doc},
    {"newborn", (PyCFunction)(void (*)(void))newborn, METH_FASTCALL, newborn_doc},
    {"new_contact", new_contact, METH_O, new_contact_doc},
    {"starts", starts, METH_O, "starts(cursor): where its documents begin, as 32-bit numbers."},
    {"transcode", transcode, METH_VARARGS,
     "transcode(format, separator, documents, starts, first, most_bytes, most_records, slow): "
     "the text of records, their number and the id of the last one."},
    {NULL, NULL, 0, NULL},
};

static int prepare(PyObject *module)
{
    (void)module;
    return value_prepare() && document_prepare() ? 0 : -1;
}

static PyModuleDef_Slot SLOTS[] = {
    {Py_mod_exec, prepare},
    {0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "Records of an export, straight from the documents of a reply.",
    .m_methods = METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&MODULE);
}
