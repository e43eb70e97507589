// The local APICs of a small VM: registers in both modes, priorities, messages between them by every kind of
// destination, the board's MSIs and its EOIs, the timer.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "engine/soft/cpuid.h"
#include "engine/soft/lapic_state.h"
#include "engine/soft/vm.h"
#include "engine/soft/window.h"

enum { CPUS = 4 };

struct fixture {
    struct engine_vm *vm;
    struct cpu *cpu[CPUS];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->vm = calloc(1, sizeof *f->vm);
    pthread_mutex_init(&f->vm->lock, NULL);
    f->vm->tsc_khz = 1000000;
    for (unsigned i = 0; i < CPUS; i++) {
        struct cpu *cpu = window_create_cpu();
        assert_non_null(cpu);
        cpu->vm = f->vm;
        cpu->id = i;
        cpu->run = calloc(1, sizeof *cpu->run);
        cpu->physical_mask = (1ull << 40) - 1;
        cpu->features = FEATURE_X2APIC;
        f->cpu[i] = f->vm->cpu[i] = cpu;
        assert_int_equal(tlb_create(cpu), 0);
        assert_int_equal(lapic_create(cpu), 0);
        lapic_mmio_write(cpu, APIC_SVR, 0x1ff);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < CPUS; i++) {
        lapic_destroy(f->cpu[i]);
        tlb_destroy(f->cpu[i]);
        free(f->cpu[i]->run);
        window_destroy_cpu(f->cpu[i]);
    }
    assert_null(f->vm->lapic_clock);
    free(f->vm->route);
    free(f->vm);
    free(f);
    return 0;
}

static bool requested(struct cpu *cpu) { return atomic_exchange(&cpu->request, 0) & REQUEST_EVENT; }

// Which vCPUs got the vector: acknowledged and ended.
static unsigned receivers(struct fixture *f, int vector)
{
    unsigned mask = 0;
    for (unsigned i = 0; i < CPUS; i++) {
        int pending = lapic_pending(f->cpu[i]);
        if (pending < 0)
            continue;
        assert_int_equal(pending, vector);
        assert_true(requested(f->cpu[i]));
        assert_int_equal(lapic_acknowledge(f->cpu[i]), vector);
        assert_int_equal(lapic_pending(f->cpu[i]), -1);
        lapic_mmio_write(f->cpu[i], APIC_EOI, 0);
        mask |= 1u << i;
    }
    return mask;
}

static void send(struct cpu *cpu, u32 dest, u32 low)
{
    lapic_mmio_write(cpu, APIC_ICR2, dest << 24);
    lapic_mmio_write(cpu, APIC_ICR, low);
}

static void test_registers(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu[2];
    assert_int_equal(lapic_mmio_read(cpu, APIC_ID), 2u << 24);
    assert_int_equal(lapic_mmio_read(cpu, APIC_VERSION), 0x50014);
    assert_int_equal(lapic_mmio_read(cpu, APIC_LVT_TIMER), APIC_LVT_MASKED);
    lapic_mmio_write(cpu, APIC_LVT_LINT0, ~0u);
    assert_int_equal(lapic_mmio_read(cpu, APIC_LVT_LINT0), 0x1a7ff);
    lapic_mmio_write(cpu, APIC_LVT_ERROR, 0xfe);
    lapic_mmio_write(cpu, APIC_SVR, 0xff); // disabled: all masked, and cannot be unmasked
    assert_int_equal(lapic_mmio_read(cpu, APIC_LVT_ERROR), 0x100fe);
    lapic_mmio_write(cpu, APIC_LVT_ERROR, 0xfe);
    assert_int_equal(lapic_mmio_read(cpu, APIC_LVT_ERROR), 0x100fe);
    lapic_mmio_write(cpu, APIC_SVR, 0x1ff);
    lapic_set_cr8(cpu, 9);
    assert_int_equal(lapic_mmio_read(cpu, APIC_TPR), 0x90);
    assert_int_equal(lapic_mmio_read(cpu, APIC_PPR), 0x90);
    lapic_mmio_write(cpu, APIC_TPR, 0x3f);
    assert_int_equal(lapic_cr8(cpu), 3);
    // Virtual wire on the boot processor only.
    assert_true(lapic_accepts_extint(f->cpu[0]));
    assert_false(lapic_accepts_extint(cpu));
}

