/* One contact as one record. Each refuses, with or without Python's error set, what it cannot write. */
#ifndef RECORD_H
#define RECORD_H

#include "contact.h"
#include "text.h"

/* A JSON object, without a line end. */
bool json_put(Text *text, const Contact *contact);

/* A row of CSV with its line end. `scratch` is for the metadata of the row. */
bool csv_put(Text *text, const Contact *contact, bool safe, Text *scratch);

/* Metadata as block YAML, not yet a cell. */
bool yaml_put(Text *text, Span metadata);

/* A message Contact as an element of ContactList. */
bool message_put(Text *text, const Contact *contact);

#endif
