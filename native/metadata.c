#include "metadata.h"

#include <math.h>

#include "wire.h"

/* As service/domain/limits.py has them. Nothing that stands in a message grows more than sixfold when it becomes
   JSON: so far, the limit of 32 KiB needs no count. */
enum { MOST_LEVELS = 16, MOST_LEAVES = 256, LONGEST_KEY = 128, SURELY_SHORT = 32 * 1024 / 6 };
static const double WHOLE_NUMBER_BOUND = 9007199254740992.0;

enum { KEY = 1, VALUE = 2, ENTRY = 1, ELEMENT = 1 };
enum { NULL_VALUE = 1, NUMBER_VALUE, STRING_VALUE, BOOL_VALUE, STRUCT_VALUE, LIST_VALUE };

/* What has been read so far, and how deep the reader is. */
typedef struct {
    int leaves;
    int level;
} Count;

static PyObject *object_of(Span message, Count *count);
static PyObject *list_of(Span message, Count *count);

static PyObject *text_of(Span utf8)
{
    return PyUnicode_DecodeUTF8((const char *)utf8.at, (Py_ssize_t)utf8.size, "strict");
}

/* A whole number is an integer, of -0 too. */
static PyObject *number_of(uint64_t bits)
{
    double number;
    memcpy(&number, &bits, sizeof number);
    if (!isfinite(number)) {
        return NULL;
    }
    if (number != trunc(number)) {
        return PyFloat_FromDouble(number);
    }
    return fabs(number) < WHOLE_NUMBER_BOUND ? PyLong_FromLongLong((long long)number) : NULL;
}

static PyObject *kind_of(const Field *field, Count *count)
{
    static const int TYPES[] = {
        [NULL_VALUE] = WIRE_VARINT,     [NUMBER_VALUE] = WIRE_FIXED64,   [STRING_VALUE] = WIRE_DELIMITED,
        [BOOL_VALUE] = WIRE_VARINT,     [STRUCT_VALUE] = WIRE_DELIMITED, [LIST_VALUE] = WIRE_DELIMITED,
    };
    if (field->number > LIST_VALUE || field->type != TYPES[field->number]) {
        return NULL;
    }
    switch (field->number) {
    case NULL_VALUE:
        return Py_NewRef(Py_None);
    case NUMBER_VALUE:
        return number_of(field->value);
    case STRING_VALUE:
        return text_of(field->bytes);
    case BOOL_VALUE:
        return field->value <= 1 ? PyBool_FromLong((long)field->value) : NULL;
    case STRUCT_VALUE:
        return object_of(field->bytes, count);
    default:
        return list_of(field->bytes, count);
    }
}

/* One of the kinds; a value without any is null. */
static PyObject *value_of(Span message, Count *count)
{
    Field field;
    WireStep step = wire_next(&message, &field);
    if (step == WIRE_END) {
        return Py_NewRef(Py_None);
    }
    return step == WIRE_FIELD && message.size == 0 ? kind_of(&field, count) : NULL;
}

/* Key, then value: as every writer of maps puts them. */
static bool read_entry(Span message, Span *key, Span *value)
{
    Field first, second;
    if (wire_next(&message, &first) != WIRE_FIELD || wire_next(&message, &second) != WIRE_FIELD ||
        first.number != KEY || first.type != WIRE_DELIMITED || second.number != VALUE ||
        second.type != WIRE_DELIMITED) {
        return false;
    }
    *key = first.bytes;
    *value = second.bytes;
    return message.size == 0 && key->size >= 1 && key->size <= LONGEST_KEY;
}

static bool is_container(PyObject *value)
{
    return PyDict_CheckExact(value) || PyList_CheckExact(value);
}

/* A container counts when it ends: by what is in it, or for itself when that is nothing. */
static bool counts_leaf(Count *count, PyObject *value)
{
    count->leaves += !is_container(value);
    return count->leaves <= MOST_LEAVES;
}

/* A null member is set as well, and dropped behind the last: another of its name may follow or stand before. */
static bool set_member(PyObject *members, Span entry, Count *count, bool *has_null)
{
    Span key, value;
    if (!read_entry(entry, &key, &value)) {
        return false;
    }
    Py_ssize_t before = PyDict_GET_SIZE(members);
    PyObject *name = text_of(key);
    PyObject *member = name ? value_of(value, count) : NULL;
    bool is_set = member != NULL && PyDict_SetItem(members, name, member) == 0 &&
                  PyDict_GET_SIZE(members) > before;
    if (is_set && member == Py_None) {
        *has_null = true;
    } else if (is_set) {
        is_set = counts_leaf(count, member);
    }
    Py_XDECREF(name);
    Py_XDECREF(member);
    return is_set;
}

static PyObject *without_null(PyObject *members)
{
    PyObject *kept = PyDict_New();
    Py_ssize_t position = 0;
    PyObject *key, *value;
    while (kept != NULL && PyDict_Next(members, &position, &key, &value)) {
        if (value != Py_None && PyDict_SetItem(kept, key, value) < 0) {
            Py_CLEAR(kept);
        }
    }
    Py_DECREF(members);
    return kept;
}

static bool set_members(PyObject *members, Span message, Count *count, bool *has_null)
{
    Field field;
    WireStep step;
    while ((step = wire_next(&message, &field)) == WIRE_FIELD) {
        if (field.number != ENTRY || field.type != WIRE_DELIMITED ||
            !set_member(members, field.bytes, count, has_null)) {
            return false;
        }
    }
    return step == WIRE_END;
}

static PyObject *object_of(Span message, Count *count)
{
    bool has_null = false;
    PyObject *members = ++count->level <= MOST_LEVELS ? PyDict_New() : NULL;
    if (members == NULL || !set_members(members, message, count, &has_null)) {
        Py_XDECREF(members);
        return NULL;
    }
    if (has_null) {
        members = without_null(members);
    }
    count->level--;
    count->leaves += members != NULL && PyDict_GET_SIZE(members) == 0;
    return members;
}

static bool append(PyObject *list, Span message, Count *count)
{
    PyObject *value = value_of(message, count);
    bool is_appended = value != NULL && PyList_Append(list, value) == 0 && counts_leaf(count, value);
    Py_XDECREF(value);
    return is_appended;
}

static PyObject *list_of(Span message, Count *count)
{
    Field field;
    WireStep step = WIRE_BROKEN;
    PyObject *list = ++count->level <= MOST_LEVELS ? PyList_New(0) : NULL;
    if (list == NULL) {
        return NULL;
    }
    while ((step = wire_next(&message, &field)) == WIRE_FIELD) {
        if (field.number != ELEMENT || field.type != WIRE_DELIMITED || !append(list, field.bytes, count)) {
            step = WIRE_BROKEN;
            break;
        }
    }
    if (step != WIRE_END) {
        Py_DECREF(list);
        return NULL;
    }
    count->level--;
    count->leaves += PyList_GET_SIZE(list) == 0;
    return list;
}

PyObject *metadata_kept(Span message)
{
    Count count = {0, 0};
    PyObject *kept = message.size <= SURELY_SHORT ? object_of(message, &count) : NULL;
    if (kept != NULL && count.leaves > MOST_LEAVES) {
        Py_CLEAR(kept);
    }
    return kept;
}
