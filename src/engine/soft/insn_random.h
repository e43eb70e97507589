// Instruction functions of random.c.
#pragma once

#include "engine/soft/insn.h"

insn_function insn_rdrand, insn_rdseed;
