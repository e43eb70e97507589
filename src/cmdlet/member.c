// See session_room.h. Properties that values have by nature, the few methods that scripts call, and indexing.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "cmdlet/operate_text.h"
#include "cmdlet/session_room.h"
#include "cmdlet/value_room.h"

enum { MEMBER_DEPTH = 4 };

static size_t text_characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += ((u8)*text & 0xc0) != 0x80;
    return count;
}

static struct value *timespan_member(s64 ticks, const char *name)
{
    static const struct { const char *name; s64 unit, modulus; } parts[] = {
        {"Days", 864000000000, 0}, {"Hours", 36000000000, 24}, {"Minutes", 600000000, 60}, {"Seconds", 10000000, 60},
        {"Milliseconds", 10000, 1000},
    };
    if (!value_name_compare(name, "Ticks"))
        return value_int(ticks);
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        s64 whole = ticks / parts[i].unit;
        if (!value_name_compare(name, parts[i].name))
            return value_int(parts[i].modulus ? whole % parts[i].modulus : whole);
        if (!strncasecmp(name, "Total", 5) && !value_name_compare(name + 5, parts[i].name))
            return value_real((double)ticks / (double)parts[i].unit);
    }
    return NULL;
}

// Days since 1970 to a date of the Gregorian calendar (era, year of era, day of year counted from March).
static void date_parts(s64 days, s64 *year, s64 *month, s64 *day)
{
    days += 719468;
    s64 era = (days >= 0 ? days : days - 146096) / 146097, of_era = days - era * 146097;
    s64 year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    s64 of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100), shifted = (5 * of_year + 2) / 153;
    *day = of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

static struct value *datetime_member(s64 ticks, const char *name)
{
    const s64 day_ticks = 864000000000;
    s64 days = ticks / day_ticks - (ticks % day_ticks < 0), rest = ticks - days * day_ticks, year, month, day;
    date_parts(days, &year, &month, &day);
    if (!value_name_compare(name, "Year"))
        return value_int(year);
    if (!value_name_compare(name, "Month"))
        return value_int(month);
    if (!value_name_compare(name, "Day"))
        return value_int(day);
    if (!value_name_compare(name, "Date"))
        return value_datetime(ticks - rest);
    if (!value_name_compare(name, "TimeOfDay"))
        return value_timespan(rest);
    if (!value_name_compare(name, "DayOfWeek")) { // 1970 began on a Thursday
        static const char *const names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                            "Thursday", "Friday", "Saturday"};
        return value_string(names[((days + 4) % 7 + 7) % 7]);
    }
    return timespan_member(rest, name);
}

static struct value *map_member(struct value *map, const char *name)
{
    struct value *list;
    bool keys = !value_name_compare(name, "Keys"), values = !value_name_compare(name, "Values");
    if (map->kind != VALUE_MAP)
        return NULL;
    if (!value_name_compare(name, "Count"))
        return value_int((s64)map->map.count);
    if (!keys && !values)
        return NULL;
    list = value_array();
    for (size_t i = 0; i < map->map.count; i++)
        value_add(list, keys ? value_string(map->map.pairs[i].key) : value_ref(map->map.pairs[i].value));
    return list;
}

static struct value *member_of(struct session *session, struct value *target, const char *name, unsigned depth);

static void link_output(void *context, struct value *object) { value_add(context, value_ref(object)); }
static void link_text(void *context, const char *text) { (void)context, (void)text; }
static void link_progress(void *context, const char *activity, const char *status, int percent)
{
    (void)context, (void)activity, (void)status, (void)percent;
}
static void link_error(void *context, const struct cmdlet_error *error) { (void)context, (void)error; }

