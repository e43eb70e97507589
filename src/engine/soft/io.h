// Port I/O as an exit to the board. OUT and OUTS have retired when KVM_RUN returns with KVM_EXIT_IO; IN and INS retire
// when KVM_RUN is called again with the data in the run area.
#pragma once

#include "engine/soft/cpu.h"

enum { IO_DATA_OFFSET = PAGE_BYTES, IO_DATA_BYTES = PAGE_BYTES }; // of the run area: the data of KVM_EXIT_IO

// The run loop, at the start of KVM_RUN and where a fault may be raised: finishes the IN or INS that KVM_RUN returned
// with.
void io_complete(struct cpu *cpu);
