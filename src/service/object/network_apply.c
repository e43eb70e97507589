// What was changed in the network's records becomes true: at the host's kernel first, then at the switches' processes,
// which may need what is there.
#include <stdlib.h>
#include <string.h>

#include "service/network.h"
#include "service/object/object.h"
#include "service/switchboard.h"
#include "service/uplink.h"

struct switch_ids {
    char **items;
    size_t count;
};

static void switch_id(void *context, const struct network_switch *network)
{
    struct switch_ids *ids = context;
    ids->items = value_reallocate(ids->items, (ids->count + 1) * sizeof *ids->items);
    ids->items[ids->count++] = value_text_copy(network->id);
}

int call_network_apply(struct call *call, struct error *error)
{
    struct switch_ids ids = {0};
    struct error later;
    int result = uplink_apply(call->service, error);
    network_switches(call->service, switch_id, &ids, NULL);
    for (size_t i = 0; i < ids.count; i++) {
        if (switchboard_switch(service_switchboard(call->service), ids.items[i], result ? &later : error) < 0)
            result = -1;
        free(ids.items[i]);
    }
    free(ids.items);
    return result;
}
