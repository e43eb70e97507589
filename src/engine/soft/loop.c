// Loops: a block that ends where it began. When such a branch has been taken often enough, the loop is translated once
// more, several rounds in a row (MODE_LOOP), and the branch leads there from then on. Then one poll serves several
// rounds, and, what counts more, so does one probe: the accesses of an array's neighbouring elements lie around one
// base and share a span (span.c).
//
// Rounds are copies of decoded instructions. The branch between two of them is either no branch any more or the
// opposite one, which leaves; the last round's is the loop's. Each copy keeps its position in the guest's code, so a
// fault or an exit in any of them is the guest's own.
#include "engine/soft/translate.h"

enum { LOOP_ROUNDS = 8 };

bool loop_closes(const struct translation *t, const struct decoded *d)
{
    bool direct = d->operand[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    if (d->opcode->class != OPCODE_FLOW || !direct || !flow_inline(t, d))
        return false;
    bool jump = d->zydis.mnemonic == ZYDIS_MNEMONIC_JMP || flow_is_backward_condition(d);
    return jump && flow_target(d) == t->insn[0].position;
}

static bool loop_repeats(const struct decoded *d)
{
    return d->opcode->class == OPCODE_COPY || d->opcode->class == OPCODE_FLOW || d->opcode->class == OPCODE_STACK;
}

void loop_unroll(struct translation *t)
{
    unsigned round = t->count, rounds = TRANSLATE_INSNS / round;
    for (unsigned i = 0; i < round; i++)
        if (!loop_repeats(&t->insn[i]))
            return;
    rounds = rounds < LOOP_ROUNDS ? rounds : LOOP_ROUNDS;
    for (; t->count < rounds * round; t->count++) {
        t->insn[t->count] = t->insn[t->count - round];
        t->insn[t->count - round].through = loop_closes(t, &t->insn[t->count - round]);
    }
}
