// FXSAVE, FXRSTOR and the XSAVE family as instructions, between cpu->xsave and the guest's memory (SDM 1 10.5 and 13.7
// to 13.12). The guest's area has the host's layout (CPUID leaf 0DH is the host's), but which components are in it, and
// where, is up to the guest's XCR0 and the form: so components are moved one by one, never the area as a whole. All
// checks come before all effects.
#include "engine/soft/access.h"
#include "engine/soft/bytes.h"
#include "engine/soft/fpu.h"
#include "engine/soft/insn_fpu.h"

#define XCOMP_COMPACTED (1ull << 63)

enum { X87_HEAD = 24, MXCSR_AT = 24, ST_AT = 32, XMM_AT = 160, HEADER_AT = 512, AREA_AT = 576, FXSAVE_BYTES = 512 };

// The operand of one instruction, and what of the state it moves.
struct area {
    u64 linear;
    u64 requested; // RFBM: EDX:EAX and what is enabled
    unsigned xmm;  // registers of 16 bits 128 that exist in this mode
    bool wide;     // REX.W: 64-bit FIP and FDP
    bool compacted;
    u64 present;   // compacted: XCOMP_BV
};

static bool insn_wide(const struct insn *insn)
{
    unsigned escape = 0;
    while (escape < insn->length && insn->bytes[escape] != 0x0f)
        escape++;
    // REX counts only right before the opcode
    return insn->code64 && escape && (insn->bytes[escape - 1] & 0xf8) == 0x48;
}

// Checks every page of the range: access_check takes what an operand may span.
static void area_check(struct cpu *cpu, u64 linear, unsigned bytes, enum access access)
{
    while (bytes) {
        unsigned part = PAGE_BYTES - (unsigned)(linear & (PAGE_BYTES - 1));
        part = part < bytes ? part : bytes;
        access_check(cpu, linear, part, access);
        linear += part;
        bytes -= part;
    }
}

static struct area area_operand(struct cpu *cpu, const struct insn *insn, unsigned alignment, unsigned bytes,
                                enum access access)
{
    if (operand_linear(cpu, insn, 0, 1, access) & (alignment - 1)) // where it begins is looked at before where it ends
        cpu_raise_code(cpu, VECTOR_GP, 0);
    struct area area = {
        .linear = operand_linear(cpu, insn, 0, bytes, access),
        .requested = cpu->gpr[RDX] << 32 | (u32)cpu->gpr[RAX],
        .xmm = insn->code64 ? 16 : 8,
        .wide = insn_wide(insn),
    };
    return area;
}

// Bytes of component `i` that this mode moves: outside 64-bit mode registers 8 and up do not exist (SDM 1 13.5).
static unsigned component_used(const struct cpu *cpu, const struct area *area, unsigned i)
{
    unsigned bytes = cpu->xstate[i].bytes;
    if (area->xmm == 16 || i == XSTATE_OPMASK)
        return bytes;
    return i == XSTATE_HI16_ZMM ? 0 : bytes / 2;
}

// Offset of component `i` >= 2 in the guest's area.
static unsigned component_offset(const struct cpu *cpu, const struct area *area, unsigned i)
{
    if (!area->compacted)
        return cpu->xstate[i].offset;
    unsigned offset = AREA_AT;
    for (unsigned j = XSTATE_AVX; j <= i; j++) {
        if (!(area->present >> j & 1))
            continue;
        if (cpu->xstate[j].aligned)
            offset = (unsigned)align_up(offset, 64);
        if (j < i)
            offset += cpu->xstate[j].bytes;
    }
    return offset;
}

// Processors check the whole of each component, also where this mode does not move it all.
static unsigned area_end(const struct cpu *cpu, const struct area *area, u64 components)
{
    unsigned end = AREA_AT;
    for (unsigned i = XSTATE_AVX; i < CPU_XSTATE_COMPONENTS; i++) {
        unsigned last = component_offset(cpu, area, i) + cpu->xstate[i].bytes;
        if (components >> i & 1 && last > end)
            end = last;
    }
    return end;
}

