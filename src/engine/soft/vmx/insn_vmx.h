// The instructions of VT-x (SDM 3C chapter 31). Each decides itself about #UD, VM exit and #GP, in this order,
// because here the VM exit comes before the privilege check: their rows in the opcode table carry no flags and no
// intercept.
#pragma once

#include "engine/soft/insn.h"

insn_function insn_vmxon, insn_vmxoff, insn_vmclear, insn_vmptrld, insn_vmptrst, insn_vmread, insn_vmwrite;
insn_function insn_vmlaunch, insn_vmresume, insn_vmcall, insn_vmfunc, insn_invept, insn_invvpid;
