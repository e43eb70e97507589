// The one table of mnemonics: what class an instruction is, which C function executes it when it is of the system
// class, and what must be asked first (privilege, intercept). Nothing else in nidus knows these facts about an opcode.
#pragma once

#include "engine/soft/insn.h"
#include "engine/soft/intercept.h"

enum opcode_class {
    OPCODE_INVALID, // #UD
    OPCODE_COPY,    // computes on registers and at most one explicit memory operand: re-encoded
    OPCODE_FLOW,    // direct and indirect branches the translator links
    OPCODE_STACK,   // push, pop, leave: memory access through RSP that the translator emits itself
    OPCODE_SYSTEM,  // a C function
};

enum {
    OPCODE_CPL0 = 1 << 0,      // #GP(0) unless CPL is 0 (checked before the intercept, SDM 3C 26.1.1)
    OPCODE_PROTECTED = 1 << 1, // #UD in real and virtual-8086 mode
    OPCODE_CODE64 = 1 << 2,    // #UD outside 64-bit mode
    OPCODE_NOT64 = 1 << 3,     // #UD in 64-bit mode
    OPCODE_LOCKABLE = 1 << 4,  // a system instruction that takes a LOCK prefix
    OPCODE_X87 = 1 << 5,       // #NM with CR0.EM or CR0.TS
    OPCODE_SSE = 1 << 6,       // #UD without CR4.OSFXSR or with CR0.EM, #NM with CR0.TS
    OPCODE_XSAVE = 1 << 7,     // #UD without CR4.OSXSAVE, #NM with CR0.TS
    // goes on with the next instruction, as a rule in the same mode: called from within the block
    OPCODE_STAYS = 1 << 8,
};

struct opcode {
    u8 class;      // enum opcode_class
    u16 flags;     // OPCODE_CPL0...
    u8 intercept;  // enum intercept, asked before the function is called
    insn_function *function;
};

// By ZydisMnemonic. OPCODE_INVALID for what nidus does not offer its guests.
const struct opcode *opcode_find(unsigned mnemonic);
