// VT-x of one vCPU: what is not in the VMCS itself. Controls and the pointers to the pages they name are decoded once
// at VM entry, because every intercepted instruction asks them; the VMCS fields stay in the guest's page (vmcs.h).
#pragma once

#include "engine/soft/vm.h"
#include "engine/soft/vmx/vmcs.h"

// Pin-based controls (SDM 3C 25.6.1).
enum {
    PIN_EXTERNAL_INTERRUPT = 1 << 0, PIN_NMI = 1 << 3, PIN_VIRTUAL_NMI = 1 << 5, PIN_PREEMPTION_TIMER = 1 << 6,
    PIN_POSTED_INTERRUPTS = 1 << 7,
};

// Primary processor-based controls (SDM 3C 25.6.2).
enum {
    CPU_INTERRUPT_WINDOW = 1 << 2, CPU_TSC_OFFSET = 1 << 3, CPU_HLT = 1 << 7, CPU_INVLPG = 1 << 9, CPU_MWAIT = 1 << 10,
    CPU_RDPMC = 1 << 11, CPU_RDTSC = 1 << 12, CPU_CR3_LOAD = 1 << 15, CPU_CR3_STORE = 1 << 16, CPU_CR8_LOAD = 1 << 19,
    CPU_CR8_STORE = 1 << 20, CPU_TPR_SHADOW = 1 << 21, CPU_NMI_WINDOW = 1 << 22, CPU_MOV_DR = 1 << 23,
    CPU_IO = 1 << 24, CPU_IO_BITMAPS = 1 << 25, CPU_MONITOR_TRAP = 1 << 27, CPU_MSR_BITMAPS = 1 << 28,
    CPU_MONITOR = 1 << 29, CPU_PAUSE = 1 << 30,
};
#define CPU_SECONDARY (1u << 31)

// Secondary processor-based controls.
enum {
    CPU2_APIC_ACCESS = 1 << 0, CPU2_EPT = 1 << 1, CPU2_DESCRIPTOR_TABLE = 1 << 2, CPU2_RDTSCP = 1 << 3,
    CPU2_X2APIC = 1 << 4, CPU2_VPID = 1 << 5, CPU2_WBINVD = 1 << 6, CPU2_UNRESTRICTED = 1 << 7,
    CPU2_APIC_REGISTER = 1 << 8, CPU2_INTERRUPT_DELIVERY = 1 << 9, CPU2_PAUSE_LOOP = 1 << 10, CPU2_RDRAND = 1 << 11,
    CPU2_INVPCID = 1 << 12, CPU2_SHADOW_VMCS = 1 << 14, CPU2_RDSEED = 1 << 16, CPU2_PML = 1 << 17,
    CPU2_XSAVES = 1 << 20, CPU2_TSC_SCALING = 1 << 25,
};

// VM-exit controls (SDM 3C 25.7.1).
enum {
    EXIT_SAVE_DEBUG = 1 << 2, EXIT_HOST_64 = 1 << 9, EXIT_ACK_INTERRUPT = 1 << 15, EXIT_SAVE_PAT = 1 << 18,
    EXIT_LOAD_PAT = 1 << 19, EXIT_SAVE_EFER = 1 << 20, EXIT_LOAD_EFER = 1 << 21, EXIT_SAVE_TIMER = 1 << 22,
};

// VM-entry controls (SDM 3C 25.8.1).
enum {
    ENTRY_LOAD_DEBUG = 1 << 2, ENTRY_IA32E = 1 << 9, ENTRY_SMM = 1 << 10, ENTRY_NO_DUAL_MONITOR = 1 << 11,
    ENTRY_LOAD_PAT = 1 << 14, ENTRY_LOAD_EFER = 1 << 15,
};

