/* Normal forms of texts, ASCII only: service/domain/identity.py says the same, and what they are of others. */
#ifndef NORMAL_H
#define NORMAL_H

#include "text.h"

/* Both refuse what is not ASCII. */
bool normal_put_text(Text *text, Span value);
bool normal_put_phone(Text *text, Span value);

#endif
