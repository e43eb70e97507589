// See metrics.h.
#include "service/metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/version.h"
#include "cmdlet/value.h"
#include "service/service.h"

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
    fclose(page.to);
    for (size_t i = 0; i < count; i++)
        vm_view_free(&views[i]);
    free(views);
    return page.text;
}