static void test_priority(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu[0];
    lapic_accept(cpu, 0x51, false);
    lapic_accept(cpu, 0x55, false);
    lapic_accept(cpu, 0x82, false);
    assert_int_equal(lapic_acknowledge(cpu), 0x82);
    assert_int_equal(lapic_mmio_read(cpu, APIC_PPR), 0x80);
    assert_int_equal(lapic_mmio_read(cpu, APIC_ISR + 0x40), 1 << 2);
    assert_int_equal(lapic_mmio_read(cpu, APIC_IRR + 0x20), 1 << 0x11 | 1 << 0x15);
    assert_int_equal(lapic_pending(cpu), -1);
    requested(cpu);
    lapic_mmio_write(cpu, APIC_EOI, 0);
    assert_true(requested(cpu)); // there is more now
    assert_int_equal(lapic_acknowledge(cpu), 0x55);
    assert_int_equal(lapic_pending(cpu), -1); // 0x51 is of the same class
    lapic_accept(cpu, 0x60, false);
    assert_int_equal(lapic_acknowledge(cpu), 0x60); // nests
    lapic_mmio_write(cpu, APIC_EOI, 0);
    lapic_mmio_write(cpu, APIC_TPR, 0x50);
    lapic_mmio_write(cpu, APIC_EOI, 0);
    assert_int_equal(lapic_pending(cpu), -1);
    lapic_set_cr8(cpu, 4);
    assert_int_equal(lapic_acknowledge(cpu), 0x51);
    assert_int_equal(lapic_acknowledge(cpu), -1);
    // Not accepted: reserved vectors, and any while disabled by software.
    assert_false(lapic_accept(cpu, 15, false));
    lapic_mmio_write(cpu, APIC_SVR, 0xff);
    assert_false(lapic_accept(cpu, 0x70, false));
}

static void test_physical(void **state)
{
    struct fixture *f = *state;
    send(f->cpu[0], 2, 0x4041);
    assert_int_equal(receivers(f, 0x41), 1 << 2);
    send(f->cpu[0], 0xff, 0x4042);
    assert_int_equal(receivers(f, 0x42), 0xf);
    send(f->cpu[1], 0, 1 << 18 | 0x43);
    assert_int_equal(receivers(f, 0x43), 1 << 1);
    send(f->cpu[1], 0, 2 << 18 | 0x44);
    assert_int_equal(receivers(f, 0x44), 0xf);
    send(f->cpu[1], 0, 3 << 18 | 0x45);
    assert_int_equal(receivers(f, 0x45), 0xd);
    lapic_mmio_write(f->cpu[3], APIC_ID, 0x77000000);
    send(f->cpu[0], 0x77, 0x46);
    assert_int_equal(receivers(f, 0x46), 1 << 3);
    send(f->cpu[0], 9, 0x47);
    assert_int_equal(receivers(f, 0x47), 0);
}

static void test_logical(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < CPUS; i++)
        lapic_mmio_write(f->cpu[i], APIC_LDR, 1u << (24 + i));
    send(f->cpu[0], 0xa, 1 << 11 | 0x51);
    assert_int_equal(receivers(f, 0x51), 0xa);
    send(f->cpu[0], 0xff, 1 << 11 | 0x52);
    assert_int_equal(receivers(f, 0x52), 0xf);
    for (unsigned i = 0; i < CPUS; i++) { // two clusters of two
        lapic_mmio_write(f->cpu[i], APIC_DFR, 0x0fffffff);
        lapic_mmio_write(f->cpu[i], APIC_LDR, (i / 2) << 28 | 1u << (24 + (i & 1)));
    }
    send(f->cpu[0], 0x13, 1 << 11 | 0x53);
    assert_int_equal(receivers(f, 0x53), 0xc);
    send(f->cpu[0], 0x02, 1 << 11 | 0x54);
    assert_int_equal(receivers(f, 0x54), 0x2);
}