// Checks what of the area is accessed: the legacy region only if something of it is, the header, and the components.
static void area_check_parts(struct cpu *cpu, const struct area *area, bool legacy, u64 components, enum access access)
{
    unsigned start = legacy ? 0 : HEADER_AT;
    area_check(cpu, area->linear + start, area_end(cpu, area, components) - start, access);
}

// The first 24 bytes as FXSAVE stores them: without REX.W the pointers are offset and selector, the latter deprecated
// (zero).
static void x87_head(const struct cpu *cpu, const struct area *area, u8 head[X87_HEAD])
{
    struct fpu_area copy;
    bytes_copy(&copy, cpu->xsave, X87_HEAD);
    if (!area->wide) {
        copy.fip = (u32)copy.fip;
        copy.fdp = (u32)copy.fdp;
    }
    bytes_copy(head, &copy, X87_HEAD);
}

static void store_legacy(struct cpu *cpu, const struct area *area, bool x87, bool mxcsr, bool sse)
{
    if (x87) {
        u8 head[X87_HEAD];
        x87_head(cpu, area, head);
        access_write_block(cpu, area->linear, head, X87_HEAD);
        access_write_block(cpu, area->linear + ST_AT, cpu->xsave + ST_AT, XMM_AT - ST_AT);
    }
    if (mxcsr)
        access_write_block(cpu, area->linear + MXCSR_AT, cpu->xsave + MXCSR_AT, ST_AT - MXCSR_AT);
    if (sse)
        access_write_block(cpu, area->linear + XMM_AT, cpu->xsave + XMM_AT, 16 * area->xmm);
}

static void store_components(struct cpu *cpu, const struct area *area, u64 components)
{
    for (unsigned i = XSTATE_AVX; i < CPU_XSTATE_COMPONENTS; i++)
        if (components >> i & 1 && component_used(cpu, area, i))
            access_write_block(cpu, area->linear + component_offset(cpu, area, i), cpu->xsave + cpu->xstate[i].offset,
                               component_used(cpu, area, i));
}

static void load_x87(struct cpu *cpu, const struct area *area, const u8 *image)
{
    struct fpu_area *fpu = fpu_area(cpu);
    bytes_copy(fpu, image, X87_HEAD);
    bytes_copy(fpu->st, image + ST_AT, sizeof fpu->st);
    fpu->reserved = 0;
    if (!area->wide) {
        fpu->fip = (u32)fpu->fip;
        fpu->fdp = (u32)fpu->fdp;
    }
    fpu->xstate_bv |= 1 << XSTATE_X87;
}

static void load_sse(struct cpu *cpu, const struct area *area, const u8 *image)
{
    bytes_copy(fpu_area(cpu)->xmm, image + XMM_AT, 16 * area->xmm);
    fpu_area(cpu)->xstate_bv |= 1 << XSTATE_SSE;
}

static void check_mxcsr(struct cpu *cpu, u32 mxcsr)
{
    if (mxcsr & ~fpu_area(cpu)->mxcsr_mask)
        cpu_raise_code(cpu, VECTOR_GP, 0);
}

static void set_mxcsr(struct cpu *cpu, u32 mxcsr) { fpu_area(cpu)->mxcsr = mxcsr; }

void insn_fxsave(struct cpu *cpu, const struct insn *insn)
{
    fpu_save(cpu);
    struct area area = area_operand(cpu, insn, 16, FXSAVE_BYTES, ACCESS_WRITE);
    area_check(cpu, area.linear, FXSAVE_BYTES, ACCESS_WRITE);
    store_legacy(cpu, &area, true, true, true);
}

void insn_fxrstor(struct cpu *cpu, const struct insn *insn)
{
    u8 image[FXSAVE_BYTES];
    fpu_save(cpu);
    struct area area = area_operand(cpu, insn, 16, FXSAVE_BYTES, ACCESS_READ);
    area_check(cpu, area.linear, FXSAVE_BYTES, ACCESS_READ);
    access_read_block(cpu, area.linear, image, sizeof image);
    u32 mxcsr = (u32)bytes_load(image + MXCSR_AT, 4);
    check_mxcsr(cpu, mxcsr);
    load_x87(cpu, &area, image);
    set_mxcsr(cpu, mxcsr);
    load_sse(cpu, &area, image);
}

