// Members of types, [int]::MaxValue and [math]::Round(2.5): the few that scripts of administrators use. A row each; a
// property is a method without arguments.
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/session_room.h"

struct static_call {
    struct session *session;
    const struct node *node;
    struct value **arguments;
    size_t count;
    const char *type;
};

static double number(const struct static_call *call, size_t index)
{
    const struct value *value = index < call->count ? call->arguments[index] : NULL;
    return !value ? NAN
           : value->kind == VALUE_INT    ? (double)value->integer
           : value->kind == VALUE_REAL   ? value->real
           : value->kind == VALUE_STRING ? strtod(value->string, NULL)
                                         : NAN;
}

static char *text(const struct static_call *call, size_t index)
{
    return index < call->count && call->arguments[index]->kind != VALUE_NULL ? value_to_text(call->arguments[index])
                                                                             : value_text_copy("");
}

static bool whole(const struct static_call *call)
{
    for (size_t i = 0; i < call->count; i++)
        if (call->arguments[i]->kind != VALUE_INT)
            return false;
    return true;
}

// Integers stay integers, as .NET's overloads have it.
static struct value *real_value(const struct static_call *call, double result)
{
    return whole(call) && fabs(result) < 9e15 ? value_int((s64)result) : value_real(result);
}

// --- [int], [long], [double] -----------------------------------------------------------------------------------------
static struct value *int_most(const struct static_call *call) { (void)call; return value_int(INT32_MAX); }
static struct value *int_least(const struct static_call *call) { (void)call; return value_int(INT32_MIN); }
static struct value *long_most(const struct static_call *call) { (void)call; return value_int(INT64_MAX); }
static struct value *long_least(const struct static_call *call) { (void)call; return value_int(INT64_MIN); }

static struct value *type_parse(const struct static_call *call)
{
    return operate_cast(call->session, call->node, call->type, call->arguments[0]);
}

// --- [math] ----------------------------------------------------------------------------------------------------------
static struct value *math_pi(const struct static_call *call) { (void)call; return value_real(M_PI); }
static struct value *math_e(const struct static_call *call) { (void)call; return value_real(M_E); }
static struct value *math_abs(const struct static_call *call) { return real_value(call, fabs(number(call, 0))); }
static struct value *math_sqrt(const struct static_call *call) { return value_real(sqrt(number(call, 0))); }
static struct value *math_floor(const struct static_call *call) { return real_value(call, floor(number(call, 0))); }
static struct value *math_ceiling(const struct static_call *call) { return real_value(call, ceil(number(call, 0))); }
static struct value *math_truncate(const struct static_call *call) { return real_value(call, trunc(number(call, 0))); }
static struct value *math_pow(const struct static_call *call)
{
    return value_real(pow(number(call, 0), number(call, 1)));
}
static struct value *math_log(const struct static_call *call) { return value_real(log(number(call, 0))); }

static struct value *math_max(const struct static_call *call)
{
    return value_ref(call->arguments[number(call, 0) >= number(call, 1) ? 0 : 1]);
}

static struct value *math_min(const struct static_call *call)
{
    return value_ref(call->arguments[number(call, 0) <= number(call, 1) ? 0 : 1]);
}

// Halves go to the even neighbour, as .NET rounds.
static struct value *math_round(const struct static_call *call)
{
    const double digits = call->count > 1 ? number(call, 1) : 0;
    if (!(digits >= 0 && digits <= 15))
        return session_fail(call->session, call->node, "ArgumentOutOfRange", "Rounding takes 0 to 15 digits.");
    const double scale = pow(10, digits), scaled = number(call, 0) * scale;
    return real_value(call, isfinite(scaled) ? rint(scaled) / scale : number(call, 0));
}

// --- [string] --------------------------------------------------------------------------------------------------------
static struct value *string_empty(const struct static_call *call) { (void)call; return value_string(""); }

static struct value *string_is_empty(const struct static_call *call)
{
    char *given = text(call, 0);
    struct value *result = value_bool(!*given);
    free(given);
    return result;
}

static struct value *string_is_blank(const struct static_call *call)
{
    char *given = text(call, 0);
    struct value *result = value_bool(!given[strspn(given, " \t\r\n\f\v")]);
    free(given);
    return result;
}

static struct value *string_join(const struct static_call *call)
{
    return operate_binary(call->session, call->node, OPERATOR_JOIN, call->arguments[1], call->arguments[0]);
}

// --- [guid], [datetime], [environment] -------------------------------------------------------------------------------
static struct value *guid_empty(const struct static_call *call)
{
    (void)call;
    return value_string("00000000-0000-0000-0000-000000000000");
}

