// FNSTENV, FLDENV, FNSAVE and FRSTOR: the x87 environment in the layouts of 1987 (SDM 1 8.1.10), which depend on the
// operand size and on protected mode, and hold addresses of code and data, which on the host are not the guest's.
#include "engine/soft/access.h"
#include "engine/soft/bytes.h"
#include "engine/soft/fpu.h"
#include "engine/soft/insn_fpu.h"

enum { FSW_TOP_SHIFT = 11, FSW_ES = 1 << 7, FSW_B = 1 << 15, FCW_MASKS = 0x3f, FCW_FIXED = 0x40, FCW_USED = 0x1f7f };
enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };
enum { ENVIRONMENT_WORDS = 7, ST_BYTES = 10 };

static unsigned top(u16 fsw) { return fsw >> FSW_TOP_SHIFT & 7; }

// The full tag of a register's contents (SDM 1 8.1.7).
static unsigned tag_of(const u8 st[16])
{
    u64 mantissa = bytes_load(st, 8);
    unsigned exponent = (unsigned)bytes_load(st + 8, 2) & 0x7fff;
    if (exponent == 0)
        return mantissa ? TAG_SPECIAL : TAG_ZERO;
    return exponent == 0x7fff || !(mantissa >> 63) ? TAG_SPECIAL : TAG_VALID;
}

static u16 full_tags(const struct fpu_area *area)
{
    unsigned tags = 0;
    for (unsigned i = 0; i < 8; i++) { // physical registers; the area holds them from the top of stack on
        unsigned tag = area->ftw >> i & 1 ? tag_of(area->st[(i - top(area->fsw)) & 7]) : TAG_EMPTY;
        tags |= tag << 2 * i;
    }
    return (u16)tags;
}

static u8 abridged_tags(u16 tags)
{
    unsigned result = 0;
    for (unsigned i = 0; i < 8; i++)
        result |= (unsigned)((tags >> 2 * i & 3) != TAG_EMPTY) << i;
    return (u8)result;
}

static unsigned environment_bytes(const struct insn *insn) { return insn->operand_size == 2 ? 14 : 28; }

static bool real_format(const struct cpu *cpu) { return !cpu_protected(cpu) || cpu_v8086(cpu); }

static void environment_store(const struct cpu *cpu, const struct insn *insn, const struct fpu_area *area, u8 *image)
{
    u32 ip = (u32)area->fip, dp = (u32)area->fdp;
    bool real = real_format(cpu), wide = insn->operand_size != 2;
    u32 word[ENVIRONMENT_WORDS] = {area->fcw, area->fsw, full_tags(area), ip, 0, dp, 0};
    if (real) {
        word[4] = (wide ? ip >> 16 : ip >> 16 & 0xf) << 12 | (area->fop & 0x7ff);
        word[6] = (wide ? dp >> 16 : dp >> 16 & 0xf) << 12;
        word[3] &= 0xffff;
        word[5] &= 0xffff;
    } else if (wide) {
        word[4] = (u32)(area->fop & 0x7ff) << 16;
    }
    u32 reserved = 0xffff0000; // what processors store there
    word[0] |= reserved;
    word[1] |= reserved;
    word[2] |= reserved;
    if (real) {
        word[3] |= reserved;
        word[5] |= reserved;
    } else {
        word[6] |= reserved;
    }
    for (unsigned i = 0; i < ENVIRONMENT_WORDS; i++)
        bytes_store(image + (wide ? 4 : 2) * i, wide ? 4 : 2, word[i]);
}

