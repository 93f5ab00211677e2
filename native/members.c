#include "members.h"

bool members_open(Members *members, Span document, Keys *keys)
{
    members->keys = keys;
    members->first = keys->count;
    return bson_open(document, &members->reader);
}

void members_close(Members *members)
{
    members->keys->count = members->first;
}

static bool is_new(Members *members, Span stored)
{
    Keys *keys = members->keys;
    for (size_t place = members->first; place < keys->count; place++) {
        Span other = keys->seen[place];
        if (other.size == stored.size && memcmp(other.at, stored.at, stored.size) == 0) {
            return false;
        }
    }
    if (keys->count == MOST_KEYS) {
        return false;
    }
    keys->seen[keys->count++] = stored;
    return true;
}

/* The sign that a percent escape stands for, -1 for what is none. */
static int escaped_sign(const unsigned char *at, const unsigned char *end)
{
    if (end - at < 3) {
        return -1;
    }
    switch (at[1] << 8 | at[2]) {
    case '2' << 8 | '5':
        return '%';
    case '2' << 8 | 'E':
        return '.';
    case '2' << 8 | '4':
        return '$';
    case '0' << 8 | '0':
        return 0;
    default:
        return -1;
    }
}

static bool unescape(Members *members, Span stored)
{
    unsigned char *out = members->plain;
    const unsigned char *at = stored.at, *end = at + stored.size;
    if (stored.size > LONGEST_KEY) {
        return false;
    }
    while (at < end) {
        int sign = *at;
        if (sign == '%') {
            sign = escaped_sign(at, end);
            at += 2;
        }
        if (sign < 0) {
            return false;
        }
        *out++ = (unsigned char)sign;
        at++;
    }
    members->key = (Span){members->plain, (size_t)(out - members->plain)};
    return true;
}

static bool read_key(Members *members)
{
    Span stored = members->element.key;
    bool escaped = false;
    for (size_t place = 0; place < stored.size; place++) {
        unsigned char sign = stored.at[place];
        /* Never stored bare: two stored keys could be one key. */
        if (sign == '.' || sign == '$') {
            return false;
        }
        escaped |= sign == '%';
    }
    members->key = stored;
    return is_new(members, stored) && (!escaped || unescape(members, stored));
}

Step members_next(Members *members)
{
    Step step = bson_next(&members->reader, &members->element);
    return step != BSON_ELEMENT || read_key(members) ? step : BSON_BROKEN;
}