static void test_lowest(void **state)
{
    struct fixture *f = *state;
    lapic_set_cr8(f->cpu[0], 5);
    lapic_set_cr8(f->cpu[1], 3);
    lapic_set_cr8(f->cpu[2], 4);
    lapic_set_cr8(f->cpu[3], 8);
    send(f->cpu[0], 0xff, 1 << 8 | 0xa1);
    assert_int_equal(receivers(f, 0xa1), 1 << 1);
    lapic_set_cr8(f->cpu[3], 0);
    send(f->cpu[0], 0xff, 1 << 8 | 0xa1);
    assert_int_equal(receivers(f, 0xa1), 1 << 3);
}

static void test_special(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu[1];
    send(f->cpu[0], 1, 4 << 8);
    lapic_collect(cpu);
    assert_true(cpu->nmi_pending);
    // One more waits behind the processor's own latch, a third is lost.
    send(f->cpu[0], 1, 4 << 8);
    send(f->cpu[0], 1, 4 << 8);
    lapic_collect(cpu);
    cpu->nmi_pending = false;
    cpu->interruptibility = BLOCKING_NMI;
    lapic_collect(cpu);
    assert_true(cpu->nmi_pending);
    cpu->nmi_pending = false;
    lapic_collect(cpu);
    assert_false(cpu->nmi_pending);
    cpu->interruptibility = 0;
    // INIT takes back an earlier SIPI; INIT de-assert does nothing.
    send(f->cpu[0], 1, 6 << 8 | 0x11);
    send(f->cpu[0], 1, 5 << 8 | 1 << 14);
    send(f->cpu[0], 1, 5 << 8 | 1 << 15);
    lapic_collect(cpu);
    assert_true(cpu->init_pending);
    assert_false(cpu->sipi_pending);
    cpu->init_pending = false;
    send(f->cpu[0], 1, 6 << 8 | 0x9a);
    assert_true(requested(cpu));
    lapic_collect(cpu);
    assert_false(cpu->init_pending);
    assert_true(cpu->sipi_pending);
    assert_int_equal(cpu->sipi_vector, 0x9a);
}

static void test_errors(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu[0];
    lapic_mmio_write(cpu, APIC_LVT_ERROR, 0xe0);
    send(cpu, 1, 5); // fixed, vector below 16
    assert_int_equal(lapic_mmio_read(cpu, APIC_ESR), 0);
    lapic_mmio_write(cpu, APIC_ESR, 0);
    assert_int_equal(lapic_mmio_read(cpu, APIC_ESR), APIC_ERROR_SEND_VECTOR);
    assert_int_equal(receivers(f, 0xe0), 1);
    lapic_mmio_read(cpu, 0x3b0);
    lapic_mmio_write(cpu, APIC_ESR, 0);
    assert_int_equal(lapic_mmio_read(cpu, APIC_ESR), APIC_ERROR_REGISTER);
    lapic_mmio_write(cpu, APIC_ESR, 0);
    assert_int_equal(lapic_mmio_read(cpu, APIC_ESR), 0);
}

