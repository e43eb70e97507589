// Port I/O instructions. Their effect is a KVM_EXIT_IO to the board (io.h).
#pragma once

#include "engine/soft/insn.h"

insn_function insn_in;
insn_function insn_out;
insn_function insn_ins;  // INSB INSW INSD
insn_function insn_outs; // OUTSB OUTSW OUTSD
