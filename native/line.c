#include "line.h"

#include <math.h>
#include <time.h>

#include "number.h"
#include "quoted.h"

const char console_line_doc[] = "console_line(line, allowed, pid): its text, or None where Python makes it.";
const char json_line_doc[] = "json_line(line, allowed, pid): its text, or None where Python makes it.";

/* In the order of service.ops.lines.Line. */
enum { MOMENT, EVENT, FACTS, LEVEL, TRACE, PARTS };

/* Few lines are longer. */
enum { ROOM = 512, LEVEL_WIDTH = 7 };

/* Many lines fall into one second, which is written once. The interpreter's lock is held meanwhile. */
typedef struct {
    const char *format;
    time_t second;
    char text[32];
    size_t size;
} Clock;

static Clock local_clock = {.format = "%H:%M:%S.", .second = -1};
static Clock utc_clock = {.format = "%Y-%m-%dT%H:%M:%S.", .second = -1};

static bool put_clock(Text *text, Clock *clock, double moment)
{
    if (!(moment >= 0 && moment < 1e11)) {
        return false;
    }
    time_t second = (time_t)moment;
    if (second != clock->second) {
        struct tm parts;
        if ((clock == &utc_clock ? gmtime_r(&second, &parts) : localtime_r(&second, &parts)) == NULL) {
            return false;
        }
        clock->size = strftime(clock->text, sizeof clock->text, clock->format, &parts);
        clock->second = second;
    }
    int milliseconds = (int)(fmod(moment, 1) * 1000);
    char digits[3] = {(char)('0' + milliseconds / 100), (char)('0' + milliseconds / 10 % 10),
                      (char)('0' + milliseconds % 10)};
    return text_put(text, clock->text, clock->size) && text_put(text, digits, sizeof digits);
}

/* Nearly all texts are ASCII, which is written as it stands, or with the escapes that orjson has for it. */
static bool put_text(Text *text, PyObject *value, bool json)
{
    if (!PyUnicode_IS_ASCII(value)) {
        return false;
    }
    Span span = {PyUnicode_DATA(value), (size_t)PyUnicode_GET_LENGTH(value)};
    return json ? quoted_put_json(text, span) : text_put(text, span.at, span.size);
}

static bool put_float(Text *text, double number, bool json)
{
    return json ? number_put_json(text, number) : number_put_repr(text, number);
}

static bool put_value(Text *text, PyObject *value, bool json)
{
    if (PyUnicode_CheckExact(value)) {
        return put_text(text, value, json);
    }
    if (PyFloat_CheckExact(value)) {
        return put_float(text, PyFloat_AS_DOUBLE(value), json);
    }
    if (PyLong_CheckExact(value)) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        return overflow == 0 && number_put_integer(text, number);
    }
    return false;
}

static bool put_fact(Text *text, PyObject *name, PyObject *value, bool json)
{
    return (json ? TEXT_PUT(text, ",") : TEXT_PUT(text, " ")) && put_text(text, name, json) &&
           (json ? TEXT_PUT(text, ":") : TEXT_PUT(text, "=")) && put_value(text, value, json);
}

/* Those that are allowed and known; `tells_pid` is whether they name a process. */
static bool put_facts(Text *text, PyObject *facts, PyObject *allowed, bool json, bool *tells_pid)
{
    Py_ssize_t at = 0;
    PyObject *name, *value;
    *tells_pid = false;
    while (PyDict_Next(facts, &at, &name, &value)) {
        if (value == Py_None) {
            continue;
        }
        int is_allowed = PyUnicode_CheckExact(name) ? PySet_Contains(allowed, name) : -1;
        if (is_allowed < 0 || (is_allowed && !put_fact(text, name, value, json))) {
            return false;
        }
        *tells_pid = *tells_pid || (is_allowed && PyUnicode_CompareWithASCIIString(name, "pid") == 0);
    }
    return true;
}