// XINUSE. Outside 64-bit mode registers 16 to 31 do not exist, so their component is in its initial configuration.
static u64 components_in_use(struct cpu *cpu, const struct area *area)
{
    return fpu_area(cpu)->xstate_bv & ~(area->xmm == 16 ? 0 : 1ull << XSTATE_HI16_ZMM);
}

// XSAVE and XSAVEOPT (SDM 1 13.7, 13.9). Leaving out what is unmodified is a licence, not a duty, and is not taken.
static void save_standard(struct cpu *cpu, const struct insn *insn, bool optimized)
{
    fpu_save(cpu);
    struct area area = area_operand(cpu, insn, 64, AREA_AT, ACCESS_WRITE);
    area.requested &= cpu->xcr0;
    u64 in_use = components_in_use(cpu, &area);
    u64 stored = area.requested & (optimized ? in_use : ~0ull);
    u64 checked = area.requested & (optimized ? fpu_area(cpu)->xstate_bv : ~0ull); // in 32-bit code more than is stored
    bool mxcsr = area.requested & (1 << XSTATE_SSE | 1 << XSTATE_AVX);
    area_check_parts(cpu, &area, mxcsr || stored & 1 << XSTATE_X87, checked, ACCESS_WRITE);
    u64 header = access_read(cpu, area.linear + HEADER_AT, 8);
    store_legacy(cpu, &area, stored & 1 << XSTATE_X87, mxcsr, stored & 1 << XSTATE_SSE);
    store_components(cpu, &area, stored);
    access_write(cpu, area.linear + HEADER_AT, 8, (header & ~area.requested) | (in_use & area.requested));
}

void insn_xsave(struct cpu *cpu, const struct insn *insn) { save_standard(cpu, insn, false); }
void insn_xsaveopt(struct cpu *cpu, const struct insn *insn) { save_standard(cpu, insn, true); }

// XSAVEC and XSAVES (SDM 1 13.10, 13.11).
static void save_compacted(struct cpu *cpu, const struct insn *insn, u64 enabled)
{
    fpu_save(cpu);
    struct area area = area_operand(cpu, insn, 64, AREA_AT, ACCESS_WRITE);
    area.requested &= enabled;
    area.compacted = true;
    area.present = area.requested;
    u64 stored = area.requested & components_in_use(cpu, &area);
    if (fpu_area(cpu)->mxcsr != FPU_MXCSR_INIT)
        stored |= area.requested & 1 << XSTATE_SSE;
    u64 checked = stored | (area.requested & fpu_area(cpu)->xstate_bv);
    area_check_parts(cpu, &area, stored & (1 << XSTATE_X87 | 1 << XSTATE_SSE), checked, ACCESS_WRITE);
    store_legacy(cpu, &area, stored & 1 << XSTATE_X87, stored & 1 << XSTATE_SSE, stored & 1 << XSTATE_SSE);
    store_components(cpu, &area, stored);
    access_write(cpu, area.linear + HEADER_AT, 8, stored);
    access_write(cpu, area.linear + HEADER_AT + 8, 8, area.requested | XCOMP_COMPACTED);
}

void insn_xsavec(struct cpu *cpu, const struct insn *insn) { save_compacted(cpu, insn, cpu->xcr0); }
void insn_xsaves(struct cpu *cpu, const struct insn *insn) { save_compacted(cpu, insn, cpu->xcr0 | cpu->msr.xss); }

// Reads the header and refuses what the manual refuses (SDM 1 13.8, 13.12). Returns XSTATE_BV.
static u64 restore_header(struct cpu *cpu, struct area *area, u64 enabled, bool supervisor)
{
    u64 header[8];
    bool legacy = area->requested & enabled & (1 << XSTATE_X87 | 1 << XSTATE_SSE | 1 << XSTATE_AVX);
    area_check(cpu, area->linear + (legacy ? 0 : HEADER_AT), legacy ? AREA_AT : sizeof header, ACCESS_READ);
    access_read_block(cpu, area->linear + HEADER_AT, header, sizeof header);
    area->compacted = header[1] & XCOMP_COMPACTED;
    area->present = header[1] & ~XCOMP_COMPACTED;
    bool bad = area->compacted ? area->present & ~enabled || header[0] & ~area->present
                               : supervisor || header[0] & ~enabled || header[1] || header[2];
    for (unsigned i = 2; area->compacted && i < ARRAY_SIZE(header); i++)
        bad |= header[i] != 0;
    if (bad)
        cpu_raise_code(cpu, VECTOR_GP, 0);
    return header[0];
}

