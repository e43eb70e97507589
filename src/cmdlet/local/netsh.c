// netsh, as far as the documents on nested virtualization have one type it: `netsh interface ip add dnsserver NAME
// address=ADDRESS`. Its words become a request for Add-NetshDnsServer.
#include <stdlib.h>
#include <string.h>

#include "cmdlet/bind.h"
#include "cmdlet/local/local.h"

static const char usage[] =
    "netsh is here for one command: netsh interface ip add dnsserver \"NAME\" address=ADDRESS [index=N]";

// A word that may be abbreviated, as netsh has it.
static bool word_is(struct value *words, size_t index, const char *name)
{
    const char *word = value_as_string(value_item(words, index), "");
    return *word && strlen(word) <= strlen(name) && !strncasecmp(word, name, strlen(word));
}

// "address=192.168.100.1" is the parameter named so; a word without a name goes by its position.
static bool word_bind(struct argument *argument, const char *word, struct value *value)
{
    static const struct { const char *tag, *parameter; } tags[] = {
        {"name", "InterfaceAlias"}, {"address", "Address"}, {"index", "Index"},
    };
    const char *equals = strchr(word, '=');
    const size_t bytes = equals ? (size_t)(equals - word) : 0;
    *argument = (struct argument){.value = equals ? value_string(equals + 1) : value_ref(value)};
    for (unsigned i = 0; bytes && i < ARRAY_SIZE(tags); i++)
        if (bytes <= strlen(tags[i].tag) && !strncasecmp(word, tags[i].tag, bytes))
            argument->name = tags[i].parameter;
    return !equals || argument->name;
}

enum { NETSH_WORDS = 8 };

static void netsh_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct value *words = stage_parameter(stage, "ArgumentList");
    const struct cmdlet *cmdlet = cmdlet_find("Add-NetshDnsServer");
    struct argument arguments[NETSH_WORDS];
    struct bound bound = {0};
    struct bind_error error = {.text = ""};
    const struct bind_context context = {0};
    size_t count = 0;
    bool good = cmdlet && word_is(words, 0, "interface") && (word_is(words, 1, "ipv4") || word_is(words, 1, "ipv6")) &&
                word_is(words, 2, "add") && word_is(words, 3, "dnsservers") && value_count(words) <= 4 + NETSH_WORDS;
    for (size_t i = 4; good && i < value_count(words); i++) {
        const char *word = value_as_string(value_item(words, i), "");
        if (strncasecmp(word, "validate=", 9) != 0) // a server that does not answer yet is taken, too
            good = word_bind(&arguments[count++], word, value_item(words, i));
    }
    if (good && !bind_arguments(&bound, cmdlet, arguments, count, &context, false, &error))
        stage_invoke(stage, cmdlet, bound.parameters);
    else
        stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "NetshUsage", "%s%s%s", error.text, *error.text ? "\n" : "",
                   usage);
    bound_release(&bound);
    for (size_t i = 0; i < count; i++)
        value_unref(arguments[i].value);
}

const struct local_cmdlet local_netsh[] = {
    {.name = "netsh", .process = netsh_process},
    {0},
};
