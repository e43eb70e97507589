// Captures of what goes over adapters' ports. The switch writes them; the files are opened here, for it can open none.
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/object/adapter.h"
#include "service/switchboard.h"

enum { CAPTURE_SIZE = 256 << 20, CAPTURE_LABEL = 200 };

static struct value *capture_object(const struct vm_record *record, const struct vm_adapter *adapter,
                                    const char *path, s64 frames, s64 bytes)
{
    struct value *object = value_object("VMNetworkAdapterCapture");
    value_put(object, "VMName", value_string(record->name));
    value_put(object, "VMId", value_string(record->id));
    value_put(object, "VMNetworkAdapterName", value_string(adapter->name));
    value_put(object, "Path", object_text(path));
    value_put(object, "Packets", value_int(frames));
    value_put(object, "Size", value_int(bytes));
    return object;
}

static s64 number_of(const json_t *json, const char *key) { return json_integer_value(json_object_get(json, key)); }

static void capture_failed(struct call *call, const struct vm_record *record, const char *verb, const char *reason)
{
    call_failed(call, record, verb, CATEGORY_INVALID_OPERATION, "OperationFailed", "%s.", reason);
}

// A new file of ours, or with -Force one that is there.
static int capture_file(struct call *call, const char *path, struct error *error)
{
    const bool force = call_switch(call, "Force");
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (force ? 0 : O_EXCL), 0600);
    struct stat status;
    if (fd < 0)
        return error_set(error, "'%s': %s%s", path, strerror(errno),
                         errno == EEXIST ? "; -Force replaces it" : "");
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && ftruncate(fd, 0) == 0)
        return fd;
    close(fd);
    return error_set(error, "'%s' is no file that could be written to", path);
}

static void capture_start_one(struct call *call, const struct vm_record *record, const struct vm_adapter *adapter)
{
    const char *path = call_string(call, "Path", "");
    struct error error;
    const int fd = capture_file(call, path, &error);
    if (fd < 0) {
        capture_failed(call, record, "start a capture", error.text);
        return;
    }
    char *label = value_text("%.*s: %.*s", CAPTURE_LABEL / 2, record->name, CAPTURE_LABEL / 2, adapter->name);
    json_t *arguments = json_pack("{s:s,s:s,s:s,s:I}", "port", adapter->id, "path", path, "label", label, "limit",
                                  (json_int_t)call_int(call, "MaximumSize", CAPTURE_SIZE));
    json_t *result = switchboard_ask(service_switchboard(call->service), adapter->id, "capture", arguments, &fd, 1,
                                     &error);
    if (!result) {
        unlink(path);
        capture_failed(call, record, "start a capture", error.text);
    } else if (call_switch(call, "Passthru")) {
        call_put(call, capture_object(record, adapter, path, 0, 0));
    }
    json_decref(result);
    json_decref(arguments);
    free(label);
    close(fd);
}

static void capture_stop_one(struct call *call, const struct vm_record *record, const struct vm_adapter *adapter)
{
    struct error error;
    json_t *arguments = json_pack("{s:s}", "port", adapter->id);
    json_t *result = switchboard_ask(service_switchboard(call->service), adapter->id, "capture", arguments, NULL, 0,
                                     &error);
    if (!result)
        capture_failed(call, record, "end the capture", error.text);
    else
        call_put(call, capture_object(record, adapter, json_string_value(json_object_get(result, "path")),
                                      number_of(result, "frames"), number_of(result, "bytes")));
    json_decref(result);
    json_decref(arguments);
}

// The adapters that are meant; `one`: exactly one, for it is one file.
static void capture_each(struct call *call, const char *operation, bool one,
                         void (*act)(struct call *, const struct vm_record *, const struct vm_adapter *))
{
    struct vm_list list;
    unsigned done = 0;
    call_vms_of_parts(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct vm_view view;
        unsigned meant = 0;
        vm_glance(list.items[i], &view);
        for (size_t j = 0; j < view.record.adapter_count; j++) {
            if (!adapter_is_meant(call, "Name", &view.record.adapters[j]))
                continue;
            meant++;
            if (one && done) {
                capture_failed(call, &view.record, "start a capture",
                               "A file holds one adapter's: name it with -Name, and one virtual machine");
                break;
            }
            done++;
            if (call_should(call, operation, view.record.name))
                act(call, &view.record, &view.record.adapters[j]);
        }
        adapter_none(call, &view.record, "Name", meant);
        vm_view_free(&view);
    }
    vm_list_free(&list);
}

static void capture_start(struct call *call)
{
    capture_each(call, "Start-VMNetworkAdapterCapture", true, capture_start_one);
}

static void capture_stop(struct call *call)
{
    capture_each(call, "Stop-VMNetworkAdapterCapture", false, capture_stop_one);
}

static void capture_collect(void *context, const json_t *answer)
{
    json_array_extend(context, json_object_get(answer, "captures"));
}

static void capture_put(struct call *call, const struct vm_record *record, const json_t *captures)
{
    for (size_t i = 0; i < record->adapter_count; i++)
        for (size_t j = 0; j < json_array_size(captures); j++) {
            const json_t *capture = json_array_get(captures, j);
            const char *port = json_string_value(json_object_get(capture, "port"));
            if (port && !strcmp(port, record->adapters[i].id))
                call_put(call, capture_object(record, &record->adapters[i],
                                              json_string_value(json_object_get(capture, "path")),
                                              number_of(capture, "frames"), number_of(capture, "bytes")));
        }
}

static void capture_get(struct call *call)
{
    struct vm_list list;
    json_t *captures = json_array();
    switchboard_ask_all(service_switchboard(call->service), "captures", capture_collect, captures);
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct vm_view view;
        vm_glance(list.items[i], &view);
        capture_put(call, &view.record, captures);
        vm_view_free(&view);
    }
    vm_list_free(&list);
    json_decref(captures);
}

const struct handler object_capture[] = {
    {"Start-VMNetworkAdapterCapture", capture_start},
    {"Stop-VMNetworkAdapterCapture", capture_stop},
    {"Get-VMNetworkAdapterCapture", capture_get},
    {0},
};
