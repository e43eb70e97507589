// String instructions, one function a family: the element size is in the encoding (opcode bit 0, operand size). Mind
// that MOVSD and CMPSD name SSE2 instructions too; those are not meant (their Zydis category is not STRINGOP).
#pragma once

#include "engine/soft/insn.h"

insn_function insn_movs; // MOVSB MOVSW MOVSD MOVSQ
insn_function insn_cmps; // CMPSB CMPSW CMPSD CMPSQ
insn_function insn_stos; // STOSB STOSW STOSD STOSQ
insn_function insn_lods; // LODSB LODSW LODSD LODSQ
insn_function insn_scas; // SCASB SCASW SCASD SCASQ