// $vm.NetworkAdapters: asks. An object that is gone since has none of them, which is no error when a property is read.
static struct value *link_member(struct session *session, struct value *target, const char *name)
{
    const struct class *class = target->kind == VALUE_OBJECT ? class_find(target->map.type) : NULL;
    const struct link *link = class ? class_link(class, name) : NULL;
    const struct cmdlet *cmdlet = link ? cmdlet_find(link->cmdlet) : NULL;
    if (!cmdlet || !session || !session->config.invoke || session->flow != FLOW_ON)
        return NULL;
    struct value *parameters = value_map(), *objects = value_array(), *list = value_array();
    struct request request = {.cmdlet = cmdlet, .parameters = parameters, .directory = session->config.directory};
    struct reply reply = {
        .context = list, .output = link_output, .host = link_text, .warning = link_text, .verbose = link_text,
        .progress = link_progress, .what_if = link_text, .error = link_error,
    };
    value_add(objects, value_ref(target));
    value_put(parameters, link->parameter, objects);
    if (link->number)
        value_put(parameters, "Number", value_int(link->number));
    session->config.invoke(session->config.context, &request, &reply);
    session_step(session); // Ctrl-C while it ran
    value_unref(parameters);
    return link->number ? eval_unwrap(list) : list;
}

// $vms.Name: the property of each.
static struct value *array_member(struct session *session, struct value *array, const char *name, unsigned depth)
{
    if (!value_name_compare(name, "Count") || !value_name_compare(name, "Length"))
        return value_int((s64)array->array.count);
    struct value *list = value_array();
    for (size_t i = 0; i < array->array.count; i++) {
        struct value *item = member_of(session, array->array.items[i], name, depth + 1);
        for (size_t j = 0; item && item->kind == VALUE_ARRAY && j < item->array.count; j++)
            value_add(list, value_ref(item->array.items[j]));
        if (item && item->kind != VALUE_ARRAY)
            value_add(list, value_ref(item));
        value_unref(item);
    }
    return eval_unwrap(list);
}

// NULL: there is none.
static struct value *member_of(struct session *session, struct value *target, const char *name, unsigned depth)
{
    struct value *value = value_get(target, name);
    if (value)
        return value_ref(value);
    if (depth > MEMBER_DEPTH)
        return NULL;
    static const char *const singular[] = {"Hour", "Minute", "Second", "Millisecond"};
    char plural[16];
    switch (target->kind) {
    case VALUE_STRING:
        if (!value_name_compare(name, "Length"))
            return value_int((s64)text_characters(target->string));
        break;
    case VALUE_TIMESPAN:
        value = timespan_member(target->integer, name);
        break;
    case VALUE_DATETIME:
        for (unsigned i = 0; i < ARRAY_SIZE(singular); i++)
            if (!value_name_compare(name, singular[i])) {
                snprintf(plural, sizeof plural, "%ss", singular[i]);
                name = plural;
                break;
            }
        value = datetime_member(target->integer, name);
        break;
    case VALUE_ARRAY:
        return array_member(session, target, name, depth);
    case VALUE_OBJECT:
        value = link_member(session, target, name);
        break;
    default:
        value = map_member(target, name);
        break;
    }
    if (!value && !value_name_compare(name, "Count")) // everything can be counted
        value = value_int(target->kind != VALUE_NULL);
    return value;
}

struct value *member_find(struct session *session, struct value *target, const char *name)
{
    return member_of(session, target, name, 0);
}

struct value *member_get(struct session *session, struct value *target, const char *name)
{
    struct value *value = member_of(session, target, name, 0);
    return value ? value : value_null();
}

// Methods.

struct call {
    struct session *session;
    const struct node *node;
    struct value *target;
    const char *text; // the target's
    struct value **arguments;
    size_t count;
};

static const char *call_text(const struct call *call, size_t index)
{
    return index < call->count ? value_as_string(call->arguments[index], "") : "";
}

static struct value *call_to_string(const struct call *call)
{
    if (call->count)
        return value_string_put(text_format_one(call->target, call_text(call, 0)));
    return value_string(call->text);
}

static struct value *change_case(const char *text, bool upper)
{
    char *copy = value_text_copy(text);
    for (char *at = copy; *at; at++)
        if ((*at >= 'a' && *at <= 'z' && upper) || (*at >= 'A' && *at <= 'Z' && !upper))
            *at ^= 32;
    return value_string_put(copy);
}

