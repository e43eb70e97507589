// APIC virtualization (SDM 3C chapter 30). Registers are bytes of the virtual-APIC page in guest RAM; accesses come
// from CR8, from the APIC-access page, and from x2APIC MSRs. Effects on that page are made at once. VM exits they
// cause are trap-like, so they are noted and made at the next instruction boundary, which the request for one brings
// right after the instruction.
#include "engine/soft/vmx/apic.h"
#include "engine/soft/access.h"
#include "engine/soft/bytes.h"
#include "engine/soft/intercept.h"
#include "engine/soft/lapic.h"

enum { APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_PPR = 0xa0, APIC_EOI = 0xb0, APIC_LDR = 0xd0,
       APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180, APIC_IRR = 0x200, APIC_ESR = 0x280,
       APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310, APIC_INITIAL = 0x380, APIC_DIVIDE = 0x3e0 };

static u32 apic_register(const struct cpu *cpu, unsigned offset)
{
    return bytes_load(cpu->vmx->virtual_apic + offset, 4);
}

static void apic_set_register(struct cpu *cpu, unsigned offset, u32 value)
{
    bytes_store(cpu->vmx->virtual_apic + offset, 4, value);
}

static void apic_set_bit(struct cpu *cpu, unsigned array, u8 vector, bool set)
{
    unsigned offset = array + vector / 32 * 16;
    u32 word = apic_register(cpu, offset), bit = 1u << vector % 32;
    apic_set_register(cpu, offset, set ? word | bit : word & ~bit);
}

static u8 apic_highest(const struct cpu *cpu, unsigned array) // 0: none
{
    for (int word = 7; word >= 0; word--) {
        u32 bits = apic_register(cpu, array + word * 16);
        if (bits)
            return word * 32 + 31 - __builtin_clz(bits);
    }
    return 0;
}

static u8 apic_rvi(const struct cpu *cpu) { return cpu->vmx->vmcs->interrupt_status & 0xff; }
static u8 apic_svi(const struct cpu *cpu) { return cpu->vmx->vmcs->interrupt_status >> 8; }

static void apic_set_status(struct cpu *cpu, u8 rvi, u8 svi)
{
    cpu->vmx->vmcs->interrupt_status = rvi | svi << 8;
}

// A VM exit, and whatever else an access makes due, comes after the instruction: ends the running block with it.
static void apic_look(struct cpu *cpu)
{
    cpu->code_changed = true;
    cpu_request(cpu, REQUEST_EVENT);
}

static void apic_exit_due(struct cpu *cpu, enum vmx_reason reason, u64 qualification)
{
    cpu->vmx->apic_reason = reason;
    cpu->vmx->apic_qualification = qualification;
    apic_look(cpu);
}

static bool apic_delivers(const struct cpu *cpu) { return cpu->vmx->cpu2 & CPU2_INTERRUPT_DELIVERY; }

// SDM 3C 30.1.3.
static void apic_virtualize_ppr(struct cpu *cpu)
{
    u8 tpr = apic_read_tpr(cpu), svi = apic_svi(cpu);
    apic_set_register(cpu, APIC_PPR, tpr >> 4 >= svi >> 4 ? tpr : svi & 0xf0);
}

// SDM 3C 30.2.1: recognition itself is decided where it matters, in apic_deliver_virtual.
static void apic_evaluate(struct cpu *cpu)
{
    if (apic_rvi(cpu))
        apic_look(cpu);
}

u8 apic_read_tpr(const struct cpu *cpu)
{
    return cpu->vmx->virtual_apic[APIC_TPR];
}

static void apic_below_threshold(struct cpu *cpu)
{
    if (apic_read_tpr(cpu) >> 4 < (cpu->vmx->vmcs->tpr_threshold & 0xf))
        apic_exit_due(cpu, REASON_TPR_THRESHOLD, 0);
}

// SDM 3C 30.1.2.
static void apic_virtualize_tpr(struct cpu *cpu)
{
    if (!apic_delivers(cpu)) {
        apic_below_threshold(cpu);
        return;
    }
    apic_virtualize_ppr(cpu);
    apic_evaluate(cpu);
}

void apic_write_tpr(struct cpu *cpu, u8 value)
{
    apic_set_register(cpu, APIC_TPR, value);
    ram_mark_dirty(cpu->vm, cpu->vmx->vmcs->virtual_apic);
    apic_virtualize_tpr(cpu);
}

