// The guest's x87, SSE, AVX and AVX-512 state stays in the host's registers while the engine's C runs, which is why
// that C is compiled without vector registers. Whoever needs them (the translator's libraries, leaving KVM_RUN,
// instructions that read or write vector state as data) first calls fpu_save; the run loop loads the state again before
// guest code.
#pragma once

#include "engine/soft/cpu.h"

// host registers -> cpu->xsave (standard XSAVE format), host gets its own defaults; no-op when not live
void fpu_save(struct cpu *cpu);
void fpu_load(struct cpu *cpu); // the reverse
void fpu_reset(struct cpu *cpu, bool init);
u32 fpu_xsave_bytes(void);      // of the host's area for the states nidus offers
u64 fpu_supported_xcr0(void);   // host's XCR0 less what nidus does not offer (AMX tiles, PKRU)

// cpu->xsave: the legacy region as FXSAVE64 leaves it, the header, and the components at the host's offsets. The data
// of every component are valid, also where XSTATE_BV says that it is in its initial configuration. May be written while
// `vector_live` is false, if the bit of what was written is set in XSTATE_BV.
struct fpu_area {
    u16 fcw, fsw;
    u8 ftw, reserved;  // abridged tag word: a bit per register that is not empty
    u16 fop;
    u64 fip, fdp;
    u32 mxcsr, mxcsr_mask;
    u8 st[8][16];
    u8 xmm[16][16];
    u8 available[96];
    u64 xstate_bv, xcomp_bv, header[6];
};
static_assert(sizeof(struct fpu_area) == 576, "SDM 1 13.4");
static inline struct fpu_area *fpu_area(struct cpu *cpu) { return (struct fpu_area *)cpu->xsave; }

enum { XSTATE_X87, XSTATE_SSE, XSTATE_AVX, XSTATE_OPMASK = 5, XSTATE_ZMM_HI256, XSTATE_HI16_ZMM };
enum { FPU_FCW_INIT = 0x37f, FPU_MXCSR_INIT = 0x1f80 };
void fpu_init_x87(struct cpu *cpu); // as FNINIT; `vector_live` must be false

// Vector register as data; `vector_live` must be false. Writing clears the bits above `bytes`, up to the longest.
void fpu_vector_read(const struct cpu *cpu, unsigned reg, void *data, unsigned bytes);
void fpu_vector_write(struct cpu *cpu, unsigned reg, const void *data, unsigned bytes);
u64 fpu_mask_read(const struct cpu *cpu, unsigned reg);
void fpu_mask_write(struct cpu *cpu, unsigned reg, u64 value);
