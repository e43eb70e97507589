// Re-encoded instructions fault on the host exactly where they would fault in the guest: #DE, #MF, #XM, the #GP of a
// misaligned MOVAPS, #UD. The host kernel turns that into a signal; the handler here turns it back into the guest's
// exception: it finds the guest instruction by the block's sites, and makes the interrupted context go on at the block
// exit with the reason. A request to stop arrives the same way, as a fault on reading through cpu->jump, and so does a
// gs base that the host's kernel has forgotten (gsbase.c).
//
// A guest's stack pointer may be anything, and it is the host's while generated code runs. Some kernels cannot return
// to a program whose RSP is not canonical: a paravirtualized one's host answers with #GP or #UD at whatever instruction
// is next, after an interrupt or a signal. So a signal never returns with such an RSP, but to the glue, which loads it;
// and a #GP or #UD with such an RSP is taken for one of the host's until it comes again and again at the same place and
// at once.
//
// Which vCPU a thread runs is thread-local because a signal handler has no other argument.
#include "engine/soft/signal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "engine/soft/block.h"
#include "engine/soft/gsbase.h"

enum { SIGNAL_STACK_BYTES = 64 << 10, TRAP_UD = 6, TRAP_GP = 13, TRAP_PF = 14, STRAY_FAULTS = 4, STRAY_TSC = 1 << 20 };

static _Thread_local struct cpu *signal_cpu;

static const struct block_site *site_at(const struct block *block, const u8 *host)
{
    u32 offset = (u32)(host - block->host), low = 0, high = block->site_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (block->site[middle].host <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &block->site[low - 1] : NULL;
}

static bool locate(struct cpu *cpu, const ucontext_t *context)
{
    struct code_cache *code = cpu->vm->code;
    const u8 *host = (const u8 *)context->uc_mcontext.gregs[REG_RIP];
    if (host >= code->glue.jump && host < code->glue.jump_end) {
        cpu->rip = (u64)context->uc_mcontext.gregs[REG_R14];
        return true;
    }
    const struct block *block = code_block_at(code, host);
    const struct block_site *site = block ? site_at(block, host) : NULL;
    if (!site)
        return false;
    if (site->in_host & SITE_BRANCHED) {
        cpu->rip = (u64)context->uc_mcontext.gregs[REG_R14];
        return true;
    }
    cpu->rip = cpu->code_base + site->position;
    if (!cpu_code64(cpu))
        cpu->rip = (u32)cpu->rip;
    if (site->in_host & SITE_R14)
        cpu->gpr[R14] = (u64)context->uc_mcontext.gregs[REG_R14];
    if (site->in_host & SITE_R15)
        cpu->gpr[R15] = (u64)context->uc_mcontext.gregs[REG_R15];
    u64 eflags = (u64)context->uc_mcontext.gregs[REG_EFL];
    if (site->flags_live)
        cpu->flags = ((eflags & 0xff) | 2) << 8 | (eflags >> 11 & 1);
    return true;
}

static bool canonical(u64 address) { return (u64)((s64)(address << 16) >> 16) == address; }

static void resume(struct cpu *cpu, greg_t *regs)
{
    cpu->resume_rsp = (u64)regs[REG_RSP];
    cpu->resume_rip = (u64)regs[REG_RIP];
    regs[REG_RSP] = (greg_t)cpu->host_rsp;
    regs[REG_RIP] = (greg_t)cpu->vm->code->glue.resume;
}

static bool resuming(const struct cpu *cpu, const u8 *host)
{
    return host >= cpu->vm->code->glue.resume && host < cpu->vm->code->glue.resume_end;
}

// The instruction that was interrupted is the next one, or the one that it was resuming at.
static void resume_again(struct cpu *cpu, greg_t *regs)
{
    if (resuming(cpu, (const u8 *)regs[REG_RIP]))
        regs[REG_RIP] = (greg_t)cpu->resume_rip;
    resume(cpu, regs);
}

// Whether a #GP or #UD is the host's, not the instruction's; it is gone on with then.
static bool resume_stray(struct cpu *cpu, greg_t *regs)
{
    const u8 *host = (const u8 *)regs[REG_RIP];
    if ((regs[REG_TRAPNO] != TRAP_GP && regs[REG_TRAPNO] != TRAP_UD) || canonical((u64)regs[REG_RSP]))
        return false;
    u64 now = __builtin_ia32_rdtsc();
    bool same = (resuming(cpu, host) || (u64)host == cpu->resume_rip) && now - cpu->stray_tsc < STRAY_TSC;
    cpu->stray_tsc = now;
    cpu->stray_faults = same ? cpu->stray_faults + 1 : 1;
    if (cpu->stray_faults > STRAY_FAULTS) {
        cpu->stray_faults = 0;
        return false;
    }
    resume_again(cpu, regs);
    return true;
}

static bool handle(ucontext_t *context)
{
    struct cpu *cpu = signal_cpu;
    greg_t *regs = context->uc_mcontext.gregs;
    u64 probed = gsbase_illegal((u64)regs[REG_RIP]);
    if (UNLIKELY(probed)) {
        regs[REG_RIP] = (greg_t)probed;
        return true;
    }
    if (!cpu || !code_contains(cpu->vm->code, (const u8 *)regs[REG_RIP]))
        return false;
    if (resume_stray(cpu, regs))
        return true;
    if (regs[REG_TRAPNO] == TRAP_PF && gsbase_trapped(cpu, (u64)regs[REG_CR2])) {
        if (!canonical((u64)regs[REG_RSP]))
            resume_again(cpu, regs);
        return true;
    }
    if (!locate(cpu, context))
        return false;
    bool poll = regs[REG_TRAPNO] == TRAP_PF;
    if (poll && (u64)regs[REG_CR2] >= TLB_JUMPS * sizeof(struct tlb_jump))
        return false; // not through cpu->jump: generated code is wrong
    cpu->exit_kind = poll ? EXIT_POLL : EXIT_FAULT;
    cpu->exit_argument = (u32)regs[REG_TRAPNO];
    regs[REG_RIP] = (greg_t)cpu->vm->code->glue.exit;
    if (!canonical((u64)regs[REG_RSP]))
        resume(cpu, regs);
    return true;
}

static void handler(int number, siginfo_t *info, void *context)
{
    (void)info;
    int saved = errno;
    if (!handle(context))
        signal(number, SIG_DFL); // the fault happens again and ends the process as it should
    errno = saved;
}

int signal_install(void)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    sigemptyset(&action.sa_mask);
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
        if (sigaction(signals[i], &action, NULL) < 0)
            return -errno;
    return 0;
}

void signal_thread_enter(struct cpu *cpu)
{
    signal_cpu = cpu;
    u64 thread = (u64)pthread_self();
    if (cpu->thread == thread)
        return;
    cpu->thread = thread;
    if (!cpu->signal_stack) {
        void *stack = mmap(NULL, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        cpu->signal_stack = stack == MAP_FAILED ? NULL : stack;
    }
    stack_t stack = { .ss_sp = cpu->signal_stack, .ss_size = SIGNAL_STACK_BYTES };
    sigaltstack(&stack, NULL);
}

void signal_thread_leave(void) { signal_cpu = NULL; }

void signal_stack_release(struct cpu *cpu)
{
    if (cpu->signal_stack)
        munmap(cpu->signal_stack, SIGNAL_STACK_BYTES);
}
