#include "storable.h"

#include "value.h"

static bool put_little_endian(Text *text, uint64_t number, int size)
{
    if (!text_reserve(text, (size_t)size)) {
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

bool storable_put_header(Text *text, int type, const char *key)
{
    char sign = (char)type;
    return text_put(text, &sign, 1) && text_put(text, key, strlen(key) + 1);
}

bool storable_open(Text *text, size_t *begins)
{
    *begins = text_size(text);
    return put_size(text, 0);
}

bool storable_close(Text *text, size_t begins)
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

bool storable_put_text(Text *text, PyObject *value)
{
    Span utf8;
    return value_text(value, &utf8) && put_size(text, utf8.size + 1) && text_put(text, utf8.at, utf8.size) &&
           TEXT_PUT(text, "\0");
}

int storable_type(int64_t number)
{
    return number >= INT32_MIN && number <= INT32_MAX ? BSON_INT32 : BSON_INT64;
}

bool storable_put_integer(Text *text, int64_t number)
{
    return put_little_endian(text, (uint64_t)number, storable_type(number) == BSON_INT32 ? 4 : 8);
}

bool storable_put_int64(Text *text, int64_t number)
{
    return put_little_endian(text, (uint64_t)number, 8);
}

bool storable_put_bool(Text *text, bool value)
{
    char sign = value;
    return text_put(text, &sign, 1);
}

static bool put_double(Text *text, double number)
{
    int64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return storable_put_int64(text, bits);
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

bool storable_put_place(Text *text, int type, size_t place)
{
    return put_name(text, type, (Name){.place = place});
}

static bool put_list(Text *text, PyObject *list, int levels);

static bool put_element(Text *text, Name name, PyObject *value, int levels)
{
    int64_t integer;
    if (PyUnicode_CheckExact(value)) {
        return put_name(text, BSON_STRING, name) && storable_put_text(text, value);
    }
    if (PyBool_Check(value)) {
        return put_name(text, BSON_BOOL, name) && storable_put_bool(text, value == Py_True);
    }
    if (value == Py_None) {
        return put_name(text, BSON_NULL, name);
    }
    if (PyFloat_CheckExact(value)) {
        return put_name(text, BSON_DOUBLE, name) && put_double(text, PyFloat_AS_DOUBLE(value));
    }
    if (PyDict_CheckExact(value)) {
        return put_name(text, BSON_DOCUMENT, name) && storable_put_object(text, value, levels - 1);
    }
    if (PyList_CheckExact(value)) {
        return put_name(text, BSON_ARRAY, name) && put_list(text, value, levels - 1);
    }
    return value_integer(value, &integer) && put_name(text, storable_type(integer), name) &&
           storable_put_integer(text, integer);
}

bool storable_put_object(Text *text, PyObject *members, int levels)
{
    size_t begins;
    Py_ssize_t position = 0;
    PyObject *key, *value;
    if (levels == 0 || !storable_open(text, &begins)) {
        return false;
    }
    while (PyDict_Next(members, &position, &key, &value)) {
        if (!put_element(text, (Name){.key = key}, value, levels)) {
            return false;
        }
    }
    return storable_close(text, begins);
}

static bool put_list(Text *text, PyObject *list, int levels)
{
    size_t begins;
    if (levels == 0 || !storable_open(text, &begins)) {
        return false;
    }
    for (Py_ssize_t place = 0; place < PyList_GET_SIZE(list); place++) {
        if (!put_element(text, (Name){.place = (size_t)place}, PyList_GET_ITEM(list, place), levels)) {
            return false;
        }
    }
    return storable_close(text, begins);
}
