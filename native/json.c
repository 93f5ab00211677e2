#include "members.h"
#include "moment.h"
#include "number.h"
#include "quoted.h"
#include "record.h"

static bool put_object(Text *text, Span document, Keys *keys, int levels);

static bool put_array(Text *text, Span array, Keys *keys, int levels);

static bool put_value(Text *text, const Element *element, Keys *keys, int levels)
{
    const unsigned char *at = element->value.at;
    switch (element->type) {
    case BSON_STRING:
        return quoted_put_json(text, element->value);
    case BSON_INT32:
        return number_put_integer(text, bson_int32(at));
    case BSON_INT64:
        return number_put_integer(text, bson_int64(at));
    case BSON_DOUBLE:
        return number_put_json(text, bson_double(at));
    case BSON_BOOL:
        return *at ? TEXT_PUT(text, "true") : TEXT_PUT(text, "false");
    case BSON_NULL:
        return TEXT_PUT(text, "null");
    case BSON_DOCUMENT:
        return put_object(text, element->value, keys, levels - 1);
    case BSON_ARRAY:
        return put_array(text, element->value, keys, levels - 1);
    default:
        return false;
    }
}

static bool put_array(Text *text, Span array, Keys *keys, int levels)
{
    Reader reader;
    Element element;
    Step step;
    const char *separator = "[";
    if (levels == 0 || !bson_open(array, &reader)) {
        return false;
    }
    while ((step = bson_next(&reader, &element)) == BSON_ELEMENT) {
        if (!text_put(text, separator, 1) || !put_value(text, &element, keys, levels)) {
            return false;
        }
        separator = ",";
    }
    return step == BSON_END && (*separator == ',' || TEXT_PUT(text, "[")) && TEXT_PUT(text, "]");
}

static bool put_object(Text *text, Span document, Keys *keys, int levels)
{
    Members members;
    Step step;
    const char *separator = "{";
    if (levels == 0 || !members_open(&members, document, keys)) {
        return false;
    }
    while ((step = members_next(&members)) == BSON_ELEMENT) {
        if (!text_put(text, separator, 1) || !quoted_put_json(text, members.key) || !TEXT_PUT(text, ":") ||
            !put_value(text, &members.element, keys, levels)) {
            return false;
        }
        separator = ",";
    }
    members_close(&members);
    return step == BSON_END && (*separator == ',' || TEXT_PUT(text, "{")) && TEXT_PUT(text, "}");
}

static bool put_metadata(Text *text, Span metadata)
{
    Keys keys;
    keys.count = 0;
    return metadata.size ? put_object(text, metadata, &keys, LEVELS) : TEXT_PUT(text, "{}");
}

static bool put_text(Text *text, Span value)
{
    return value.size ? quoted_put_json(text, value) : TEXT_PUT(text, "null");
}

static bool put_moment(Text *text, int64_t milliseconds)
{
    return TEXT_PUT(text, "\"") && moment_put(text, milliseconds) && TEXT_PUT(text, "\"");
}

bool json_put(Text *text, const Contact *contact)
{
    const Span *texts = contact->texts;
    return TEXT_PUT(text, "{\"id\":") && quoted_put_json(text, contact->id) &&
           TEXT_PUT(text, ",\"fingerprint\":") && quoted_put_json(text, contact->fingerprint) &&
           (contact->trusted ? TEXT_PUT(text, ",\"trusted\":true") : TEXT_PUT(text, ",\"trusted\":false")) &&
           TEXT_PUT(text, ",\"name\":") && put_text(text, texts[NAME]) &&
           TEXT_PUT(text, ",\"description\":") && put_text(text, texts[DESCRIPTION]) &&
           TEXT_PUT(text, ",\"email\":") && put_text(text, texts[EMAIL]) &&
           TEXT_PUT(text, ",\"phone\":") && put_text(text, texts[PHONE]) &&
           TEXT_PUT(text, ",\"nickname\":") && put_text(text, texts[NICKNAME]) &&
           TEXT_PUT(text, ",\"preferences\":") && put_text(text, texts[PREFERENCES]) &&
           TEXT_PUT(text, ",\"metadata\":") && put_metadata(text, contact->metadata) &&
           TEXT_PUT(text, ",\"verifiedAt\":") &&
           (contact->verified ? put_moment(text, contact->verified_at) : TEXT_PUT(text, "null")) &&
           TEXT_PUT(text, ",\"createdAt\":") && put_moment(text, contact->created_at) &&
           TEXT_PUT(text, ",\"updatedAt\":") && put_moment(text, contact->updated_at) &&
           TEXT_PUT(text, ",\"etag\":\"") && number_put_integer(text, contact->rev) && TEXT_PUT(text, "\"}");
}
