// A vCPU in VMX operation with a valid current VMCS in a little RAM: what the tests of VT-x start from.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "engine/soft/cpuid.h"
#include "engine/soft/debug.h"
#include "engine/soft/lapic.h"
#include "engine/soft/vm.h"
#include "engine/soft/vmx/check.h"
#include "engine/soft/vmx/control.h"
#include "engine/soft/vmx/insn_vmx.h"
#include "engine/soft/window.h"

enum { VMX_RAM = 4 << 20, VMX_REGION = 0x1000, VMX_VMCS = 0x2000, VMX_SHADOW_VMCS = 0x3000, VMX_HOST_RIP = 0x7000 };

struct fixture {
    struct engine_vm *vm;
    struct cpu *cpu;
    struct vmcs *vmcs;
    u8 *ram;
};

static inline u32 control_minimum(enum vmx_control control) { return vmx_control_bits[control].fixed1; }

static inline void vmcs_fill_guest(struct vmcs *vmcs)
{
    vmcs->guest_cr0 = CR0_PE | CR0_NE | CR0_PG | CR0_WP;
    vmcs->guest_cr4 = CR4_PAE | CR4_VMXE;
    vmcs->guest_cr3 = 0x10000;
    vmcs->guest_efer = EFER_LMA | EFER_LME | EFER_NXE;
    for (unsigned i = VMCS_ES; i <= VMCS_GS; i++) {
        vmcs->guest_selector[i] = i == VMCS_CS ? 8 : 16;
        vmcs->guest_limit[i] = 0xffffffff;
        vmcs->guest_access[i] = i == VMCS_CS ? 0xa09b : 0xc093;
    }
    vmcs->guest_access[VMCS_LDTR] = AR_UNUSABLE;
    vmcs->guest_selector[VMCS_TR] = 24;
    vmcs->guest_limit[VMCS_TR] = 0x67;
    vmcs->guest_access[VMCS_TR] = 0x8b;
    vmcs->guest_rip = 0x1234;
    vmcs->guest_rsp = 0x5678;
    vmcs->guest_rflags = FLAG_FIXED;
    vmcs->guest_dr7 = DR7_FIXED;
    vmcs->guest_pat = vmcs->host_pat = 0x0007040600070406;
    vmcs->link = VMX_NO_ADDRESS;
}

static inline void vmcs_fill(struct vmcs *vmcs)
{
    *vmcs = (struct vmcs){.revision = VMCS_REVISION};
    vmcs->pin_controls = control_minimum(CONTROL_PIN) | PIN_EXTERNAL_INTERRUPT | PIN_NMI;
    vmcs->cpu_controls = control_minimum(CONTROL_CPU) | CPU_HLT | CPU_SECONDARY;
    vmcs->cpu_controls2 = CPU2_EPT | CPU2_VPID;
    vmcs->exit_controls =
        control_minimum(CONTROL_EXIT) | EXIT_HOST_64 | EXIT_SAVE_EFER | EXIT_LOAD_EFER | EXIT_ACK_INTERRUPT;
    vmcs->entry_controls = control_minimum(CONTROL_ENTRY) | ENTRY_IA32E | ENTRY_LOAD_EFER | ENTRY_LOAD_DEBUG;
    vmcs->vpid = 1;
    vmcs->eptp = 0x20000 | 3 << 3 | 6;
    vmcs_fill_guest(vmcs);
    vmcs->host_cr0 = CR0_PE | CR0_NE | CR0_PG | CR0_ET;
    vmcs->host_cr4 = CR4_PAE | CR4_VMXE;
    vmcs->host_efer = EFER_LMA | EFER_LME | EFER_NXE;
    for (unsigned i = VMCS_ES; i <= VMCS_TR; i++)
        vmcs->host_selector[i] = i == VMCS_LDTR ? 0 : 8 + 8 * i;
    vmcs->host_rip = VMX_HOST_RIP;
    vmcs->host_rsp = 0x8000;
}

