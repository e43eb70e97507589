// The run loop: guest code, until something wants C; then that; then guest code again. Everything that unwinds
// (faults, VM exits, exits to the board) comes back to the setjmp here, with the CPU's state saying where to go on.
#include "engine/soft/run.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/soft/block.h"
#include "engine/soft/debug.h"
#include "engine/soft/fpu.h"
#include "engine/soft/gsbase.h"
#include "engine/soft/io.h"
#include "engine/soft/lapic.h"
#include "engine/soft/mmio.h"
#include "engine/soft/signal.h"
#include "engine/soft/slow.h"
#include "engine/soft/translate.h"
#include "engine/soft/vmx/vmx.h"
#include "engine/soft/world.h"

void cpu_request(struct cpu *cpu, u32 request)
{
    atomic_fetch_or(&cpu->request, request);
    __atomic_store_n(&cpu->jump, SIGNAL_NO_JUMPS, __ATOMIC_SEQ_CST);
    if (atomic_load(&cpu->waiting))
        syscall(SYS_futex, &cpu->request, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

_Noreturn void cpu_resume(struct cpu *cpu) { __builtin_longjmp(cpu->unwind, 1); }

static bool segment_flat(const struct segment *segment, bool code)
{
    bool usable = !(segment->access & AR_UNUSABLE) && segment->base == 0 && segment->limit == 0xffffffff;
    if (code)
        return segment->base == 0 && segment->limit == 0xffffffff;
    return usable && (segment->access & (AR_CODE | AR_EXPAND_DOWN | AR_RW)) == AR_RW;
}

static bool segment_unlimited(const struct segment *segment)
{
    return !(segment->access & AR_UNUSABLE) && segment->limit == 0xffffffff &&
           (segment->access & (AR_CODE | AR_EXPAND_DOWN | AR_RW)) == AR_RW;
}

static mode_word mode_segments(const struct cpu *cpu)
{
    const struct segment *segment = cpu->segment;
    if (cpu_code64(cpu))
        return MODE_CODE64 | MODE_FLAT | MODE_STACK32 | MODE_FS | MODE_GS;
    mode_word mode = segment[SEG_CS].access & AR_DB ? MODE_CODE32 : 0;
    if (segment[SEG_SS].access & AR_DB)
        mode |= MODE_STACK32;
    if (segment_flat(&segment[SEG_CS], true) && segment_flat(&segment[SEG_DS], false) &&
        segment_flat(&segment[SEG_ES], false) && segment_flat(&segment[SEG_SS], false))
        mode |= MODE_FLAT;
    if (segment_unlimited(&segment[SEG_FS]))
        mode |= MODE_FS;
    if (segment_unlimited(&segment[SEG_GS]))
        mode |= MODE_GS;
    return mode;
}

static mode_word mode_vector(const struct cpu *cpu)
{
    bool em = cpu->cr0 & CR0_EM, ts = cpu->cr0 & CR0_TS, osfxsr = cpu->cr4 & CR4_OSFXSR;
    mode_word mode = 0;
    if (!em && !ts)
        mode |= MODE_X87;
    if (em)
        mode |= MODE_X87_EM;
    if (cpu->cr0 & CR0_MP && ts)
        mode |= MODE_FWAIT_NM;
    // AVX asks neither CR0.EM nor CR4.OSFXSR (SDM 2A table 2-23)
    if (cpu->cr4 & CR4_OSXSAVE && (cpu->xcr0 & 6) == 6 && !ts) {
        mode |= MODE_AVX;
        if ((cpu->xcr0 & 0xe6) == 0xe6)
            mode |= MODE_AVX512;
    }
    if (em || !osfxsr)
        return mode;
    return mode | (ts ? MODE_SSE_NM : MODE_SSE);
}

void cpu_mode_update(struct cpu *cpu)
{
    mode_word mode = mode_segments(cpu) | mode_vector(cpu);
    if (cpu_protected(cpu) && !cpu_v8086(cpu))
        mode |= MODE_PROTECTED;
    cpu->mode_word = mode;
    tlb_switch(cpu);
}

// Makes generated code see the current context. False: a request came in between.
static bool publish(struct cpu *cpu)
{
    struct tlb *tlb = cpu->tlb;
    if (cpu->published != tlb) {
        gsbase_set(cpu, tlb->window);
        cpu->published = tlb;
    }
    cpu->tlb_mask = tlb->mask;
    // Against cpu_request, which sets `request` first and `jump` second: a full barrier between our two accesses.
    if (__atomic_load_n(&cpu->jump, __ATOMIC_RELAXED) != tlb->jump)
        (void)__atomic_exchange_n(&cpu->jump, tlb->jump, __ATOMIC_SEQ_CST);
    return !atomic_load(&cpu->request);
}

static void enter(struct cpu *cpu, const u8 *code)
{
    if (!cpu->vector_live)
        fpu_load(cpu);
    flags_to_memory_form(cpu);
    void (*glue_enter)(struct cpu *, const u8 *) =
        (void (*)(struct cpu *, const u8 *))(uintptr_t)cpu->vm->code->glue.enter;
    glue_enter(cpu, code);
    flags_from_memory(cpu);
}

static u64 rip_truncate(const struct cpu *cpu, u64 rip)
{
    return cpu_code64(cpu) ? rip : (u32)rip; // 16-bit code runs past 64 KiB when its segment lets it
}

static void opcode_check(struct cpu *cpu, const struct insn *insn)
{
    unsigned flags = insn->opcode->flags;
    bool code64 = cpu_code64(cpu);
    if (flags & OPCODE_CODE64 && !code64)
        cpu_raise(cpu, VECTOR_UD);
    if (flags & OPCODE_NOT64 && code64)
        cpu_raise(cpu, VECTOR_UD);
    if (flags & OPCODE_PROTECTED && (!cpu_protected(cpu) || cpu_v8086(cpu)))
        cpu_raise(cpu, VECTOR_UD);
    if (flags & OPCODE_X87 && cpu->cr0 & (CR0_EM | CR0_TS))
        cpu_raise(cpu, VECTOR_NM);
    if (flags & OPCODE_SSE && (cpu->cr0 & CR0_EM || !(cpu->cr4 & CR4_OSFXSR)))
        cpu_raise(cpu, VECTOR_UD);
    if (flags & OPCODE_XSAVE && !(cpu->cr4 & CR4_OSXSAVE))
        cpu_raise(cpu, VECTOR_UD);
    if (flags & OPCODE_CPL0 && cpu->cpl != 0)
        cpu_raise_code(cpu, VECTOR_GP, 0);
    if (flags & (OPCODE_SSE | OPCODE_XSAVE) && cpu->cr0 & CR0_TS)
        cpu_raise(cpu, VECTOR_NM);
}

static void system_execute(struct cpu *cpu, const struct insn *insn)
{
    u32 shadow = cpu->interruptibility & (BLOCKING_STI | BLOCKING_MOV_SS);
    cpu->next_rip = rip_truncate(cpu, cpu->rip + insn->length);
    if (UNLIKELY(insn->opcode->flags))
        opcode_check(cpu, insn);
    intercept_insn(cpu, insn, insn->opcode->intercept);
    insn->opcode->function(cpu, insn);
    cpu->rip = cpu->next_rip;
    cpu->interruptibility &= ~shadow;
}

static bool event_waits(struct cpu *cpu)
{
    return cpu->event.valid || cpu->pending_debug || cpu->nmi_pending || cpu->extint_pending || lapic_pending(cpu) >= 0;
}

void run_inline(struct cpu *cpu, u32 insn_id)
{
    const struct insn *insn = &cpu->vm->code->insn[insn_id];
    mode_word mode = cpu->mode_word;
    u64 here = rip_truncate(cpu, cpu->code_base + SITE_POSITION(cpu->site)),
        next = rip_truncate(cpu, here + insn->length);
    flags_from_memory(cpu);
    if (cpu->rip != here)
        cpu->interruptibility &= ~(u32)(BLOCKING_STI | BLOCKING_MOV_SS);
    cpu->rip = here;
    cpu->code_changed = false;
    u64 flags = cpu->rflags;
    system_execute(cpu, insn);
    bool let_in = cpu->rflags & ~flags & FLAG_IF && (vmx_watches_interruptibility(cpu) || event_waits(cpu));
    bool elsewhere = cpu->rip != next || cpu->mode_word != mode || cpu->code_changed || cpu->leave ||
                     cpu->rflags & FLAG_TF;
    if (UNLIKELY(let_in || elsewhere || cpu->mmio_reads || cpu->mmio_writes || !publish(cpu)))
        cpu_resume(cpu);
    if (!cpu->vector_live)
        fpu_load(cpu);
    flags_to_memory_form(cpu);
}

static void fault_raise(struct cpu *cpu, u32 vector)
{
    if (vector == VECTOR_GP || vector == VECTOR_SS || vector == VECTOR_AC)
        cpu_raise_code(cpu, vector, 0);
    cpu_raise(cpu, vector);
}

// A target that is not canonical: the indirect branch before it faults, as if it had not been. A direct branch that
// leads out of the canonical addresses is noticed at its target, which is not far from here.
static bool branch_astray(const struct cpu *cpu, u64 target)
{
    s64 distance = (s64)(target - cpu->code_base);
    return UNLIKELY(!cpu_canonical(target)) && cpu_code64(cpu) && distance != (s32)distance;
}

static _Noreturn void branch_fault(struct cpu *cpu)
{
    cpu->rip = cpu->code_base + SITE_POSITION(cpu->site);
    cpu->gpr[RSP] -= (u64)(s64)SITE_RSP(cpu->site);
    cpu_raise_code(cpu, VECTOR_GP, 0);
}

// Does what generated code left for. Returns code to go on with at once, or NULL for the long way round.
static const u8 *run_exit(struct cpu *cpu)
{
    struct code_cache *code = cpu->vm->code;
    u64 here = rip_truncate(cpu, cpu->code_base + SITE_POSITION(cpu->site));
    switch (cpu->exit_kind) {
    case EXIT_LINK:
        return code_link(cpu, cpu->exit_argument);
    case EXIT_JUMP:
        if (branch_astray(cpu, cpu->scratch[0]))
            branch_fault(cpu);
        cpu->rip = cpu_code64(cpu) ? cpu->scratch[0] : (u32)cpu->scratch[0];
        return code_find(cpu);
    case EXIT_SYSTEM:
        if (cpu->rip != here)
            cpu->interruptibility &= ~(u32)(BLOCKING_STI | BLOCKING_MOV_SS);
        cpu->rip = here;
        if (UNLIKELY(atomic_load(&cpu->request)) && !cpu->one &&
            !(cpu->interruptibility & (BLOCKING_STI | BLOCKING_MOV_SS)))
            return NULL; // an interrupt that was let in before this instruction comes before it
        system_execute(cpu, &code->insn[cpu->exit_argument]);
        return NULL;
    case EXIT_FAULT:
        fault_raise(cpu, cpu->exit_argument);
        return NULL;
    case EXIT_RAISE:
        cpu->rip = here;
        fault_raise(cpu, cpu->exit_argument);
        return NULL;
    case EXIT_STEP:
        cpu->rip = rip_truncate(cpu, here + SITE_LENGTH(cpu->site));
        return NULL;
    default: // EXIT_POLL
        if (branch_astray(cpu, cpu->rip))
            branch_fault(cpu);
        return NULL;
    }
}

// Halted, or waiting for SIPI: sleeps until somebody has a request.
static void run_wait(struct cpu *cpu)
{
    world_leave(cpu);
    atomic_store(&cpu->waiting, true);
    while (!atomic_load(&cpu->request))
        syscall(SYS_futex, &cpu->request, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    atomic_store(&cpu->waiting, false);
    world_enter(cpu);
    if (cpu->vm->gsbase == GSBASE_TRAP)
        cpu->published = NULL; // to write the base again is cheaper than the fault to come
}

// Nothing is half done that only KVM_RUN knows of: an instruction that has its device's answer, a VM exit that is due,
// what other threads posted to the local APIC. Whoever saves the vCPU's state may do so once KVM_RUN has returned
// -EINTR.
static bool run_settled(const struct cpu *cpu)
{
    return !cpu->mmio_reads && !(cpu->guest_mode && cpu->vmx->apic_reason) && !lapic_wants_collect(cpu);
}

// Serves requests. KVM_RUN is to return when cpu->leave is set.
static void run_requests(struct cpu *cpu)
{
    u32 request = atomic_load(&cpu->request);
    if (LIKELY(!request))
        return;
    if (request & REQUEST_STOP)
        world_pause(cpu);
    if (request & REQUEST_FLUSH) {
        atomic_fetch_and(&cpu->request, ~(u32)REQUEST_FLUSH);
        tlb_flush_all(cpu);
    }
    if (request & REQUEST_EVENT)
        atomic_fetch_and(&cpu->request, ~(u32)REQUEST_EVENT);
    if (request & REQUEST_LEAVE && run_settled(cpu)) {
        atomic_fetch_and(&cpu->request, ~(u32)REQUEST_LEAVE);
        cpu->leave = true;
        cpu->leave_result = -EINTR;
    }
}

// The single step that was asked for when the instruction began (SDM 3B 18.3.1.4).
static void step_trap(struct cpu *cpu)
{
    if (cpu->stepping && !(cpu->interruptibility & BLOCKING_MOV_SS)) // MOV SS is not trapped behind (SDM 3A 6.8.3)
        cpu->pending_debug |= DR6_BS;
    cpu->stepping = false;
}

// An interrupt shadow has to end after exactly one instruction if something waits behind it; else it may end unnoticed
// at the end of the block (run_exit), and HLT right behind STI still finds it.
static bool shadow_matters(struct cpu *cpu)
{
    if (LIKELY(!(cpu->interruptibility & (BLOCKING_MOV_SS | BLOCKING_STI))))
        return false;
    return cpu->interruptibility & BLOCKING_MOV_SS || vmx_watches_interruptibility(cpu) || cpu->nmi_pending ||
           cpu->extint_pending || lapic_pending(cpu) >= 0;
}

static void run_code(struct cpu *cpu)
{
    bool step = cpu->rflags & FLAG_TF, trap = vmx_single_step(cpu), armed = debug_prepare(cpu);
    cpu->rflags &= ~FLAG_RF; // faults set it again in what they save
    cpu->one = step || trap || armed || cpu->mmio_reads || shadow_matters(cpu);
    const u8 *code = cpu->one ? code_find_one(cpu) : code_find(cpu);
    cpu->stepping = step;
    while (code && (publish(cpu) || cpu->one)) {
        u64 rip = cpu->rip;
        enter(cpu, code);
        code = run_exit(cpu);
        if (cpu->exit_kind != EXIT_SYSTEM && cpu->rip != rip)
            cpu->interruptibility &= ~(u32)(BLOCKING_STI | BLOCKING_MOV_SS);
    }
    step_trap(cpu);
    if (UNLIKELY(trap))
        intercept_retired(cpu);
}

// Whether the board may inject its PIC's interrupt now (KVM_INTERRUPT).
static bool extint_ready(struct cpu *cpu)
{
    return !cpu->extint_pending && lapic_accepts_extint(cpu) && cpu->rflags & FLAG_IF && !cpu->interruptibility &&
           !cpu->event.valid;
}

static int run_loop(struct cpu *cpu)
{
    __builtin_setjmp(cpu->unwind);
    cpu->partial = false; // what unwinds in the middle of a gather may be a VM exit, which is no fault
    for (;;) {
        if (!cpu->leave && cpu->io.active) {
            io_complete(cpu);
            step_trap(cpu);
        }
        if (!cpu->leave && mmio_retire(cpu))
            return 0;
        if (!cpu->leave) // a kick must not turn an exit that has been made into -EINTR
            run_requests(cpu);
        if (cpu->leave) {
            cpu->leave = false;
            return cpu->leave_result;
        }
        if (UNLIKELY(cpu->run->request_interrupt_window) && extint_ready(cpu)) {
            cpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
            return 0;
        }
        if (!cpu->mmio_reads && !event_poll(cpu)) // devices notice being read twice (mmio.h)
            run_wait(cpu);
        else if (!cpu->leave)
            run_code(cpu);
    }
}

int run_vcpu(struct cpu *cpu)
{
    // As KVM takes it: the exit before is completed first.
    if (cpu->run->immediate_exit)
        cpu_request(cpu, REQUEST_LEAVE);
    world_enter(cpu);
    signal_thread_enter(cpu);
    gsbase_enter(cpu);
    cpu->published = NULL;
    int result = mmio_complete(cpu) ? 0 : run_loop(cpu);
    if (result == -EINTR)
        cpu->run->exit_reason = KVM_EXIT_INTR;
    cpu->run->if_flag = !!(cpu->rflags & FLAG_IF);
    cpu->run->ready_for_interrupt_injection = extint_ready(cpu);
    cpu->run->cr8 = lapic_cr8(cpu);
    cpu->run->apic_base = cpu->msr.apic_base;
    fpu_save(cpu);
    signal_thread_leave();
    world_leave(cpu);
    return result;
}
