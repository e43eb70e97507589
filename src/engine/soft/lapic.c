// See lapic.h: the registers (SDM 3A chapter 11). Those that are plain state live in one array by offset, so that
// reading is one lookup, and saving the state is copying it.
#include "engine/soft/lapic_state.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/soft/bytes.h"
#include "engine/soft/cpuid.h"
#include "engine/soft/vm.h"

// Bits of each LVT entry that software may write: the vector and the mask, and what the entry has beyond.
static u32 lapic_lvt_mask(unsigned offset)
{
    switch (offset) {
    case APIC_LVT_TIMER:
        return APIC_LVT_MASKED | 0xff | 3 << 17;
    case APIC_LVT_LINT0:
    case APIC_LVT_LINT1:
        return APIC_LVT_MASKED | 0xff | 7 << 8 | 1 << 13 | 1 << 15;
    case APIC_LVT_THERMAL:
    case APIC_LVT_PERF:
        return APIC_LVT_MASKED | 0xff | 7 << 8;
    default:
        return APIC_LVT_MASKED | 0xff;
    }
}

static bool lapic_is_lvt(unsigned offset) { return offset >= APIC_LVT_TIMER && offset <= APIC_LVT_ERROR; }

static void lapic_registers_reset(struct cpu *cpu)
{
    struct lapic *lapic = cpu->lapic;
    lapic_timer_stop(cpu);
    for (unsigned i = 0; i < APIC_VECTOR_WORDS; i++) {
        atomic_store(&lapic->irr[i], 0);
        atomic_store(&lapic->tmr[i], 0);
        lapic->isr[i] = 0;
    }
    for (unsigned offset = APIC_TPR; offset < APIC_REGISTERS << 4; offset += 16)
        lapic_set_reg(lapic, offset, lapic_is_lvt(offset) ? APIC_LVT_MASKED : 0);
    lapic_set_reg(lapic, APIC_DFR, ~0u);
    lapic_set_reg(lapic, APIC_SVR, 0xff);
    lapic->errors = 0;
    lapic->deadline = 0;
}

void lapic_reset(struct cpu *cpu, bool init)
{
    struct lapic *lapic = cpu->lapic;
    lapic_registers_reset(cpu);
    // What firmware leaves on the boot processor: the PIC through LINT0, NMI on LINT1 ("virtual wire").
    if (cpu->id == 0) {
        lapic_set_reg(lapic, APIC_LVT_LINT0, DELIVER_EXTINT << 8);
        lapic_set_reg(lapic, APIC_LVT_LINT1, DELIVER_NMI << 8);
    }
    if (init)
        return;
    lapic_set_reg(lapic, APIC_ID, cpu->id << 24);
    cpu->msr.apic_base = 0xfee00000 | APIC_BASE_ENABLE | (cpu->id == 0 ? APIC_BASE_BSP : 0);
    atomic_store(&lapic->posted, 0);
    atomic_store(&lapic->posted_nmis, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(lapic->eoi); i++)
        lapic->eoi[i] = 0;
}

int lapic_create(struct cpu *cpu)
{
    cpu->lapic = calloc(1, sizeof *cpu->lapic);
    if (!cpu->lapic)
        return -ENOMEM;
    cpu->lapic->expiry = cpu->lapic->alarm = LAPIC_NEVER;
    int result = lapic_timer_create(cpu);
    if (result) {
        free(cpu->lapic);
        cpu->lapic = NULL;
        return result;
    }
    lapic_reset(cpu, false);
    return 0;
}

void lapic_destroy(struct cpu *cpu)
{
    if (!cpu->lapic)
        return;
    lapic_timer_destroy(cpu);
    free(cpu->lapic);
    cpu->lapic = NULL;
}

// Priorities.

static int lapic_highest(const u32 *words)
{
    for (int i = APIC_VECTOR_WORDS - 1; i >= 0; i--)
        if (words[i])
            return 32 * i + 31 - __builtin_clz(words[i]);
    return -1;
}

// Asked at every event_poll, when mostly nothing is there.
static int lapic_requested(struct lapic *lapic)
{
    if (LIKELY(!atomic_load_explicit(&lapic->requested, memory_order_relaxed)))
        return -1;
    atomic_store(&lapic->requested, false); // before looking: senders set the bit first
    for (int i = APIC_VECTOR_WORDS - 1; i >= 0; i--) {
        u32 word = atomic_load_explicit(&lapic->irr[i], memory_order_relaxed);
        if (word) {
            atomic_store_explicit(&lapic->requested, true, memory_order_relaxed);
            return 32 * i + 31 - __builtin_clz(word);
        }
    }
    return -1;
}

