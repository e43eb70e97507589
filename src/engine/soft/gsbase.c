// Generated code finds its context through the gs base, and contexts change at every system call, page fault, VM exit
// and VM entry of a guest, so changing the base has to be cheap. There are three ways, and the host decides which:
//
// PLAIN. The kernel announces FSGSBASE (AT_HWCAP2): WRGSBASE, some ten nanoseconds. So it is on most machines.
//
// CALL. arch_prctl(ARCH_SET_GS), which works everywhere. It is a system call whose work is a write to an MSR; in a
// cloud guest that may exit to the hypervisor, and then takes a thousand times as long as the instruction.
//
// TRAP. The instruction executes although the kernel does not announce it: CR4.FSGSBASE is the hypervisor's doing in
// some clouds. Such a kernel does not know that bases change behind its back: when it schedules a thread it loads what
// the thread's last arch_prctl said. (It keeps the base over system calls, interrupts and signals, which have no reason
// to touch it.) That is enough, if what it loads is an address at which every access faults. So each vCPU has a region
// without access, as large as a window, tells the kernel once that its thread's base is there, and then changes the
// base by WRGSBASE. When the thread was scheduled in between, generated code's next access through gs faults in that
// region; the signal handler writes the base again, and the instruction runs anew, as it did not do anything yet. One
// such fault for each time the host takes the CPU away costs nothing to speak of.
//
// C never uses gs, so it does not matter when it happens there; behind sleeps that are sure to lose the base, the run
// loop writes it in advance. Each vCPU has a region of its own: a kernel that saw two threads with the same base might
// save the load when it goes from one to the other, and leave the first one's window to the second.
#include "engine/soft/gsbase.h"

#include <asm/prctl.h>
#include <immintrin.h>
#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/soft/vm.h"
#include "engine/soft/window.h"

enum { HWCAP2_FSGSBASE_BIT = 1 << 1, PROBE_SLEEPS = 4 };

static _Thread_local u64 gsbase_kernel; // what the kernel loads for this thread

static void gsbase_call(u64 base)
{
    syscall(SYS_arch_prctl, ARCH_SET_GS, base);
    gsbase_kernel = base;
}

// Returns 1; or 0 by way of gsbase_illegal.
extern const u8 gsbase_executes_not[];
extern u32 gsbase_executes(void);
__asm__(".pushsection .text\n"
        ".type gsbase_executes, @function\n"
        "gsbase_executes: rdgsbase %rax\n"
        "wrgsbase %rax\n"
        "mov $1, %eax\n"
        "ret\n"
        "gsbase_executes_not: xor %eax, %eax\n"
        "ret\n"
        ".size gsbase_executes, . - gsbase_executes\n"
        ".popsection");

u64 gsbase_illegal(u64 rip)
{
    bool probe = rip >= (u64)(uintptr_t)gsbase_executes && rip < (u64)gsbase_executes_not;
    return probe ? (u64)gsbase_executes_not : 0;
}

// Whether the base is, after the thread has slept, one of the two that TRAP counts on.
static bool gsbase_keeps_or_forgets(void)
{
    const u64 told = PAGE_BYTES, written = 2 * PAGE_BYTES, before = gsbase_kernel;
    const struct timespec moment = { .tv_nsec = 1000 };
    u32 word = 0;
    bool good = true;
    gsbase_call(told);
    for (unsigned i = 0; i < PROBE_SLEEPS && good; i++) {
        _writegsbase_u64(written);
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &moment, NULL, 0);
        u64 found = _readgsbase_u64();
        good = found == told || found == written;
    }
    gsbase_call(before);
    return good;
}

enum gsbase_way gsbase_probe(void)
{
    if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)
        return GSBASE_PLAIN;
    return gsbase_executes() && gsbase_keeps_or_forgets() ? GSBASE_TRAP : GSBASE_CALL;
}

void gsbase_enter(struct cpu *cpu)
{
    u64 trap = (u64)cpu->gs_trap;
    if (cpu->vm->gsbase == GSBASE_TRAP && gsbase_kernel != trap)
        gsbase_call(trap);
}

void gsbase_set(struct cpu *cpu, u8 *window)
{
    if (cpu->vm->gsbase == GSBASE_CALL)
        gsbase_call((u64)window);
    else
        _writegsbase_u64((u64)window);
}

bool gsbase_trapped(struct cpu *cpu, u64 address)
{
    u64 trap = (u64)cpu->gs_trap;
    if (cpu->vm->gsbase != GSBASE_TRAP || address - trap >= WINDOW_BYTES || _readgsbase_u64() != trap)
        return false;
    _writegsbase_u64((u64)cpu->published->window);
    return true;
}
