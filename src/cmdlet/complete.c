// See complete.h. What can stand where the cursor is: a cmdlet, a parameter, or a parameter's value.
#include "cmdlet/complete.h"

#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "cmdlet/complete_room.h"
#include "cmdlet/value.h"

// What is being completed: the offers that do not start with `prefix` are dropped.
struct answer {
    const struct complete_source *source;
    struct completions *to;
    const char *prefix;
    struct completions all; // before they are sifted
};

void complete_offer(struct completions *completions, const char *text, const char *help)
{
    completions->items = value_reallocate(completions->items, (completions->count + 1) * sizeof *completions->items);
    completions->items[completions->count++] = (struct completion){.text = value_text_copy(text), .help = help};
}

void complete_free(struct completions *completions)
{
    for (size_t i = 0; i < completions->count; i++)
        free(completions->items[i].text);
    free(completions->items);
    *completions = (struct completions){0};
}

static bool starts(const char *text, const char *prefix) { return !strncasecmp(text, prefix, strlen(prefix)); }

static void offer_words(struct completions *to, const char *words)
{
    for (const char *at = words; at && *at;) {
        size_t length = strcspn(at, " ");
        char *word = value_text("%.*s", (int)length, at);
        complete_offer(to, word, NULL);
        free(word);
        at += length + strspn(at + length, " ");
    }
}

static void offer_cmdlets(struct completions *to)
{
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++)
        if (!(cmdlet->flags & CMDLET_ABSENT))
            complete_offer(to, cmdlet->name, cmdlet->synopsis);
}

static void offer_parameter_names(struct completions *to, const struct cmdlet *cmdlet, const struct parameter *list)
{
    for (const struct parameter *parameter = list; parameter && parameter->name; parameter++) {
        if (list == cmdlet_common_parameters && !cmdlet_takes(cmdlet, parameter))
            continue;
        char *dashed = value_text("-%s", parameter->name);
        complete_offer(to, dashed, parameter->help);
        free(dashed);
    }
}

// The parameter a word like "-Exp" means: its full name, an alias, or the only one that starts so.
static const struct parameter *parameter_of(const struct cmdlet *cmdlet, const char *word)
{
    const struct parameter *found = NULL, *lists[] = {cmdlet->parameters, cmdlet_common_parameters};
    for (unsigned list = 0; list < ARRAY_SIZE(lists); list++)
        for (const struct parameter *p = lists[list]; p && p->name; p++) {
            if (!value_name_compare(p->name, word))
                return p;
            if (starts(p->name, word) && !found)
                found = p;
        }
    return found;
}

static bool takes_value(const struct parameter *parameter) { return parameter && parameter->type != PARAMETER_SWITCH; }

static bool given(const struct complete_command *command, const struct cmdlet *cmdlet, const char *dashed)
{
    for (unsigned i = 1; i + 1 < command->count; i++)
        if (command->words[i][0] == '-' && command->words[i][1]) {
            const struct parameter *parameter = parameter_of(cmdlet, command->words[i] + 1);
            if (parameter && !value_name_compare(parameter->name, dashed + 1))
                return true;
        }
    return false;
}

static void offer_parameters(struct answer *answer, const struct complete_command *command, const struct cmdlet *cmdlet)
{
    struct completions names = {0};
    offer_parameter_names(&names, cmdlet, cmdlet->parameters);
    offer_parameter_names(&names, cmdlet, cmdlet_common_parameters);
    for (size_t i = 0; i < names.count; i++)
        if (!given(command, cmdlet, names.items[i].text))
            complete_offer(&answer->all, names.items[i].text, names.items[i].help);
    complete_free(&names);
}

static void offer_operators(struct completions *to)
{
    offer_words(to, "-and -contains -eq -f -ge -gt -in -is -join -le -like -lt -match -ne -not -notcontains -notin "
                    "-notlike -notmatch -or -replace -split");
}

