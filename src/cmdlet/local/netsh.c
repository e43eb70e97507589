// netsh, as far as the documents on nested virtualization have one type it: `netsh interface ip add dnsserver NAME
// address=ADDRESS`. Its words become a request for Add-NetshDnsServer.
#include <stdlib.h>
#include <string.h>

#include "cmdlet/local/local.h"

static const char usage[] =
    "netsh is here for one command: netsh interface ip add dnsserver \"NAME\" address=ADDRESS [index=N]";

// A word that may be abbreviated, as netsh has it.
static bool word_is(struct value *words, size_t index, const char *name)
{
    const char *word = value_as_string(value_item(words, index), "");
    return *word && strlen(word) <= strlen(name) && !strncasecmp(word, name, strlen(word));
}

// "address=192.168.100.1" is the parameter named so; a word without a name is the first that is still free.
static bool word_bind(struct value *parameters, const char *word)
{
    static const struct { const char *tag, *parameter; } tags[] = {
        {"name", "InterfaceAlias"}, {"address", "Address"}, {"index", "Index"}, {"validate", "Validate"},
    };
    const char *equals = strchr(word, '=');
    for (unsigned i = 0; i < ARRAY_SIZE(tags); i++) {
        bool named = equals && (size_t)(equals - word) <= strlen(tags[i].tag) && equals > word &&
                     !strncasecmp(word, tags[i].tag, (size_t)(equals - word));
        if (!named && (equals || value_get(parameters, tags[i].parameter)))
            continue;
        if (strcmp(tags[i].parameter, "Index") == 0)
            value_put(parameters, tags[i].parameter, value_int(strtoll(equals ? equals + 1 : word, NULL, 10)));
        else if (strcmp(tags[i].parameter, "Validate") != 0)
            value_put(parameters, tags[i].parameter, value_string(equals ? equals + 1 : word));
        return true;
    }
    return false;
}

static void netsh_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct value *words = stage_parameter(stage, "ArgumentList"), *parameters = value_map();
    const struct cmdlet *cmdlet = cmdlet_find("Add-NetshDnsServer");
    bool good = cmdlet && word_is(words, 0, "interface") && (word_is(words, 1, "ipv4") || word_is(words, 1, "ipv6")) &&
                word_is(words, 2, "add") && word_is(words, 3, "dnsservers");
    for (size_t i = 4; good && i < value_count(words); i++)
        good = word_bind(parameters, value_as_string(value_item(words, i), ""));
    if (good && value_get(parameters, "InterfaceAlias") && value_get(parameters, "Address"))
        stage_invoke(stage, cmdlet, parameters);
    else
        stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "NetshUsage", "%s", usage);
    value_unref(parameters);
}

const struct local_cmdlet local_netsh[] = {
    {.name = "netsh", .process = netsh_process},
    {0},
};
