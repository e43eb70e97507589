// Instruction functions of msr.c and cpuid.c.
#pragma once

#include "engine/soft/insn.h"

insn_function insn_rdmsr, insn_wrmsr, insn_cpuid;