// SDM 3C 30.1.4.
static void apic_virtualize_eoi(struct cpu *cpu)
{
    u8 vector = apic_svi(cpu);
    apic_set_bit(cpu, APIC_ISR, vector, false);
    apic_set_status(cpu, apic_rvi(cpu), apic_highest(cpu, APIC_ISR));
    apic_virtualize_ppr(cpu);
    if (cpu->vmx->vmcs->eoi_exit[vector / 64] >> vector % 64 & 1)
        apic_exit_due(cpu, REASON_EOI, vector);
    else
        apic_evaluate(cpu);
}

// SDM 3C 30.1.5.
static void apic_virtualize_self_ipi(struct cpu *cpu, u8 vector)
{
    apic_set_bit(cpu, APIC_IRR, vector, true);
    apic_set_status(cpu, vector > apic_rvi(cpu) ? vector : apic_rvi(cpu), apic_svi(cpu));
    apic_evaluate(cpu);
}

void apic_enter(struct cpu *cpu)
{
    cpu->vmx->apic_reason = 0;
    if (apic_delivers(cpu))
        apic_virtualize_ppr(cpu);
    else if (cpu->vmx->cpu & CPU_TPR_SHADOW)
        apic_below_threshold(cpu);
}

void apic_boundary(struct cpu *cpu)
{
    u32 reason = cpu->vmx->apic_reason;
    if (LIKELY(!reason))
        return;
    cpu->vmx->apic_reason = 0;
    vmx_exit(cpu, reason, cpu->vmx->apic_qualification);
}

// SDM 3C 30.2.2.
void apic_deliver_virtual(struct cpu *cpu)
{
    if (!apic_delivers(cpu))
        return;
    u8 vector = apic_rvi(cpu);
    if (vector >> 4 <= (apic_register(cpu, APIC_PPR) >> 4 & 0xf))
        return;
    apic_set_bit(cpu, APIC_ISR, vector, true);
    apic_set_bit(cpu, APIC_IRR, vector, false);
    apic_set_register(cpu, APIC_PPR, vector & 0xf0);
    apic_set_status(cpu, apic_highest(cpu, APIC_IRR), vector);
    cpu->mp_state = KVM_MP_STATE_RUNNABLE;
    cpu->event = (struct event){.valid = true, .type = EVENT_INTERRUPT, .vector = vector};
    event_deliver(cpu);
}

// SDM 3C 30.6: the descriptor has 256 request bits and, behind them, the outstanding-notification bit.
bool apic_posted_interrupt(struct cpu *cpu, unsigned vector)
{
    struct vmcs *vmcs = cpu->vmx->vmcs;
    if (!(cpu->vmx->pin & PIN_POSTED_INTERRUPTS) || vector != (vmcs->posted_vector & 0xffu))
        return false;
    u64 address = vmcs->posted_descriptor & ~63ull;
    u32 *descriptor = (u32 *)(vmx_page(cpu, address & -(u64)PAGE_BYTES) + (address & (PAGE_BYTES - 1)));
    lapic_mmio_write(cpu, APIC_EOI, 0);
    if ((u8 *)descriptor >= cpu->vmx->nowhere && (u8 *)descriptor < cpu->vmx->nowhere + PAGE_BYTES)
        return true;
    __atomic_fetch_and(&descriptor[8], ~1u, __ATOMIC_SEQ_CST);
    u8 highest = apic_rvi(cpu);
    for (unsigned word = 0; word < 8; word++) {
        u32 bits = __atomic_exchange_n(&descriptor[word], 0, __ATOMIC_SEQ_CST);
        unsigned offset = APIC_IRR + word * 16;
        if (!bits)
            continue;
        apic_set_register(cpu, offset, apic_register(cpu, offset) | bits);
        unsigned top = word * 32 + 31 - __builtin_clz(bits);
        highest = top > highest ? top : highest;
    }
    apic_set_status(cpu, highest, apic_svi(cpu));
    ram_mark_dirty(cpu->vm, vmcs->virtual_apic);
    apic_evaluate(cpu);
    return true;
}

// Which registers APIC-register virtualization covers (SDM 3C 30.4.2, 30.4.3).
static bool apic_readable(unsigned offset)
{
    if (offset >= APIC_ISR && offset <= APIC_ESR)
        return true;
    if (offset >= APIC_ICR && offset <= APIC_INITIAL)
        return true;
    return offset == APIC_ID || offset == APIC_VERSION || offset == APIC_TPR || offset == APIC_EOI ||
           offset == APIC_LDR || offset == APIC_DFR || offset == APIC_SVR || offset == APIC_DIVIDE;
}

static bool apic_writable(unsigned offset)
{
    return apic_readable(offset) && offset != APIC_VERSION && (offset < APIC_ISR || offset >= APIC_ESR);
}