static struct value *date_now(const struct static_call *call)
{
    const struct session_config *config = &call->session->config;
    return value_datetime(config->now ? config->now(config->context) : 0);
}

static struct value *date_today(const struct static_call *call)
{
    const struct session_config *config = &call->session->config;
    const s64 now = config->now ? config->now(config->context) : 0, day = 24ll * 60 * 60 * VALUE_TICKS_SECOND;
    return value_datetime(now - (now % day + day) % day);
}

static struct value *environment_line(const struct static_call *call) { (void)call; return value_string("\n"); }

static struct value *environment_get(const struct static_call *call)
{
    const struct session_config *config = &call->session->config;
    char *name = text(call, 0);
    const char *value = config->environment ? config->environment(config->context, name) : NULL;
    free(name);
    return value ? value_string(value) : value_null();
}

// --- [path] ----------------------------------------------------------------------------------------------------------
static struct value *path_combine(const struct static_call *call)
{
    char *left = text(call, 0), *right = text(call, 1);
    const size_t length = strlen(left);
    struct value *result = *right == '/' || !length ? value_string(right)
                         : value_format("%s%s%s", left, left[length - 1] == '/' ? "" : "/", right);
    free(left);
    free(right);
    return result;
}

static struct value *path_name(const struct static_call *call)
{
    char *path = text(call, 0), *slash = strrchr(path, '/');
    struct value *result = value_string(slash ? slash + 1 : path);
    free(path);
    return result;
}

static const struct {
    const char *type, *name;
    int least, most; // arguments; -1: a property
    struct value *(*call)(const struct static_call *call);
} members[] = {
    {"int", "MaxValue", -1, -1, int_most},
    {"int", "MinValue", -1, -1, int_least},
    {"int32", "MaxValue", -1, -1, int_most},
    {"int32", "MinValue", -1, -1, int_least},
    {"long", "MaxValue", -1, -1, long_most},
    {"long", "MinValue", -1, -1, long_least},
    {"int64", "MaxValue", -1, -1, long_most},
    {"int64", "MinValue", -1, -1, long_least},
    {"int", "Parse", 1, 1, type_parse},
    {"long", "Parse", 1, 1, type_parse},
    {"double", "Parse", 1, 1, type_parse},
    {"math", "PI", -1, -1, math_pi},
    {"math", "E", -1, -1, math_e},
    {"math", "Abs", 1, 1, math_abs},
    {"math", "Sqrt", 1, 1, math_sqrt},
    {"math", "Floor", 1, 1, math_floor},
    {"math", "Ceiling", 1, 1, math_ceiling},
    {"math", "Truncate", 1, 1, math_truncate},
    {"math", "Pow", 2, 2, math_pow},
    {"math", "Log", 1, 1, math_log},
    {"math", "Max", 2, 2, math_max},
    {"math", "Min", 2, 2, math_min},
    {"math", "Round", 1, 2, math_round},
    {"string", "Empty", -1, -1, string_empty},
    {"string", "IsNullOrEmpty", 1, 1, string_is_empty},
    {"string", "IsNullOrWhiteSpace", 1, 1, string_is_blank},
    {"string", "Join", 2, 2, string_join},
    {"guid", "Empty", -1, -1, guid_empty},
    {"datetime", "Now", -1, -1, date_now},
    {"datetime", "UtcNow", -1, -1, date_now},
    {"datetime", "Today", -1, -1, date_today},
    {"datetime", "Parse", 1, 1, type_parse},
    {"timespan", "Parse", 1, 1, type_parse},
    {"environment", "NewLine", -1, -1, environment_line},
    {"environment", "GetEnvironmentVariable", 1, 1, environment_get},
    {"io.path", "Combine", 2, 2, path_combine},
    {"io.path", "GetFileName", 1, 1, path_name},
};

struct value *static_member(struct session *session, const struct node *node, const char *type, const char *name,
                            struct value **arguments, size_t count, bool call)
{
    if (!strncasecmp(type, "system.", 7))
        type += 7;
    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        const bool is_type = !value_name_compare(members[i].type, type);
        known |= is_type;
        if (!is_type || value_name_compare(members[i].name, name) || (members[i].least >= 0) != call)
            continue;
        if (call && ((int)count < members[i].least || (int)count > members[i].most))
            return session_fail(session, node, "MethodCountCouldNotFindBest",
                                "[%s]::%s takes %d argument%s, not %zu.", type, name, members[i].most,
                                members[i].most == 1 ? "" : "s", count);
        const struct static_call now = {session, node, arguments, count, type};
        return members[i].call(&now);
    }
    return session_fail(session, node, known ? "MethodNotFound" : "TypeNotFound",
                        known ? "[%.60s] has no member '%.60s' here." : "Unable to find type [%.60s].", type, name);
}