static void offer_properties(struct completions *to, const struct cmdlet *upstream, const char *before)
{
    const struct class *class = upstream && upstream->output ? class_find(upstream->output) : NULL;
    for (const struct property *property = class ? class->properties : NULL; property && property->name; property++) {
        char *text = value_text("%s%s", before, property->name);
        complete_offer(to, text, property->help);
        free(text);
    }
    for (const struct link *link = class ? class->links : NULL; link && link->name; link++) {
        char *text = value_text("%s%s", before, link->name);
        complete_offer(to, text, link->help);
        free(text);
    }
}

// "$na", "$_.Na": a variable, or a property of what comes in.
static void offer_variables(struct answer *answer, const struct complete_command *command)
{
    if (starts(answer->prefix, "$_.") || starts(answer->prefix, "$PSItem.")) {
        char *before = value_text("%.*s", (int)(strchr(answer->prefix, '.') + 1 - answer->prefix), answer->prefix);
        offer_properties(&answer->all, command->upstream, before);
        free(before);
        return;
    }
    struct completions names = {0};
    offer_words(&names, "true false null");
    if (command->upstream)
        complete_offer(&names, "_", "What comes through the pipeline.");
    if (answer->source->variables)
        answer->source->variables(answer->source->context, &names);
    for (size_t i = 0; i < names.count; i++) {
        char *text = value_text("$%s", names.items[i].text);
        complete_offer(&answer->all, text, names.items[i].help);
        free(text);
    }
    complete_free(&names);
}

static void offer_paths(struct answer *answer)
{
    if (answer->source->paths)
        answer->source->paths(answer->source->context, answer->prefix, &answer->all);
    answer->to->path = answer->all.count != 0;
}

static bool names_property(const struct cmdlet *cmdlet, const struct parameter *parameter)
{
    static const char *const names[] = {"Property", "ExcludeProperty", "ExpandProperty", "GroupBy"};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (cmdlet->flags & CMDLET_LOCAL && !value_name_compare(parameter->name, names[i]))
            return true;
    return false;
}

static void offer_values(struct answer *answer, const struct complete_command *command, const struct cmdlet *cmdlet,
                         const struct parameter *parameter)
{
    if (parameter->type == PARAMETER_ENUM)
        offer_words(&answer->all, parameter->values);
    else if (parameter->type == PARAMETER_BOOL)
        offer_words(&answer->all, "$true $false");
    else if (parameter->type == PARAMETER_PATH)
        offer_paths(answer);
    else if (names_property(cmdlet, parameter))
        offer_properties(&answer->all, command->upstream, "");
    else if (parameter->object && !value_name_compare(parameter->object, "CmdletInfo"))
        offer_cmdlets(&answer->all);
    else if (parameter->object && parameter->type != PARAMETER_OBJECT && answer->source->objects)
        answer->source->objects(answer->source->context, parameter->object, &answer->all);
}

// Which parameter the last word belongs to when no name stands before it: the first free position's, the one with
// names to offer first where sets differ.
static const struct parameter *positional(const struct complete_command *command, const struct cmdlet *cmdlet)
{
    unsigned position = 1;
    bool taken[16] = {false};
    for (unsigned i = 1; i + 1 < command->count; i++) {
        const char *word = command->words[i];
        if (word[0] != '-' || !word[1]) {
            position++;
            continue;
        }
        const struct parameter *named = parameter_of(cmdlet, word + 1);
        if (named && named->position < ARRAY_SIZE(taken))
            taken[named->position] = true;
        if (takes_value(named) && i + 2 < command->count)
            i++;
    }
    for (unsigned i = 1; i <= position && i < ARRAY_SIZE(taken); i++)
        position += taken[i];
    const struct parameter *found = NULL;
    for (const struct parameter *p = cmdlet->parameters; p && p->name; p++)
        if (p->position == position && (!found || (found->type == PARAMETER_OBJECT && p->type != PARAMETER_OBJECT)))
            found = p;
    return found;
}

