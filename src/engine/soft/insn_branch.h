// Near branches and the stack in code segments that generated code does not serve (branch.c).
#pragma once

#include "engine/soft/insn.h"

insn_function insn_jmp, insn_jcc, insn_call, insn_ret, insn_loop, insn_jcxz; // near
insn_function insn_push, insn_pop, insn_leave;