static bool apic_virtualizes(const struct cpu *cpu, unsigned offset, bool write)
{
    u32 cpu2 = cpu->vmx->cpu2;
    if (!(cpu->vmx->cpu & CPU_TPR_SHADOW))
        return false;
    if (offset == APIC_TPR)
        return true;
    if (cpu2 & CPU2_APIC_REGISTER)
        return write ? apic_writable(offset) : apic_readable(offset);
    return write && cpu2 & CPU2_INTERRUPT_DELIVERY && (offset == APIC_EOI || offset == APIC_ICR);
}

// Fixed, edge, to itself, with a vector that can be: an IPI that needs nobody's help (SDM 3C 30.4.3.2).
static bool apic_self_ipi(u32 icr)
{
    return (icr & 0xffffb700) == 0x40000 && icr & 0xf0;
}

// What follows a write (SDM 3C 30.4.3.2).
static void apic_emulate_write(struct cpu *cpu, unsigned offset)
{
    switch (offset) {
    case APIC_TPR:
        apic_write_tpr(cpu, apic_register(cpu, APIC_TPR));
        return;
    case APIC_EOI:
        if (!apic_delivers(cpu))
            break;
        apic_set_register(cpu, APIC_EOI, 0);
        apic_virtualize_eoi(cpu);
        return;
    case APIC_ICR:
        if (!apic_delivers(cpu) || !apic_self_ipi(apic_register(cpu, APIC_ICR)))
            break;
        apic_virtualize_self_ipi(cpu, apic_register(cpu, APIC_ICR));
        return;
    case APIC_ICR_HIGH:
        apic_set_register(cpu, APIC_ICR_HIGH, apic_register(cpu, APIC_ICR_HIGH) & 0xff000000);
        return;
    default:
        break;
    }
    apic_exit_due(cpu, REASON_APIC_WRITE, offset);
}

enum { APIC_ACCESS_READ, APIC_ACCESS_WRITE, APIC_ACCESS_FETCH, APIC_ACCESS_DELIVERY };

bool intercept_apic_access(struct cpu *cpu, u64 linear, unsigned offset, unsigned size, enum access access, u64 *value)
{
    unsigned type = cpu->delivering.valid         ? APIC_ACCESS_DELIVERY
                    : access == ACCESS_READ       ? APIC_ACCESS_READ
                    : access == ACCESS_WRITE      ? APIC_ACCESS_WRITE
                                                  : APIC_ACCESS_FETCH;
    bool aligned = (offset & 15) + size <= 4;
    if (!aligned || type > APIC_ACCESS_WRITE || !apic_virtualizes(cpu, offset & ~15u, access == ACCESS_WRITE)) {
        cpu->vmx->vmcs->guest_linear = linear;
        vmx_exit_access(cpu, REASON_APIC_ACCESS, offset | type << 12);
    }
    if (access == ACCESS_READ) {
        *value = bytes_load(cpu->vmx->virtual_apic + offset, size);
        return true;
    }
    bytes_store(cpu->vmx->virtual_apic + offset, size, *value);
    apic_emulate_write(cpu, offset & ~15u);
    return true;
}

static bool x2apic_write(struct cpu *cpu, u32 msr, u64 value)
{
    if (msr == 0x808) {
        if (value >> 8)
            cpu_raise_code(cpu, VECTOR_GP, 0);
        apic_write_tpr(cpu, value);
        return true;
    }
    if (!apic_delivers(cpu))
        return false;
    if (msr == 0x80b) {
        if (value)
            cpu_raise_code(cpu, VECTOR_GP, 0);
        apic_set_register(cpu, APIC_EOI, 0);
        apic_virtualize_eoi(cpu);
        return true;
    }
    if (msr != 0x83f)
        return false;
    if (value >> 8)
        cpu_raise_code(cpu, VECTOR_GP, 0);
    if (value & 0xf0)
        apic_virtualize_self_ipi(cpu, value);
    else
        apic_exit_due(cpu, REASON_APIC_WRITE, 0x3f0);
    return true;
}

// SDM 3C 30.5.
bool intercept_x2apic(struct cpu *cpu, u32 msr, bool write, u64 *value)
{
    if (!cpu->guest_mode || !(cpu->vmx->cpu2 & CPU2_X2APIC) || msr >> 8 != 8)
        return false;
    if (write)
        return x2apic_write(cpu, msr, *value);
    if (!(cpu->vmx->cpu2 & CPU2_APIC_REGISTER) && msr != 0x808)
        return false;
    *value = bytes_load(cpu->vmx->virtual_apic + (msr & 0xff) * 16, 8);
    return true;
}
