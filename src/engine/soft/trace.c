// See trace.h.
#include "engine/soft/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/soft/fpu.h"
#include "engine/soft/vmx/vmx.h"

__attribute__((format(printf, 3, 0)))
static void trace_write(const struct cpu *cpu, const char *room, const char *format, va_list arguments)
{
    fpu_save((struct cpu *)(uintptr_t)cpu); // stdio has vector code
    char line[512];
    int used = snprintf(line, sizeof line, "[vcpu %u] %-5s ", cpu->id, room);
    int more = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    size_t length = (size_t)used + (size_t)(more < 0 ? 0 : more);
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    line[length] = '\n';
    ssize_t written = write(cpu->vm->config.trace_fd < 0 ? STDERR_FILENO : cpu->vm->config.trace_fd, line, length + 1);
    (void)written; // nobody to tell
}

void trace_line(struct cpu *cpu, const char *room, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    trace_write(cpu, room, format, arguments);
    va_end(arguments);
}

void trace_vmx(const struct cpu *cpu, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    trace_write(cpu, "vmx", format, arguments);
    va_end(arguments);
}
