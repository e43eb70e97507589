// The guest's x87, SSE, AVX and AVX-512 state stays in the host's registers while the engine's C runs, which is why that C
// is compiled without vector registers. Whoever needs them (the translator's libraries, leaving KVM_RUN, instructions
// that read or write vector state as data) first calls fpu_save; the run loop loads the state again before guest code.
#pragma once

#include "engine/soft/cpu.h"

void fpu_save(struct cpu *cpu); // host registers -> cpu->xsave (standard XSAVE format), host gets its own defaults; no-op when not live
void fpu_load(struct cpu *cpu); // the reverse
void fpu_reset(struct cpu *cpu, bool init);
u32 fpu_xsave_bytes(void);      // of the host's area for the states nidus offers
u64 fpu_supported_xcr0(void);   // host's XCR0 less what nidus does not offer (AMX tiles, PKRU)

// Vector register as data; `vector_live` must be false. Writing clears the bits above `bytes`, up to the longest.
void fpu_vector_read(const struct cpu *cpu, unsigned reg, void *data, unsigned bytes);
void fpu_vector_write(struct cpu *cpu, unsigned reg, const void *data, unsigned bytes);
u64 fpu_mask_read(const struct cpu *cpu, unsigned reg);
void fpu_mask_write(struct cpu *cpu, unsigned reg, u64 value);
