// The virtual CPU. Generated code addresses it through gs, C through a pointer; both see the same memory, because the
// state is a memfd mapped once for C and once more in front of every soft-TLB array (see tlb.h, window.c).
//
// The guest's RAX..R13 live in the host registers of the same name while generated code runs; R14 and R15 live in
// gpr[], which frees the two host registers that a TLB probe needs, and in the host's from one register instruction to
// the next (copy.c; block_site.in_host). Arithmetic flags live in EFLAGS there, or in `flags` (block.h tells when).
// Whenever C functions of instructions run, gpr[] and rflags are complete and current.
#pragma once

#include <linux/kvm.h>
#include <stdatomic.h>

#include "base/types.h"
#include "engine/soft/event.h"
#include "engine/soft/insn.h"
#include "engine/soft/tlb.h"

struct engine_vm;
struct lapic;
struct tlb_set;
struct vmx;

enum gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

enum segment_index { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_TR, SEG_LDTR, SEG_COUNT };

// Access rights as in the VMCS (SDM 3C 25.4.1): the descriptor's bits 40..55 with 48..51 zero, and bit 16 "unusable".
enum {
    AR_TYPE = 0xf, AR_ACCESSED = 1, AR_RW = 2, AR_EXPAND_DOWN = 4, AR_CONFORMING = 4, AR_CODE = 8, AR_S = 1 << 4,
    AR_DPL_SHIFT = 5, AR_DPL = 3 << 5, AR_P = 1 << 7, AR_AVL = 1 << 12, AR_L = 1 << 13, AR_DB = 1 << 14, AR_G = 1 << 15,
    AR_UNUSABLE = 1 << 16,
};

struct segment {
    u64 base;
    u32 limit;  // in bytes, granularity applied
    u32 access; // AR_*
    u16 selector;
};

struct descriptor_table {
    u64 base;
    u16 limit;
};

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_EM (1ull << 2)
#define CR0_TS (1ull << 3)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_AM (1ull << 18)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)

#define CR4_VME (1ull << 0)
#define CR4_PVI (1ull << 1)
#define CR4_TSD (1ull << 2)
#define CR4_DE (1ull << 3)
#define CR4_PSE (1ull << 4)
#define CR4_PAE (1ull << 5)
#define CR4_MCE (1ull << 6)
#define CR4_PGE (1ull << 7)
#define CR4_PCE (1ull << 8)
#define CR4_OSFXSR (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP (1ull << 11)
#define CR4_VMXE (1ull << 13)
#define CR4_FSGSBASE (1ull << 16)
#define CR4_PCIDE (1ull << 17)
#define CR4_OSXSAVE (1ull << 18)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)

#define EFER_SCE (1ull << 0)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)
#define EFER_SVME (1ull << 12)
#define EFER_FFXSR (1ull << 14)

#define FLAG_CF (1ull << 0)
#define FLAG_PF (1ull << 2)
#define FLAG_AF (1ull << 4)
#define FLAG_ZF (1ull << 6)
#define FLAG_SF (1ull << 7)
#define FLAG_TF (1ull << 8)
#define FLAG_IF (1ull << 9)
#define FLAG_DF (1ull << 10)
#define FLAG_OF (1ull << 11)
#define FLAG_NT (1ull << 14)
#define FLAG_RF (1ull << 16)
#define FLAG_VM (1ull << 17)
#define FLAG_AC (1ull << 18)
#define FLAG_VIF (1ull << 19)
#define FLAG_VIP (1ull << 20)
#define FLAG_ID (1ull << 21)
#define FLAG_FIXED (1ull << 1)
#define FLAG_IOPL (3ull << 12)
#define FLAGS_ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

// Reasons for a vCPU to stop running guest code at the next block boundary; set by any thread (cpu_request).
enum cpu_request {
    REQUEST_LEAVE = 1 << 0,      // KVM_RUN returns -EINTR
    REQUEST_EVENT = 1 << 1,      // look for deliverable interrupts, NMI, INIT, SIPI, timers
    REQUEST_STOP = 1 << 2,       // stop-the-world (code cache flush, memory slots): wait for the VM's resume
    REQUEST_FLUSH = 1 << 4,      // drop all translations (memory slots or dirty logging changed)
};

// What blocks are translated for, beside their bytes (block.h): code size, flat segments, usable vector state, TF...
// Computed by cpu_mode_update.
typedef u64 mode_word;

// Why interrupts are held off for one instruction (SDM 3A 6.8.3; VMCS interruptibility state, SDM 3C 25.4.2).
enum { BLOCKING_STI = 1 << 0, BLOCKING_MOV_SS = 1 << 1, BLOCKING_NMI = 1 << 3 };