static struct value *call_upper(const struct call *call) { return change_case(call->text, true); }
static struct value *call_lower(const struct call *call) { return change_case(call->text, false); }

static struct value *trim(const struct call *call, bool start, bool end)
{
    const char *set = *call_text(call, 0) ? call_text(call, 0) : " \t\r\n\v\f", *from = call->text;
    if (start)
        from += strspn(from, set);
    size_t length = strlen(from);
    while (end && length && strchr(set, from[length - 1]))
        length--;
    return value_format("%.*s", (int)length, from);
}

static struct value *call_trim(const struct call *call) { return trim(call, true, true); }
static struct value *call_trim_start(const struct call *call) { return trim(call, true, false); }
static struct value *call_trim_end(const struct call *call) { return trim(call, false, true); }

// At each of the characters given, or at white space.
static struct value *call_split(const struct call *call)
{
    const char *set = *call_text(call, 0) ? call_text(call, 0) : " \t\r\n";
    struct value *parts = value_array();
    for (const char *at = call->text;; at++) {
        size_t length = strcspn(at, set);
        value_add(parts, value_format("%.*s", (int)length, at));
        at += length;
        if (!*at)
            return parts;
    }
}

static struct value *call_replace(const struct call *call)
{
    const char *old = call_text(call, 0), *new = call_text(call, 1);
    char *out = NULL;
    size_t bytes = 0, written = 0;
    if (!*old)
        return value_string(call->text);
    FILE *file = open_memstream(&out, &bytes);
    for (const char *at = call->text, *next; file; at = next + strlen(old)) {
        next = strstr(at, old);
        fprintf(file, "%.*s", next ? (int)(next - at) : (int)strlen(at), at);
        written += strlen(new);
        if (!next || written > SESSION_VALUE_BYTES)
            break;
        fputs(new, file);
    }
    if (file)
        fclose(file);
    return value_string_put(out ? out : value_text_copy(""));
}

static struct value *call_starts(const struct call *call)
{
    return value_bool(!strncmp(call->text, call_text(call, 0), strlen(call_text(call, 0))));
}

static struct value *call_ends(const struct call *call)
{
    size_t length = strlen(call->text), tail = strlen(call_text(call, 0));
    return value_bool(tail <= length && !strcmp(call->text + length - tail, call_text(call, 0)));
}

static struct value *call_contains(const struct call *call)
{
    if (call->target->kind != VALUE_ARRAY)
        return value_bool(strstr(call->text, call_text(call, 0)) != NULL);
    for (size_t i = 0; i < call->target->array.count; i++)
        if (call->count && value_equal(call->target->array.items[i], call->arguments[0]))
            return value_bool(true);
    return value_bool(false);
}

static struct value *call_index_of(const struct call *call)
{
    const char *found = strstr(call->text, call_text(call, 0));
    if (!found)
        return value_int(-1);
    char *before = value_text("%.*s", (int)(found - call->text), call->text);
    s64 index = (s64)text_characters(before);
    free(before);
    return value_int(index);
}

static const char *skip_characters(const char *text, s64 count)
{
    while (count > 0 && *text) {
        text++;
        while (((u8)*text & 0xc0) == 0x80)
            text++;
        count--;
    }
    return count > 0 ? NULL : text;
}

static struct value *call_substring(const struct call *call)
{
    s64 start = call->count ? value_as_int(call->arguments[0], -1) : -1;
    s64 length = call->count > 1 ? value_as_int(call->arguments[1], -1) : INT64_MAX;
    const char *from = start >= 0 ? skip_characters(call->text, start) : NULL;
    const char *to = from && length >= 0 && call->count > 1 ? skip_characters(from, length) : from;
    if (to && call->count == 1)
        to += strlen(to);
    if (!to || length < 0)
        return session_fail(call->session, call->node, "ArgumentOutOfRangeException",
                            "Index and length must refer to a location within the string.");
    return value_format("%.*s", (int)(to - from), from);
}

