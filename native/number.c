#include "number.h"

#include <math.h>

bool number_put_integer(Text *text, int64_t number)
{
    char digits[20];
    char *at = digits + sizeof digits;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (number < 0) {
        *--at = '-';
    }
    return text_put(text, at, (size_t)(digits + sizeof digits - at));
}

/* The common decimals, such as 12.5 or 0.075, without the search for the shortest digits that read back to the
   number: a text of at most 15 digits reads back to one number only, so the first that does is the shortest. */
static bool put_short_decimal(Text *text, double number)
{
    static const double SCALES[] = {10, 100, 1000};
    double size = fabs(number);
    for (int places = 1; places <= 3; places++) {
        double scaled = nearbyint(size * SCALES[places - 1]);
        if (scaled == 0 || scaled >= 1e15 || scaled / SCALES[places - 1] != size) {
            continue;
        }
        int64_t scale = (int64_t)SCALES[places - 1], whole = (int64_t)scaled;
        if (!text_reserve(text, 24)) {
            return false;
        }
        if (number < 0) {
            *text->at++ = '-';
        }
        number_put_integer(text, whole / scale);
        *text->at++ = '.';
        for (whole %= scale; scale > 1; whole %= scale) {
            scale /= 10;
            *text->at++ = (char)('0' + whole / scale);
        }
        return true;
    }
    return false;
}

/* Python's repr, in memory of Python's. */
static char *shortest(double number)
{
    return isfinite(number) ? PyOS_double_to_string(number, 'r', 0, Py_DTSF_ADD_DOT_0, NULL) : NULL;
}

/* 1.5e-05 is 0.000015 to orjson: it takes to exponents one place later than Python. */
static bool put_fifth_place(Text *text, const char *at, const char *exponent)
{
    if (*at == '-' && !text_put(text, at++, 1)) {
        return false;
    }
    return TEXT_PUT(text, "0.0000") && text_put(text, at, 1) &&
           (exponent - at <= 2 || text_put(text, at + 2, (size_t)(exponent - at - 2)));
}

static bool put_json(Text *text, const char *digits)
{
    const char *exponent = strchr(digits, 'e');
    if (exponent == NULL) {
        return text_put(text, digits, strlen(digits));
    }
    if (strcmp(exponent, "e-05") == 0) {
        return put_fifth_place(text, digits, exponent);
    }
    /* Python's exponents have two digits at least. */
    const char *power = exponent[2] == '0' ? exponent + 3 : exponent + 2;
    return text_put(text, digits, (size_t)(exponent - digits + 2)) && text_put(text, power, strlen(power));
}

static bool put_yaml(Text *text, const char *digits)
{
    const char *exponent = strchr(digits, 'e');
    if (exponent == NULL || strchr(digits, '.') != NULL) {
        return text_put(text, digits, strlen(digits));
    }
    /* YAML 1.1 knows no float without a dot. */
    return text_put(text, digits, (size_t)(exponent - digits)) && TEXT_PUT(text, ".0") &&
           text_put(text, exponent, strlen(exponent));
}

static bool put_as_it_is(Text *text, const char *digits)
{
    return text_put(text, digits, strlen(digits));
}

static bool put_number(Text *text, double number, bool (*put)(Text *, const char *))
{
    if (put_short_decimal(text, number)) {
        return true;
    }
    char *digits = shortest(number);
    bool written = digits != NULL && put(text, digits);
    PyMem_Free(digits);
    return written;
}

bool number_put_json(Text *text, double number)
{
    return put_number(text, number, put_json);
}

bool number_put_yaml(Text *text, double number)
{
    return put_number(text, number, put_yaml);
}

bool number_put_repr(Text *text, double number)
{
    return put_number(text, number, put_as_it_is);
}