// Basic exit reasons (SDM 3D appendix C).
enum vmx_reason {
    REASON_EXCEPTION_NMI = 0, REASON_EXTERNAL_INTERRUPT = 1, REASON_TRIPLE_FAULT = 2, REASON_INIT = 3, REASON_SIPI = 4,
    REASON_INTERRUPT_WINDOW = 7, REASON_NMI_WINDOW = 8, REASON_TASK_SWITCH = 9, REASON_CPUID = 10, REASON_HLT = 12,
    REASON_INVD = 13, REASON_INVLPG = 14, REASON_RDPMC = 15, REASON_RDTSC = 16, REASON_RSM = 17, REASON_VMCALL = 18,
    REASON_VMCLEAR = 19, REASON_VMLAUNCH = 20, REASON_VMPTRLD = 21, REASON_VMPTRST = 22, REASON_VMREAD = 23,
    REASON_VMRESUME = 24, REASON_VMWRITE = 25, REASON_VMXOFF = 26, REASON_VMXON = 27, REASON_CR = 28, REASON_DR = 29,
    REASON_IO = 30, REASON_RDMSR = 31, REASON_WRMSR = 32, REASON_BAD_GUEST_STATE = 33, REASON_BAD_MSR = 34,
    REASON_MWAIT = 36, REASON_MONITOR_TRAP = 37, REASON_MONITOR = 39, REASON_PAUSE = 40, REASON_TPR_THRESHOLD = 43,
    REASON_APIC_ACCESS = 44, REASON_EOI = 45, REASON_GDTR_IDTR = 46, REASON_LDTR_TR = 47, REASON_EPT_VIOLATION = 48,
    REASON_EPT_MISCONFIGURATION = 49, REASON_INVEPT = 50, REASON_RDTSCP = 51, REASON_PREEMPTION_TIMER = 52,
    REASON_INVVPID = 53, REASON_WBINVD = 54, REASON_XSETBV = 55, REASON_APIC_WRITE = 56, REASON_RDRAND = 57,
    REASON_INVPCID = 58, REASON_VMFUNC = 59, REASON_RDSEED = 61, REASON_PML_FULL = 62, REASON_XSAVES = 63,
    REASON_XRSTORS = 64,
};
#define REASON_ENTRY_FAILURE (1u << 31)

// VM-instruction errors (SDM 3C 31.4).
enum vmx_error {
    VMX_OK = 0, VMX_ERROR_VMCALL_ROOT = 1, VMX_ERROR_VMCLEAR_ADDRESS = 2, VMX_ERROR_VMCLEAR_VMXON = 3,
    VMX_ERROR_LAUNCH_NOT_CLEAR = 4, VMX_ERROR_RESUME_NOT_LAUNCHED = 5, VMX_ERROR_CONTROLS = 7, VMX_ERROR_HOST = 8,
    VMX_ERROR_VMPTRLD_ADDRESS = 9, VMX_ERROR_VMPTRLD_VMXON = 10, VMX_ERROR_VMPTRLD_REVISION = 11,
    VMX_ERROR_FIELD = 12, VMX_ERROR_READ_ONLY = 13, VMX_ERROR_VMXON_ROOT = 15, VMX_ERROR_MOV_SS = 26,
    VMX_ERROR_INVALIDATION = 28,
};

// Interruption information, of entries, exits and IDT vectoring alike (SDM 3C 25.8.3).
#define INTERRUPTION_VALID (1u << 31)
enum { INTERRUPTION_TYPE_SHIFT = 8, INTERRUPTION_TYPE = 7 << 8, INTERRUPTION_ERROR = 1 << 11 };

enum { VMX_EVENT_OTHER = 7 }; // interruption type: a pending monitor trap

enum { ACTIVITY_ACTIVE, ACTIVITY_HLT, ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_SIPI };

enum { VMX_TIMER_SHIFT = 5, VMX_MSR_LIST_MAX = 512, VMX_CR3_TARGETS = 4, VMX_VIRTUAL_APIC_TPR = 0x80 };
enum { VMX_MSR_FIRST = 0x480, VMX_MSR_LAST = 0x491 };

#define VMX_NO_ADDRESS (~0ull)

struct vmx {
    bool on;                // in VMX operation
    u64 vmxon;              // VMXON region's address, or VMX_NO_ADDRESS
    u64 current;            // current VMCS pointer, or VMX_NO_ADDRESS
    struct vmcs *vmcs;      // its page in guest RAM; NULL without a current VMCS
    struct vmcs *shadow;    // the VMCS link pointer's page while guest mode may read and write it
    u64 entries;            // successful VM entries so far

    // Decoded at VM entry, meaningful in guest mode.
    u32 pin, cpu, cpu2, exit, entry;
    u32 exceptions;
    u64 apic_access;        // page address, or VMX_NO_ADDRESS
    const u8 *msr_bitmap, *io_bitmap_a, *io_bitmap_b, *vmread_bitmap, *vmwrite_bitmap;
    u8 *virtual_apic;
    u64 timer_deadline;     // host TSC at which the preemption timer reaches zero
    u64 tsc_offset, tsc_multiplier;
    u64 exit_tsc;           // host TSC when the VM exit happened
    bool trap_pending;      // the monitor trap flag's exit is due after the next instruction
    u32 apic_reason;        // trap-like exit that is due after an access to the virtual APIC; 0: none
    u64 apic_qualification;
    u64 ple_first, ple_last; // pause-loop window in progress

    // What pointers to pages outside RAM point to: reads as all ones, as physical memory that is not there does.
    u8 nowhere[PAGE_BYTES] __attribute__((aligned(64)));
};

