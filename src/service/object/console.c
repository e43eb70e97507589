// Connect-VM: where the console of a VM that runs is. The bytes go between the terminal and the worker, past the
// service.
#include <stdlib.h>

#include "service/object/object.h"

static void console_connect(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct vm_view view;
        vm_look(list.items[i], &view);
        if (!vm_state_has_worker(view.state)) {
            call_wrong_state(call, &view, "connect to its console");
        } else {
            char *folder = service_vm_runtime(call->service, view.record.id);
            struct value *object = value_object("VMConsole");
            value_put(object, "VMName", value_string(view.record.name));
            value_put(object, "VMId", value_string(view.record.id));
            value_put(object, "Path", value_format("%s/console", folder));
            value_put(object, "LogPath",
                      value_format("%s/machines/%s.console.log", service_state_directory(call->service),
                                   view.record.id));
            call_put(call, object);
            free(folder);
        }
        vm_view_free(&view);
    }
    vm_list_free(&list);
}

const struct handler object_console[] = {
    {"Connect-VM", console_connect},
    {NULL, NULL},
};
