// Pieces of assembly copied into a small flat 64-bit guest of the soft engine, run until they write to a port. Memory
// is mapped one to one in pages of 4 KiB, whose entries tests may change; exception N arrives as a write to port
// FAULT_PORT + N, with what the processor pushed on the stack.
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/soft/cpu.h"
#include "engine/soft/signal.h"

enum { RAM = 2 << 20, TABLES = 0x1000, GDT = 0x5000, IDT = 0x6000, HANDLERS = 0x7000, CODE = 0x10000, DATA = 0x20000,
       STACK = 0x80000, STACK_BYTES = 0x10000, DONE_PORT = 0x42, FAULT_PORT = 0x80, FAULTS = 32, GUEST_VCPUS = 3 };

enum { PTE_PRESENT = 1, PTE_WRITE = 2, PTE_USER = 4 };

struct guest {
    struct engine_vm *vm;
    struct engine_vcpu *vcpu[GUEST_VCPUS];
    struct cpu *cpu[GUEST_VCPUS];
    u8 *ram;
};

// The guest code between NAME_start and NAME_end; %al goes to DONE_PORT behind it.
#define GUEST_CODE(name, text) \
    extern const u8 name##_start[], name##_end[]; \
    __asm__(".pushsection .rodata\n.globl " #name "_start\n" #name "_start:\n" text \
            "\nout %al, $0x42\nhlt\n.globl " #name "_end\n" #name "_end:\n.popsection")

static inline u64 *guest_pte(struct guest *guest, u64 linear)
{
    return (u64 *)(void *)(guest->ram + TABLES + 0x3000) + (linear >> 12);
}

static inline void guest_tables(struct guest *guest)
{
    u64 *pml4 = (u64 *)(void *)(guest->ram + TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512;
    pml4[0] = (TABLES + 0x1000) | 7;
    pdpt[0] = (TABLES + 0x2000) | 7;
    pd[0] = (TABLES + 0x3000) | 7;
    for (u64 at = 0; at < RAM; at += 4096)
        *guest_pte(guest, at) = at | PTE_PRESENT | PTE_WRITE | PTE_USER;
    u64 *gdt = (u64 *)(void *)(guest->ram + GDT), *idt = (u64 *)(void *)(guest->ram + IDT);
    gdt[1] = 0x00af9b000000ffff;
    gdt[2] = 0x00cf93000000ffff;
    for (u64 i = 0; i < FAULTS; i++) {
        idt[2 * i] = (HANDLERS + 16 * i) | 8 << 16 | 0x8e00ull << 32;
        const u8 handler[] = { 0xe6, (u8)(FAULT_PORT + i), 0xf4 }; // out %al, $port; hlt
        memcpy(guest->ram + HANDLERS + 16 * i, handler, sizeof handler);
    }
}

static inline void guest_reset(struct guest *guest, unsigned id)
{
    struct cpu *cpu = guest->cpu[id];
    cpu->cr3 = TABLES;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    cpu->msr.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    cpu->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP | CR0_MP;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        cpu->segment[i] = (struct segment){ .limit = ~0u, .access = 0xc093, .selector = 16 };
    cpu->segment[SEG_CS] = (struct segment){ .limit = ~0u, .access = 0xa09b, .selector = 8 };
    cpu->gdt = (struct descriptor_table){ .base = GDT, .limit = 23 };
    cpu->idt = (struct descriptor_table){ .base = IDT, .limit = FAULTS * 16 - 1 };
    cpu->cpl = 0;
    cpu->rflags = FLAG_FIXED;
    cpu->mp_state = KVM_MP_STATE_RUNNABLE;
    cpu_mode_update(cpu);
    tlb_flush_all(cpu);
    memset(cpu->gpr, 0, sizeof cpu->gpr);
    cpu->gpr[RSP] = STACK + id * STACK_BYTES;
    cpu->gpr[RDI] = DATA;
    cpu->rip = CODE;
}

static inline int guest_setup(void **state)
{
    static struct guest guest;
    struct error error = { "" };
    guest.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct engine_config config = { .vendor = ENGINE_VENDOR_INTEL, .vcpus = GUEST_VCPUS, .trace_fd = -1 };
    if (engine_soft.open(&config, &guest.vm, &error)) {
        print_error("%s\n", error.text);
        return -1;
    }
    struct kvm_userspace_memory_region region = { .memory_size = RAM, .userspace_addr = (u64)guest.ram };
    assert_int_equal(engine_soft.vm_ioctl(guest.vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
    static struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entry[128];
    } cpuid = { .head.nent = 128 };
    assert_int_equal(engine_soft.vm_ioctl(guest.vm, KVM_GET_SUPPORTED_CPUID, &cpuid), 0);
    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        assert_int_equal(engine_soft.vcpu_create(guest.vm, i, &guest.vcpu[i], &error), 0);
        assert_int_equal(engine_soft.vcpu_ioctl(guest.vcpu[i], KVM_SET_CPUID2, &cpuid), 0);
        guest.cpu[i] = (struct cpu *)guest.vcpu[i];
    }
    *state = &guest;
    return 0;
}

static inline int guest_teardown(void **state)
{
    struct guest *guest = *state;
    for (unsigned i = 0; i < GUEST_VCPUS; i++)
        engine_soft.vcpu_destroy(guest->vcpu[i]);
    engine_soft.close(guest->vm);
    munmap(guest->ram, RAM);
    return 0;
}

// Memory anew, with the code at CODE, and every vCPU at its beginning, with DATA in RDI and a stack of its own.
static inline void guest_load(struct guest *guest, const u8 *start, const u8 *end)
{
    assert_int_equal(signal_install(), 0); // cmocka puts its own handlers there before each test
    memset(guest->ram, 0, RAM);
    guest_tables(guest);
    memcpy(guest->ram + CODE, start, (size_t)(end - start));
    engine_soft.memory_written(guest->vm, 0, RAM);
    for (unsigned i = 0; i < GUEST_VCPUS; i++)
        guest_reset(guest, i);
}

// Runs a vCPU until it writes to a port: which.
static inline unsigned guest_port(struct guest *guest, unsigned id)
{
    const struct kvm_run *run = guest->cpu[id]->run;
    assert_int_equal(engine_soft.vcpu_ioctl(guest->vcpu[id], KVM_RUN, NULL), 0);
    assert_int_equal(run->exit_reason, KVM_EXIT_IO);
    return run->io.port;
}

#define LOAD(name) guest_load(*state, name##_start, name##_end)
#define RUN(name) (LOAD(name), assert_int_equal(guest_port(*state, 0), DONE_PORT))
#define REG(n) (((struct guest *)*state)->cpu[0]->gpr[n])
#define MEMORY(offset) (*(u64 *)(void *)(((struct guest *)*state)->ram + DATA + (offset)))
