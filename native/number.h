/* Numbers as text: what Python's repr, orjson and the YAML of an export write for them. */
#ifndef NUMBER_H
#define NUMBER_H

#include "text.h"

bool number_put_integer(Text *text, int64_t number);

/* These refuse what is not finite. */
bool number_put_json(Text *text, double number);
bool number_put_yaml(Text *text, double number);
bool number_put_repr(Text *text, double number);

#endif