static struct value *pad(const struct call *call, bool left)
{
    s64 width = call->count ? value_as_int(call->arguments[0], 0) : 0, length = (s64)text_characters(call->text);
    if (width <= length || width > 1 << 16)
        return value_string(call->text);
    const char fill = *call_text(call, 1) && (u8)*call_text(call, 1) < 0x80 ? *call_text(call, 1) : ' ';
    char *filler = value_allocate((size_t)(width - length) + 1);
    memset(filler, fill, (size_t)(width - length));
    struct value *result = value_format("%s%s", left ? filler : call->text, left ? call->text : filler);
    free(filler);
    return result;
}

static struct value *call_pad_left(const struct call *call) { return pad(call, true); }
static struct value *call_pad_right(const struct call *call) { return pad(call, false); }

// .NET's DateTime goes from the year 1 to 9999.
static struct value *later(const struct call *call, s64 unit)
{
    const s64 least = -62135596800ll * VALUE_TICKS_SECOND, most = 253402300800ll * VALUE_TICKS_SECOND;
    const struct value *count = call->count ? call->arguments[0] : NULL;
    const double ticks = !count                     ? NAN
                         : count->kind == VALUE_INT  ? (double)count->integer * (double)unit
                         : count->kind == VALUE_REAL ? count->real * (double)unit
                                                     : NAN;
    s64 result;
    if (!(fabs(ticks) < (double)(most - least)) ||
        __builtin_add_overflow(call->target->integer, (s64)ticks, &result) || result < least || result >= most)
        return session_fail(call->session, call->node, "ArgumentOutOfRangeException",
                            "It takes a number that leads to a date of the years 1 to 9999.");
    return value_datetime(result);
}

static struct value *call_add_seconds(const struct call *call) { return later(call, VALUE_TICKS_SECOND); }
static struct value *call_add_minutes(const struct call *call) { return later(call, 60ll * VALUE_TICKS_SECOND); }
static struct value *call_add_hours(const struct call *call) { return later(call, 3600ll * VALUE_TICKS_SECOND); }
static struct value *call_add_days(const struct call *call) { return later(call, 86400ll * VALUE_TICKS_SECOND); }

static struct value *call_contains_key(const struct call *call)
{
    return value_bool(value_get(call->target, call_text(call, 0)) != NULL);
}

static struct value *call_get_enumerator(const struct call *call)
{
    struct value *list = value_array();
    for (size_t i = 0; i < call->target->map.count; i++) {
        const struct value_pair *pair = &call->target->map.pairs[i];
        struct value *entry = value_object("PSCustomObject");
        value_put(entry, "Name", value_string(pair->key));
        value_put(entry, "Key", value_string(pair->key));
        value_put(entry, "Value", value_ref(pair->value));
        value_add(list, entry);
    }
    return list;
}

static struct value *call_get_type(const struct call *call)
{
    static const char *const names[] = {
        [VALUE_NULL] = "Object", [VALUE_BOOL] = "Boolean", [VALUE_INT] = "Int64", [VALUE_REAL] = "Double",
        [VALUE_STRING] = "String", [VALUE_TIMESPAN] = "TimeSpan", [VALUE_DATETIME] = "DateTime",
        [VALUE_ARRAY] = "Object[]",
        [VALUE_MAP] = "Hashtable", [VALUE_OBJECT] = "Object", [VALUE_BLOCK] = "ScriptBlock",
    };
    const struct class *class = call->target->kind == VALUE_OBJECT ? class_find(call->target->map.type) : NULL;
    struct value *type = value_map();
    const char *name = call->target->kind == VALUE_OBJECT ? call->target->map.type : names[call->target->kind];
    value_put(type, "Name", value_string(name));
    value_put(type, "FullName", class ? value_string(class->full_name) : value_format("System.%s", name));
    return type;
}

enum { ON_TEXT = 1, ON_ARRAY = 2, ON_MAP = 4, ON_ALL = 8, ON_DATE = 16 };

