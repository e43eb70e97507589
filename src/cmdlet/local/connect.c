// vmconnect HOST VM, as its window is opened on Windows: Connect-VM in this terminal.
#include "cmdlet/local/local.h"
#include "cmdlet/session_room.h"

#include <string.h>

// The host that commands go to anyway.
static bool is_here(struct stage *stage, const char *host)
{
    const struct session_config *config = session_config_of(stage_session(stage));
    const char *name = config->environment ? config->environment(config->context, "HOSTNAME") : NULL;
    return !strcmp(host, ".") || !value_name_compare(host, "localhost") || !strcmp(host, "127.0.0.1") ||
           !strcmp(host, "::1") || (name && !value_name_compare(host, name));
}

static void connect_process(struct stage *stage, struct value *input)
{
    (void)input;
    const char *first = stage_string(stage, "ServerName", ""), *vm = stage_string(stage, "VMName", NULL);
    if (vm && !is_here(stage, first)) {
        stage_fail(stage, CATEGORY_CONNECTION_ERROR, "OperationFailed",
                   "Consoles are shown on their own host: log in at '%.100s' and use Connect-VM there.", first);
        return;
    }
    struct value *parameters = value_map();
    value_put(parameters, "VMName", value_string(vm ? vm : first));
    stage_invoke(stage, cmdlet_find("Connect-VM"), parameters);
    value_unref(parameters);
}

const struct local_cmdlet local_connect[] = {
    {.name = "vmconnect", .process = connect_process},
    {0},
};
