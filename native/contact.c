#include "contact.h"

#include "moment.h"
#include "utf8.h"

enum {
    SEEN_ID = 1,
    SEEN_FINGERPRINT = 2,
    SEEN_TRUSTED = 4,
    SEEN_UPDATED_AT = 8,
    SEEN_REV = 16,
    SEEN_ALL_NEEDED = 31,
    SEEN_VERIFIED_AT = 32,
    SEEN_METADATA = 64,
    SEEN_TEXT = 128, /* the first of them; the others have the bits above */
};

/* Where the time stands in `ct_`, 12 characters of the account and 26 of a ULID. */
enum { ID_SIZE = 41, TIME_BEGINS = 15, TIME_ENDS = 25 };

/* Crockford's digits, one more than their value; 0 for what is none. */
static const unsigned char BASE32[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
    ['G'] = 17, ['H'] = 18, ['J'] = 19, ['K'] = 20, ['M'] = 21, ['N'] = 22, ['P'] = 23, ['Q'] = 24,
    ['R'] = 25, ['S'] = 26, ['T'] = 27, ['V'] = 28, ['W'] = 29, ['X'] = 30, ['Y'] = 31, ['Z'] = 32,
};

bool contact_time(Span id, int64_t *milliseconds)
{
    if (id.size != ID_SIZE || memcmp(id.at, "ct_", 3) != 0 || id.at[TIME_BEGINS] > '7') {
        return false;
    }
    int64_t time = 0;
    for (size_t place = 3; place < ID_SIZE; place++) {
        unsigned char value = BASE32[id.at[place]];
        if (value == 0) {
            return false;
        }
        if (place >= TIME_BEGINS && place < TIME_ENDS) {
            time = time << 5 | (value - 1);
        }
    }
    *milliseconds = time;
    return moment_known(time);
}

static bool read_bool(const Element *element, bool *value)
{
    if (element->type != BSON_BOOL) {
        return false;
    }
    *value = *element->value.at;
    return true;
}

static bool read_rev(const Element *element, int64_t *rev)
{
    if (element->type == BSON_INT32) {
        *rev = bson_int32(element->value.at);
        return true;
    }
    if (element->type == BSON_INT64) {
        *rev = bson_int64(element->value.at);
        return true;
    }
    return false;
}

static bool read_moment(const Element *element, int64_t *milliseconds)
{
    if (element->type != BSON_DATE) {
        return false;
    }
    *milliseconds = bson_int64(element->value.at);
    return moment_known(*milliseconds);
}

static bool read_string(const Element *element, Span *text)
{
    *text = element->value;
    return element->type == BSON_STRING;
}

static Span *text_of(Contact *contact, Span key)
{
    static const struct {
        const char *name;
        size_t size;
    } NAMES[TEXTS] = {{"name", 4},  {"description", 11}, {"email", 5},
                      {"phone", 5}, {"nickname", 8},     {"preferences", 11}};
    for (int field = 0; field < TEXTS; field++) {
        if (key.size == NAMES[field].size && memcmp(key.at, NAMES[field].name, key.size) == 0) {
            return &contact->texts[field];
        }
    }
    return NULL;
}

static bool is_plain(const Element *element)
{
    bool is_text = element->type == BSON_STRING;
    bool has_rules = element->type == BSON_DOCUMENT || element->type == BSON_ARRAY || element->type == BSON_DATE;
    return is_text ? utf8_valid(element->value) : !has_rules;
}

/* What no contact shows must still be readable, as Python reads all of a document or none: the account and the
   terms, and what a later version may add as simply. */
static bool is_readable(const Element *element)
{
    if (element->type != BSON_ARRAY) {
        return is_plain(element);
    }
    Reader reader;
    Element each;
    Step step;
    if (!bson_open(element->value, &reader)) {
        return false;
    }
    while ((step = bson_next(&reader, &each)) == BSON_ELEMENT && is_plain(&each)) {
    }
    return step == BSON_END;
}

static bool is_beside(const Element *element)
{
    Span key = element->key;
    return key.size > 0 && *key.at != '$' && utf8_valid(key) && is_readable(element);
}

/* What stands twice is not as this service stores it. */
static bool is_first(unsigned *seen, unsigned field)
{
    bool is_new = !(*seen & field);
    *seen |= field;
    return is_new;
}

static bool read_field(Contact *contact, const Element *element, unsigned *seen)
{
    Span key = element->key;
    if (SPAN_IS(key, "_id")) {
        return is_first(seen, SEEN_ID) && read_string(element, &contact->id) &&
               contact_time(contact->id, &contact->created_at);
    }
    if (SPAN_IS(key, "fingerprint")) {
        return is_first(seen, SEEN_FINGERPRINT) && read_string(element, &contact->fingerprint);
    }
    if (SPAN_IS(key, "trusted")) {
        return is_first(seen, SEEN_TRUSTED) && read_bool(element, &contact->trusted);
    }
    if (SPAN_IS(key, "updated_at")) {
        return is_first(seen, SEEN_UPDATED_AT) && read_moment(element, &contact->updated_at);
    }
    if (SPAN_IS(key, "rev")) {
        return is_first(seen, SEEN_REV) && read_rev(element, &contact->rev);
    }
    if (SPAN_IS(key, "verified_at")) {
        contact->verified = true;
        return is_first(seen, SEEN_VERIFIED_AT) && read_moment(element, &contact->verified_at);
    }
    if (SPAN_IS(key, "metadata")) {
        contact->metadata = element->value;
        return is_first(seen, SEEN_METADATA) && element->type == BSON_DOCUMENT;
    }
    Span *text = text_of(contact, key);
    if (text == NULL) {
        return is_beside(element);
    }
    return is_first(seen, SEEN_TEXT << (text - contact->texts)) && read_string(element, text);
}

bool contact_read(Span document, Contact *contact)
{
    Reader reader;
    Element element;
    Step step;
    unsigned seen = 0;
    memset(contact, 0, sizeof *contact);
    if (!bson_open(document, &reader)) {
        return false;
    }
    while ((step = bson_next(&reader, &element)) == BSON_ELEMENT) {
        if (!read_field(contact, &element, &seen)) {
            return false;
        }
    }
    return step == BSON_END && (seen & SEEN_ALL_NEEDED) == SEEN_ALL_NEEDED;
}
