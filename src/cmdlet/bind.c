// See bind.h. Arguments to parameters, in PowerShell's order: names first, then positions, then what the pipeline
// brings, by value and by property name. Each parameter bound rules out the parameter sets it is not in.
#include "cmdlet/bind.h"

#include <stdlib.h>
#include <string.h>

#include "cmdlet/nearest.h"

static bool same_prefix(const char *name, const char *prefix) { return !strncasecmp(name, prefix, strlen(prefix)); }

// Of a parameter's name and aliases, whether one is `name` (or starts with it).
static bool parameter_is(const struct parameter *parameter, const char *name, bool prefix)
{
    if (prefix ? same_prefix(parameter->name, name) : !value_name_compare(parameter->name, name))
        return true;
    for (const char *at = parameter->aliases; at && *at; at += strspn(at, " ")) {
        char alias[64];
        size_t bytes = strcspn(at, " ");
        snprintf(alias, sizeof alias, "%.*s", (int)bytes, at);
        if (prefix ? same_prefix(alias, name) : !value_name_compare(alias, name))
            return true;
        at += bytes;
    }
    return false;
}

bool bind_is_common(const struct parameter *parameter)
{
    for (const struct parameter *common = cmdlet_common_parameters; common->name; common++)
        if (common == parameter)
            return true;
    return false;
}

// Calls itself for the two lists of parameters.
static const struct parameter *find_in(const struct cmdlet *cmdlet, const struct parameter *list, const char *name,
                                       bool prefix, unsigned *count, char *matches, size_t bytes)
{
    const struct parameter *found = NULL;
    for (const struct parameter *parameter = list; parameter && parameter->name; parameter++) {
        if ((list == cmdlet_common_parameters && !cmdlet_takes(cmdlet, parameter)) ||
            !parameter_is(parameter, name, prefix))
            continue;
        found = parameter;
        ++*count;
        if (matches)
            snprintf(matches + strlen(matches), bytes - strlen(matches), "%s-%s", *matches ? " " : "", parameter->name);
    }
    return found;
}

const struct parameter *bind_find(const struct cmdlet *cmdlet, const char *name, char *matches, size_t bytes)
{
    for (unsigned prefix = 0; prefix < 2; prefix++) {
        unsigned count = 0;
        if (matches)
            *matches = 0;
        // A cmdlet's own parameters win over common ones that only start alike.
        const struct parameter *own = find_in(cmdlet, cmdlet->parameters, name, prefix, &count, matches, bytes);
        if (count == 1)
            return own;
        const struct parameter *common = find_in(cmdlet, cmdlet_common_parameters, name, prefix, &count, matches,
                                                 bytes);
        if (count == 1)
            return common;
        if (count)
            return NULL;
    }
    return NULL;
}

void bound_release(struct bound *bound)
{
    value_unref(bound->parameters);
    value_unref(bound->common);
    *bound = (struct bound){0};
}

static u8 sets_of(const struct parameter *parameter) { return parameter->sets ? parameter->sets : BIND_SETS_ALL; }

static u8 all_sets(const struct cmdlet *cmdlet)
{
    u8 sets = 0;
    for (unsigned i = 0; i < CMDLET_SETS && cmdlet->sets[i]; i++)
        sets |= (u8)(1 << i);
    return sets ? sets : 1;
}

static const char *parameter_type_name(const struct parameter *parameter)
{
    switch (parameter->type) {
    case PARAMETER_BOOL:
        return "System.Boolean";
    case PARAMETER_INT:
    case PARAMETER_BYTES:
        return "System.Int64";
    case PARAMETER_TIMESPAN:
        return "System.TimeSpan";
    case PARAMETER_MAP:
        return "System.Collections.Hashtable";
    case PARAMETER_BLOCK:
        return "System.Management.Automation.ScriptBlock";
    case PARAMETER_ANY:
    case PARAMETER_OBJECT:
        return "System.Object";
    default:
        return parameter->flags & PARAMETER_LIST ? "System.String[]" : "System.String";
    }
}