// Component `i` >= 2 to its initial configuration, which is all zeroes.
static void component_clear(struct cpu *cpu, const struct area *area, unsigned i)
{
    bytes_set(cpu->xsave + cpu->xstate[i].offset, 0, component_used(cpu, area, i));
    if (component_used(cpu, area, i) == cpu->xstate[i].bytes)
        fpu_area(cpu)->xstate_bv &= ~(1ull << i);
}

static void restore_legacy(struct cpu *cpu, const struct area *area, u64 requested, u64 state, const u8 *image)
{
    struct fpu_area *fpu = fpu_area(cpu);
    if (requested & state & 1 << XSTATE_X87) {
        load_x87(cpu, area, image);
    } else if (requested & 1 << XSTATE_X87) {
        fpu_init_x87(cpu);
        bytes_set(fpu->st, 0, sizeof fpu->st);
        fpu->xstate_bv &= ~(1ull << XSTATE_X87);
    }
    if (requested & state & 1 << XSTATE_SSE) {
        load_sse(cpu, area, image);
    } else if (requested & 1 << XSTATE_SSE) {
        bytes_set(fpu->xmm, 0, 16 * area->xmm);
        if (area->xmm == 16)
            fpu->xstate_bv &= ~(1ull << XSTATE_SSE);
    }
}

static void restore(struct cpu *cpu, const struct insn *insn, u64 enabled, bool supervisor)
{
    u8 image[CPU_XSAVE_BYTES];
    fpu_save(cpu);
    struct area area = area_operand(cpu, insn, 64, AREA_AT, ACCESS_READ);
    u64 requested = area.requested & enabled;
    u64 state = restore_header(cpu, &area, enabled, supervisor);
    // The standard form loads MXCSR with either SSE or AVX whatever XSTATE_BV says, the compacted form as a part of
    // SSE.
    u64 owners = area.compacted ? 1 << XSTATE_SSE : 1 << XSTATE_SSE | 1 << XSTATE_AVX;
    bool init = area.compacted && !(state & 1 << XSTATE_SSE);
    bool legacy = requested & state & (1 << XSTATE_X87 | 1 << XSTATE_SSE) || (requested & owners && !init);
    unsigned start = legacy ? 0 : HEADER_AT, end = area_end(cpu, &area, requested & state);
    area_check_parts(cpu, &area, legacy, requested & state, ACCESS_READ);
    access_read_block(cpu, area.linear + start, image + start, end - start);
    u32 mxcsr = init ? FPU_MXCSR_INIT : (u32)bytes_load(image + MXCSR_AT, 4);
    if (requested & owners) {
        check_mxcsr(cpu, mxcsr);
        set_mxcsr(cpu, mxcsr);
    }
    restore_legacy(cpu, &area, requested, state, image);
    for (unsigned i = XSTATE_AVX; i < CPU_XSTATE_COMPONENTS; i++) {
        if (!(requested >> i & 1) || !cpu->xstate[i].bytes)
            continue;
        if (state >> i & 1) {
            bytes_copy(cpu->xsave + cpu->xstate[i].offset, image + component_offset(cpu, &area, i),
                       component_used(cpu, &area, i));
            fpu_area(cpu)->xstate_bv |= 1ull << i;
        } else {
            component_clear(cpu, &area, i);
        }
    }
}

void insn_xrstor(struct cpu *cpu, const struct insn *insn) { restore(cpu, insn, cpu->xcr0, false); }
void insn_xrstors(struct cpu *cpu, const struct insn *insn) { restore(cpu, insn, cpu->xcr0 | cpu->msr.xss, true); }

void insn_ldmxcsr(struct cpu *cpu, const struct insn *insn)
{
    fpu_save(cpu);
    u32 mxcsr = (u32)operand_read(cpu, insn, 0);
    check_mxcsr(cpu, mxcsr);
    set_mxcsr(cpu, mxcsr);
}