static inline void host_fill(struct cpu *cpu)
{
    cpu->cr0 = CR0_PE | CR0_NE | CR0_PG | CR0_ET;
    cpu->cr4 = CR4_PAE | CR4_VMXE;
    cpu->msr.efer = EFER_LMA | EFER_LME | EFER_NXE;
    cpu->msr.feature_control = 5;
    cpu->segment[SEG_CS] = (struct segment){.limit = 0xffffffff, .access = 0xa09b, .selector = 8};
    cpu->segment[SEG_SS] = (struct segment){.limit = 0xffffffff, .access = 0xc093, .selector = 16};
    cpu->cpl = 0;
    cpu->rflags = FLAG_FIXED;
    cpu->interruptibility = 0;
    cpu->guest_mode = false;
    cpu->rip = 0x100;
    cpu->next_rip = 0x103;
    cpu->mp_state = KVM_MP_STATE_RUNNABLE;
    cpu_mode_update(cpu);
}

static inline int vmx_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->vm = calloc(1, sizeof *f->vm);
    pthread_mutex_init(&f->vm->lock, NULL);
    f->vm->tsc_khz = 1000000;
    f->ram = mmap(NULL, VMX_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    f->vm->slot_count = 1;
    f->vm->slot[0] = (struct ram_slot){
        .bytes = VMX_RAM, .host = f->ram, .pages = calloc(VMX_RAM / PAGE_BYTES, sizeof(struct ram_page))};
    struct cpu *cpu = f->cpu = window_create_cpu();
    assert_non_null(cpu);
    cpu->self = cpu;
    cpu->vm = f->vm;
    f->vm->cpu[0] = cpu;
    f->vm->cpu_count = 1;
    cpu->run = calloc(1, 3 * PAGE_BYTES);
    cpu->physical_mask = (1ull << 40) - 1;
    cpu->cr4_allowed = CR4_PAE | CR4_VMXE | CR4_PGE | CR4_PSE | CR4_PCIDE | CR4_OSFXSR;
    cpu->cpuid[0] = (struct kvm_cpuid_entry2){.function = 0x80000001, .edx = 1 << 20};
    cpu->cpuid_count = 1;
    cpu->features = ~0u;
    assert_int_equal(tlb_create(cpu), 0);
    assert_int_equal(lapic_create(cpu), 0);
    assert_int_equal(vmx_create(cpu), 0);
    f->vmcs = (struct vmcs *)(f->ram + VMX_VMCS);
    host_fill(cpu);
    cpu->vmx->on = true;
    cpu->vmx->vmxon = VMX_REGION;
    cpu->vmx->current = VMX_VMCS;
    cpu->vmx->vmcs = f->vmcs;
    vmcs_fill(f->vmcs);
    *state = f;
    return 0;
}

static inline int vmx_teardown(void **state)
{
    struct fixture *f = *state;
    vmx_destroy(f->cpu);
    lapic_destroy(f->cpu);
    tlb_destroy(f->cpu);
    free(f->cpu->run);
    window_destroy_cpu(f->cpu);
    free(f->vm->slot[0].pages);
    munmap(f->ram, VMX_RAM);
    free(f->vm);
    free(f);
    return 0;
}

// Back to the host, with a valid VMCS again.
static inline void vmx_again(struct fixture *f)
{
    host_fill(f->cpu);
    vmcs_fill(f->vmcs);
    f->cpu->event.valid = f->cpu->delivering.valid = false;
}

// Whether the instruction returned (true) or left by cpu_resume: a world switch, or a fault that was delivered.
static __attribute__((noinline)) bool vmx_returns(struct cpu *cpu, insn_function *function, const struct insn *insn)
{
    if (__builtin_setjmp(cpu->unwind))
        return false;
    function(cpu, insn);
    return true;
}

static inline bool vmx_launches(struct fixture *f)
{
    static const struct insn insn = {.length = 3, .code64 = true};
    f->vmcs->launched = 0;
    return !vmx_returns(f->cpu, insn_vmlaunch, &insn) && f->cpu->guest_mode;
}
