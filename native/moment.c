#include "moment.h"

static const int64_t FIRST = INT64_C(-62135596800000), LAST = INT64_C(253402300799999);
static const int64_t SECONDS_A_DAY = 86400, DAYS_OF_400_YEARS = 146097;
/* Days from 1 March of year 0 to 1 January 1970: years that begin in March have their leap day at the end. */
static const int64_t DAYS_TO_1970 = 719468;

bool moment_known(int64_t milliseconds)
{
    return milliseconds >= FIRST && milliseconds <= LAST;
}

int64_t moment_seconds(int64_t milliseconds, int32_t *rest)
{
    int64_t seconds = milliseconds / 1000;
    *rest = (int32_t)(milliseconds % 1000);
    if (*rest < 0) {
        *rest += 1000;
        seconds--;
    }
    return seconds;
}

int64_t moment_days(int year, int month, int day)
{
    int64_t from_march = month > 2 ? month - 3 : month + 9;
    int64_t years = year - (month <= 2);
    int64_t leap_days = years / 4 - years / 100 + years / 400;
    return years * 365 + leap_days + (153 * from_march + 2) / 5 + day - 1 - DAYS_TO_1970;
}

static inline void two_digits(char *at, unsigned number)
{
    at[0] = (char)('0' + number / 10);
    at[1] = (char)('0' + number % 10);
}

void moment_date(int64_t days, int *year, int *month, int *day)
{
    /* Not negative: the first day of the year 1 is 306 days behind the first of this count. */
    int64_t since = days + DAYS_TO_1970;
    unsigned era = (unsigned)(since / DAYS_OF_400_YEARS);
    unsigned rest = (unsigned)(since % DAYS_OF_400_YEARS);
    unsigned years = (rest - rest / 1460 + rest / 36524 - rest / 146096) / 365;
    rest -= 365 * years + years / 4 - years / 100;
    unsigned from_march = (5 * rest + 2) / 153;
    *year = (int)(years + era * 400 + (from_march >= 10));
    *month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    *day = (int)(rest - (153 * from_march + 2) / 5 + 1);
}

int64_t moment_day(int64_t seconds, int32_t *second)
{
    int64_t days = seconds / SECONDS_A_DAY - (seconds % SECONDS_A_DAY < 0);
    *second = (int32_t)(seconds - days * SECONDS_A_DAY);
    return days;
}

static void put_date(char *at, int64_t days)
{
    int year, month, day;
    moment_date(days, &year, &month, &day);
    two_digits(at, (unsigned)year / 100);
    two_digits(at + 2, (unsigned)year % 100);
    two_digits(at + 5, (unsigned)month);
    two_digits(at + 8, (unsigned)day);
}

bool moment_put(Text *text, int64_t milliseconds)
{
    if (!TEXT_PUT(text, "0000-00-00T00:00:00.000Z")) {
        return false;
    }
    char *at = text->at - 24;
    int32_t rest, second;
    int64_t seconds = moment_seconds(milliseconds, &rest);
    put_date(at, moment_day(seconds, &second));
    two_digits(at + 11, (unsigned)second / 3600);
    two_digits(at + 14, (unsigned)second / 60 % 60);
    two_digits(at + 17, (unsigned)second % 60);
    at[20] = (char)('0' + rest / 100);
    two_digits(at + 21, (unsigned)rest % 100);
    return true;
}