static void test_x2apic(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu[2];
    const u64 base = 0xfee00000;
    u64 value;
    assert_false(lapic_msr_read(cpu, 0x802, &value));
    assert_false(lapic_set_base(cpu, base | APIC_BASE_X2APIC));
    assert_true(lapic_set_base(cpu, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC));
    assert_false(lapic_set_base(cpu, base | APIC_BASE_ENABLE));
    assert_true(lapic_msr_read(cpu, 0x802, &value));
    assert_int_equal(value, 2);
    assert_true(lapic_msr_read(cpu, 0x80d, &value));
    assert_int_equal(value, 1 << 2);
    static const u32 absent[] = {0x800, 0x80e, 0x831, 0x80b, 0x83f, 0x82f, 0x840, 0x8ff};
    for (unsigned i = 0; i < ARRAY_SIZE(absent); i++)
        assert_false(lapic_msr_read(cpu, absent[i], &value));
    static const u32 read_only[] = {0x802, 0x803, 0x80a, 0x80d, 0x80e, 0x810, 0x820, 0x831, 0x839};
    for (unsigned i = 0; i < ARRAY_SIZE(read_only); i++)
        assert_false(lapic_msr_write(cpu, read_only[i], 0));
    assert_false(lapic_msr_write(cpu, 0x808, 0x100));
    assert_false(lapic_msr_write(cpu, 0x80b, 1));
    assert_false(lapic_msr_write(cpu, 0x828, 1));
    assert_false(lapic_msr_write(cpu, 0x83e, 4));
    assert_false(lapic_msr_write(cpu, 0x838, 1ull << 32));
    assert_true(lapic_msr_write(cpu, 0x808, 0x20));
    assert_int_equal(lapic_cr8(cpu), 2);
    // To an xAPIC by its ID, to itself, to everyone; logical by cluster.
    assert_true(lapic_msr_write(cpu, 0x830, 3ull << 32 | 0x61));
    assert_int_equal(receivers(f, 0x61), 1 << 3);
    assert_true(lapic_msr_write(cpu, 0x83f, 0x62));
    assert_int_equal(receivers(f, 0x62), 1 << 2);
    assert_true(lapic_msr_write(cpu, 0x830, 0xffffffffull << 32 | 0x63));
    assert_int_equal(receivers(f, 0x63), 0xf);
    assert_true(lapic_msr_write(cpu, 0x830, 0x4ull << 32 | 1 << 11 | 0x64));
    assert_int_equal(receivers(f, 0x64), 1 << 2);
    assert_true(lapic_msr_read(cpu, 0x830, &value));
    assert_int_equal(value, 0x4ull << 32 | 1 << 11 | 0x64);
    // Off, which only leads to xAPIC mode again.
    assert_true(lapic_set_base(cpu, base));
    assert_false(lapic_set_base(cpu, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC));
    lapic_accept(cpu, 0x70, false);
    assert_int_equal(lapic_pending(cpu), -1);
    assert_true(lapic_set_base(cpu, base | APIC_BASE_ENABLE));
    assert_int_equal(lapic_mmio_read(cpu, APIC_SVR), 0xff);
    assert_int_equal(lapic_mmio_read(cpu, APIC_ID), 2u << 24);
    assert_false(lapic_set_base(cpu, base | APIC_BASE_ENABLE | 1));
    assert_false(lapic_set_base(cpu, base | APIC_BASE_ENABLE | 1ull << 40));
}

static void test_msi(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu[1];
    struct kvm_msi msi = {.address_lo = 0xfee00000 | 1 << 12, .data = 0x71};
    assert_int_equal(lapic_deliver_msi(f->vm, &msi), 1);
    assert_int_equal(receivers(f, 0x71), 1 << 1);
    msi.address_lo = 0xfee00000 | 9 << 12;
    assert_int_equal(lapic_deliver_msi(f->vm, &msi), 0);
    // Level: the board hears of the EOI when it has such a route.
    msi = (struct kvm_msi){.address_lo = 0xfee00000 | 1 << 12, .data = 0x72 | 1 << 15 | 1 << 14};
    f->vm->route = calloc(1, sizeof *f->vm->route);
    f->vm->route[0] = (struct kvm_irq_routing_entry){.gsi = 5, .type = KVM_IRQ_ROUTING_MSI};
    f->vm->route[0].u.msi.data = msi.data;
    f->vm->routes = 1;
    assert_int_equal(lapic_deliver_msi(f->vm, &msi), 1);
    assert_int_equal(lapic_mmio_read(cpu, APIC_TMR + 0x30), 1 << 0x12);
    assert_int_equal(receivers(f, 0x72), 1 << 1);
    lapic_collect(cpu);
    assert_true(cpu->leave);
    assert_int_equal(cpu->run->exit_reason, KVM_EXIT_IOAPIC_EOI);
    assert_int_equal(cpu->run->eoi.vector, 0x72);
    cpu->leave = false;
    lapic_collect(cpu);
    assert_false(cpu->leave);
    // Edge clears the trigger mode again.
    msi.data = 0x72;
    lapic_deliver_msi(f->vm, &msi);
    assert_int_equal(receivers(f, 0x72), 1 << 1);
    lapic_collect(cpu);
    assert_false(cpu->leave);
}

