#include "value.h"

#include <datetime.h>

#include "moment.h"

bool value_prepare(void)
{
    PyDateTime_IMPORT;
    return PyDateTimeAPI != NULL;
}

bool value_text(PyObject *value, Span *utf8)
{
    Py_ssize_t size;
    const char *at = PyUnicode_CheckExact(value) ? PyUnicode_AsUTF8AndSize(value, &size) : NULL;
    if (at == NULL) {
        return false;
    }
    *utf8 = (Span){(const unsigned char *)at, (size_t)size};
    return true;
}

bool value_integer(PyObject *value, int64_t *number)
{
    int overflow = 0;
    if (!PyLong_CheckExact(value)) {
        return false;
    }
    *number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow == 0;
}

/* The driver decodes times with a time zone of its own. */
static bool is_utc(PyObject *moment)
{
    PyObject *zone = PyDateTime_DATE_GET_TZINFO(moment);
    if (zone == PyDateTime_TimeZone_UTC) {
        return true;
    }
    PyObject *offset = zone == Py_None ? NULL : PyObject_CallMethod(zone, "utcoffset", "O", moment);
    bool is_zero = offset != NULL && PyDelta_Check(offset) && PyDateTime_DELTA_GET_DAYS(offset) == 0 &&
                   PyDateTime_DELTA_GET_SECONDS(offset) == 0 && PyDateTime_DELTA_GET_MICROSECONDS(offset) == 0;
    Py_XDECREF(offset);
    return is_zero;
}

bool value_moment(PyObject *value, int64_t *milliseconds)
{
    if (!PyDateTime_CheckExact(value) || !is_utc(value)) {
        return false;
    }
    int64_t days =
        moment_days(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value), PyDateTime_GET_DAY(value));
    int64_t hours = days * 24 + PyDateTime_DATE_GET_HOUR(value);
    int64_t seconds = (hours * 60 + PyDateTime_DATE_GET_MINUTE(value)) * 60 + PyDateTime_DATE_GET_SECOND(value);
    *milliseconds = seconds * 1000 + PyDateTime_DATE_GET_MICROSECOND(value) / 1000;
    return true;
}

PyObject *value_of_moment(int64_t milliseconds)
{
    int32_t rest, second;
    int year, month, day;
    int64_t seconds = moment_seconds(milliseconds, &rest);
    moment_date(moment_day(seconds, &second), &year, &month, &day);
    return PyDateTimeAPI->DateTime_FromDateAndTime(year, month, day, second / 3600, second / 60 % 60, second % 60,
                                                   rest * 1000, PyDateTime_TimeZone_UTC,
                                                   PyDateTimeAPI->DateTimeType);
}
