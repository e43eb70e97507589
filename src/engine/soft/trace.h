// What the virtual CPU does, one line an event, for people who debug hypervisors (--trace). Lines go out whole, with
// write(2), so that those of several vCPUs do not mix.
#pragma once

#include "engine/soft/vm.h"

void trace_line(struct cpu *cpu, const char *room, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define trace_on(cpu, which) UNLIKELY((cpu)->vm->config.trace & (which))
#define trace_exits(cpu, ...) (trace_on(cpu, ENGINE_TRACE_EXITS) ? trace_line(cpu, "exit", __VA_ARGS__) : (void)0)
#define trace_faults(cpu, ...) (trace_on(cpu, ENGINE_TRACE_FAULTS) ? trace_line(cpu, "fault", __VA_ARGS__) : (void)0)
#define trace_blocks(cpu, ...) (trace_on(cpu, ENGINE_TRACE_BLOCKS) ? trace_line(cpu, "block", __VA_ARGS__) : (void)0)
