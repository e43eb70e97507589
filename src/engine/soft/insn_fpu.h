// Instructions that move x87 and vector state as a whole, and those that show where in memory code and data are (FIP,
// FDP). The 64 forms (REX.W) are the same functions.
#pragma once

#include "engine/soft/insn.h"

insn_function insn_fxsave;   // FXSAVE FXSAVE64
insn_function insn_fxrstor;  // FXRSTOR FXRSTOR64
insn_function insn_xsave;    // XSAVE XSAVE64
insn_function insn_xsaveopt; // XSAVEOPT XSAVEOPT64
insn_function insn_xsavec;   // XSAVEC XSAVEC64
insn_function insn_xsaves;   // XSAVES XSAVES64
insn_function insn_xrstor;   // XRSTOR XRSTOR64
insn_function insn_xrstors;  // XRSTORS XRSTORS64
insn_function insn_ldmxcsr;  // LDMXCSR VLDMXCSR

insn_function insn_fnsave;
insn_function insn_frstor;
insn_function insn_fnstenv;
insn_function insn_fldenv;