static int bind_place(struct bind_error *error, const struct argument *argument)
{
    error->start = argument->start;
    error->end = argument->end;
    return -1;
}

static int bind_put(struct bound *bound, const struct parameter *parameter, struct value *value)
{
    value_put(bind_is_common(parameter) ? bound->common : bound->parameters, parameter->name, value);
    bound->sets &= sets_of(parameter);
    return 0;
}

static bool is_bound(const struct bound *bound, const struct parameter *parameter)
{
    return value_get(bind_is_common(parameter) ? bound->common : bound->parameters, parameter->name) != NULL;
}

static int bind_unknown(const struct cmdlet *cmdlet, const struct argument *argument, const char *matches,
                        struct bind_error *error)
{
    if (*matches) {
        bind_fail(error, CATEGORY_INVALID_ARGUMENT, "AmbiguousParameter",
                  "Parameter cannot be processed because the parameter name '%s' is ambiguous. Possible matches "
                  "include: %s.",
                  argument->name, matches);
    } else {
        const char *near = nearest_parameter(cmdlet, argument->name);
        bind_fail(error, CATEGORY_INVALID_ARGUMENT, "NamedParameterNotFound",
                  "A parameter cannot be found that matches parameter name '%s'.%s%s%s", argument->name,
                  near ? " Did you mean -" : "", near ? near : "", near ? "?" : "");
    }
    return bind_place(error, argument);
}

// -Name, its value behind it or attached. `*next` is the argument behind it; `taken` marks what is used up.
static int bind_named(struct bound *bound, const struct argument *arguments, size_t count, size_t index, bool *taken,
                      const struct bind_context *context, struct bind_error *error)
{
    const struct argument *argument = &arguments[index], *from = argument;
    char matches[200] = "";
    const struct parameter *parameter = bind_find(bound->cmdlet, argument->name, matches, sizeof matches);
    if (!parameter)
        return bind_unknown(bound->cmdlet, argument, matches, error);
    if (is_bound(bound, parameter)) {
        bind_fail(error, CATEGORY_INVALID_ARGUMENT, "ParameterAlreadyBound",
                  "Cannot bind parameter because parameter '%s' is specified more than once.", parameter->name);
        return bind_place(error, argument);
    }
    if (!argument->value && parameter->type == PARAMETER_SWITCH)
        return bind_put(bound, parameter, value_bool(true));
    if (!argument->value) {
        if (index + 1 >= count || arguments[index + 1].name) {
            bind_fail(error, CATEGORY_INVALID_ARGUMENT, "MissingArgument",
                      "Missing an argument for parameter '%s'. Specify a parameter of type '%s' and try again.",
                      parameter->name, parameter_type_name(parameter));
            return bind_place(error, argument);
        }
        from = &arguments[index + 1];
        taken[index + 1] = true;
    }
    struct value *value = bind_convert(parameter, from->value, from->spelling, context, true, error);
    return value ? bind_put(bound, parameter, value) : bind_place(error, from);
}

// The next position at which a parameter is free, in the sets that are possible; 0: none.
static unsigned next_position(const struct bound *bound)
{
    unsigned position = 0;
    for (const struct parameter *parameter = bound->cmdlet->parameters; parameter && parameter->name; parameter++)
        if (parameter->position && sets_of(parameter) & bound->sets && !is_bound(bound, parameter) &&
            (!position || parameter->position < position))
            position = parameter->position;
    return position;
}

// Parameters of one position, in the default set first; those that take the value as it is before those that convert
// it.
static int bind_position(struct bound *bound, unsigned position, const struct argument *argument,
                         const struct bind_context *context, struct bind_error *error)
{
    bool failed = false;
    for (unsigned pass = 0; pass < 4; pass++)
        for (const struct parameter *parameter = bound->cmdlet->parameters; parameter->name; parameter++) {
            bool first_set = sets_of(parameter) & 1, coerce = pass >= 2;
            if (parameter->position != position || !(sets_of(parameter) & bound->sets) || is_bound(bound, parameter) ||
                first_set != !(pass & 1))
                continue;
            struct bind_error ignored = {0};
            struct value *value = bind_convert(parameter, argument->value, argument->spelling, context, coerce,
                                               coerce && !failed ? error : &ignored);
            if (value)
                return bind_put(bound, parameter, value);
            failed = failed || coerce;
        }
    return bind_place(error, argument);
}