enum { CPU_XSAVE_BYTES = 4096, CPU_BOUNCE_BYTES = 192, CPU_MMIO_FRAGMENTS = 16, CPU_CPUID_ENTRIES = 128,
       CPU_SPANS = 6 };

// One access to a device, as the instruction that made it is restarted or retired around exits to the board (mmio.h).
struct mmio_fragment {
    u64 gpa;
    u64 data;
    u8 size;
};

// What access_slow lent the generated instruction to work on, and access_commit has to put back (access.h). A range
// that crosses a page has two parts; each is RAM (host) or device memory (gpa only).
struct access_loan {
    u64 linear;
    u64 gpa[2];
    void *host[2];  // NULL: device memory
    void *data;     // in cpu->bounce; NULL: nothing lent
    u8 size, first; // bytes of all, bytes of the first part
    bool apic[2];   // VMX's APIC-access page
    bool write;
    bool push, call; // it is the stack that PUSH or CALL writes to
    u8 element;     // bytes of an element when only those in `mask` are written back, else 0
    u64 mask;
};

// The IN or INS that KVM_RUN returned with, until it is called again with the data (io.c).
struct io_pending {
    bool active, string, repeat, down;
    u8 size, address; // of an element, of addresses
    u32 count;        // elements
    u64 linear;       // INS: of the first element
    u64 next_rip;
};

// A component of the host's XSAVE area (CPUID leaf 0DH), which is the guest's too.
struct xstate_component {
    u16 offset, bytes; // standard format
    bool aligned;      // to 64 bytes in the compacted format
};
enum { CPU_XSTATE_COMPONENTS = 8 };

struct cpu {
    // What generated code touches, together.
    u64 gpr[16];
    u64 rip;           // of the instruction being executed by C; unknown while generated code runs
    u64 next_rip;
    u64 rflags;        // complete whenever C functions of instructions run
    u64 flags;         // arithmetic flags as LAHF and SETO leave them in AX, while generated code runs
    u64 code_base;     // RIP of the first byte of the page the running block lies in
    u64 tlb_mask;      // of the current context
    struct tlb_jump *jump; // of the current context; made an unmapped address by cpu_request, so that generated
                           // code's next poll or indirect branch faults out to the run loop
    u32 exit_kind, exit_argument; // what generated code wants (block.h)
    struct cpu *self;  // the address C knows it by
    u64 host_rsp;
    u64 scratch[4];    // generated code's own
    u64 span[CPU_SPANS]; // host addresses of ranges that the block in progress has probed for (span.c)
    u64 fs_base, gs_base; // = segment[].base, kept equal by segment_set_base
    struct tlb *tlb;   // current context
    _Atomic u32 request; // enum cpu_request
    u32 site;          // fault site of the slow path in progress
    u64 resume_rsp, resume_rip; // signal.c: what a signal interrupted
    u32 stray_faults;  // in a row at resume_rip,
    u64 stray_tsc;     // the last at
    u8 bounce[CPU_BOUNCE_BYTES + 64] __attribute__((aligned(64)));

    // Who it is.
    struct engine_vm *vm;
    unsigned id;       // KVM's vCPU id = initial APIC id
    struct kvm_run *run;

    // Architectural state.
    struct segment segment[SEG_COUNT];
    struct descriptor_table gdt, idt;
    u64 cr0, cr2, cr3, cr4;
    u64 xcr0;
    u64 dr[8];
    u64 watched[5];    // DR0..DR3, DR7 that the soft TLB knows of (debug.h)
    u64 pdpte[4];      // PAE paging loads them with CR3 (SDM 3A 4.4.1)
    u8 cpl;            // = SS.DPL
    u32 mp_state;      // KVM_MP_STATE_*
    struct {
        u64 efer, star, lstar, cstar, sfmask, kernel_gs_base;
        u64 sysenter_cs, sysenter_esp, sysenter_eip;
        u64 pat, apic_base, tsc_aux, tsc_adjust, misc_enable, debugctl, xss, feature_control;
        u64 spec_ctrl, mtrr_def_type, mtrr_fixed[11], mtrr_variable[16];
        u64 mcg_status, mcg_ctl, mc[4 * 32];
        u64 microcode, arch_capabilities, platform_info;
        u64 perf_global_ctrl;
    } msr;
    u64 tsc_offset;    // guest TSC = host TSC + offset (as seen outside VMX non-root operation)
    u32 interruptibility; // BLOCKING_*
    u64 pending_debug;    // DR6 bits of a pending debug exception (single step, data breakpoints)