static void environment_load(struct cpu *cpu, const struct insn *insn, struct fpu_area *area, const u8 *image)
{
    bool wide = insn->operand_size != 2, real = real_format(cpu);
    u32 word[ENVIRONMENT_WORDS];
    for (unsigned i = 0; i < ENVIRONMENT_WORDS; i++)
        word[i] = (u32)bytes_load(image + (wide ? 4 : 2) * i, wide ? 4 : 2);
    unsigned old_top = top(area->fsw);
    area->fcw = (u16)((word[0] & FCW_USED) | FCW_FIXED);
    area->fsw = (u16)(word[1] & ~(FSW_ES | FSW_B));
    if (area->fsw & ~area->fcw & FCW_MASKS)
        area->fsw |= FSW_ES | FSW_B;
    area->ftw = abridged_tags((u16)word[2]);
    area->fip = real ? (word[3] & 0xffff) | (word[4] >> 12 & 0xffff) << 16 : word[3];
    area->fdp = real ? (word[5] & 0xffff) | (word[6] >> 12 & 0xffff) << 16 : word[5];
    area->fop = (u16)(real ? word[4] & 0x7ff : wide ? word[4] >> 16 & 0x7ff : area->fop);
    area->xstate_bv |= 1 << XSTATE_X87;

    // The registers themselves stay: what the area calls ST(0) is another one now.
    u8 old[8][16];
    bytes_copy(old, area->st, sizeof old);
    for (unsigned i = 0; i < 8; i++)
        bytes_copy(area->st[i], old[(i + top(area->fsw) - old_top) & 7], 16);
}

// FLDENV and FRSTOR wait for a pending exception first (SDM 1 8.6).
static void wait_pending(struct cpu *cpu)
{
    if (fpu_area(cpu)->fsw & FSW_ES && cpu->cr0 & CR0_NE)
        cpu_raise(cpu, VECTOR_MF);
}

void insn_fnstenv(struct cpu *cpu, const struct insn *insn)
{
    u8 image[28];
    fpu_save(cpu);
    struct fpu_area *area = fpu_area(cpu);
    unsigned bytes = environment_bytes(insn);
    environment_store(cpu, insn, area, image);
    access_write_block(cpu, operand_linear(cpu, insn, 0, bytes, ACCESS_WRITE), image, bytes);
    area->fcw |= FCW_MASKS;
    area->fsw &= (u16)~(FSW_ES | FSW_B); // nothing is unmasked any more
    area->xstate_bv |= 1 << XSTATE_X87;
}

void insn_fldenv(struct cpu *cpu, const struct insn *insn)
{
    u8 image[28];
    fpu_save(cpu);
    wait_pending(cpu);
    unsigned bytes = environment_bytes(insn);
    access_read_block(cpu, operand_linear(cpu, insn, 0, bytes, ACCESS_READ), image, bytes);
    environment_load(cpu, insn, fpu_area(cpu), image);
}

void insn_fnsave(struct cpu *cpu, const struct insn *insn)
{
    u8 image[28 + 8 * ST_BYTES];
    fpu_save(cpu);
    struct fpu_area *area = fpu_area(cpu);
    unsigned bytes = environment_bytes(insn);
    environment_store(cpu, insn, area, image);
    for (unsigned i = 0; i < 8; i++)
        bytes_copy(image + bytes + ST_BYTES * i, area->st[i], ST_BYTES);
    bytes += 8 * ST_BYTES;
    access_write_block(cpu, operand_linear(cpu, insn, 0, bytes, ACCESS_WRITE), image, bytes);

    u8 old[8][16]; // FNINIT makes physical register 0 the top of stack
    unsigned old_top = top(area->fsw);
    bytes_copy(old, area->st, sizeof old);
    for (unsigned i = 0; i < 8; i++)
        bytes_copy(area->st[i], old[(i - old_top) & 7], 16);
    fpu_init_x87(cpu);
}

void insn_frstor(struct cpu *cpu, const struct insn *insn)
{
    u8 image[28 + 8 * ST_BYTES];
    fpu_save(cpu);
    wait_pending(cpu);
    struct fpu_area *area = fpu_area(cpu);
    unsigned head = environment_bytes(insn), bytes = head + 8 * ST_BYTES;
    access_read_block(cpu, operand_linear(cpu, insn, 0, bytes, ACCESS_READ), image, bytes);
    environment_load(cpu, insn, area, image);
    for (unsigned i = 0; i < 8; i++) {
        bytes_set(area->st[i], 0, 16);
        bytes_copy(area->st[i], image + head + ST_BYTES * i, ST_BYTES);
    }
}
