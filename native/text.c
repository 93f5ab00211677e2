#include "text.h"

bool text_open(Text *text, size_t room)
{
    text->bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
    if (text->bytes == NULL) {
        text->at = text->end = NULL;
        return false;
    }
    text->at = PyBytes_AS_STRING(text->bytes);
    text->end = text->at + room;
    return true;
}

bool text_grow(Text *text, size_t more)
{
    if (text->bytes == NULL) {
        return false;
    }
    size_t size = text_size(text);
    if (more > (size_t)PY_SSIZE_T_MAX / 2 - size) {
        PyErr_NoMemory();
        return false;
    }
    size_t room = (size + more) * 2;
    if (_PyBytes_Resize(&text->bytes, (Py_ssize_t)room) < 0) {
        text->at = text->end = NULL;
        return false;
    }
    text->at = PyBytes_AS_STRING(text->bytes) + size;
    text->end = PyBytes_AS_STRING(text->bytes) + room;
    return true;
}

PyObject *text_close(Text *text)
{
    if (text->bytes != NULL) {
        _PyBytes_Resize(&text->bytes, (Py_ssize_t)text_size(text));
    }
    return text->bytes;
}

void text_discard(Text *text)
{
    Py_CLEAR(text->bytes);
    text->at = text->end = NULL;
}
