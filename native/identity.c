#include "identity.h"

#include "utf8.h"

enum { ACCOUNT = 1, FINGERPRINT = 2, TRUSTED = 4, ALL = 7 };

static unsigned read_part(Identity *identity, const Element *element)
{
    if (SPAN_IS(element->key, "account") && element->type == BSON_STRING) {
        identity->account = element->value;
        return ACCOUNT;
    }
    if (SPAN_IS(element->key, "fingerprint") && element->type == BSON_STRING) {
        identity->fingerprint = element->value;
        return FINGERPRINT;
    }
    if (SPAN_IS(element->key, "trusted") && element->type == BSON_BOOL) {
        identity->trusted = *element->value.at;
        return TRUSTED;
    }
    return 0;
}

bool identity_read(Span document, Identity *identity)
{
    Reader reader;
    Element element;
    unsigned seen = 0;
    if (!bson_open(document, &reader)) {
        return false;
    }
    while (seen != ALL && bson_next(&reader, &element) == BSON_ELEMENT) {
        seen |= read_part(identity, &element);
    }
    return seen == ALL && utf8_valid(identity->account) && utf8_valid(identity->fingerprint);
}
