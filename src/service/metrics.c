// See metrics.h.
#include "service/metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/version.h"
#include "cmdlet/value.h"
#include "service/service.h"
#include "service/switchboard.h"

struct page {
    FILE *to;
    char *text;
    size_t bytes;
};

static void metric(struct page *page, const char *name, const char *type, const char *help)
{
    fprintf(page->to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

// A label's value: quotes, backslashes and line ends are escaped.
static void label(struct page *page, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', page->to);
        if (*text == '\n')
            fputs("\\n", page->to);
        else
            fputc(*text, page->to);
    }
}

static void sample(struct page *page, const char *name, const struct vm_view *view, double value)
{
    fprintf(page->to, "%s{id=\"%s\",name=\"", name, view->record.id);
    label(page, view->record.name);
    fprintf(page->to, "\"} %.17g\n", value);
}

static double running(const struct vm_view *view) { return vm_state_has_worker(view->state); }
static double uptime(const struct vm_view *view) { return (double)view->status.uptime_ns / 1e9; }
static double cpu(const struct vm_view *view) { return (double)view->status.cpu_ns / 1e9; }
static double memory(const struct vm_view *view) { return (double)view->status.memory_assigned; }
static double nested(const struct vm_view *view) { return view->status.nested_running; }
static double launched(const struct vm_view *view) { return (double)view->status.nested_launched; }

static const struct {
    const char *name, *type, *help;
    double (*value)(const struct vm_view *view);
} of_vm[] = {
    {"nidus_vm_running", "gauge", "Whether the virtual machine has a worker process.", running},
    {"nidus_vm_uptime_seconds", "gauge", "Time its guest has run, without pauses.", uptime},
    {"nidus_vm_cpu_seconds_total", "counter", "Processor time its virtual processors have used.", cpu},
    {"nidus_vm_memory_bytes", "gauge", "Memory it has.", memory},
    {"nidus_vm_hypervisor_running", "gauge", "Whether a hypervisor runs in it.", nested},
    {"nidus_vm_nested_guests_launched_total", "counter", "Guests that hypervisor has launched.", launched},
};

// --- Adapters --------------------------------------------------------------------------------------------------------

struct adapter_sample {
    const struct vm_view *view;
    const char *name;
    struct control_counters counters;
};

static void adapter_sample(struct page *page, const char *name, const struct adapter_sample *adapter,
                           const char *reason, u64 value)
{
    fprintf(page->to, "%s{id=\"%s\",vm=\"", name, adapter->counters.id);
    label(page, adapter->view->record.name);
    fputs("\",name=\"", page->to);
    label(page, adapter->name);
    if (reason)
        fprintf(page->to, "\",reason=\"%s", reason);
    fprintf(page->to, "\"} %llu\n", (unsigned long long)value);
}

static const struct {
    const char *name, *help;
    size_t offset;
} of_adapter[] = {
    {"nidus_adapter_sent_frames_total", "Frames of the VM that its port let through.",
     offsetof(struct control_counters, frames_sent)},
    {"nidus_adapter_sent_bytes_total", "In bytes.", offsetof(struct control_counters, bytes_sent)},
    {"nidus_adapter_received_frames_total", "Frames that went to the VM.",
     offsetof(struct control_counters, frames_received)},
    {"nidus_adapter_received_bytes_total", "In bytes.", offsetof(struct control_counters, bytes_received)},
};

static void metrics_drops(struct page *page, const struct adapter_sample *adapters, size_t count)
{
    static const char name[] = "nidus_adapter_dropped_frames_total";
    metric(page, name, "counter", "Frames that the port did not let through, by reason.");
    for (size_t i = 0; i < count; i++)
        for (unsigned reason = 0; reason < CONTROL_DROPS; reason++)
            adapter_sample(page, name, &adapters[i], switchboard_drop_reason(reason),
                           adapters[i].counters.dropped[reason]);
}

static void metrics_adapters(struct page *page, struct service *service, const struct vm_view *views, size_t count)
{
    struct adapter_sample *adapters = NULL;
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < views[i].record.adapter_count; j++) {
            const struct vm_adapter *adapter = &views[i].record.adapters[j];
            adapters = value_reallocate(adapters, (found + 1) * sizeof *adapters);
            adapters[found] = (struct adapter_sample){.view = &views[i], .name = adapter->name};
            found += switchboard_counters(service_switchboard(service), adapter->id, &adapters[found].counters);
        }
    for (size_t i = 0; i < ARRAY_SIZE(of_adapter); i++) {
        metric(page, of_adapter[i].name, "counter", of_adapter[i].help);
        for (size_t j = 0; j < found; j++)
            adapter_sample(page, of_adapter[i].name, &adapters[j], NULL,
                           *(const u64 *)(const void *)((const char *)&adapters[j].counters + of_adapter[i].offset));
    }
    metrics_drops(page, adapters, found);
    free(adapters);
}

char *metrics_write(struct service *service, const struct metrics_counts *counts)
{
    struct page page = {0};
    struct vm **vms;
    const size_t count = service_vms(service, &vms);
    struct vm_view *views = value_allocate((count + 1) * sizeof *views);
    for (size_t i = 0; i < count; i++) {
        vm_look(vms[i], &views[i]);
        vm_unref(vms[i]);
    }
    free(vms);
    page.to = open_memstream(&page.text, &page.bytes);
    metric(&page, "nidus_info", "gauge", "Which nidus this is.");
    fprintf(page.to, "nidus_info{version=\"%s\"} 1\n", NIDUS_VERSION);
    metric(&page, "nidus_vms", "gauge", "Virtual machines there are.");
    fprintf(page.to, "nidus_vms %zu\n", count);
    metric(&page, "nidus_cmdlets_total", "counter", "Cmdlets carried out.");
    fprintf(page.to, "nidus_cmdlets_total %llu\n", (unsigned long long)counts->requests);
    metric(&page, "nidus_cmdlet_errors_total", "counter", "Errors they told.");
    fprintf(page.to, "nidus_cmdlet_errors_total %llu\n", (unsigned long long)counts->errors);
    for (size_t i = 0; i < ARRAY_SIZE(of_vm); i++) {
        metric(&page, of_vm[i].name, of_vm[i].type, of_vm[i].help);
        for (size_t j = 0; j < count; j++)
            sample(&page, of_vm[i].name, &views[j], of_vm[i].value(&views[j]));
    }
    metrics_adapters(&page, service, views, count);
    fclose(page.to);
    for (size_t i = 0; i < count; i++)
        vm_view_free(&views[i]);
    free(views);
    return page.text;
}
