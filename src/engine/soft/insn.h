// One decoded guest instruction of the system class, as its C function sees it. Kept with the block that contains it,
// so that a system instruction is decoded once however often it runs.
#pragma once

#include "base/types.h"

struct cpu;
struct insn;

// Executes one instruction. On entry cpu->rip is the instruction's own and cpu->next_rip the following one; the caller
// makes next_rip the new rip on return, so flow is changed by writing next_rip. All of cpu->gpr and cpu->rflags are
// current. Faults leave by cpu_raise, which does not return. Guest vector registers may be live in the host's: no
// vector code, no libc that has any, unless fpu_save was called first.
typedef void insn_function(struct cpu *cpu, const struct insn *insn);

enum operand_kind { OPERAND_NONE, OPERAND_GPR, OPERAND_HIGH_BYTE, OPERAND_SEGMENT, OPERAND_CONTROL, OPERAND_DEBUG,
                    OPERAND_VECTOR, OPERAND_MMX, OPERAND_X87, OPERAND_MASK, OPERAND_MEMORY, OPERAND_IMMEDIATE,
                    OPERAND_FAR };

enum { INSN_NO_REGISTER = 0xff, INSN_RIP = 0xfe };

struct operand {
    u8 kind;     // enum operand_kind
    u8 size;     // bytes; 0 for memory operands that have none (LEA, INVLPG, XSAVE area)
    u8 reg;      // register number of its class, 0..31; OPERAND_HIGH_BYTE: 0..3 for AH CH DH BH
    // OPERAND_MEMORY:
    u8 segment;  // enum segment_index; the default or the override
    u8 base;     // GPR number, INSN_NO_REGISTER, or INSN_RIP (displacement is relative to the next instruction)
    u8 index;    // GPR number (vector number with VSIB) or INSN_NO_REGISTER
    u8 scale;    // 1, 2, 4, 8
    // OPERAND_FAR: selector; immediate value or offset in `value`
    u16 selector;
    s64 value;   // displacement, immediate (sign-extended as the manual says), or relative branch offset
};

enum { INSN_REP = 1 << 0, INSN_REPNE = 1 << 1, INSN_LOCK = 1 << 2 };

enum { INSN_OPERANDS = 4 };

struct opcode;

struct insn {
    const struct opcode *opcode;
    u16 mnemonic;     // ZydisMnemonic
    u8 length;        // bytes, 1..15
    u8 operand_size;  // effective, bytes: 2, 4, 8
    u8 address_size;  // effective, bytes: 2, 4, 8
    u8 prefixes;      // INSN_REP...
    u8 vector_length; // bytes: 16, 32, 64 for VEX/EVEX instructions, else 0
    u8 count;         // explicit operands in `operand`
    u8 mask;          // EVEX opmask register, 0: none
    bool mask_zero;   // EVEX.z
    bool code64;      // the code segment is a 64-bit one
    bool vex;         // VEX or EVEX encoded
    struct operand operand[INSN_OPERANDS];
    u8 bytes[15];     // the encoding, for x87 opcode fields, traces and VM-exit instruction information
};