static u64 now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (u64)time.tv_sec * 1000000000 + (u64)time.tv_nsec;
}

// Waits, as a halted vCPU does, for the timer thread's request.
static void wait_for_timer(struct cpu *cpu)
{
    u64 limit = now() + 10ull * 1000000000;
    while (lapic_pending(cpu) < 0) {
        assert_true(now() < limit);
        if (requested(cpu))
            lapic_collect(cpu);
    }
}

static void test_timer(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu[3];
    lapic_mmio_write(cpu, APIC_DIVIDE, 0xb); // by 1
    lapic_mmio_write(cpu, APIC_LVT_TIMER, 0x91);
    u64 start = now();
    lapic_mmio_write(cpu, APIC_INITIAL_COUNT, 2000000);
    u64 expiry = lapic_next_timer(cpu);
    assert_true(expiry >= start + 2000000 && expiry <= now() + 2000000);
    assert_in_range(lapic_mmio_read(cpu, APIC_CURRENT_COUNT), 0, 2000000);
    wait_for_timer(cpu);
    assert_true(now() >= start + 2000000);
    assert_int_equal(lapic_acknowledge(cpu), 0x91);
    lapic_mmio_write(cpu, APIC_EOI, 0);
    assert_int_equal(lapic_mmio_read(cpu, APIC_CURRENT_COUNT), 0);
    assert_int_equal(lapic_next_timer(cpu), LAPIC_NEVER);
    // Made periodic after it ran out, but before anybody looked: it has fired once and does not start again.
    u64 limit = now() + 5000000000;
    lapic_mmio_write(cpu, APIC_INITIAL_COUNT, 1000);
    while (lapic_mmio_read(cpu, APIC_CURRENT_COUNT))
        assert_true(now() < limit);
    lapic_mmio_write(cpu, APIC_LVT_TIMER, APIC_TIMER_PERIODIC << 17 | 0x92);
    assert_int_equal(lapic_mmio_read(cpu, APIC_CURRENT_COUNT), 0);
    assert_int_equal(lapic_next_timer(cpu), LAPIC_NEVER);
    assert_int_equal(lapic_acknowledge(cpu), 0x91);
    lapic_mmio_write(cpu, APIC_EOI, 0);
    // Periodic: again and again, at whole periods. Divided by 2.
    lapic_mmio_write(cpu, APIC_DIVIDE, 0);
    lapic_mmio_write(cpu, APIC_LVT_TIMER, APIC_TIMER_PERIODIC << 17 | 0x92);
    lapic_mmio_write(cpu, APIC_INITIAL_COUNT, 500000);
    expiry = lapic_next_timer(cpu);
    for (unsigned i = 0; i < 3; i++) {
        wait_for_timer(cpu);
        assert_int_equal(lapic_acknowledge(cpu), 0x92);
        lapic_mmio_write(cpu, APIC_EOI, 0);
        assert_true(lapic_next_timer(cpu) > expiry);
        assert_int_equal((lapic_next_timer(cpu) - expiry) % 1000000, 0);
        expiry = lapic_next_timer(cpu);
    }
    assert_in_range(lapic_mmio_read(cpu, APIC_CURRENT_COUNT), 0, 500000);
    // Another divider goes on with the count.
    lapic_mmio_write(cpu, APIC_INITIAL_COUNT, 4000000000u);
    lapic_mmio_write(cpu, APIC_DIVIDE, 0xa); // by 128
    assert_in_range(lapic_next_timer(cpu), now() + 500000000000, now() + 512000000000);
    lapic_mmio_write(cpu, APIC_INITIAL_COUNT, 0);
    assert_int_equal(lapic_next_timer(cpu), LAPIC_NEVER);
}

