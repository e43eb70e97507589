// Where the guest's x87 and vector state is, in the host's registers or in cpu->xsave, and how it moves between them.
#include <cpuid.h>

#include "engine/soft/block.h"
#include "engine/soft/bytes.h"
#include "engine/soft/fpu.h"

// x87, SSE, AVX, and the three of AVX-512. Not AMX: its tile configuration changes what instructions mean; not PKRU.
#define FPU_OFFERED 0xe7ull

u64 fpu_supported_xcr0(void)
{
    u32 low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((u64)high << 32 | low) & FPU_OFFERED;
}

static struct xstate_component component(unsigned number)
{
    u32 bytes, offset, flags, reserved;
    __cpuid_count(0xd, number, bytes, offset, flags, reserved);
    return (struct xstate_component){.offset = (u16)offset, .bytes = (u16)bytes, .aligned = flags & 2};
}

u32 fpu_xsave_bytes(void)
{
    u32 end = sizeof(struct fpu_area);
    u64 supported = fpu_supported_xcr0();
    for (unsigned i = XSTATE_AVX; i < CPU_XSTATE_COMPONENTS; i++) {
        struct xstate_component c = component(i);
        if (supported >> i & 1 && (u32)c.offset + c.bytes > end)
            end = (u32)c.offset + c.bytes;
    }
    return end;
}

// Generated code has addresses of its own: where the last x87 instruction ran as a part of it, the guest must see that
// of its own instruction (in the page that was executed last, which is where it lies but for rare cases), and no host
// address as data.
static void fpu_guest_pointers(struct cpu *cpu)
{
    struct fpu_area *area = fpu_area(cpu);
    struct code_cache *code = cpu->vm->code;
    const u8 *host = (const u8 *)area->fip;
    if (!code || !code_contains(code, host))
        return;
    area->fip = area->fdp = 0;
    const struct block *block = code_block_at(code, host);
    for (u32 i = 0; block && i < block->site_count && block->site[i].host <= (u64)(host - block->host); i++)
        area->fip = cpu->code_base + block->site[i].position;
}

void fpu_save(struct cpu *cpu)
{
    if (!cpu->vector_live)
        return;
    u32 mxcsr = FPU_MXCSR_INIT;
    __asm__ volatile("xsave64 %0" : "+m"(cpu->xsave) : "a"((u32)FPU_OFFERED), "d"(0));
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
    if (fpu_area(cpu)->xstate_bv & ~3ull)
        __asm__ volatile("vzeroupper");
    cpu->vector_live = false;
    fpu_guest_pointers(cpu);
}

void fpu_load(struct cpu *cpu)
{
    if (cpu->vector_live)
        return;
    __asm__ volatile("xrstor64 %0" : : "m"(cpu->xsave), "a"((u32)FPU_OFFERED), "d"(0));
    cpu->vector_live = true;
}

void fpu_init_x87(struct cpu *cpu)
{
    struct fpu_area *area = fpu_area(cpu);
    area->fcw = FPU_FCW_INIT;
    area->fsw = 0;
    area->ftw = 0;
    area->fop = 0;
    area->fip = area->fdp = 0;
    area->xstate_bv |= 1 << XSTATE_X87; // the registers keep their contents
}

// SDM 3A table 10-1: INIT leaves all of it alone, and power-on's x87 state is not FNINIT's.
void fpu_reset(struct cpu *cpu, bool init)
{
    if (init)
        return;
    for (unsigned i = XSTATE_AVX; i < CPU_XSTATE_COMPONENTS; i++)
        if (fpu_supported_xcr0() >> i & 1)
            cpu->xstate[i] = component(i);
    u32 mask = 0xffff;
    struct { u8 bytes[512]; } __attribute__((aligned(16))) fx;
    __asm__ volatile("fxsave64 %0" : "=m"(fx));
    __builtin_memcpy(&mask, fx.bytes + offsetof(struct fpu_area, mxcsr_mask), sizeof mask);
    cpu->vector_live = false;
    bytes_set(cpu->xsave, 0, sizeof cpu->xsave);
    struct fpu_area *area = fpu_area(cpu);
    area->fcw = 0x40;
    area->ftw = 0xff;
    area->mxcsr = FPU_MXCSR_INIT;
    area->mxcsr_mask = mask ? mask : 0xffbf;
    area->xstate_bv = 1 << XSTATE_X87;
}

// Register `reg` lies in up to three pieces: bits 127:0, 255:128 and 511:256, or for 16..31 in one.
struct piece {
    unsigned offset, bytes, component;
};

static unsigned fpu_pieces(const struct cpu *cpu, unsigned reg, struct piece piece[3])
{
    if (reg >= 16) {
        const struct xstate_component *c = &cpu->xstate[XSTATE_HI16_ZMM];
        piece[0] = (struct piece){c->offset + 64 * (reg - 16), c->bytes ? 64 : 0, XSTATE_HI16_ZMM};
        return 1;
    }
    const struct xstate_component *avx = &cpu->xstate[XSTATE_AVX], *zmm = &cpu->xstate[XSTATE_ZMM_HI256];
    piece[0] = (struct piece){(unsigned)offsetof(struct fpu_area, xmm) + 16 * reg, 16, XSTATE_SSE};
    piece[1] = (struct piece){avx->offset + 16 * reg, avx->bytes ? 16 : 0, XSTATE_AVX};
    piece[2] = (struct piece){zmm->offset + 32 * reg, zmm->bytes ? 32 : 0, XSTATE_ZMM_HI256};
    return 3;
}

void fpu_vector_read(const struct cpu *cpu, unsigned reg, void *data, unsigned bytes)
{
    struct piece piece[3];
    unsigned pieces = fpu_pieces(cpu, reg, piece);
    u8 *to = data;
    for (unsigned i = 0; i < pieces && bytes; i++) {
        unsigned part = piece[i].bytes < bytes ? piece[i].bytes : bytes;
        bytes_copy(to, cpu->xsave + piece[i].offset, part);
        to += part;
        bytes -= part;
    }
}

void fpu_vector_write(struct cpu *cpu, unsigned reg, const void *data, unsigned bytes)
{
    struct piece piece[3];
    unsigned pieces = fpu_pieces(cpu, reg, piece);
    const u8 *from = data;
    for (unsigned i = 0; i < pieces; i++) {
        unsigned part = piece[i].bytes < bytes ? piece[i].bytes : bytes;
        bytes_copy(cpu->xsave + piece[i].offset, from, part);
        bytes_set(cpu->xsave + piece[i].offset + part, 0, piece[i].bytes - part);
        if (piece[i].bytes)
            fpu_area(cpu)->xstate_bv |= 1ull << piece[i].component;
        from += part;
        bytes -= part;
    }
}

u64 fpu_mask_read(const struct cpu *cpu, unsigned reg)
{
    return bytes_load(cpu->xsave + cpu->xstate[XSTATE_OPMASK].offset + 8 * reg, 8);
}

void fpu_mask_write(struct cpu *cpu, unsigned reg, u64 value)
{
    bytes_store(cpu->xsave + cpu->xstate[XSTATE_OPMASK].offset + 8 * reg, 8, value);
    fpu_area(cpu)->xstate_bv |= 1ull << XSTATE_OPMASK;
}
