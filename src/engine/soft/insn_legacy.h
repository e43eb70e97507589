// Instructions that cannot be re-encoded for the host: no 64-bit form, or an implicit memory operand.
#pragma once

#include "engine/soft/insn.h"

insn_function insn_aaa;
insn_function insn_aad;
insn_function insn_aam;
insn_function insn_aas;
insn_function insn_daa;
insn_function insn_das;
insn_function insn_salc;
insn_function insn_bound;
insn_function insn_pusha; // PUSHA PUSHAD
insn_function insn_popa;  // POPA POPAD
insn_function insn_enter;
insn_function insn_xlat;
insn_function insn_maskmovq;
insn_function insn_maskmovdqu; // MASKMOVDQU VMASKMOVDQU

// Cache lines: no data moves, but addresses are checked where the manual says so.
insn_function insn_prefetch; // every PREFETCH*, CLDEMOTE: never a fault
insn_function insn_clflush;  // CLFLUSH CLFLUSHOPT CLWB
