// The text forms of times (json.h): what PowerShell prints of a TimeSpan, and ISO 8601.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cmdlet/json.h"

enum { TICKS_MINUTE_SECONDS = 60, TICKS_HOUR_SECONDS = 3600, TICKS_DAY_SECONDS = 86400, TICKS_DIGITS = 7 };

char *json_timespan_text(s64 ticks)
{
    const u64 positive = ticks < 0 ? -(u64)ticks : (u64)ticks;
    const u64 seconds = positive / VALUE_TICKS_SECOND, rest = positive % VALUE_TICKS_SECOND;
    char days[24] = "", fraction[12] = "";
    if (seconds >= TICKS_DAY_SECONDS)
        snprintf(days, sizeof days, "%" PRIu64 ".", seconds / TICKS_DAY_SECONDS);
    if (rest)
        snprintf(fraction, sizeof fraction, ".%07" PRIu64, rest);
    return value_text("%s%s%02u:%02u:%02u%s", ticks < 0 ? "-" : "", days,
                      (unsigned)(seconds % TICKS_DAY_SECONDS / TICKS_HOUR_SECONDS),
                      (unsigned)(seconds % TICKS_HOUR_SECONDS / TICKS_MINUTE_SECONDS),
                      (unsigned)(seconds % TICKS_MINUTE_SECONDS), fraction);
}

// Up to `most` digits. Returns how many there were.
static unsigned read_digits(const char **text, unsigned most, u64 *number)
{
    unsigned digits = 0;
    *number = 0;
    while (digits < most && **text >= '0' && **text <= '9') {
        *number = *number * 10 + (u64)(**text - '0');
        (*text)++, digits++;
    }
    return digits;
}

// ".5" is five tenths of a second.
static bool read_fraction(const char **text, u64 *ticks)
{
    *ticks = 0;
    if (**text != '.')
        return true;
    (*text)++;
    unsigned digits = read_digits(text, TICKS_DIGITS, ticks);
    if (!digits)
        return false;
    for (; digits < TICKS_DIGITS; digits++)
        *ticks *= 10;
    u64 beyond;
    read_digits(text, 9, &beyond);
    return true;
}

bool json_timespan_parse(const char *text, s64 *ticks)
{
    const bool negative = *text == '-';
    text += negative;
    u64 first, days = 0, hours, minutes, seconds, fraction;
    if (!read_digits(&text, 7, &first))
        return false;
    if (*text == '.') {
        text++;
        days = first;
        if (!read_digits(&text, 2, &hours))
            return false;
    } else {
        hours = first;
    }
    if (*text++ != ':' || !read_digits(&text, 2, &minutes) || *text++ != ':' || !read_digits(&text, 2, &seconds) ||
        !read_fraction(&text, &fraction) || *text || minutes > 59 || seconds > 59)
        return false;
    const u64 total = days * TICKS_DAY_SECONDS + hours * TICKS_HOUR_SECONDS + minutes * TICKS_MINUTE_SECONDS + seconds;
    *ticks = (s64)(total * VALUE_TICKS_SECOND + fraction);
    if (negative)
        *ticks = -*ticks;
    return true;
}

char *json_datetime_text(s64 ticks)
{
    s64 seconds = ticks / VALUE_TICKS_SECOND, rest = ticks % VALUE_TICKS_SECOND;
    if (rest < 0)
        rest += VALUE_TICKS_SECOND, seconds--;
    struct tm parts = {0};
    const time_t clock = (time_t)seconds;
    char text[40] = "";
    if (!gmtime_r(&clock, &parts) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts))
        return value_text_copy("0001-01-01T00:00:00Z"); // .NET's DateTime.MinValue: no date at all
    return rest ? value_text("%s.%07dZ", text, (int)rest) : value_text("%sZ", text);
}

// 15:04, 15:04:05.25, 3:04 PM.
static const char *read_clock(const char *text, struct tm *parts, u64 *fraction)
{
    const char *rest = strptime(text, "%H:%M", parts);
    const char *seconds = rest && *rest == ':' ? strptime(rest, ":%S", parts) : rest;
    if (!seconds || !read_fraction(&seconds, fraction))
        return NULL;
    rest = seconds + (*seconds == ' ');
    const bool before = !strncasecmp(rest, "AM", 2), after = !strncasecmp(rest, "PM", 2);
    if (!before && !after)
        return seconds;
    if (parts->tm_hour < 1 || parts->tm_hour > 12)
        return NULL;
    parts->tm_hour = parts->tm_hour % 12 + (after ? 12 : 0);
    return rest + 2;
}

// As ISO 8601 has it, or the way PowerShell reads it in every country: the month before the day.
bool json_datetime_parse(const char *text, s64 *ticks)
{
    struct tm parts = {0};
    u64 fraction = 0;
    const char *rest = strptime(text, "%Y-%m-%d", &parts);
    if (!rest)
        rest = strptime(text, "%m/%d/%Y", &parts);
    if (rest && (*rest == 'T' || *rest == ' '))
        rest = read_clock(rest + 1, &parts, &fraction);
    if (!rest)
        return false;
    if (*rest == 'Z')
        rest++;
    struct tm written = parts; // timegm makes March of the 31st of February
    const time_t seconds = timegm(&parts);
    if (*rest || parts.tm_year < 1 - 1900 || parts.tm_year > 9999 - 1900 || parts.tm_mon != written.tm_mon ||
        parts.tm_mday != written.tm_mday || parts.tm_sec != written.tm_sec)
        return false;
    *ticks = (s64)seconds * VALUE_TICKS_SECOND + (s64)fraction;
    return true;
}
