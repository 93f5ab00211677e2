/* Texts in double quotes with the escapes of JSON, and those of them that YAML needs beyond. */
#ifndef QUOTED_H
#define QUOTED_H

#include "text.h"

/* Both refuse what is not UTF-8. */
bool quoted_put_json(Text *text, Span value);
bool quoted_put_yaml(Text *text, Span value);

#endif