static const struct parameter *rest_parameter(const struct bound *bound)
{
    for (const struct parameter *parameter = bound->cmdlet->parameters; parameter && parameter->name; parameter++)
        if (parameter->flags & PARAMETER_REST && sets_of(parameter) & bound->sets)
            return parameter;
    return NULL;
}

static int bind_rest(struct bound *bound, const struct parameter *parameter, const struct argument *argument,
                     const struct bind_context *context, struct bind_error *error)
{
    struct parameter one = *parameter;
    one.flags &= ~(unsigned)PARAMETER_LIST;
    struct value *value = bind_convert(&one, argument->value, argument->spelling, context, true, error);
    if (!value)
        return bind_place(error, argument);
    struct value *list = value_get(bound->parameters, parameter->name);
    if (!list)
        bind_put(bound, parameter, list = value_array());
    value_add(list, value);
    return 0;
}

static int bind_positional(struct bound *bound, const struct argument *arguments, size_t count, const bool *taken,
                           const struct bind_context *context, struct bind_error *error)
{
    for (size_t i = 0; i < count; i++) {
        if (arguments[i].name || taken[i])
            continue;
        unsigned position = next_position(bound);
        const struct parameter *rest = position ? NULL : rest_parameter(bound);
        int failed = 0;
        if (position) {
            failed = bind_position(bound, position, &arguments[i], context, error);
        } else if (rest) {
            failed = bind_rest(bound, rest, &arguments[i], context, error);
        } else {
            char *text = value_to_text(arguments[i].value);
            bind_fail(error, CATEGORY_INVALID_ARGUMENT, "PositionalParameterNotFound",
                      "A positional parameter cannot be found that accepts argument '%.200s'.", text);
            free(text);
            failed = bind_place(error, &arguments[i]);
        }
        if (failed)
            return -1;
    }
    return 0;
}

static bool comes_piped(const struct parameter *parameter)
{
    return parameter->flags & (PARAMETER_PIPED | PARAMETER_NAMED);
}

// Whether all that set number `set` requires is there (or may still come), else what is missing.
static bool set_is_complete(const struct bound *bound, unsigned set, bool piped, char *missing, size_t bytes)
{
    *missing = 0;
    for (const struct parameter *parameter = bound->cmdlet->parameters; parameter && parameter->name; parameter++)
        if (parameter->flags & PARAMETER_MANDATORY && sets_of(parameter) & 1 << set && !is_bound(bound, parameter) &&
            !(piped && comes_piped(parameter)))
            snprintf(missing + strlen(missing), bytes - strlen(missing), "%s%s", *missing ? " " : "", parameter->name);
    return !*missing;
}

// Decides on the set, the default one first. While objects are still to come, it only checks that one is left.
static int bind_choose(struct bound *bound, bool piped, struct bind_error *error)
{
    char missing[300], first[300] = "";
    if (!bound->sets)
        return bind_fail(error, CATEGORY_INVALID_ARGUMENT, "AmbiguousParameterSet",
                         "Parameter set cannot be resolved using the specified named parameters: they do not go "
                         "together.");
    u8 complete = 0;
    for (unsigned set = 0; set < CMDLET_SETS; set++) {
        if (!(bound->sets & 1 << set))
            continue;
        if (set_is_complete(bound, set, piped, missing, sizeof missing))
            complete |= (u8)(1 << set);
        else if (!*first)
            memcpy(first, missing, sizeof first);
    }
    if (!complete)
        return bind_fail(error, CATEGORY_INVALID_ARGUMENT, "MissingMandatoryParameter",
                         "Cannot process command because of one or more missing mandatory parameters: %s.", first);
    bound->sets = piped ? complete : (u8)(complete & -complete);
    return 0;
}

