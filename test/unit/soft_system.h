// A vCPU of the soft engine with a megabyte of RAM and descriptor tables, on which tests call the C functions of
// instructions and events directly. What is raised is delivered through the tables: the handler of vector N lies at
// HANDLER + 16 N.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/soft/cpu.h"
#include "engine/soft/segment.h"

enum { RAM = 1 << 20, GDT = 0x1000, IDT = 0x2000, TSS = 0x4000, TSS2 = 0x4800, LDT = 0x5000, TABLES = 0x8000,
       HANDLER = 0x20000, STACK0 = 0x40000, STACK3 = 0x50000, STACK_IST = 0x60000, CODE = 0x70000 };

// Selectors of the GDT.
enum { CODE0 = 0x08, DATA0 = 0x10, CODE3 = 0x1b, DATA3 = 0x23, TSS_SELECTOR = 0x28, CONFORMING = 0x38, ABSENT = 0x40,
       EXPAND_DOWN = 0x48, READ_ONLY = 0x50, GATE = 0x58, TSS2_SELECTOR = 0x68, LDT_SELECTOR = 0x78, CODE16 = 0x88,
       GDT_END = 0x90 };

struct fixture {
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;
    struct cpu *cpu;
    u8 *ram;
};

static inline u64 ram_read(struct fixture *f, u64 gpa, unsigned size)
{
    u64 value = 0;
    memcpy(&value, f->ram + gpa, size);
    return value;
}

static inline void ram_write(struct fixture *f, u64 gpa, unsigned size, u64 value) { memcpy(f->ram + gpa, &value,
    size); }

static inline void descriptor(struct fixture *f, u16 selector, u64 base, u32 limit, u32 access)
{
    u64 raw = (limit & 0xffff) | (base & 0xffffff) << 16 | (u64)(access & 0xf0ff) << 40 |
        (u64)(limit >> 16 & 15) << 48 |
        (base >> 24 & 0xff) << 56;
    ram_write(f, GDT + (selector & 0xfff8), 8, raw);
}

// An IDT or call gate; `wide`: of 16 bytes.
static inline void gate(struct fixture *f, u64 at, u16 selector, u64 offset, u32 access, unsigned low, bool wide)
{
    ram_write(f, at, 8, (offset & 0xffff) | (u64)selector << 16 | (u64)low << 32 | (u64)access << 40 |
              (offset >> 16 & 0xffff) << 48);
    if (wide)
        ram_write(f, at + 8, 8, offset >> 32);
}

static inline void tables(struct fixture *f, bool wide)
{
    u32 code = wide ? 0xa09a : 0xc09a;
    memset(f->ram, 0, RAM);
    descriptor(f, CODE0, 0, 0xfffff, code);
    descriptor(f, DATA0, 0, 0xfffff, 0xc092);
    descriptor(f, CODE3, 0, 0xfffff, code | 0x60);
    descriptor(f, DATA3, 0, 0xfffff, 0xc0f2);
    descriptor(f, TSS_SELECTOR, TSS, 0x67, 0x89);
    descriptor(f, CONFORMING, 0, 0xfffff, code | 4);
    descriptor(f, ABSENT, 0, 0xfffff, 0xc012);
    descriptor(f, EXPAND_DOWN, 0, 0xfff, 0x4096);
    descriptor(f, READ_ONLY, 0, 0xfffff, 0xc090);
    descriptor(f, TSS2_SELECTOR, TSS2, 0x67, 0x89);
    descriptor(f, LDT_SELECTOR, LDT, 0xff, 0x82);
    descriptor(f, CODE16, 0, 0xffff, 0x009a);
    for (unsigned i = 0; i < 256; i++)
        gate(f, IDT + i * (wide ? 16 : 8), CODE0, HANDLER + i * 16, 0x8e, 0, wide);
    struct cpu *cpu = f->cpu;
    cpu->gdt = (struct descriptor_table){.base = GDT, .limit = GDT_END - 1};
    cpu->idt = (struct descriptor_table){.base = IDT, .limit = 256 * (wide ? 16 : 8) - 1};
    segment_set(cpu, SEG_TR, (struct segment){.selector = TSS_SELECTOR, .base = TSS, .limit = 0x67, .access = 0x8b});
    segment_set(cpu, SEG_LDTR, (struct segment){.access = AR_UNUSABLE});
}

