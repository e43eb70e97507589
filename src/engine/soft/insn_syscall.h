// Instruction functions of syscall.c: the fast ways between user and kernel, and the bases of FS and GS.
#pragma once

#include "engine/soft/insn.h"

insn_function insn_syscall, insn_sysret, insn_sysenter, insn_sysexit, insn_swapgs;
insn_function insn_rdfsbase, insn_rdgsbase, insn_wrfsbase, insn_wrgsbase;