static void offer_arguments(struct answer *answer, const struct complete_command *command, const struct cmdlet *cmdlet)
{
    const char *before = command->words[command->count - 2];
    const struct parameter *parameter = *before == '-' ? parameter_of(cmdlet, before + 1) : NULL;
    if (command->count > 2 && takes_value(parameter))
        offer_values(answer, command, cmdlet, parameter);
    else if (*answer->prefix == '-')
        offer_parameters(answer, command, cmdlet);
    else if ((parameter = positional(command, cmdlet)))
        offer_values(answer, command, cmdlet, parameter);
    if (!answer->all.count && strchr(answer->prefix, '/'))
        offer_paths(answer);
}

static void offer_all(struct answer *answer, const struct complete_command *command)
{
    const struct cmdlet *cmdlet = command->count > 1 ? cmdlet_find(command->words[0]) : NULL;
    if (*answer->prefix == '$')
        offer_variables(answer, command);
    else if (command->count == 1 && strchr(answer->prefix, '/'))
        offer_paths(answer);
    else if (command->count == 1)
        offer_cmdlets(&answer->all);
    else if (command->expression && *answer->prefix == '-')
        offer_operators(&answer->all);
    else if (cmdlet && !(cmdlet->flags & CMDLET_ABSENT))
        offer_arguments(answer, command, cmdlet);
    else if (*answer->prefix != '-')
        offer_paths(answer);
}

static int by_text(const void *left, const void *right)
{
    const struct completion *a = left, *b = right;
    int order = value_name_compare(a->text, b->text);
    return order ? order : strcmp(a->text, b->text);
}

// A word that would not be one word, or not this one, stands in quotes.
static char *quote_word(const char *text, char quote)
{
    if (*text == '$' && !quote)
        return value_text_copy(text);
    if (!quote && *text && !strpbrk(text, " \t'\"`,;|&(){}@#$<>"))
        return value_text_copy(text);
    char with = quote == '"' && !strpbrk(text, "$`\"") ? '"' : '\'';
    char *quoted = value_allocate(2 * strlen(text) + 3), *to = quoted;
    *to++ = with;
    for (; *text; text++) {
        if (*text == with)
            *to++ = with;
        *to++ = *text;
    }
    *to++ = with;
    return quoted;
}

// Those that start with what is typed, in order, none twice. A path's order and spelling are the caller's.
static void sift(struct answer *answer, char quote, bool quoting)
{
    struct completions *all = &answer->all;
    if (all->count)
        qsort(all->items, all->count, sizeof *all->items, by_text);
    const char *last = NULL;
    for (size_t i = 0; i < all->count; i++) {
        const char *text = all->items[i].text;
        if (!starts(text, answer->prefix) || (last && !strcmp(last, text)))
            continue;
        char *word = quoting ? quote_word(text, quote) : value_text_copy(text);
        complete_offer(answer->to, word, all->items[i].help);
        free(word);
        last = text;
    }
    complete_free(all);
}

void complete_line(const struct complete_source *source, const char *line, size_t cursor,
                   struct completions *completions)
{
    struct complete_command command;
    complete_scan(line, cursor, &command);
    *completions = (struct completions){.start = command.start};
    struct answer answer = {.source = source, .to = completions, .prefix = command.words[command.count - 1]};
    offer_all(&answer, &command);
    sift(&answer, command.quote, true);
    complete_command_free(&command);
}

void complete_words(const struct complete_source *source, int count, const char *const *words,
                    struct completions *completions)
{
    struct complete_command command = {0};
    *completions = (struct completions){0};
    for (int i = 0; i < count && i < COMPLETE_WORDS; i++)
        command.words[command.count++] = value_text_copy(words[i]);
    if (!command.count)
        command.words[command.count++] = value_text_copy("");
    char *last = command.words[command.count - 1], *comma = strrchr(last, ',');
    size_t before = comma ? (size_t)(comma + 1 - last) : 0;
    struct answer answer = {.source = source, .to = completions, .prefix = last + before};
    offer_all(&answer, &command);
    sift(&answer, 0, false);
    for (size_t i = 0; before && i < completions->count; i++) { // the shell replaces the whole word
        char *whole = value_text("%.*s%s", (int)before, last, completions->items[i].text);
        free(completions->items[i].text);
        completions->items[i].text = whole;
    }
    complete_command_free(&command);
}