static const struct {
    const char *name;
    unsigned on;
    struct value *(*call)(const struct call *call);
} methods[] = {
    {"ToString", ON_ALL, call_to_string},  {"GetType", ON_ALL, call_get_type},     {"ToUpper", ON_TEXT, call_upper},
    {"ToUpperInvariant", ON_TEXT, call_upper}, {"ToLower", ON_TEXT, call_lower},
    {"ToLowerInvariant", ON_TEXT, call_lower},
    {"Trim", ON_TEXT, call_trim},          {"TrimStart", ON_TEXT, call_trim_start}, {"TrimEnd", ON_TEXT, call_trim_end},
    {"Split", ON_TEXT, call_split},        {"Replace", ON_TEXT, call_replace},     {"StartsWith", ON_TEXT, call_starts},
    {"EndsWith", ON_TEXT, call_ends},      {"Contains", ON_TEXT | ON_ARRAY, call_contains},
    {"IndexOf", ON_TEXT, call_index_of},   {"Substring", ON_TEXT, call_substring}, {"PadLeft", ON_TEXT, call_pad_left},
    {"PadRight", ON_TEXT, call_pad_right}, {"ContainsKey", ON_MAP, call_contains_key},
    {"Contains", ON_MAP, call_contains_key}, {"GetEnumerator", ON_MAP, call_get_enumerator},
    {"AddSeconds", ON_DATE, call_add_seconds}, {"AddMinutes", ON_DATE, call_add_minutes},
    {"AddHours", ON_DATE, call_add_hours}, {"AddDays", ON_DATE, call_add_days},
};

static unsigned kind_of(const struct value *target)
{
    if (target->kind == VALUE_STRING)
        return ON_TEXT;
    if (target->kind == VALUE_DATETIME)
        return ON_DATE;
    return target->kind == VALUE_ARRAY ? ON_ARRAY : target->kind == VALUE_MAP ? ON_MAP : 0;
}

struct value *member_call(struct session *session, const struct node *node, struct value *target, const char *name,
                          struct value **arguments, size_t count)
{
    if (target->kind == VALUE_NULL)
        return session_fail(session, node, "InvokeMethodOnNull",
                            "You cannot call a method on a null-valued expression.");
    for (unsigned i = 0; i < ARRAY_SIZE(methods); i++) {
        if (value_name_compare(methods[i].name, name) || !(methods[i].on & (ON_ALL | kind_of(target))))
            continue;
        char *text = value_to_text(target);
        struct call call = {session, node, target, text, arguments, count};
        struct value *result = methods[i].call(&call);
        free(text);
        return eval_bounded(session, node, result);
    }
    return session_fail(session, node, "MethodNotFound",
                        "Method invocation failed because there is no method named '%.80s'.", name);
}

static struct value *text_character(const char *text, s64 index)
{
    s64 count = (s64)text_characters(text);
    if (index < 0)
        index += count;
    if (index < 0 || index >= count)
        return value_null();
    const char *from = skip_characters(text, index), *to = skip_characters(from, 1);
    return value_format("%.*s", (int)(to - from), from);
}

// By one index. Past the end there is nothing, as in PowerShell.
static struct value *index_one(struct value *target, struct value *index)
{
    if (value_is_map(target)) {
        char *key = value_to_text(index);
        struct value *value = value_get(target, key);
        free(key);
        return value ? value_ref(value) : value_null();
    }
    s64 at = value_as_int(index, INT64_MAX);
    if (index->kind == VALUE_STRING)
        at = strtoll(index->string, NULL, 10);
    if (target->kind == VALUE_STRING)
        return text_character(target->string, at);
    if (target->kind != VALUE_ARRAY)
        return at == 0 || at == -1 ? value_ref(target) : value_null();
    s64 count = (s64)target->array.count;
    if (at < 0)
        at += count;
    return at >= 0 && at < count ? value_ref(target->array.items[at]) : value_null();
}

struct value *member_index(struct session *session, const struct node *node, struct value *target, struct value *index)
{
    if (target->kind == VALUE_NULL)
        return session_fail(session, node, "NullArray", "Cannot index into a null array.");
    if (index->kind != VALUE_ARRAY)
        return index_one(target, index);
    struct value *list = value_array();
    for (size_t i = 0; i < index->array.count; i++)
        value_add(list, index_one(target, index->array.items[i]));
    return eval_bounded(session, node, list);
}
