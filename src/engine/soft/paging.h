// Guest linear to guest-physical: no paging, 32-bit, PAE and 4-level paging (SDM 3A chapter 4), with every access to
// a paging structure going through the second stage in guest mode, and the result too. Called when the soft TLB
// misses.
#pragma once

#include "engine/soft/cpu.h"

// Bits of tlb_key.mode: what of CR0, CR4 and EFER changes the meaning of the same paging structures. 0: no paging.
enum {
    PAGING_ON = 1 << 0, PAGING_PAE = 1 << 1, PAGING_LMA = 1 << 2, PAGING_WP = 1 << 3, PAGING_NXE = 1 << 4,
    PAGING_PSE = 1 << 5, PAGING_SMEP = 1 << 6, PAGING_SMAP = 1 << 7,
};

// Asked at every change of privilege, so it moves bits rather than branches.
static inline u16 paging_mode(const struct cpu *cpu)
{
    if (!(cpu->cr0 & CR0_PG))
        return 0;
    u64 mode = PAGING_ON | (cpu->cr0 >> 13 & PAGING_WP) | (cpu->cr4 << 1 & PAGING_PSE) |
               (cpu->cr4 >> 14 & (PAGING_SMEP | PAGING_SMAP)) | (cpu->cr4 >> 4 & PAGING_PAE);
    if (mode & PAGING_PAE)
        mode |= (cpu->msr.efer >> 8 & PAGING_LMA) | (cpu->msr.efer >> 7 & PAGING_NXE);
    return (u16)mode;
}
static_assert(CR0_WP >> 13 == PAGING_WP && CR4_PSE << 1 == PAGING_PSE && CR4_SMEP >> 14 == PAGING_SMEP &&
              CR4_SMAP >> 14 == PAGING_SMAP && CR4_PAE >> 4 == PAGING_PAE && EFER_LMA >> 8 == PAGING_LMA &&
              EFER_NXE >> 7 == PAGING_NXE, "moved by these distances");

// Page-fault error code (SDM 3A 4.7).
enum {
    PAGING_ERROR_PRESENT = 1 << 0, PAGING_ERROR_WRITE = 1 << 1, PAGING_ERROR_USER = 1 << 2,
    PAGING_ERROR_RESERVED = 1 << 3, PAGING_ERROR_FETCH = 1 << 4,
};

struct paging {
    u64 gpa;          // of the byte, in the VM's (L1's) physical space
    unsigned allowed; // a bit per enum access: what the entries allow this role now (no write before the page is dirty)
    unsigned note;    // TLB_NOTE_*
};

// Translates for the access, setting accessed and dirty flags. False: a page fault with the error code in *error.
// Violations of the second stage do not return.
bool paging_walk(struct cpu *cpu, u64 linear, enum access access, enum tlb_role role, struct paging *result,
                 u32 *error);

// The same without any effect, and without regard to rights: for KVM_TRANSLATE. False: not mapped.
bool paging_look(struct cpu *cpu, u64 linear, u64 *gpa);

// Sets flags in a paging-structure entry of 4 or 8 bytes that was read as *value, unless it has changed since: false
// then. Entries that are not in writable RAM are left alone (true).
bool paging_mark(struct cpu *cpu, u64 physical, unsigned bytes, u64 *value, u64 flags);
