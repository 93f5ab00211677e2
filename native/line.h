/* A line of the log: service/ops/lines.py says the same in Python. */
#ifndef LINE_H
#define LINE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char console_line_doc[], json_line_doc[];

/* console_line(line, allowed, pid) and json_line(line, allowed, pid) of the module. */
PyObject *console_line(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *json_line(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

#endif
