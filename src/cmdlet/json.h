// Values and JSON. Two forms:
//   - the wire form (API, records): exact and read back. Times are strings and come back as times where the class table
//     or the parameter's type says so; an object carries "@type".
//   - the printed form (--json, ConvertTo-Json): what a program wants to read; the same but without "@type".
// Input is foreign: depth, number of values and length are bounded.
#pragma once

#include "base/error.h"
#include "cmdlet/value.h"

struct json_t;

enum { JSON_DEPTH = 32, JSON_BYTES = 4 << 20, JSON_VALUES = 1 << 18 };

struct json_t *json_from_value(const struct value *value, bool types);
// NULL with the reason in `error`. Objects get the types of their class's properties.
struct value *json_to_value(const struct json_t *json, struct error *error);

// Text; the caller frees. `indent` 0: one line.
char *json_write(const struct value *value, bool types, unsigned indent);
struct value *json_read(const char *text, size_t bytes, struct error *error);

// The text forms of times, both ways: "[-][d.]hh:mm:ss[.fffffff]", ISO 8601 in UTC.
char *json_timespan_text(s64 ticks);
bool json_timespan_parse(const char *text, s64 *ticks);
char *json_datetime_text(s64 ticks);
bool json_datetime_parse(const char *text, s64 *ticks);