int vmx_create(struct cpu *cpu);   // 0 or -ENOMEM; when the VM's configuration says nested
void vmx_destroy(struct cpu *cpu);
void vmx_reset(struct cpu *cpu);   // power-on and INIT: out of VMX operation
void vmx_tsc_moved(struct cpu *cpu, u64 moved); // in guest mode, cpu->tsc_offset has grown by so much
void vmx_slots_changed(struct cpu *cpu); // memory slots are others now: looks its pointers up again

// Capability MSRs 0x480..0x491. False: #GP (not exposed, or not there).
bool vmx_msr_read(const struct cpu *cpu, u32 msr, u64 *value);
bool vmx_feature_control_write(struct cpu *cpu, u64 value); // IA32_FEATURE_CONTROL; false: #GP
// CR0 and CR4 bits that VMX operation fixes: false when MOV to CR with that value is a #GP (SDM 3C 24.8).
bool vmx_cr0_allowed(const struct cpu *cpu, u64 cr0);
bool vmx_cr4_allowed(const struct cpu *cpu, u64 cr4);

// KVM_GET/SET_NESTED_STATE: 0 or -errno; get returns E2BIG with the size wanted, as KVM does.
int vmx_nested_get(struct cpu *cpu, struct kvm_nested_state *state);
int vmx_nested_set(struct cpu *cpu, const struct kvm_nested_state *state);

// The vCPU has to be stopped after each instruction (mode_word's single-step blocks): the monitor trap flag.
static inline bool vmx_single_step(const struct cpu *cpu)
{
    return cpu->guest_mode && cpu->vmx->cpu & CPU_MONITOR_TRAP;
}

// Something of VT-x is due the moment the guest can be interrupted: its run is to be looked at when RFLAGS.IF or a
// shadow changes.
static inline bool vmx_watches_interruptibility(const struct cpu *cpu)
{
    const struct vmx *vmx = cpu->vmx;
    return cpu->guest_mode &&
           (vmx->cpu & (CPU_INTERRUPT_WINDOW | CPU_NMI_WINDOW) || vmx->cpu2 & CPU2_INTERRUPT_DELIVERY);
}

// Virtual NMIs: BLOCKING_NMI stands for virtual-NMI blocking, and real NMIs are never blocked.
static inline bool vmx_virtual_nmis(const struct cpu *cpu)
{
    return cpu->guest_mode && cpu->vmx->pin & PIN_VIRTUAL_NMI;
}

// What follows is shared by the files of this directory.

// Controls and pages of the current VMCS, as guest mode wants them (at VM entry, and when guest mode is restored).
void vmx_decode(struct cpu *cpu);
u8 *vmx_page(struct cpu *cpu, u64 gpa); // host pointer to the page; to vmx->nowhere when it is not RAM, or ROM

// The world switches. They do not return when they have happened.
void vmx_enter(struct cpu *cpu); // returns only after VMfail
_Noreturn void vmx_exit(struct cpu *cpu, u32 reason, u64 qualification);
_Noreturn void vmx_exit_event(struct cpu *cpu, u32 reason, u64 qualification, u32 interruption, u32 error);
_Noreturn void vmx_exit_insn(struct cpu *cpu, const struct insn *insn, u32 reason, u64 qualification);
_Noreturn void vmx_exit_access(struct cpu *cpu, u32 reason, u64 qualification); // by an instruction's memory access
_Noreturn void vmx_entry_failed(struct cpu *cpu, u32 reason, u64 qualification);

// The ends of VMX instructions (SDM 3C 31.2).
void vmx_succeed(struct cpu *cpu);
void vmx_fail(struct cpu *cpu, enum vmx_error error); // VMfailValid, or VMfailInvalid without a current VMCS
void vmx_fail_invalid(struct cpu *cpu);

// MSR lists (SDM 3C 27.4, 28.4, 28.6). 0, or the number of the entry that failed, from 1.
u32 vmx_msr_store(struct cpu *cpu, u64 list, u32 count);
u32 vmx_msr_load(struct cpu *cpu, u64 list, u32 count);

// VM-exit instruction information and the qualification that goes with it (exit_info.c).
u32 vmx_information_memory(const struct insn *insn, unsigned memory, int reg); // reg -1: none
u32 vmx_information_string(const struct insn *insn, unsigned memory); // INS and OUTS
u32 vmx_information_register(const struct insn *insn);                // RDRAND and RDSEED
u64 vmx_displacement(const struct cpu *cpu, const struct insn *insn, unsigned memory);

u32 vmx_interruption(const struct event *event);
const char *vmx_reason_name(u32 reason);

void trace_vmx(const struct cpu *cpu, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define vmx_trace(cpu, ...) \
    do { \
        if (UNLIKELY((cpu)->vm->config.trace & ENGINE_TRACE_VMX)) \
            trace_vmx(cpu, __VA_ARGS__); \
    } while (0)
