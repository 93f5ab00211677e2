#include "moment.h"
#include "number.h"
#include "record.h"
#include "utf8.h"

/* Signs that begin a formula; the fullwidth forms of the first five are U+FF1D, FF0B, FF0D, FF20 and FF07. */
static bool begins_formula(uint32_t code)
{
    static const char SIGNS[] = "=+-@'\t\r\n";
    uint32_t folded = code > 0xFF00 ? code - 0xFF00 + 0x20 : code;
    bool is_fullwidth = code > 0xFF00 && folded < 0x80 && strchr("=+-@'", (int)folded) != NULL;
    return is_fullwidth || (code != 0 && code < 0x80 && strchr(SIGNS, (int)code) != NULL);
}

/* The first or the last character. */
static bool is_space_at(Span value, bool last)
{
    const unsigned char *at = value.at, *end = at + value.size;
    if (last) {
        for (at = end - 1; at > value.at && (*at & 0xC0) == 0x80; at--) {
        }
    }
    uint32_t code;
    return utf8_read(at, end, &code) != 0 && Py_UNICODE_ISSPACE(code);
}

typedef enum { CELL_BARE, CELL_QUOTED, CELL_WITH_QUOTES } Cell;

static Cell kind_of(Span value)
{
    const unsigned char *at = value.at, *end = at + value.size;
    Cell kind = CELL_BARE;
    while (at < end) {
        uint64_t word;
        while (end - at >= 8 && (word = eight_bytes(at),
                                 !(may_have(word, '"') | may_have(word, ',') | may_have(word, '\n') |
                                   may_have(word, '\r')))) {
            at += 8;
        }
        if (at == end) {
            break;
        }
        if (*at == '"') {
            return CELL_WITH_QUOTES;
        }
        if (*at == ',' || *at == '\n' || *at == '\r') {
            kind = CELL_QUOTED;
        }
        at++;
    }
    return kind;
}

static bool put_doubling_quotes(Text *text, Span value)
{
    if (!text_reserve(text, 2 * value.size)) {
        return false;
    }
    const unsigned char *at = value.at, *end = at + value.size;
    char *out = text->at;
    while (at < end) {
        const unsigned char *quote = memchr(at, '"', (size_t)(end - at));
        size_t size = (size_t)((quote ? quote + 1 : end) - at);
        memcpy(out, at, size);
        out += size;
        at += size;
        if (quote) {
            *out++ = '"';
        }
    }
    text->at = out;
    return true;
}

/* `prefix` stands before the text as a part of it, and is no space. */
static bool put_cell(Text *text, const char *prefix, Span value)
{
    Cell kind = kind_of(value);
    if (kind == CELL_BARE && value.size &&
        ((!*prefix && is_space_at(value, false)) || is_space_at(value, true))) {
        kind = CELL_QUOTED;
    }
    if (kind == CELL_BARE) {
        return text_put(text, prefix, strlen(prefix)) && text_put(text, value.at, value.size);
    }
    return TEXT_PUT(text, "\"") && text_put(text, prefix, strlen(prefix)) &&
           (kind == CELL_WITH_QUOTES ? put_doubling_quotes(text, value)
                                     : text_put(text, value.at, value.size)) &&
           TEXT_PUT(text, "\"");
}

static bool put_text(Text *text, Span value, bool safe)
{
    if (value.size == 0) {
        return true;
    }
    uint32_t first;
    if (!utf8_valid(value) || utf8_read(value.at, value.at + value.size, &first) == 0) {
        return false;
    }
    return put_cell(text, safe && begins_formula(first) ? "'" : "", value);
}

static bool put_metadata(Text *text, Span metadata, Text *scratch)
{
    text_rewind(scratch, 0);
    if (!yaml_put(scratch, metadata)) {
        return false;
    }
    size_t size = text_size(scratch);
    return put_cell(text, "", (Span){(const unsigned char *)scratch->at - size, size});
}

bool csv_put(Text *text, const Contact *contact, bool safe, Text *scratch)
{
    if (!text_put(text, contact->id.at, contact->id.size) || !TEXT_PUT(text, ",") ||
        !put_text(text, contact->fingerprint, safe) ||
        !(contact->trusted ? TEXT_PUT(text, ",true,") : TEXT_PUT(text, ",false,"))) {
        return false;
    }
    for (int field = 0; field < TEXTS; field++) {
        if (!put_text(text, contact->texts[field], safe) || !TEXT_PUT(text, ",")) {
            return false;
        }
    }
    return put_metadata(text, contact->metadata, scratch) && TEXT_PUT(text, ",") &&
           (!contact->verified || moment_put(text, contact->verified_at)) && TEXT_PUT(text, ",") &&
           moment_put(text, contact->created_at) && TEXT_PUT(text, ",") &&
           moment_put(text, contact->updated_at) && TEXT_PUT(text, ",") &&
           number_put_integer(text, contact->rev) && TEXT_PUT(text, "\r\n");
}