static u32 lapic_ppr(const struct lapic *lapic)
{
    int serving = lapic_highest(lapic->isr);
    u32 tpr = lapic_get_reg(lapic, APIC_TPR) & 0xff, class = serving < 0 ? 0 : (u32)serving & 0xf0;
    return (tpr & 0xf0) >= class ? tpr : class;
}

int lapic_pending(struct cpu *cpu)
{
    struct lapic *lapic = cpu->lapic;
    if (!lapic_on(cpu))
        return -1;
    int vector = lapic_requested(lapic);
    return vector >= 0 && ((u32)vector & 0xf0) > (lapic_ppr(lapic) & 0xf0) ? vector : -1;
}

int lapic_acknowledge(struct cpu *cpu)
{
    struct lapic *lapic = cpu->lapic;
    int vector = lapic_pending(cpu);
    if (vector < 0)
        return vector;
    lapic->isr[vector / 32] |= 1u << vector % 32;
    atomic_fetch_and(&lapic->irr[vector / 32], ~(1u << vector % 32));
    return vector;
}

// Something that may have let an interrupt through.
static void lapic_reconsider(struct cpu *cpu)
{
    if (lapic_pending(cpu) >= 0)
        cpu_request(cpu, REQUEST_EVENT);
}

bool lapic_software_enabled(const struct cpu *cpu)
{
    return lapic_on(cpu) && lapic_get_reg(cpu->lapic, APIC_SVR) & APIC_SVR_ENABLE;
}

bool lapic_accepts_extint(const struct cpu *cpu)
{
    u32 lint0 = lapic_get_reg(cpu->lapic, APIC_LVT_LINT0);
    return !lapic_on(cpu) || (!(lint0 & APIC_LVT_MASKED) && (lint0 >> 8 & 7) == DELIVER_EXTINT);
}

u64 lapic_cr8(const struct cpu *cpu) { return lapic_get_reg(cpu->lapic, APIC_TPR) >> 4 & 15; }

static void lapic_set_tpr(struct cpu *cpu, u32 value)
{
    lapic_set_reg(cpu->lapic, APIC_TPR, value & 0xff);
    lapic_reconsider(cpu);
}

void lapic_set_cr8(struct cpu *cpu, u64 value) { lapic_set_tpr(cpu, (u32)(value & 15) << 4); }

// End of interrupt. The board hears of it when one of its level-triggered routes has this vector.

static bool lapic_is_routed(struct cpu *cpu, unsigned vector)
{
    struct engine_vm *vm = cpu->vm;
    bool found = false;
    pthread_mutex_lock(&vm->lock);
    for (unsigned i = 0; i < vm->routes && !found; i++) {
        const struct kvm_irq_routing_entry *route = &vm->route[i];
        u32 data = route->u.msi.data;
        found = route->type == KVM_IRQ_ROUTING_MSI && (data & 0xff) == vector && data & 1 << 15;
    }
    pthread_mutex_unlock(&vm->lock);
    return found;
}

static void lapic_end(struct cpu *cpu)
{
    struct lapic *lapic = cpu->lapic;
    int vector = lapic_highest(lapic->isr);
    if (vector < 0)
        return;
    u32 bit = 1u << vector % 32;
    lapic->isr[vector / 32] &= ~bit;
    if (atomic_load(&lapic->tmr[vector / 32]) & bit && lapic_is_routed(cpu, (unsigned)vector)) {
        lapic->eoi[vector / 64] |= 1ull << vector % 64;
        lapic_attend(cpu);
    }
    lapic_reconsider(cpu);
}

static void lapic_leave_for_eoi(struct cpu *cpu)
{
    struct lapic *lapic = cpu->lapic;
    for (unsigned i = 0; i < ARRAY_SIZE(lapic->eoi); i++) {
        if (!lapic->eoi[i])
            continue;
        unsigned vector = 64 * i + (unsigned)__builtin_ctzll(lapic->eoi[i]);
        lapic->eoi[i] &= lapic->eoi[i] - 1;
        cpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
        cpu->run->eoi.vector = (u8)vector;
        cpu->leave = true;
        cpu->leave_result = 0;
        lapic_attend(cpu); // there may be more of them
        return;
    }
}

