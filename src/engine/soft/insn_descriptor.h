// Instruction functions of descriptor.c: descriptor-table registers, segment registers, and questions about selectors.
#pragma once

#include "engine/soft/insn.h"

insn_function insn_lgdt, insn_sgdt, insn_lidt, insn_sidt;
insn_function insn_lldt, insn_sldt, insn_ltr, insn_str;
insn_function insn_verr, insn_verw, insn_lar, insn_lsl, insn_arpl;
insn_function insn_mov_sreg;                 // either direction
insn_function insn_push_sreg, insn_pop_sreg;
insn_function insn_lds, insn_les, insn_lfs, insn_lgs, insn_lss;