// Flat segments at a privilege level, with the stack of that level.
static inline void flat(struct fixture *f, unsigned cpl)
{
    struct cpu *cpu = f->cpu;
    u64 code = ram_read(f, GDT + (cpl ? CODE3 & 0xf8 : CODE0), 8), data = ram_read(f, GDT + (cpl ? DATA3 & 0xf8 :
        DATA0), 8);
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        segment_set(cpu, i, segment_from_descriptor(cpl ? DATA3 : DATA0, data | 1ull << 40));
    segment_set(cpu, SEG_CS, segment_from_descriptor(cpl ? CODE3 : CODE0, code | 1ull << 40));
    cpu->cpl = cpl;
    cpu->gpr[RSP] = cpl ? STACK3 : STACK0;
    cpu->rip = CODE;
    cpu->next_rip = CODE + 2;
    cpu->rflags = FLAG_FIXED;
    cpu->interruptibility = 0;
    cpu->event.valid = cpu->delivering.valid = cpu->leave = false;
    cpu->pending_debug = 0;
    cpu->mp_state = KVM_MP_STATE_RUNNABLE;
    cpu_mode_update(cpu);
    tlb_flush_all(cpu);
}

static inline void protected32(struct fixture *f, unsigned cpl)
{
    struct cpu *cpu = f->cpu;
    cpu->cr0 = CR0_PE | CR0_ET | CR0_NE;
    cpu->cr4 = 0;
    cpu->msr.efer = 0;
    tables(f, false);
    ram_write(f, TSS + 4, 4, STACK0);
    ram_write(f, TSS + 8, 4, DATA0);
    flat(f, cpl);
}

// Everything but the last page of RAM is mapped one to one, for users too.
static inline void long64(struct fixture *f, unsigned cpl)
{
    struct cpu *cpu = f->cpu;
    tables(f, true);
    ram_write(f, TABLES, 8, (TABLES + 0x1000) | 7);
    ram_write(f, TABLES + 0x1000, 8, (TABLES + 0x2000) | 7);
    ram_write(f, TABLES + 0x2000, 8, (TABLES + 0x3000) | 7);
    for (u64 i = 0; i < RAM / PAGE_BYTES - 1; i++)
        ram_write(f, TABLES + 0x3000 + i * 8, 8, i << PAGE_BITS | 7);
    ram_write(f, TSS + 4, 8, STACK0);
    ram_write(f, TSS + 0x24, 8, STACK_IST);
    cpu->cr3 = TABLES;
    cpu->cr4 = CR4_PAE;
    cpu->msr.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    cpu->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
    flat(f, cpl);
}

static inline void real16(struct fixture *f)
{
    struct cpu *cpu = f->cpu;
    memset(f->ram, 0, RAM);
    cpu->cr0 = CR0_ET;
    cpu->cr4 = 0;
    cpu->msr.efer = 0;
    cpu->rflags = FLAG_FIXED;
    for (unsigned i = 0; i < 256; i++)
        ram_write(f, i * 4, 4, (i * 16 + 0x100) | (u64)(HANDLER >> 4) << 16);
    cpu->idt = (struct descriptor_table){.limit = 0x3ff};
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        segment_set(cpu, i, (struct segment){.limit = 0xffff, .access = 0x93});
    segment_set(cpu, SEG_CS, (struct segment){.limit = 0xffff, .access = 0x9b, .selector = 0x1000, .base = 0x10000});
    cpu->cpl = 0;
    cpu->gpr[RSP] = 0x7000;
    cpu->rip = 0x100;
    cpu->event.valid = cpu->delivering.valid = cpu->leave = false;
    cpu_mode_update(cpu);
    tlb_flush_all(cpu);
}

// Runs a statement the way the run loop does: true when it was abandoned (a fault was delivered, or the vCPU shut
// down).
#define ABANDONED(f, statement) (__builtin_setjmp((f)->cpu->unwind) ? true : ((statement), false))

// The vector whose handler the vCPU is about to run.
static inline int handled(const struct fixture *f)
{
    u64 offset = f->cpu->rip - HANDLER;
    return offset < 256 * 16 && offset % 16 == 0 ? (int)(offset / 16) : -1;
}

static inline int fixture_setup(void **state)
{
    static struct fixture f;
    struct error error = {""};
    f.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct engine_config config = {.vendor = ENGINE_VENDOR_INTEL, .vcpus = 1, .trace_fd = -1};
    if (f.ram == MAP_FAILED || engine_soft.open(&config, &f.vm, &error) ||
        engine_soft.vcpu_create(f.vm, 0, &f.vcpu, &error)) {
        print_error("%s\n", error.text);
        return -1;
    }
    f.cpu = (struct cpu *)f.vcpu;
    struct kvm_userspace_memory_region region = {.memory_size = RAM, .userspace_addr = (u64)f.ram};
    static u64 room[(sizeof(struct kvm_cpuid2) + CPU_CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2)) / sizeof(u64)];
    struct kvm_cpuid2 *cpuid = (struct kvm_cpuid2 *)room;
    cpuid->nent = CPU_CPUID_ENTRIES;
    if (engine_soft.vm_ioctl(f.vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ||
        engine_soft.vm_ioctl(f.vm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 ||
        engine_soft.vcpu_ioctl(f.vcpu, KVM_SET_CPUID2, cpuid) < 0)
        return -1;
    *state = &f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    engine_soft.vcpu_destroy(f->vcpu);
    engine_soft.close(f->vm);
    return munmap(f->ram, RAM);
}