// Two NMIs may wait while none is being handled, one while one is: a second latch behind the processor's own.
static void lapic_collect_nmis(struct cpu *cpu)
{
    u32 waiting = atomic_exchange(&cpu->lapic->posted_nmis, 0);
    if (!waiting)
        return;
    if (!cpu->nmi_pending) {
        cpu->nmi_pending = true;
        waiting--;
    }
    if (waiting && !(cpu->interruptibility & BLOCKING_NMI))
        lapic_post_nmi(cpu);
}

bool lapic_wants_collect(const struct cpu *cpu)
{
    return atomic_load_explicit(&cpu->lapic->attention, memory_order_relaxed);
}

void lapic_collect(struct cpu *cpu)
{
    struct lapic *lapic = cpu->lapic;
    if (LIKELY(!atomic_load_explicit(&lapic->attention, memory_order_relaxed)))
        return;
    atomic_store(&lapic->attention, false);
    lapic_collect_nmis(cpu);
    if (atomic_load(&lapic->posted)) {
        u32 posted = atomic_exchange(&lapic->posted, 0);
        if (posted & POSTED_INIT) {
            cpu->init_pending = true;
            cpu->sipi_pending = false;
        }
        if (posted & POSTED_SIPI) {
            cpu->sipi_pending = true;
            cpu->sipi_vector = (u8)(posted >> POSTED_VECTOR_SHIFT);
        }
    }
    lapic_timer_expire(cpu);
    lapic_leave_for_eoi(cpu);
}

// Registers, by offset in the page. x2APIC MSRs come here too, with their own checks made.

// False: no such register in this mode.
static bool lapic_read(struct cpu *cpu, unsigned offset, u32 *value)
{
    struct lapic *lapic = cpu->lapic;
    const unsigned word = offset >> 4 & 7;
    *value = 0;
    switch (offset) {
    case APIC_ID:
        *value = lapic_x2(cpu) ? cpu->id : lapic_get_reg(lapic, APIC_ID);
        return true;
    case APIC_VERSION:
        *value = 5 << 16 | 0x14; // integrated, six LVT entries
        return true;
    case APIC_PPR:
        *value = lapic_ppr(lapic);
        return true;
    case APIC_ISR ... APIC_TMR - 16:
        *value = lapic->isr[word];
        return true;
    case APIC_TMR ... APIC_IRR - 16:
        *value = atomic_load(&lapic->tmr[word]);
        return true;
    case APIC_IRR ... APIC_ESR - 16:
        *value = atomic_load(&lapic->irr[word]);
        return true;
    case APIC_CURRENT_COUNT:
        *value = lapic_timer_count(cpu);
        return true;
    case APIC_LDR:
        *value = lapic_x2(cpu) ? cpu->id >> 4 << 16 | 1u << (cpu->id & 15) : lapic_get_reg(lapic, APIC_LDR);
        return true;
    case APIC_DFR:
    case APIC_ICR2:
    case APIC_APR:
    case APIC_RRD:
        *value = lapic_get_reg(lapic, offset);
        return !lapic_x2(cpu);
    case APIC_TPR:
    case APIC_SVR:
    case APIC_ESR:
    case APIC_ICR:
    case APIC_LVT_TIMER ... APIC_LVT_ERROR:
    case APIC_INITIAL_COUNT:
    case APIC_DIVIDE:
        *value = lapic_get_reg(lapic, offset);
        return true;
    default:
        return false;
    }
}

static void lapic_write_svr(struct cpu *cpu, u32 value)
{
    struct lapic *lapic = cpu->lapic;
    lapic_set_reg(lapic, APIC_SVR, value & 0x3ff);
    if (value & APIC_SVR_ENABLE)
        return;
    for (unsigned offset = APIC_LVT_TIMER; offset <= APIC_LVT_ERROR; offset += 16)
        lapic_set_reg(lapic, offset, lapic_get_reg(lapic, offset) | APIC_LVT_MASKED); // SDM 3A 11.4.7.2
}

