// See vcpu_trace.h. A line goes out by one write(2), so that those of several processors do not mix.
#include "worker/vcpu_trace.h"

#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static u64 vcpu_trace_value(const void *from, unsigned bytes)
{
    u64 value = 0;
    memcpy(&value, from, bytes < sizeof value ? bytes : sizeof value);
    return value;
}

static void vcpu_trace_describe(const struct kvm_run *run, char *text, size_t bytes)
{
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        snprintf(text, bytes, "port %s %#x, %u bytes%s: %#" PRIx64, run->io.direction == KVM_EXIT_IO_OUT ? "out" : "in",
                 run->io.port, run->io.size, run->io.count > 1 ? " (first of several)" : "",
                 vcpu_trace_value((const u8 *)run + run->io.data_offset, run->io.size));
        break;
    case KVM_EXIT_MMIO:
        snprintf(text, bytes, "memory %s %#" PRIx64 ", %u bytes: %#" PRIx64, run->mmio.is_write ? "write" : "read",
                 (u64)run->mmio.phys_addr, run->mmio.len, vcpu_trace_value(run->mmio.data, run->mmio.len));
        break;
    case KVM_EXIT_IOAPIC_EOI:
        snprintf(text, bytes, "end of interrupt, vector %#x", run->eoi.vector);
        break;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        snprintf(text, bytes, "ready for an external interrupt");
        break;
    case KVM_EXIT_INTR:
        snprintf(text, bytes, "interrupted by the host");
        break;
    case KVM_EXIT_SHUTDOWN:
        snprintf(text, bytes, "triple fault");
        break;
    default:
        snprintf(text, bytes, "reason %u", run->exit_reason);
        break;
    }
}

void vcpu_trace_exit(const struct vcpu *vcpu)
{
    char text[128], line[192];
    vcpu_trace_describe(vcpu->run, text, sizeof text);
    int length = snprintf(line, sizeof line, "[vcpu %u] exit  %s\n", vcpu->id, text);
    ssize_t written = write(STDERR_FILENO, line, (size_t)length);
    (void)written; // nobody to tell
}
