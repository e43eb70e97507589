// Instruction functions of far.c: control transfers that load CS.
#pragma once

#include "engine/soft/insn.h"

insn_function insn_jmp_far, insn_call_far; // OPERAND_FAR, or a memory operand m16:16, m16:32, m16:64
insn_function insn_ret_far;                // with an optional immediate
insn_function insn_iret;                   // IRET, IRETD, IRETQ by operand size
insn_function insn_int, insn_int3, insn_int1, insn_into;
