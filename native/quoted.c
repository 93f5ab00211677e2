#include "quoted.h"

#include "utf8.h"

/* The longest that one byte becomes is \u0000. A character beyond ASCII becomes ten bytes of four at most. */
enum { MOST_PER_BYTE = 6 };

static char *put_hex(char *at, const char *opening, uint32_t code, int digits, const char *alphabet)
{
    memcpy(at, opening, 2);
    for (int place = digits; place > 0; place--) {
        at[1 + place] = alphabet[code & 15];
        code >>= 4;
    }
    return at + 2 + digits;
}

static char *put_escape(char *at, unsigned char sign)
{
    static const char SHORT[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *pair = SHORT; *pair; pair += 2) {
        if ((unsigned char)pair[0] == sign) {
            at[0] = '\\';
            at[1] = pair[1];
            return at + 2;
        }
    }
    return put_hex(at, "\\u", sign, 4, "0123456789abcdef");
}

/* Line ends to some reader of lines. */
static bool breaks_lines(uint32_t code)
{
    return code == 0x85 || code == 0x2028 || code == 0x2029;
}

/* What some reader of YAML refuses, drops or takes for a line end, as in service/domain/yaml_text.py. */
static bool breaks_yaml(uint32_t code)
{
    return (code >= 0x7F && code <= 0x9F) || code == 0x2028 || code == 0x2029 || code == 0xFEFF ||
           (code >= 0xFDD0 && code <= 0xFDEF) || (code & 0xFFFE) == 0xFFFE;
}

static bool is_plain(uint64_t word)
{
    uint64_t control = (word - EVERY_BYTE(0x20)) & ~word & HIGH_BITS;
    return ((word & HIGH_BITS) | control | may_have(word, '"') | may_have(word, '\\')) == 0;
}

/* One character that is not ASCII, or DEL; NULL for what is not UTF-8. */
static char *put_character(char *out, const unsigned char **at, const unsigned char *end, bool yaml)
{
    uint32_t code;
    size_t size = utf8_read(*at, end, &code);
    if (size == 0) {
        return NULL;
    }
    if (yaml && breaks_yaml(code)) {
        bool is_long = code > 0xFFFF;
        out = put_hex(out, is_long ? "\\U" : "\\u", code, is_long ? 8 : 4, "0123456789ABCDEF");
    } else if (!yaml && breaks_lines(code)) {
        out = put_hex(out, "\\u", code, 4, "0123456789abcdef");
    } else {
        memcpy(out, *at, size);
        out += size;
    }
    *at += size;
    return out;
}

/* Copies what needs no escape, eight bytes at a time. */
static inline char *put_plain(char *out, const unsigned char **at, const unsigned char *end, bool yaml)
{
    uint64_t word;
    while (end - *at >= 8 && is_plain(word = eight_bytes(*at)) && !(yaml && may_have(word, 0x7F))) {
        memcpy(out, &word, 8);
        *at += 8;
        out += 8;
    }
    return out;
}

static inline bool put_quoted(Text *text, Span value, bool yaml)
{
    const unsigned char *at = value.at, *end = at + value.size;
    if (!text_reserve(text, value.size * MOST_PER_BYTE + 2)) {
        return false;
    }
    char *out = text->at;
    *out++ = '"';
    while ((out = put_plain(out, &at, end, yaml)), at < end) {
        unsigned char sign = *at;
        if (sign >= 0x7F) {
            out = put_character(out, &at, end, yaml);
            if (out == NULL) {
                return false;
            }
            continue;
        }
        at++;
        if (sign < 0x20 || sign == '"' || sign == '\\') {
            out = put_escape(out, sign);
        } else {
            *out++ = (char)sign;
        }
    }
    *out++ = '"';
    text->at = out;
    return true;
}

bool quoted_put_json(Text *text, Span value)
{
    return put_quoted(text, value, false);
}

bool quoted_put_yaml(Text *text, Span value)
{
    return put_quoted(text, value, true);
}
