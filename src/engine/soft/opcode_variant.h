// Mnemonics that Zydis gives to more than one kind of instruction, told apart by their operands.
#pragma once

#include <Zydis/Zydis.h>

#include "engine/soft/opcode.h"

enum opcode_variant {
    OPCODE_MOV_CR, OPCODE_MOV_DR, OPCODE_MOV_SREG, OPCODE_PUSH_SREG, OPCODE_POP_SREG, OPCODE_JMP_FAR, OPCODE_CALL_FAR,
    OPCODE_RET_FAR,
};

// The table's entry for a decoded instruction.
const struct opcode *opcode_of(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand);
