#include "members.h"
#include "number.h"
#include "quoted.h"
#include "record.h"

static bool put_flow(Text *text, const Element *element, Keys *keys, int levels);

static bool is_word(Span key)
{
    for (size_t place = 0; place < key.size; place++) {
        unsigned char sign = key.at[place], letter = sign | 0x20;
        bool is_digit = sign >= '0' && sign <= '9' && place > 0;
        if (!(letter >= 'a' && letter <= 'z') && sign != '_' && !is_digit) {
            return false;
        }
    }
    return key.size > 0;
}

/* What some parser takes for another type than text, in any case. */
static bool is_taken(Span key)
{
    static const char *const TAKEN[] = {"y",    "n",     "yes",  "no",   "on",  "off",
                                        "true", "false", "null", "none", "nan", "inf"};
    char lower[6] = {0};
    if (key.size >= sizeof lower) {
        return false;
    }
    for (size_t place = 0; place < key.size; place++) {
        lower[place] = (char)(key.at[place] == '_' ? '_' : key.at[place] | 0x20);
    }
    for (size_t word = 0; word < sizeof TAKEN / sizeof *TAKEN; word++) {
        if (strcmp(lower, TAKEN[word]) == 0) {
            return true;
        }
    }
    return false;
}

static bool put_key(Text *text, Span key)
{
    return is_word(key) && !is_taken(key) ? text_put(text, key.at, key.size) : quoted_put_yaml(text, key);
}

static bool put_list(Text *text, Span array, Keys *keys, int levels)
{
    Reader reader;
    Element element;
    Step step;
    size_t elements = 0;
    if (levels == 0 || !bson_open(array, &reader) || !TEXT_PUT(text, "[")) {
        return false;
    }
    while ((step = bson_next(&reader, &element)) == BSON_ELEMENT) {
        if ((elements++ && !TEXT_PUT(text, ", ")) || !put_flow(text, &element, keys, levels)) {
            return false;
        }
    }
    return step == BSON_END && TEXT_PUT(text, "]");
}

static bool put_object(Text *text, Span document, Keys *keys, int levels)
{
    Members members;
    Step step;
    size_t count = 0;
    if (levels == 0 || !members_open(&members, document, keys) || !TEXT_PUT(text, "{")) {
        return false;
    }
    while ((step = members_next(&members)) == BSON_ELEMENT) {
        if ((count++ && !TEXT_PUT(text, ", ")) || !put_key(text, members.key) || !TEXT_PUT(text, ": ") ||
            !put_flow(text, &members.element, keys, levels)) {
            return false;
        }
    }
    members_close(&members);
    return step == BSON_END && TEXT_PUT(text, "}");
}

static bool put_flow(Text *text, const Element *element, Keys *keys, int levels)
{
    const unsigned char *at = element->value.at;
    switch (element->type) {
    case BSON_STRING:
        return quoted_put_yaml(text, element->value);
    case BSON_INT32:
        return number_put_integer(text, bson_int32(at));
    case BSON_INT64:
        return number_put_integer(text, bson_int64(at));
    case BSON_DOUBLE:
        return number_put_yaml(text, bson_double(at));
    case BSON_BOOL:
        return *at ? TEXT_PUT(text, "true") : TEXT_PUT(text, "false");
    case BSON_NULL:
        return TEXT_PUT(text, "null");
    case BSON_DOCUMENT:
        return put_object(text, element->value, keys, levels - 1);
    case BSON_ARRAY:
        return put_list(text, element->value, keys, levels - 1);
    default:
        return false;
    }
}

static bool is_empty(Span document)
{
    return document.size <= 5;
}

static bool put_margin(Text *text, int depth)
{
    for (; depth > 0; depth--) {
        if (!TEXT_PUT(text, "  ")) {
            return false;
        }
    }
    return true;
}

/* Each line with the line feed before it, but the very first. */
static bool put_lines(Text *text, Span document, Keys *keys, int depth)
{
    Members members;
    Step step;
    bool first = depth == 0;
    if (depth == LEVELS || !members_open(&members, document, keys)) {
        return false;
    }
    while ((step = members_next(&members)) == BSON_ELEMENT) {
        const Element *element = &members.element;
        if ((!first && !TEXT_PUT(text, "\n")) || !put_margin(text, depth) || !put_key(text, members.key)) {
            return false;
        }
        first = false;
        if (element->type == BSON_DOCUMENT && !is_empty(element->value)) {
            if (!TEXT_PUT(text, ":") || !put_lines(text, element->value, keys, depth + 1)) {
                return false;
            }
        } else if (!TEXT_PUT(text, ": ") || !put_flow(text, element, keys, LEVELS - depth)) {
            return false;
        }
    }
    members_close(&members);
    return step == BSON_END;
}

bool yaml_put(Text *text, Span metadata)
{
    Keys keys;
    keys.count = 0;
    return is_empty(metadata) ? TEXT_PUT(text, "{}") : put_lines(text, metadata, &keys, 0);
}
