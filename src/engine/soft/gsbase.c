// See gsbase.h. Switching contexts is one WRGSBASE where the kernel announces that it keeps the base (AT_HWCAP2), which
// means that it saves and restores it per thread. Some hosts do not: cloud guests whose hypervisor hides FSGSBASE and
// makes every change of the base through the kernel an exit of its own, microseconds for what should take nanoseconds.
// On many of these the instruction works all the same; but a kernel that does not know of it gives the thread, after each
// switch, the base that arch_prctl was last told.
//
// So there we tell arch_prctl a base that cannot be mistaken for any other: a region as large as a window in which
// nothing may be touched, one for each vCPU. A thread that was switched meanwhile faults at its next access through gs,
// inside that region; the handler sets the base it should have had, and the instruction runs again. Between two switches
// the base is as WRGSBASE left it, because nothing else changes it.
#include "engine/soft/gsbase.h"

#include <asm/prctl.h>
#include <immintrin.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/soft/tlb.h"
#include "engine/soft/vm.h"
#include "engine/soft/window.h"

enum { HWCAP2_FSGSBASE_BIT = 1 << 1 };

// The one instruction that may be refused, and where the handler goes on if it is.
extern const u8 gsbase_try[], gsbase_tried[];

static bool gsbase_executes(void)
{
    u64 base, executed;
    __asm__ volatile("xor %k1, %k1\n"
                     "gsbase_try: rdgsbase %0\n"
                     "wrgsbase %0\n"
                     "mov $1, %k1\n"
                     "gsbase_tried:\n"
                     : "=&r"(base), "=&r"(executed)
                     :
                     : "cc");
    return executed;
}

enum gsbase_way gsbase_probe(void)
{
    if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)
        return GSBASE_ANNOUNCED;
    return gsbase_executes() ? GSBASE_TRAPPED : GSBASE_SYSCALL;
}

bool gsbase_thread(struct cpu *cpu)
{
    if (cpu->vm->gsbase != GSBASE_TRAPPED)
        return true;
    if (!cpu->gsbase_trap) {
        void *trap = mmap(NULL, WINDOW_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (trap == MAP_FAILED)
            return false;
        cpu->gsbase_trap = trap;
    }
    return syscall(SYS_arch_prctl, ARCH_SET_GS, cpu->gsbase_trap) == 0;
}

void gsbase_set(struct cpu *cpu, u8 *window)
{
    if (cpu->vm->gsbase == GSBASE_SYSCALL)
        syscall(SYS_arch_prctl, ARCH_SET_GS, window);
    else
        _writegsbase_u64((u64)window);
}

void gsbase_release(struct cpu *cpu)
{
    if (cpu->gsbase_trap)
        munmap(cpu->gsbase_trap, WINDOW_BYTES);
    cpu->gsbase_trap = NULL;
}

bool gsbase_recover(struct cpu *cpu, const siginfo_t *info, ucontext_t *context)
{
    greg_t *rip = &context->uc_mcontext.gregs[REG_RIP];
    if (info->si_signo == SIGILL && (const u8 *)*rip == gsbase_try) {
        *rip = (greg_t)gsbase_tried;
        return true;
    }
    if (info->si_signo != SIGSEGV || !cpu || !cpu->gsbase_trap || !cpu->published ||
        (u64)info->si_addr - (u64)cpu->gsbase_trap >= WINDOW_BYTES)
        return false;
    _writegsbase_u64((u64)cpu->published->window);
    return true;
}