static void lapic_write_lvt(struct cpu *cpu, unsigned offset, u32 value)
{
    struct lapic *lapic = cpu->lapic;
    u32 old = lapic_get_reg(lapic, offset);
    value &= lapic_lvt_mask(offset);
    if (!(lapic_get_reg(lapic, APIC_SVR) & APIC_SVR_ENABLE))
        value |= APIC_LVT_MASKED;
    lapic_set_reg(lapic, offset, value);
    if (offset == APIC_LVT_TIMER)
        lapic_timer_mode(cpu, old);
}

// False: no such register to write in this mode.
static bool lapic_write(struct cpu *cpu, unsigned offset, u32 value)
{
    struct lapic *lapic = cpu->lapic;
    const bool x2 = lapic_x2(cpu);
    switch (offset) {
    case APIC_ID:
        if (!x2)
            lapic_set_reg(lapic, APIC_ID, value & 0xff000000);
        return !x2;
    case APIC_TPR:
        lapic_set_tpr(cpu, value);
        return true;
    case APIC_EOI:
        lapic_end(cpu);
        return true;
    case APIC_LDR:
        if (!x2)
            lapic_set_reg(lapic, APIC_LDR, value & 0xff000000);
        return !x2;
    case APIC_DFR:
        if (!x2)
            lapic_set_reg(lapic, APIC_DFR, value | 0x0fffffff);
        return !x2;
    case APIC_SVR:
        lapic_write_svr(cpu, value);
        return true;
    case APIC_ESR:
        lapic_set_reg(lapic, APIC_ESR, lapic->errors);
        lapic->errors = 0;
        return true;
    case APIC_ICR:
        lapic_set_reg(lapic, APIC_ICR, value & 0xccfff); // delivery status: always idle
        lapic_command(cpu, (u64)lapic_get_reg(lapic, APIC_ICR2) << 32 | value);
        return true;
    case APIC_ICR2:
        if (!x2)
            lapic_set_reg(lapic, APIC_ICR2, value & 0xff000000);
        return !x2;
    case APIC_LVT_TIMER ... APIC_LVT_ERROR:
        lapic_write_lvt(cpu, offset, value);
        return true;
    case APIC_INITIAL_COUNT:
        if ((lapic_get_reg(lapic, APIC_LVT_TIMER) >> 17 & 3) != APIC_TIMER_DEADLINE) {
            lapic_set_reg(lapic, APIC_INITIAL_COUNT, value);
            lapic_timer_start(cpu);
        }
        return true;
    case APIC_DIVIDE:
        lapic_timer_divide(cpu, value & 0xb);
        return true;
    case APIC_SELF_IPI:
        if (x2)
            lapic_command(cpu, 1 << 18 | (value & 0xff));
        return x2;
    default:
        return false;
    }
}

u32 lapic_mmio_read(struct cpu *cpu, unsigned offset)
{
    u32 value;
    if (!lapic_read(cpu, offset, &value))
        lapic_error(cpu, APIC_ERROR_REGISTER);
    return value;
}

void lapic_mmio_write(struct cpu *cpu, unsigned offset, u32 value)
{
    if (!lapic_write(cpu, offset, value))
        lapic_error(cpu, APIC_ERROR_REGISTER);
}

// x2APIC MSRs (SDM 3A 11.12.1.2): what is read-only, write-only or reserved there is #GP.

bool lapic_msr_read(struct cpu *cpu, u32 msr, u64 *value)
{
    unsigned offset = (msr - 0x800) << 4;
    u32 low;
    if (!lapic_on(cpu) || !lapic_x2(cpu) || offset >= APIC_REGISTERS << 4 || !lapic_read(cpu, offset, &low))
        return false;
    *value = low;
    if (offset == APIC_ICR)
        *value |= (u64)lapic_get_reg(cpu->lapic, APIC_ICR2) << 32;
    return true;
}

static u32 lapic_msr_writable(unsigned offset)
{
    switch (offset) {
    case APIC_TPR:
    case APIC_SELF_IPI:
        return 0xff;
    case APIC_SVR:
        return 0x3ff;
    case APIC_ICR:
        return 0xccfff;
    case APIC_LVT_TIMER ... APIC_LVT_ERROR:
        return lapic_lvt_mask(offset) | 1 << 12 | (offset == APIC_LVT_LINT0 || offset == APIC_LVT_LINT1 ? 1 << 14 : 0);
    case APIC_INITIAL_COUNT:
        return ~0u;
    case APIC_DIVIDE:
        return 0xb;
    default:
        return 0; // EOI and ESR take zero only
    }
}