int bind_arguments(struct bound *bound, const struct cmdlet *cmdlet, const struct argument *arguments, size_t count,
                   const struct bind_context *context, bool piped, struct bind_error *error)
{
    *error = (struct bind_error){0};
    *bound = (struct bound){.cmdlet = cmdlet, .parameters = value_map(), .common = value_map(),
                            .sets = all_sets(cmdlet)};
    bool *taken = value_allocate(count + 1);
    int failed = 0;
    for (size_t i = 0; i < count && !failed; i++)
        if (arguments[i].name)
            failed = bind_named(bound, arguments, count, i, taken, context, error);
    if (!failed && bound->sets)
        failed = bind_positional(bound, arguments, count, taken, context, error);
    free(taken);
    return failed ? -1 : bind_choose(bound, piped, error);
}

// The object's property that a parameter takes: by the parameter's name, then by its aliases.
static struct value *property_for(const struct parameter *parameter, const struct value *object)
{
    struct value *value = value_get(object, parameter->name);
    for (const char *at = parameter->aliases; !value && at && *at; at += strspn(at, " ")) {
        char alias[64];
        size_t bytes = strcspn(at, " ");
        snprintf(alias, sizeof alias, "%.*s", (int)bytes, at);
        value = value_get(object, alias);
        at += bytes;
    }
    return value && value->kind != VALUE_NULL ? value : NULL;
}

// One of the four rounds: by value or by name, as it is or converted. How many were bound; -1: one could not be.
static unsigned bind_round(struct bound *bound, struct value *object, bool by_name, bool coerce,
                           const struct bind_context *context, struct bind_error *error)
{
    unsigned count = 0;
    // A map or an object as a whole stands for nothing but itself.
    if (!by_name && coerce && (value_is_map(object) || object->kind == VALUE_NULL))
        return 0;
    for (const struct parameter *parameter = bound->cmdlet->parameters; parameter && parameter->name; parameter++) {
        if (!(parameter->flags & (by_name ? PARAMETER_NAMED : PARAMETER_PIPED)) || is_bound(bound, parameter) ||
            !(sets_of(parameter) & bound->sets))
            continue;
        struct value *from = by_name ? property_for(parameter, object) : object;
        struct value *value = from ? bind_convert(parameter, from, NULL, context, coerce, error) : NULL;
        if (!value)
            continue;
        bind_put(bound, parameter, value);
        count++;
    }
    return count;
}

static struct value *shallow(const struct value *map)
{
    struct value *copy = value_map();
    for (size_t i = 0; i < map->map.count; i++)
        value_put(copy, map->map.pairs[i].key, value_ref(map->map.pairs[i].value));
    return copy;
}

int bind_object(struct bound *bound, const struct bound *base, struct value *object, const struct bind_context *context,
                struct bind_error *error)
{
    struct bind_error conversion = {0};
    *error = (struct bind_error){0};
    *bound = (struct bound){.cmdlet = base->cmdlet, .parameters = shallow(base->parameters),
                            .common = value_ref(base->common), .sets = base->sets};
    unsigned count = 0;
    for (unsigned round = 0; round < 4; round++)
        count += bind_round(bound, object, round & 1, round >= 2, context, &conversion);
    if (count)
        return bind_choose(bound, false, error);
    if (conversion.id && !value_is_map(object)) {
        *error = conversion;
        return -1;
    }
    return bind_fail(error, CATEGORY_INVALID_ARGUMENT, "InputObjectNotBound",
                     "The input object cannot be bound to any parameters for the command either because the command "
                     "does not take pipeline input or the input and its properties do not match any of the parameters "
                     "that take pipeline input.");
}

const char *bound_set(const struct bound *bound)
{
    for (unsigned set = 0; set < CMDLET_SETS; set++)
        if (bound->sets & 1 << set)
            return bound->cmdlet->sets[set];
    return NULL;
}
