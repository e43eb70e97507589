// A worker's network adapters: which there are, and which cable is in each. The service says what shall be, and says it
// again whenever it is in doubt; what is different is made so. An adapter that shall not be any more is the guest's to
// let go of, which takes its time (device/pci_hotplug.h), and until then it stays in the list; its place is free after
// that.
#include <jansson.h>
#include <string.h>

#include "worker/worker_parts.h"

static_assert(CONTROL_ADAPTERS == (int)RUN_ADAPTERS, "all are taken");

int worker_adapter(struct run_options *options, const struct control_adapter *adapter, struct error *error)
{
    struct run_adapter *to = &options->adapters[adapter->place];
    *to = (struct run_adapter){.present = true, .plugged = adapter->plugged};
    memcpy(to->mac, adapter->mac, sizeof to->mac);
    if (!strcmp(adapter->network, "user"))
        to->net = RUN_NET_USER;
    else if (!strcmp(adapter->network, "none"))
        to->net = RUN_NET_NONE;
    else if (!strcmp(adapter->network, "wire"))
        to->net = RUN_NET_WIRE;
    else
        return error_set(error, "network adapter %s: network '%.64s' is neither wire nor user nor none", adapter->id,
                         adapter->network);
    return 0;
}

static const struct control_adapter *adapter_find(const struct control_adapter *list, unsigned count, const char *id)
{
    for (unsigned i = 0; id && i < count; i++)
        if (!strcmp(list[i].id, id))
            return &list[i];
    return NULL;
}

static const struct control_adapter *worker_adapter_find(const struct worker *worker, const char *id)
{
    return adapter_find(worker->config.adapters, worker->config.adapter_count, id);
}

static void worker_adapter_forget(struct worker *worker, unsigned place)
{
    struct control_config *config = &worker->config;
    network_close(worker->host.wires[place]);
    worker->host.wires[place] = NULL;
    worker->options.adapters[place] = (struct run_adapter){.present = false};
    for (unsigned i = config->adapter_count; i-- > 0;) {
        if (config->adapters[i].place != place)
            continue;
        control_adapter_free(&config->adapters[i]);
        memmove(&config->adapters[i], &config->adapters[i + 1],
                (--config->adapter_count - i) * sizeof config->adapters[0]);
    }
}

void worker_adapter_left(void *context, unsigned place, bool let_go)
{
    struct worker *worker = context;
    worker_adapter_forget(worker, place);
    worker->leaving &= ~((u32)1 << place);
    for (unsigned i = worker->waiting_count; i-- > 0;) {
        if (worker->waiting_place[i] != place)
            continue;
        control_server_answer(worker->server, worker->waiting[i], json_pack("{s:s}", "by", let_go ? "guest" : "force"),
                              NULL);
        worker->waiting_count--;
        worker->waiting[i] = worker->waiting[worker->waiting_count];
        worker->waiting_place[i] = worker->waiting_place[worker->waiting_count];
    }
}

void worker_adapters_settle(struct worker *worker, struct vm *vm)
{
    for (unsigned place = 0; place < RUN_ADAPTERS; place++)
        if (worker->leaving >> place & 1)
            vm_unplug(vm, place, false);
    vm_collect(vm);
}

// Takes over `adapter` if it succeeds.
static int worker_adapter_add(struct worker *worker, struct vm *vm, const struct control_adapter *adapter,
                              struct error *error)
{
    const unsigned place = adapter->place;
    if (worker->options.adapters[place].present)
        return error_set(error, "place %u of its board is still taken by an adapter that the guest is letting go of; it "
                                "is tried again", place);
    if (!strcmp(adapter->network, "user"))
        return error_set(error, "network adapter %s: a network of its own has to be there from the start", adapter->id);
    if (worker_adapter(&worker->options, adapter, error)) {
        worker->options.adapters[place].present = false;
        return -1;
    }
    if (worker->options.adapters[place].net == RUN_NET_WIRE)
        worker->host.wires[place] = wire_port_create(adapter->plugged, error);
    if ((worker->options.adapters[place].net != RUN_NET_WIRE || worker->host.wires[place]) &&
        !vm_plug(vm, place, error)) {
        worker->config.adapters[worker->config.adapter_count++] = *adapter;
        return 0;
    }
    worker_adapter_forget(worker, place);
    return -1;
}

static int worker_adapters_change(struct worker *worker, struct vm *vm, struct control_adapter *list, unsigned count,
                                  struct error *error)
{
    for (unsigned i = 0; i < worker->config.adapter_count; i++) {
        const struct control_adapter *adapter = &worker->config.adapters[i];
        if (worker->leaving >> adapter->place & 1 || adapter_find(list, count, adapter->id))
            continue;
        worker->leaving |= (u32)1 << adapter->place;
        vm_unplug(vm, adapter->place, true);
    }
    vm_collect(vm); // a paused VM's have left already
    for (unsigned i = 0; i < count; i++) {
        if (worker_adapter_find(worker, list[i].id))
            continue;
        if (worker_adapter_add(worker, vm, &list[i], error))
            return -1;
        list[i] = (struct control_adapter){.id = NULL};
    }
    return 0;
}

int worker_do_adapters(struct worker *worker, struct vm *vm, struct worker_request *request, json_t **result,
                       struct error *error)
{
    struct control_adapter list[CONTROL_ADAPTERS];
    unsigned count;
    (void)result;
    int failed = control_adapters_read(list, &count, request->message, error);
    if (!failed)
        failed = worker_adapters_change(worker, vm, list, count, error);
    for (unsigned i = 0; i < count; i++)
        control_adapter_free(&list[i]);
    return failed;
}

// An adapter's cable: with descriptors (control.h) it is plugged, without any it is pulled.
int worker_do_connect(struct worker *worker, struct vm *vm, struct worker_request *request, json_t **result,
                      struct error *error)
{
    const char *id = json_string_value(json_object_get(request->message, "adapter"));
    struct message_descriptors *descriptors = &request->descriptors;
    const struct control_adapter *adapter = worker_adapter_find(worker, id);
    struct network_port *wire = adapter ? worker->host.wires[adapter->place] : NULL;
    (void)vm, (void)result;
    if (!wire)
        return error_set(error, "'%s' has no adapter %.64s", worker->config.name, id ? id : "?");
    if (descriptors->count < CONTROL_WIRE_DESCRIPTORS) {
        wire_port_pull(wire);
        return 0;
    }
    if (wire_port_plug(wire, descriptors->fds[CONTROL_WIRE_MEMORY], descriptors->fds[CONTROL_WIRE_BELL], error))
        return -1;
    descriptors->fds[CONTROL_WIRE_MEMORY] = descriptors->fds[CONTROL_WIRE_BELL] = -1;
    return 0;
}

int worker_do_unplugged(struct worker *worker, struct vm *vm, struct worker_request *request, json_t **result,
                        struct error *error)
{
    const char *id = json_string_value(json_object_get(request->message, "adapter"));
    const struct control_adapter *adapter = worker_adapter_find(worker, id);
    (void)vm;
    if (!adapter) {
        *result = json_pack("{s:s}", "by", "nobody");
        return 0;
    }
    if (!(worker->leaving >> adapter->place & 1))
        return error_set(error, "adapter %.64s of '%s' is not to leave", id, worker->config.name);
    if (worker->waiting_count == WORKER_COMMANDS)
        return error_set(error, "%d wait already", WORKER_COMMANDS);
    worker->waiting[worker->waiting_count] = request->ticket;
    worker->waiting_place[worker->waiting_count++] = adapter->place;
    return WORKER_LATER;
}
