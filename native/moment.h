/* Times: milliseconds since 1970 in UTC, as BSON has them, in the years 1 to 9999. */
#ifndef MOMENT_H
#define MOMENT_H

#include "text.h"

bool moment_known(int64_t milliseconds);

/* RFC 3339 with three digits of milliseconds. */
bool moment_put(Text *text, int64_t milliseconds);

/* Seconds, rounded down, and the milliseconds beyond. */
int64_t moment_seconds(int64_t milliseconds, int32_t *rest);

/* Days since 1970, rounded down, and the seconds beyond. */
int64_t moment_day(int64_t seconds, int32_t *second);

/* A day of the years 1 to 9999, as it stands in the calendar and as days since 1970. */
void moment_date(int64_t days, int *year, int *month, int *day);
int64_t moment_days(int year, int month, int day);

#endif