static void test_deadline(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu[0];
    lapic_deadline_write(cpu, 5); // in another mode: nothing
    assert_int_equal(lapic_deadline_read(cpu), 0);
    lapic_mmio_write(cpu, APIC_LVT_TIMER, APIC_TIMER_DEADLINE << 17 | 0x93);
    lapic_mmio_write(cpu, APIC_INITIAL_COUNT, 100);
    assert_int_equal(lapic_mmio_read(cpu, APIC_INITIAL_COUNT), 0);
    lapic_deadline_write(cpu, 1); // long past: at once
    assert_int_equal(lapic_acknowledge(cpu), 0x93);
    assert_int_equal(lapic_deadline_read(cpu), 0);
    lapic_mmio_write(cpu, APIC_EOI, 0);
    requested(cpu);
    cpu->tsc_offset = 12345;
    u64 deadline = __builtin_ia32_rdtsc() + cpu->tsc_offset + 3000000;
    lapic_deadline_write(cpu, deadline);
    assert_int_equal(lapic_deadline_read(cpu), deadline);
    wait_for_timer(cpu);
    assert_true(__builtin_ia32_rdtsc() + cpu->tsc_offset >= deadline);
    assert_int_equal(lapic_deadline_read(cpu), 0);
    assert_int_equal(lapic_acknowledge(cpu), 0x93);
    // Cancelled by zero and by a change of mode.
    lapic_deadline_write(cpu, deadline + (1ull << 50));
    lapic_deadline_write(cpu, 0);
    assert_int_equal(lapic_next_timer(cpu), LAPIC_NEVER);
    lapic_deadline_write(cpu, deadline + (1ull << 50));
    lapic_mmio_write(cpu, APIC_LVT_TIMER, 0x93);
    assert_int_equal(lapic_next_timer(cpu), LAPIC_NEVER);
    assert_int_equal(lapic_deadline_read(cpu), 0);
}

static void test_state(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu[1];
    struct kvm_lapic_state saved, again;
    lapic_accept(cpu, 0x85, true);
    lapic_acknowledge(cpu);
    lapic_accept(cpu, 0x45, false);
    lapic_mmio_write(cpu, APIC_TPR, 0x20);
    lapic_mmio_write(cpu, APIC_LVT_TIMER, 0x94);
    lapic_mmio_write(cpu, APIC_DIVIDE, 0xb);
    lapic_mmio_write(cpu, APIC_INITIAL_COUNT, 4000000000u);
    lapic_get(cpu, &saved);
    assert_int_equal(*(u32 *)(saved.regs + APIC_ID), 1 << 24);
    assert_int_equal(*(u32 *)(saved.regs + APIC_ISR + 0x40), 1 << 5);
    lapic_reset(cpu, true);
    assert_int_equal(lapic_next_timer(cpu), LAPIC_NEVER);
    lapic_set(cpu, &saved);
    lapic_get(cpu, &again);
    u32 before = *(u32 *)(saved.regs + APIC_CURRENT_COUNT), after = *(u32 *)(again.regs + APIC_CURRENT_COUNT);
    assert_true(after && after <= before);
    *(u32 *)(again.regs + APIC_CURRENT_COUNT) = before;
    assert_memory_equal(&saved, &again, sizeof saved);
    lapic_mmio_write(cpu, APIC_EOI, 0);
    assert_int_equal(lapic_acknowledge(cpu), 0x45);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_priority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_physical, setup, teardown),
        cmocka_unit_test_setup_teardown(test_logical, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lowest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_special, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_x2apic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_msi, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