    // Events on their way in.
    struct event event;      // being injected or re-injected: valid before guest code may run again
    struct event delivering; // during delivery: what a nested fault or an exit is vectored by (IDT vectoring)
    bool nmi_pending;
    u8 extint_vector;        // from KVM_INTERRUPT
    bool extint_pending;
    bool sipi_pending, init_pending;
    u8 sipi_vector;

    // Interrupt controller and virtualization extensions.
    struct lapic *lapic;
    struct vmx *vmx;         // NULL when not exposed
    bool guest_mode;         // in VMX non-root operation
    u64 eptp;                // second stage of translation, 0: none. Both set by VM entry and cleared by VM exit,
    u16 vpid;                // 0: VPID off or not in guest mode. which then call tlb_switch
    u64 guests_launched;     // by hypervisors on this vCPU; written by its thread, read by any (engine.h)
    int state_fd;            // memfd of this struct (window.c)

    // Device accesses of the instruction in progress (mmio.h).
    struct mmio_fragment mmio_read[CPU_MMIO_FRAGMENTS], mmio_write[CPU_MMIO_FRAGMENTS];
    u8 mmio_reads, mmio_reads_used, mmio_writes, mmio_writes_sent;
    u8 mmio_exit; // enum mmio_exit
    u64 mmio_rip; // of the instruction that KVM_RUN returned for
    struct io_pending io;

    // Translation.
    mode_word mode_word;
    struct tlb_set *contexts; // tlb.c
    struct access_loan loan;  // access_slow's
    bool code_changed;        // C code wrote to the translation being executed: leave it after this instruction
    void *unwind[5];         // __builtin_setjmp buffer of the run loop
    bool vector_live;        // the guest's vector state is in the host's registers (fpu.h)
    u8 access_cpl;           // used by access.c while a system access is made
    struct tlb *published;   // the context that gs, tlb_mask and jump are set for
    _Atomic bool waiting;    // asleep in run_wait
    bool one, stepping;      // the code being run is one instruction; single-stepped by the guest
    bool partial;            // elements of a gather or scatter are done, and another is looked at (event_raise_fault)
    bool running;            // counted in vm->running (world.h)
    u64 thread;              // the one that called KVM_RUN last, for its signal stack
    u8 *signal_stack;
    u8 *gs_trap;             // where gs points when the host's kernel has forgotten it (gsbase.c)
    u32 pauses;              // PAUSE instructions executed
    bool leave;              // the run loop returns to the caller of KVM_RUN when set
    int leave_result;

    struct kvm_cpuid_entry2 cpuid[CPU_CPUID_ENTRIES];
    u32 cpuid_count;
    u32 features;            // enum cpu_feature, with the two below derived from cpuid[] (cpuid.h)
    u64 cr4_allowed, physical_mask;

    struct xstate_component xstate[CPU_XSTATE_COMPONENTS]; // 0, 1: unused. fpu.c
    u8 xsave[CPU_XSAVE_BYTES] __attribute__((aligned(64)));
};

enum { CPU_STATE_BYTES = 32768, CPU_WINDOW_TLB = CPU_STATE_BYTES };
static_assert(sizeof(struct cpu) <= CPU_STATE_BYTES, "mapped in front of every soft TLB array");

// Any thread: sets the bits and makes generated code stop at the next block boundary.
void cpu_request(struct cpu *cpu, u32 request);

// To be called after changes of CR0, CR4, EFER, XCR0, segments or TF: recomputes mode_word and calls tlb_switch.
void cpu_mode_update(struct cpu *cpu);

// Abandons the instruction in progress (already executed or restarted, as cpu->rip says) and goes on in the run loop.
_Noreturn void cpu_resume(struct cpu *cpu);

void cpu_reset(struct cpu *cpu, bool init); // power-on state, or INIT's (SDM 3A table 10-1)

static inline bool cpu_protected(const struct cpu *cpu) { return cpu->cr0 & CR0_PE; }
static inline bool cpu_v8086(const struct cpu *cpu) { return cpu->rflags & FLAG_VM; }
static inline bool cpu_long(const struct cpu *cpu) { return cpu->msr.efer & EFER_LMA; }
static inline bool cpu_code64(const struct cpu *cpu)
{
    return cpu_long(cpu) && cpu->segment[SEG_CS].access & AR_L;
}
static inline bool cpu_canonical(u64 address) { return (u64)((s64)(address << 16) >> 16) == address; }
static inline unsigned cpu_iopl(const struct cpu *cpu) { return cpu->rflags >> 12 & 3; }

// A CPUID feature bit as this vCPU's guest sees it.
bool cpu_has(const struct cpu *cpu, u32 leaf, u32 subleaf, unsigned reg, unsigned bit);
