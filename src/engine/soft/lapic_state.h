// The local APIC's insides, shared by its three files: registers (lapic.c), messages between them (lapic_message.c),
// timers (lapic_timer.c).
#pragma once

#include <stdatomic.h>

#include "engine/soft/cpu.h"
#include "engine/soft/lapic.h"

// Register offsets in the xAPIC page (SDM 3A table 11-1).
enum {
    APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_APR = 0x90, APIC_PPR = 0xa0, APIC_EOI = 0xb0,
    APIC_RRD = 0xc0, APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180,
    APIC_IRR = 0x200, APIC_ESR = 0x280, APIC_CMCI = 0x2f0, APIC_ICR = 0x300, APIC_ICR2 = 0x310, APIC_LVT_TIMER = 0x320,
    APIC_LVT_THERMAL = 0x330, APIC_LVT_PERF = 0x340, APIC_LVT_LINT0 = 0x350, APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370, APIC_INITIAL_COUNT = 0x380, APIC_CURRENT_COUNT = 0x390, APIC_DIVIDE = 0x3e0,
    APIC_SELF_IPI = 0x3f0,
};

#define APIC_BASE_BSP (1ull << 8)
#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_ADDRESS 0x000ffffffffff000ull

enum { APIC_SVR_ENABLE = 1 << 8, APIC_LVT_MASKED = 1 << 16 };
enum { APIC_TIMER_ONE_SHOT, APIC_TIMER_PERIODIC, APIC_TIMER_DEADLINE }; // LVT timer, bits 18:17
enum { APIC_ERROR_SEND_VECTOR = 1 << 5, APIC_ERROR_RECEIVE_VECTOR = 1 << 6, APIC_ERROR_REGISTER = 1 << 7 };

enum delivery_mode {
    DELIVER_FIXED, DELIVER_LOWEST, DELIVER_SMI, DELIVER_RESERVED, DELIVER_NMI, DELIVER_INIT, DELIVER_STARTUP,
    DELIVER_EXTINT,
};

// INIT and SIPI on their way from another thread: one word, so that an INIT takes back an earlier SIPI.
enum { POSTED_INIT = 1 << 0, POSTED_SIPI = 1 << 1, POSTED_VECTOR_SHIFT = 8 };

enum { APIC_REGISTERS = 64, APIC_VECTOR_WORDS = 8 };

struct lapic {
    // Any thread.
    _Atomic u32 irr[APIC_VECTOR_WORDS], tmr[APIC_VECTOR_WORDS];
    _Atomic u32 posted;     // POSTED_*
    _Atomic u32 posted_nmis;
    _Atomic bool attention; // set after one of the two above, by the timer, by an EOI to tell: lapic_collect has work
    _Atomic bool requested; // some bit of irr may be set

    // The vCPU's own; ID, LDR, DFR, SVR and TPR are read by senders on other threads, which may see the value of just
    // now.
    u32 reg[APIC_REGISTERS]; // those that are plain state, by offset / 16
    u32 isr[APIC_VECTOR_WORDS];
    u32 errors;              // not yet visible in the ESR
    u64 deadline;            // IA32_TSC_DEADLINE
    u64 expiry;              // CLOCK_MONOTONIC ns of the timer's next expiry, LAPIC_NEVER
    u64 alarm;               // the same of the VMX preemption timer, which shares the thread
    u64 eoi[4];              // vectors whose EOI the board has to be told of
};

#define LAPIC_NEVER (~0ull)

static inline u32 *lapic_reg(struct lapic *lapic, unsigned offset) { return &lapic->reg[offset >> 4]; }
static inline u32 lapic_get_reg(const struct lapic *lapic, unsigned offset)
{
    return __atomic_load_n(&lapic->reg[offset >> 4], __ATOMIC_RELAXED);
}
static inline void lapic_set_reg(struct lapic *lapic, unsigned offset, u32 value)
{
    __atomic_store_n(&lapic->reg[offset >> 4], value, __ATOMIC_RELAXED);
}

static inline u64 lapic_base(const struct cpu *cpu) { return __atomic_load_n(&cpu->msr.apic_base, __ATOMIC_RELAXED); }
static inline bool lapic_on(const struct cpu *cpu) { return lapic_base(cpu) & APIC_BASE_ENABLE; }
static inline bool lapic_x2(const struct cpu *cpu) { return lapic_base(cpu) & APIC_BASE_X2APIC; }

// lapic_message.c
struct lapic_message {
    u32 dest;
    bool logical, level; // level: level-triggered
    bool wide;           // dest is 32 bits wide (x2APIC sender); else 0xff is everyone
    u8 vector, mode;     // enum delivery_mode
};
unsigned lapic_send(struct engine_vm *vm, const struct lapic_message *message); // how many accepted it
void lapic_command(struct cpu *cpu, u64 icr);                                    // the ICR was written
bool lapic_accept(struct cpu *cpu, u8 vector, bool level);                       // a fixed interrupt; any thread
void lapic_error(struct cpu *cpu, u32 bits);
void lapic_attend(struct cpu *cpu);                                              // any thread: calls for lapic_collect

// lapic_timer.c
int lapic_timer_create(struct cpu *cpu);
void lapic_timer_destroy(struct cpu *cpu);
void lapic_timer_start(struct cpu *cpu);  // the initial count was written
void lapic_timer_mode(struct cpu *cpu, u32 old_lvt); // LVT timer was written
void lapic_timer_divide(struct cpu *cpu, u32 divide);
void lapic_timer_stop(struct cpu *cpu);
u32 lapic_timer_count(struct cpu *cpu);
void lapic_timer_restore(struct cpu *cpu, u32 current);
void lapic_timer_catch_up(struct cpu *cpu); // by the clock: an expiry that nobody has looked at yet