static bool put_pid(Text *text, PyObject *pid, bool json)
{
    return (json ? TEXT_PUT(text, ",\"pid\":") : TEXT_PUT(text, " pid=")) && put_value(text, pid, json);
}

static bool put_all_facts(Text *text, PyObject *facts, PyObject *allowed, PyObject *pid, bool json)
{
    bool tells_pid;
    return put_facts(text, facts, allowed, json, &tells_pid) &&
           (tells_pid || pid == Py_None || put_pid(text, pid, json));
}

static bool put_console(Text *text, PyObject *const *parts, PyObject *allowed, PyObject *pid)
{
    static const char SPACES[LEVEL_WIDTH + 1] = "        ";
    Py_ssize_t width = PyUnicode_GET_LENGTH(parts[LEVEL]);
    size_t fill = width < LEVEL_WIDTH ? (size_t)(LEVEL_WIDTH - width) : 0;
    return put_clock(text, &local_clock, PyFloat_AS_DOUBLE(parts[MOMENT])) && TEXT_PUT(text, " ") &&
           put_text(text, parts[LEVEL], false) && text_put(text, SPACES, fill + 1) &&
           put_text(text, parts[EVENT], false) && put_all_facts(text, parts[FACTS], allowed, pid, false) &&
           (parts[TRACE] == Py_None || (TEXT_PUT(text, "\n") && put_text(text, parts[TRACE], false)));
}

static bool put_json(Text *text, PyObject *const *parts, PyObject *allowed, PyObject *pid)
{
    return TEXT_PUT(text, "{\"time\":\"") &&
           put_clock(text, &utc_clock, PyFloat_AS_DOUBLE(parts[MOMENT])) && TEXT_PUT(text, "Z\",\"level\":") &&
           put_text(text, parts[LEVEL], true) && TEXT_PUT(text, ",\"event\":") &&
           put_text(text, parts[EVENT], true) && put_all_facts(text, parts[FACTS], allowed, pid, true) &&
           (parts[TRACE] == Py_None ||
            (TEXT_PUT(text, ",\"trace\":") && put_text(text, parts[TRACE], true))) &&
           TEXT_PUT(text, "}");
}

static bool is_line(PyObject *line)
{
    return PyTuple_Check(line) && PyTuple_GET_SIZE(line) == PARTS &&
           PyFloat_CheckExact(PyTuple_GET_ITEM(line, MOMENT)) &&
           PyUnicode_CheckExact(PyTuple_GET_ITEM(line, EVENT)) &&
           PyDict_CheckExact(PyTuple_GET_ITEM(line, FACTS)) &&
           PyUnicode_CheckExact(PyTuple_GET_ITEM(line, LEVEL)) &&
           (PyTuple_GET_ITEM(line, TRACE) == Py_None || PyUnicode_CheckExact(PyTuple_GET_ITEM(line, TRACE)));
}

/* Where it gives up, Python makes the line. */
static PyObject *line_or_none(PyObject *const *arguments, Py_ssize_t count, bool json)
{
    Text text;
    if (count != 3 || !PyAnySet_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "a line, a set of names and a pid are needed");
        return NULL;
    }
    if (!is_line(arguments[0])) {
        return Py_NewRef(Py_None);
    }
    if (!text_open(&text, ROOM)) {
        return NULL;
    }
    PyObject *const *parts = ((PyTupleObject *)arguments[0])->ob_item;
    PyObject *result = NULL;
    if ((json ? put_json : put_console)(&text, parts, arguments[1], arguments[2])) {
        result = PyUnicode_DecodeASCII(PyBytes_AS_STRING(text.bytes), (Py_ssize_t)text_size(&text), NULL);
    } else if (!PyErr_Occurred()) {
        result = Py_NewRef(Py_None);
    }
    text_discard(&text);
    return result;
}

PyObject *console_line(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    return line_or_none(arguments, count, false);
}

PyObject *json_line(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    return line_or_none(arguments, count, true);
}
