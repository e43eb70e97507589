// Messages between local APICs, and from devices to them (SDM 3A 11.6, 11.11). Whoever sends runs on its own thread
// and finds the receivers by reading their registers; what it leaves with them is atomic bits and a request to look.
#include "engine/soft/lapic_state.h"
#include "engine/soft/vm.h"

enum { X2APIC_CLUSTER_SHIFT = 16 };

// The error interrupt, once per error that was not already noted.
void lapic_error(struct cpu *cpu, u32 bits)
{
    struct lapic *lapic = cpu->lapic;
    if ((lapic->errors & bits) == bits)
        return;
    lapic->errors |= bits;
    u32 lvt = lapic_get_reg(lapic, APIC_LVT_ERROR);
    if (!(lvt & APIC_LVT_MASKED) && (lvt & 0xff) >= 16)
        lapic_accept(cpu, (u8)lvt, false);
}

bool lapic_accept(struct cpu *cpu, u8 vector, bool level)
{
    struct lapic *lapic = cpu->lapic;
    if (!lapic_software_enabled(cpu) || vector < 16)
        return false;
    u32 bit = 1u << vector % 32;
    if (level)
        atomic_fetch_or(&lapic->tmr[vector / 32], bit);
    else if (atomic_load(&lapic->tmr[vector / 32]) & bit)
        atomic_fetch_and(&lapic->tmr[vector / 32], ~bit);
    if (!(atomic_fetch_or(&lapic->irr[vector / 32], bit) & bit)) {
        atomic_store(&lapic->requested, true);
        cpu_request(cpu, REQUEST_EVENT);
    }
    return true;
}

void lapic_attend(struct cpu *cpu)
{
    atomic_store(&cpu->lapic->attention, true);
    cpu_request(cpu, REQUEST_EVENT);
}

void lapic_post_nmi(struct cpu *cpu)
{
    atomic_fetch_add(&cpu->lapic->posted_nmis, 1);
    lapic_attend(cpu);
}

static void lapic_post_init(struct cpu *cpu)
{
    atomic_store(&cpu->lapic->posted, POSTED_INIT);
    lapic_attend(cpu);
}

static void lapic_post_startup(struct cpu *cpu, u8 vector)
{
    u32 old = atomic_load(&cpu->lapic->posted);
    while (!atomic_compare_exchange_weak(&cpu->lapic->posted, &old,
                                         (old & POSTED_INIT) | POSTED_SIPI | (u32)vector << POSTED_VECTOR_SHIFT))
        ;
    lapic_attend(cpu);
}

static bool lapic_matches_logical(const struct cpu *cpu, u32 dest)
{
    if (lapic_x2(cpu)) {
        u32 cluster = cpu->id >> 4;
        return dest >> X2APIC_CLUSTER_SHIFT == cluster && dest & 0xffff & 1u << (cpu->id & 15);
    }
    u32 ldr = lapic_get_reg(cpu->lapic, APIC_LDR) >> 24;
    if (lapic_get_reg(cpu->lapic, APIC_DFR) >> 28 == 0xf)
        return ldr & dest;
    return ldr >> 4 == dest >> 4 && ldr & dest & 15;
}

static bool lapic_matches(const struct cpu *cpu, const struct lapic_message *message)
{
    if (!lapic_on(cpu))
        return false;
    if (message->dest == (message->wide ? ~0u : 0xff))
        return true;
    if (message->logical)
        return lapic_matches_logical(cpu, message->dest);
    u32 id = lapic_x2(cpu) ? cpu->id : lapic_get_reg(cpu->lapic, APIC_ID) >> 24;
    return message->dest == id;
}

static bool lapic_deliver(struct cpu *cpu, const struct lapic_message *message)
{
    switch (message->mode) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        return lapic_accept(cpu, message->vector, message->level);
    case DELIVER_NMI:
        lapic_post_nmi(cpu);
        return true;
    case DELIVER_INIT:
        lapic_post_init(cpu);
        return true;
    case DELIVER_STARTUP:
        lapic_post_startup(cpu, message->vector);
        return true;
    default:
        return false; // SMI: there is no SMM. ExtINT: the PIC's interrupts come by KVM_INTERRUPT
    }
}

// Lowest priority: the matching APIC with the lowest task priority; among equals the vector decides, so that each
// device's interrupt stays with one processor.
static unsigned lapic_send_lowest(struct engine_vm *vm, const struct lapic_message *message)
{
    struct cpu *best = NULL;
    u32 best_priority = 0;
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++) {
        struct cpu *cpu = vm->cpu[(message->vector + i) % ENGINE_MAX_VCPUS];
        if (!cpu || !lapic_software_enabled(cpu) || !lapic_matches(cpu, message))
            continue;
        u32 priority = lapic_get_reg(cpu->lapic, APIC_TPR) & 0xf0;
        if (!best || priority < best_priority) {
            best = cpu;
            best_priority = priority;
        }
    }
    return best && lapic_deliver(best, message);
}

unsigned lapic_send(struct engine_vm *vm, const struct lapic_message *message)
{
    if (message->mode == DELIVER_LOWEST)
        return lapic_send_lowest(vm, message);
    unsigned accepted = 0;
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++) {
        struct cpu *cpu = vm->cpu[i];
        if (cpu && cpu->lapic && lapic_matches(cpu, message))
            accepted += lapic_deliver(cpu, message);
    }
    return accepted;
}

static void lapic_broadcast(struct cpu *sender, const struct lapic_message *message, bool self)
{
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++) {
        struct cpu *cpu = sender->vm->cpu[i];
        if (cpu && cpu->lapic && (self || cpu != sender) && lapic_on(cpu))
            lapic_deliver(cpu, message);
    }
}

void lapic_command(struct cpu *cpu, u64 icr)
{
    const bool wide = lapic_x2(cpu), level = icr >> 15 & 1, assert = icr >> 14 & 1;
    struct lapic_message message = {
        .dest = (u32)(wide ? icr >> 32 : icr >> 56),
        .logical = icr >> 11 & 1,
        .wide = wide,
        .vector = (u8)icr,
        .mode = icr >> 8 & 7,
    };
    if (message.mode == DELIVER_INIT && level && !assert)
        return; // "INIT level de-assert" does nothing since the Pentium 4 (SDM 3A 11.6.1)
    if ((message.mode == DELIVER_FIXED || message.mode == DELIVER_LOWEST) && message.vector < 16) {
        lapic_error(cpu, APIC_ERROR_SEND_VECTOR);
        return;
    }
    switch (icr >> 18 & 3) {
    case 0:
        lapic_send(cpu->vm, &message);
        break;
    case 1:
        lapic_deliver(cpu, &message);
        break;
    case 2:
        lapic_broadcast(cpu, &message, true);
        break;
    case 3:
        lapic_broadcast(cpu, &message, false);
        break;
    }
}

// The MSI format (SDM 3A 11.11), with bits 31:8 of a wide destination in the upper address bits, as KVM has them.
int lapic_deliver_msi(struct engine_vm *vm, const struct kvm_msi *msi)
{
    struct lapic_message message = {
        .dest = (msi->address_lo >> 12 & 0xff) | (msi->address_hi & 0xffffff00),
        .logical = msi->address_lo >> 2 & 1,
        .level = msi->data >> 15 & 1,
        .vector = (u8)msi->data,
        .mode = msi->data >> 8 & 7,
    };
    if (message.mode == DELIVER_STARTUP)
        return 0; // no device's to send
    return (int)lapic_send(vm, &message);
}