bool lapic_msr_write(struct cpu *cpu, u32 msr, u64 value)
{
    unsigned offset = (msr - 0x800) << 4;
    if (!lapic_on(cpu) || !lapic_x2(cpu) || offset >= APIC_REGISTERS << 4)
        return false;
    if ((u32)value & ~lapic_msr_writable(offset) || (offset != APIC_ICR && value >> 32))
        return false;
    if (offset == APIC_ICR)
        lapic_set_reg(cpu->lapic, APIC_ICR2, (u32)(value >> 32));
    return lapic_write(cpu, offset, (u32)value);
}

bool lapic_set_base(struct cpu *cpu, u64 apic_base)
{
    u64 reserved = ~cpu->physical_mask | 0x2ff;
    if (!(cpu->features & FEATURE_X2APIC))
        reserved |= APIC_BASE_X2APIC;
    u64 old = cpu->msr.apic_base, mode = APIC_BASE_ENABLE | APIC_BASE_X2APIC;
    if (apic_base & reserved)
        return false;
    // SDM 3A 11.12.5: x2APIC mode is entered from xAPIC mode only, and left only by disabling.
    if ((apic_base & mode) == APIC_BASE_X2APIC || ((old & mode) == mode && (apic_base & mode) == APIC_BASE_ENABLE) ||
        (!(old & mode) && (apic_base & mode) == mode))
        return false;
    __atomic_store_n(&cpu->msr.apic_base, apic_base, __ATOMIC_RELAXED);
    if (!(old & APIC_BASE_ENABLE) && apic_base & APIC_BASE_ENABLE) {
        u32 tpr = lapic_get_reg(cpu->lapic, APIC_TPR);
        lapic_registers_reset(cpu);
        lapic_set_reg(cpu->lapic, APIC_TPR, tpr); // CR8 lives on without an APIC
        lapic_set_reg(cpu->lapic, APIC_ID, cpu->id << 24);
    }
    if ((old ^ apic_base) & (APIC_BASE_ADDRESS | mode))
        tlb_flush_all(cpu); // the page is RAM or device memory now that was not
    return true;
}

// Saved state, in KVM's layout: the page as xAPIC software would read it, the ID in bits 31:24 in both modes.

static_assert(sizeof(struct kvm_lapic_state) == APIC_REGISTERS << 4, "one page's registers");

int lapic_get(struct cpu *cpu, struct kvm_lapic_state *state)
{
    bytes_set(state, 0, sizeof *state);
    lapic_timer_catch_up(cpu); // a count that has run out is in the IRR, or it is lost
    for (unsigned offset = APIC_ID; offset < sizeof *state; offset += 16) {
        u32 value;
        if (lapic_read(cpu, offset, &value) || offset == APIC_ICR2)
            __builtin_memcpy(state->regs + offset, &value, sizeof value);
    }
    u32 id = lapic_x2(cpu) ? cpu->id << 24 : lapic_get_reg(cpu->lapic, APIC_ID);
    __builtin_memcpy(state->regs + APIC_ID, &id, sizeof id);
    return 0;
}

int lapic_set(struct cpu *cpu, const struct kvm_lapic_state *state)
{
    struct lapic *lapic = cpu->lapic;
    lapic_timer_stop(cpu);
    u32 current = 0;
    for (unsigned offset = APIC_ID; offset < sizeof *state; offset += 16) {
        const unsigned word = offset >> 4 & 7;
        u32 value;
        __builtin_memcpy(&value, state->regs + offset, sizeof value);
        if (offset >= APIC_ISR && offset < APIC_TMR)
            lapic->isr[word] = value;
        else if (offset >= APIC_TMR && offset < APIC_IRR)
            atomic_store(&lapic->tmr[word], value);
        else if (offset >= APIC_IRR && offset < APIC_ESR)
            atomic_store(&lapic->irr[word], value);
        else if (offset == APIC_CURRENT_COUNT)
            current = value;
        else if (offset != APIC_ID || !lapic_x2(cpu))
            lapic_set_reg(lapic, offset, lapic_is_lvt(offset) ? value & lapic_lvt_mask(offset) : value);
    }
    atomic_store(&lapic->requested, true);
    lapic_timer_restore(cpu, current);
    lapic_reconsider(cpu);
    return 0;
}
