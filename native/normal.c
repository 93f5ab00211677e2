#include "normal.h"

/* What str.strip() takes away. */
static bool is_space(unsigned char sign)
{
    return sign == ' ' || (sign >= 0x09 && sign <= 0x0D) || (sign >= 0x1C && sign <= 0x1F);
}

static bool is_noise(char sign)
{
    return sign != 0 && strchr(" \t-._()/", sign) != NULL;
}

bool normal_put_text(Text *text, Span value)
{
    const unsigned char *at = value.at, *end = at + value.size;
    while (at < end && is_space(*at)) {
        at++;
    }
    while (at < end && is_space(end[-1])) {
        end--;
    }
    if (!text_reserve(text, (size_t)(end - at))) {
        return false;
    }
    for (; at < end; at++) {
        if (*at >= 0x80) {
            return false;
        }
        *text->at++ = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
    }
    return true;
}

bool normal_put_phone(Text *text, Span value)
{
    size_t begins = text_size(text);
    if (!normal_put_text(text, value)) {
        return false;
    }
    char *first = PyBytes_AS_STRING(text->bytes) + begins, *out = first;
    for (const char *at = first; at < text->at; at++) {
        if (!is_noise(*at)) {
            *out++ = *at;
        }
    }
    if (out - first >= 2 && memcmp(first, "00", 2) == 0) {
        *first = '+';
        memmove(first + 1, first + 2, (size_t)(--out - first - 1));
    }
    text->at = out;
    return true;
}
