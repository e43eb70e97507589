// The board with an engine that only takes notes: exits reach their chips, interrupts the right controllers, BARs move,
// tables are sound, and storms of random accesses from two threads leave it standing.
#include "chip.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "machine/board.h"

enum { FAKE_DOORBELL = 77 }; // a descriptor that nobody uses

struct engine_vm {
    struct kvm_msi msi;
    unsigned messages, routings;
    bool rings; // it can ring doorbells; it does at these places
    u64 rung[2];
    unsigned rung_count, rung_refused;
    u32 route_data[BOARD_IOAPIC_PINS];
};

struct engine_vcpu {
    int injected;
};

static int fake_ring(struct engine_vm *vm, const struct kvm_ioeventfd *ring)
{
    unsigned at = 0;
    assert_true(vm->rings && ring->len == 0 && ring->fd == FAKE_DOORBELL);
    while (at < vm->rung_count && vm->rung[at] != ring->addr)
        at++;
    if (ring->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) {
        assert_true(at < vm->rung_count); // KVM: ENOENT
        vm->rung[at] = vm->rung[--vm->rung_count];
    } else {
        assert_true(at == vm->rung_count); // KVM: EEXIST
        if (at == ARRAY_SIZE(vm->rung)) {
            vm->rung_refused++;
            return -ENOSPC;
        }
        vm->rung[vm->rung_count++] = ring->addr;
    }
    return 0;
}

static int fake_vm_ioctl(struct engine_vm *vm, unsigned long request, void *argument)
{
    if (request == KVM_SIGNAL_MSI) {
        vm->msi = *(struct kvm_msi *)argument;
        vm->messages++;
    } else if (request == KVM_SET_GSI_ROUTING) {
        const struct kvm_irq_routing *routing = argument;
        vm->routings++;
        for (unsigned i = 0; i < routing->nr && i < BOARD_IOAPIC_PINS; i++)
            vm->route_data[i] = routing->entries[i].u.msi.data;
    } else if (request == KVM_IOEVENTFD) {
        return fake_ring(vm, argument);
    }
    return request == KVM_CHECK_EXTENSION && vm->rings;
}

static int fake_vcpu_ioctl(struct engine_vcpu *vcpu, unsigned long request, void *argument)
{
    assert_true(request == KVM_INTERRUPT);
    vcpu->injected = (int)((struct kvm_interrupt *)argument)->irq;
    return 0;
}

static const struct engine fake_engine = {.name = "fake", .vm_ioctl = fake_vm_ioctl, .vcpu_ioctl = fake_vcpu_ioctl};

struct fixture {
    struct engine_vm vm;
    struct board *board;
    u64 now;
    unsigned shutdowns, resets, extints, exits, status;
    unsigned doorbells;
    struct pci_function function, card;
    unsigned unplugged, place;
    bool let_go;
};

static u64 fixture_now(void *context) { return __atomic_load_n(&((struct fixture *)context)->now, __ATOMIC_RELAXED); }
static void on_shutdown(void *context) { ((struct fixture *)context)->shutdowns++; }
static void on_reset(void *context) { ((struct fixture *)context)->resets++; }
static void on_extint(void *context) { ((struct fixture *)context)->extints++; }
static void on_exit_status(void *context, unsigned status)
{
    ((struct fixture *)context)->exits++;
    ((struct fixture *)context)->status = status;
}

static void on_unplugged(void *context, unsigned place, bool let_go)
{
    struct fixture *f = context;
    f->unplugged++;
    f->place = place;
    f->let_go = let_go;
}

static u64 bar_read(void *context, u64 offset, unsigned bytes)
{
    (void)context, (void)bytes;
    return 0x1000 + offset;
}

static void bar_write(void *context, u64 offset, unsigned bytes, u64 value)
{
    (void)offset, (void)bytes, (void)value;
    __atomic_fetch_add(&((struct fixture *)context)->doorbells, 1, __ATOMIC_RELAXED);
}

static void start_with(struct fixture *f, u64 memory, unsigned cpus, bool debug, bool rings)
{
    struct error error;
    memset(f, 0, sizeof *f);
    f->vm.rings = rings;
    const struct clock clock = {fixture_now, f};
    const struct board_config config = {
        .engine = &fake_engine,
        .vm = &f->vm,
        .memory_bytes = memory,
        .cpus = cpus,
        .debug = debug,
        .events = {.context = f, .shutdown = on_shutdown, .reset = on_reset, .debug_exit = on_exit_status,
                   .unplugged = on_unplugged, .extint = on_extint},
        .clock = &clock,
        .wall_s = 1700000000,
    };
    f->board = board_create(&config, &error);
    assert_non_null(f->board);
    f->function = (struct pci_function){
        .name = "test",
        .context = f,
        .vendor = 0x1AF4,
        .device = 0x1041,
        .intx = true,
        .bars = {[0] = {PCI_BAR_MEMORY64, 0x1000, true, bar_read, bar_write},
                 [4] = {PCI_BAR_IO, 0x20, false, bar_read, bar_write}},
        .msix_vectors = 2,
        .msix_bar = 2,
    };
    assert_int_equal(pci_init(&f->function, &error), 0);
    assert_int_equal(board_attach(f->board, &f->function, &error), 0);
    assert_int_equal(board_finish(f->board, &error), 0);
    assert_int_equal(board_attach(f->board, &f->function, &error), -1);
}

static void start(struct fixture *f, u64 memory, unsigned cpus, bool debug)
{
    start_with(f, memory, cpus, debug, false);
}

static void stop(struct fixture *f)
{
    board_destroy(f->board);
    pci_destroy(&f->function);
}

static u64 in(struct fixture *f, u16 port, unsigned bytes) { return board_read(f->board, DEVICE_PORTS, port, bytes); }
static void out(struct fixture *f, u16 port, unsigned bytes, u64 value)
{
    board_write(f->board, DEVICE_PORTS, port, bytes, value);
}

static void redirect(struct fixture *f, unsigned pin, u32 value)
{
    board_write(f->board, DEVICE_MEMORY, BOARD_IOAPIC, 4, 0x10 + 2 * pin);
    board_write(f->board, DEVICE_MEMORY, BOARD_IOAPIC + 0x10, 4, value);
}

static u32 config_read(struct fixture *f, unsigned slot, unsigned offset)
{
    out(f, 0xCF8, 4, 0x80000000 | slot << 11 | offset);
    return (u32)in(f, 0xCFC, 4);
}

static void config_write(struct fixture *f, unsigned slot, unsigned offset, u32 value)
{
    out(f, 0xCF8, 4, 0x80000000 | slot << 11 | offset);
    out(f, 0xCFC, 4, value);
}

static void test_nothing_there(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, MIB(16), 1, false);
    assert_true(in(&f, 0x1234, 4) == UINT32_MAX);
    assert_true(in(&f, 0xF4, 4) == UINT32_MAX);
    assert_true(board_read(f.board, DEVICE_MEMORY, MIB(16), 8) == UINT64_MAX);
    assert_true(board_read(f.board, DEVICE_MEMORY, UINT64_MAX, 8) == UINT64_MAX);
    assert_true(board_read(f.board, DEVICE_MEMORY, 0xFF000000, 1) == 0xFF);
    out(&f, 0x80, 1, 1);
    assert_int_equal(f.exits, 0);
    stop(&f);
}

static void test_exits(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, MIB(16), 1, true);
    union {
        struct kvm_run run;
        u8 page[PAGE_BYTES];
    } *area = calloc(1, sizeof *area);
    struct kvm_run *run = &area->run;
    run->exit_reason = KVM_EXIT_IO;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.size = 2;
    run->io.port = 0xE0;
    run->io.count = 2;
    run->io.data_offset = 3000;
    memcpy(area->page + 3000, "\x11\x22\x33\x44", 4);
    assert_true(board_exit(f.board, run));
    run->io.direction = KVM_EXIT_IO_IN;
    run->io.count = 1;
    run->io.size = 4;
    assert_true(board_exit(f.board, run));
    assert_memory_equal(area->page + 3000, "\x33\x44\x00\x00", 4);
    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.phys_addr = 0xFF000004;
    run->mmio.len = 8;
    run->mmio.is_write = 1;
    memcpy(run->mmio.data, "abcdefgh", 8);
    assert_true(board_exit(f.board, run));
    memset(run->mmio.data, 0, 8);
    run->mmio.is_write = 0;
    assert_true(board_exit(f.board, run));
    assert_memory_equal(run->mmio.data, "abcdefgh", 8);
    run->exit_reason = KVM_EXIT_HLT;
    assert_false(board_exit(f.board, run));
    redirect(&f, 9, 0x8055);
    board_irq(f.board, 9, true);
    assert_int_equal(f.vm.messages, 1);
    run->exit_reason = KVM_EXIT_IOAPIC_EOI;
    run->eoi.vector = 0x55;
    assert_true(board_exit(f.board, run));
    assert_int_equal(f.vm.messages, 2);
    out(&f, 0xF4, 4, 0x10);
    assert_int_equal(f.status, 0x21);
    free(area);
    stop(&f);
}

static void test_events(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, MIB(16), 1, false);
    out(&f, 0xCF9, 1, 0x02);
    assert_int_equal(f.resets, 0);
    out(&f, 0xCF9, 1, 0x06); // what the FADT says
    out(&f, 0x64, 1, 0xFE);
    out(&f, 0x92, 1, 0x01);
    assert_int_equal(f.resets, 3);
    out(&f, 0x604, 2, 5 << 10 | 1 << 13);
    assert_int_equal(f.shutdowns, 1);
    redirect(&f, 9, 0x8059);
    out(&f, 0x602, 2, 0x100);
    board_power_button(f.board);
    assert_int_equal(f.vm.messages, 1);
    assert_int_equal(f.vm.msi.data, 0xC059);
    stop(&f);
}

// check_timer() of Linux in short: the PIT through the PIC, then through IOAPIC pin 2.
static void test_timer_interrupt(void **state)
{
    (void)state;
    struct fixture f;
    struct engine_vcpu vcpu = {.injected = -1};
    struct kvm_run run = {0};
    start(&f, MIB(16), 1, false);
    out(&f, 0x20, 1, 0x11), out(&f, 0x21, 1, 0x30), out(&f, 0x21, 1, 4), out(&f, 0x21, 1, 1), out(&f, 0x21, 1, 0xFE);
    assert_int_equal(board_before_run(f.board, (struct engine_vcpu *)&vcpu, &run), 0);
    assert_int_equal(run.request_interrupt_window, 0);
    out(&f, 0x43, 1, 0x34), out(&f, 0x40, 1, 0x00), out(&f, 0x40, 1, 0x10);
    struct pollfd poller = {.fd = board_timer_fd(f.board), .events = POLLIN};
    assert_int_equal(poll(&poller, 1, 10000), 1); // host time does run
    f.now += 4000000;
    board_timers(f.board);
    assert_int_equal(f.extints, 1);
    board_before_run(f.board, &vcpu, &run);
    assert_int_equal(run.request_interrupt_window, 1);
    assert_int_equal(vcpu.injected, -1);
    run.ready_for_interrupt_injection = 1;
    board_before_run(f.board, &vcpu, &run);
    assert_int_equal(vcpu.injected, 0x30);
    assert_int_equal(run.request_interrupt_window, 0);
    redirect(&f, 2, 0x31);
    f.now += 4000000;
    board_timers(f.board);
    assert_int_equal(f.vm.messages, 1);
    assert_int_equal(f.vm.msi.data, 0x4031);
    assert_int_equal(f.vm.route_data[2], 0x4031);
    stop(&f);
}

static void test_pci(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, MIB(16), 1, false);
    assert_int_equal(config_read(&f, 0, 0), 0x00081B36);
    assert_int_equal(config_read(&f, 1, 0), 0x10411AF4);
    assert_true(config_read(&f, 2, 0) == UINT32_MAX);
    assert_int_equal(board_read(f.board, DEVICE_MEMORY, BOARD_ECAM + (1 << 15), 4), 0x10411AF4);
    assert_true(board_read(f.board, DEVICE_MEMORY, BOARD_ECAM + (1 << 15) + (1 << 12), 4) == UINT32_MAX);
    assert_int_equal(in(&f, 0xCFE, 2), 0xFFFF);
    u64 bar = config_read(&f, 1, 0x10) & ~15u;
    assert_in_range(bar, BOARD_PCI_WINDOW, BOARD_ECAM - 1);
    assert_int_equal(board_read(f.board, DEVICE_MEMORY, bar + 0x123, 4), 0x1123);
    board_write(f.board, DEVICE_MEMORY, bar, 2, 0);
    assert_int_equal(f.doorbells, 1);
    assert_int_equal(in(&f, (u16)(config_read(&f, 1, 0x20) & ~3u) + 4, 4), 0x1004);
    config_write(&f, 1, 0x10, 0xD0000000);
    assert_true(board_read(f.board, DEVICE_MEMORY, bar, 4) == UINT32_MAX);
    assert_int_equal(board_read(f.board, DEVICE_MEMORY, 0xD0000008, 4), 0x1008);
    config_write(&f, 1, 0x10, (u32)BOARD_IOAPIC); // over another chip: it does not answer, the chip does
    board_write(f.board, DEVICE_MEMORY, BOARD_IOAPIC, 4, 1);
    assert_int_equal(board_read(f.board, DEVICE_MEMORY, BOARD_IOAPIC + 0x10, 4), 0x170020);
    config_write(&f, 1, 0x14, 0x10); // above 4 GiB
    assert_int_equal(board_read(f.board, DEVICE_MEMORY, 0x1000000000 + BOARD_IOAPIC, 4), 0x1000);
    config_write(&f, 1, 4, 0);
    assert_true(board_read(f.board, DEVICE_MEMORY, 0x1000000000 + BOARD_IOAPIC, 4) == UINT32_MAX);
    redirect(&f, 17, 0x8061);
    pci_intx_set(&f.function, true);
    assert_int_equal(f.vm.msi.data, 0xC061);
    struct error error;
    assert_int_equal(board_reset(f.board, &error), 0);
    assert_int_equal(config_read(&f, 1, 0x10) & ~15u, bar);
    assert_int_equal(board_read(f.board, DEVICE_MEMORY, bar, 4), 0x1000);
    stop(&f);
}

static int bar_doorbell(void *context, unsigned bar, u64 offset)
{
    (void)context;
    return bar == 0 && offset < 12 && offset % 4 == 0 ? FAKE_DOORBELL : -1;
}

static bool is_rung(const struct fixture *f, u64 address)
{
    for (unsigned i = 0; i < f->vm.rung_count; i++)
        if (f->vm.rung[i] == address)
            return true;
    return false;
}

// Doorbells become the engine's with the first ring, and are taken back before their place is another's.
static void test_doorbells(void **state)
{
    (void)state;
    struct fixture f;
    struct error error;
    start_with(&f, MIB(16), 1, false, true);
    f.function.doorbell = bar_doorbell;
    u64 bar = config_read(&f, 1, 0x10) & ~15u;
    assert_int_equal(f.vm.rung_count, 0);
    board_read(f.board, DEVICE_MEMORY, bar, 2);
    board_write(f.board, DEVICE_MEMORY, bar + 12, 2, 0); // none
    board_write(f.board, DEVICE_MEMORY, bar + 2, 2, 0);
    assert_int_equal(f.vm.rung_count, 0);
    board_write(f.board, DEVICE_MEMORY, bar + 4, 2, 0);
    board_write(f.board, DEVICE_MEMORY, bar + 4, 2, 0);
    assert_true(f.vm.rung_count == 1 && is_rung(&f, bar + 4));
    assert_int_equal(f.doorbells, 4);
    board_write(f.board, DEVICE_MEMORY, bar, 2, 0);
    assert_true(f.vm.rung_count == 2 && is_rung(&f, bar));
    board_write(f.board, DEVICE_MEMORY, bar + 8, 2, 0); // one more than it takes: asked once, rung the long way
    board_write(f.board, DEVICE_MEMORY, bar + 8, 2, 0);
    assert_true(f.vm.rung_refused == 1 && f.doorbells == 7);
    config_write(&f, 1, 0x10, 0xD0000000);
    assert_int_equal(f.vm.rung_count, 0);
    board_write(f.board, DEVICE_MEMORY, 0xD0000004, 2, 0);
    assert_true(f.vm.rung_count == 1 && is_rung(&f, 0xD0000004));
    assert_int_equal(board_reset(f.board, &error), 0);
    assert_int_equal(f.vm.rung_count, 0);
    stop(&f);
}

static void test_across_ranges(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, MIB(16), 1, true);
    out(&f, 0xE0, 4, 0x44332211);
    assert_int_equal(in(&f, 0xE2, 4), 0xFFFF4433); // 0xE4 reads as nothing
    assert_int_equal(in(&f, 0xDF, 4), 0x332211FF);
    out(&f, 0xDE, 4, 0xAABBCCDD);
    assert_int_equal(in(&f, 0xE0, 4), 0x4433AABB);
    stop(&f);
}

static u8 sum(const u8 *bytes, size_t count)
{
    u8 total = 0;
    while (count--)
        total += *bytes++;
    return total;
}

static u64 get(const u8 *from, unsigned bytes)
{
    u64 value = 0;
    memcpy(&value, from, bytes);
    return value;
}

static const u8 *table(struct fixture *f, u64 gpa, const char *signature)
{
    const u8 *at = memory_pointer(board_memory(f->board), gpa, 36);
    assert_non_null(at);
    assert_memory_equal(at, signature, 4);
    u32 length = (u32)get(at + 4, 4);
    assert_in_range(length, 36, 0x20000);
    assert_int_equal(sum(at, length), 0);
    return at;
}

static void test_acpi(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, MIB(16), 64, false);
    const u8 *rsdp = memory_pointer(board_memory(f.board), board_rsdp(f.board), 36);
    assert_memory_equal(rsdp, "RSD PTR ", 8);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    const u8 *xsdt = table(&f, get(rsdp + 24, 8), "XSDT");
    assert_int_equal(get(xsdt + 4, 4), 36 + 3 * 8);
    const u8 *fadt = table(&f, get(xsdt + 36, 8), "FACP");
    const u8 *madt = table(&f, get(xsdt + 44, 8), "APIC");
    const u8 *mcfg = table(&f, get(xsdt + 52, 8), "MCFG");
    assert_true(get(mcfg + 44, 8) == BOARD_ECAM);
    assert_int_equal(get(fadt + 4, 4), 276);
    assert_int_equal(get(fadt + 76, 4), 0x608);
    assert_int_equal(get(fadt + 208 + 4, 8), 0x608);
    assert_int_equal(get(fadt + 172 + 4, 8), 0x604);
    assert_int_equal(get(fadt + 116 + 4, 8), 0xCF9);
    assert_int_equal(fadt[128], 6);
    assert_true(get(fadt + 140, 8) == get(fadt + 40, 4));
    table(&f, get(fadt + 40, 4), "DSDT");
    const u8 *facs = memory_pointer(board_memory(f.board), get(fadt + 36, 4), 64);
    assert_memory_equal(facs, "FACS\x40", 5);
    assert_int_equal(get(fadt + 36, 4) % 64, 0);
    unsigned cpus = 0, others = 0;
    for (u64 at = 44; at < get(madt + 4, 4); at += madt[at + 1]) {
        assert_true(madt[at + 1] >= 6);
        cpus += madt[at] == 0;
        others += madt[at] != 0;
    }
    assert_int_equal(cpus, 64);
    assert_int_equal(others, 4);
    stop(&f);
}

static void test_map(void **state)
{
    (void)state;
    struct fixture f;
    struct board_map_entry map[BOARD_MAP_MOST];
    start(&f, GIB(4), 1, false);
    unsigned count = board_map(f.board, map, BOARD_MAP_MOST);
    u64 ram = 0;
    for (unsigned i = 0; i < count; i++) {
        if (i)
            assert_true(map[i].gpa >= map[i - 1].gpa + map[i - 1].bytes);
        if (map[i].type != BOARD_MAP_RAM)
            continue;
        ram += map[i].bytes;
        assert_non_null(memory_pointer(board_memory(f.board), map[i].gpa, map[i].bytes));
    }
    assert_true(ram > GIB(4) - MIB(1));
    assert_true(board_map(f.board, map, 2) == 2);
    stop(&f);
}

struct random {
    u64 state;
};

static u64 next(struct random *random) // xorshift64*
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * 0x2545F4914F6CDD1D;
}

// Where guests' accesses land, so that the storm hits chips and not mostly nothing.
static u64 storm_address(struct random *random, enum device_space space)
{
    static const u16 ports[] = {0x20, 0xA0, 0x40, 0x43, 0x61, 0x60, 0x64, 0x70, 0x92, 0xE0, 0x3F8, 0x4D0, 0x510, 0x600,
                                0xCF8, 0xCFC, 0x2000, 0xC000};
    static const u64 places[] = {BOARD_IOAPIC, BOARD_IOAPIC + 0x10, BOARD_ECAM, BOARD_ECAM + 0x8000, BOARD_PCI_WINDOW,
                                 BOARD_PCI_WINDOW + 0x1000, 0xFF000000, BOARD_LAPIC};
    u64 r = next(random);
    if (r % 16 == 0)
        return space == DEVICE_PORTS ? r >> 8 & 0xFFFF : r >> 8;
    if (space == DEVICE_PORTS)
        return ports[(r >> 8) % ARRAY_SIZE(ports)] + (r >> 32) % 8;
    return places[(r >> 8) % ARRAY_SIZE(places)] + ((r >> 32) & 1 ? (r >> 40) % 0x1000 : (r >> 40) % 64);
}

static void storm(struct fixture *f, u64 seed, unsigned steps)
{
    struct random random = {seed};
    struct engine_vcpu vcpu;
    struct kvm_run run = {0};
    for (unsigned i = 0; i < steps; i++) {
        u64 r = next(&random);
        enum device_space space = r & 1 ? DEVICE_PORTS : DEVICE_MEMORY;
        unsigned bytes = 1u << (r >> 1) % (space == DEVICE_PORTS ? 3 : 4);
        u64 address = storm_address(&random, space);
        if (r & 16)
            board_write(f->board, space, address, bytes, next(&random));
        else
            board_read(f->board, space, address, bytes);
        if (r % 64 == 0) {
            __atomic_fetch_add(&f->now, r >> 32 & 0xFFFFFFF, __ATOMIC_RELAXED);
            board_timers(f->board);
        }
        if (r % 32 == 0)
            board_irq(f->board, r >> 8 & 31, r >> 16 & 1);
        if (r % 128 == 1)
            pci_intx_set(&f->function, r >> 16 & 1);
        if (r % 128 == 2)
            pci_msix_raise(&f->function, r >> 16 & 3);
        if (r % 128 == 3)
            board_console_receive(f->board, (const u8 *)"storm", 5);
        run.ready_for_interrupt_injection = r >> 20 & 1;
        board_before_run(f->board, &vcpu, &run);
    }
}

static void test_storm(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, MIB(16), 2, true);
    for (u64 seed = 1; seed <= 40; seed++) {
        struct error error;
        storm(&f, seed * 0x9E3779B97F4A7C15, 10000);
        assert_int_equal(board_reset(f.board, &error), 0);
        assert_int_equal(config_read(&f, 1, 0), 0x10411AF4); // and it still works
    }
    stop(&f);
}

// A card that comes while it runs, is found, placed and used by the guest, asked for, and let go of.
static void test_card_comes_and_goes(void **state)
{
    (void)state;
    struct fixture f;
    struct error error;
    start_with(&f, MIB(16), 1, false, true);
    f.card = (struct pci_function){
        .name = "card",
        .context = &f,
        .vendor = 0x1AF4,
        .device = 0x1041,
        .intx = true,
        .bars = {[0] = {PCI_BAR_MEMORY64, 0x1000, true, bar_read, bar_write}},
        .doorbell = bar_doorbell,
    };
    assert_int_equal(pci_init(&f.card, &error), 0);
    out(&f, 0x60E, 2, 2);
    assert_int_equal(board_plug(f.board, &f.card, BOARD_PLACES, &error), -1);
    assert_true(config_read(&f, 29, 0) == UINT32_MAX);
    assert_int_equal(board_plug(f.board, &f.card, 5, &error), 0);
    assert_int_equal(board_plug(f.board, &f.card, 5, &error), -1); // taken
    assert_int_equal(in(&f, 0x60C, 2), 2);
    assert_int_equal(in(&f, 0x620, 4), 1 << 29);
    assert_int_equal(config_read(&f, 29, 0), 0x10411AF4);
    config_write(&f, 29, 0x10, 0xD0000000);
    config_write(&f, 29, 0x04, 3);
    assert_int_equal(board_read(f.board, DEVICE_MEMORY, 0xD0000008, 4), 0x1008);
    board_write(f.board, DEVICE_MEMORY, 0xD0000000, 2, 0);
    assert_int_equal(f.vm.rung_count, 1);
    pci_intx_set(&f.card, true);
    board_unplug(f.board, 5, true);
    assert_int_equal(in(&f, 0x624, 4), 1 << 29);
    assert_int_equal(f.unplugged, 0);
    out(&f, 0x628, 4, 1 << 29);
    assert_true(f.unplugged == 1 && f.place == 5 && f.let_go);
    assert_int_equal(f.vm.rung_count, 0);
    assert_true(config_read(&f, 29, 0) == UINT32_MAX);
    assert_true(board_read(f.board, DEVICE_MEMORY, 0xD0000008, 4) == UINT32_MAX);
    pci_intx_set(&f.card, false); // goes through the board still
    assert_int_equal(board_plug(f.board, &f.card, 5, &error), 0);
    board_pause(f.board);
    out(&f, 0x60C, 2, 2);
    out(&f, 0x620, 4, UINT32_MAX);
    board_unplug(f.board, 5, false);
    assert_true(f.unplugged == 2 && !f.let_go);
    assert_int_equal(in(&f, 0x60C, 2), 0); // nothing moves while it is paused
    board_resume(f.board);
    assert_int_equal(in(&f, 0x60C, 2), 2);
    pci_destroy(&f.card);
    stop(&f);
}

static void *storm_thread(void *argument)
{
    storm(argument, 0xD1B54A32D192ED03, 150000);
    return NULL;
}

static void test_storm_from_two_threads(void **state)
{
    (void)state;
    struct fixture f;
    pthread_t thread;
    start(&f, MIB(16), 2, true);
    assert_int_equal(pthread_create(&thread, NULL, storm_thread, &f), 0);
    storm(&f, 0x8CB92BA72F3D8DD7, 150000);
    pthread_join(thread, NULL);
    assert_int_equal(config_read(&f, 0, 0), 0x00081B36);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_there), cmocka_unit_test(test_exits),
        cmocka_unit_test(test_events),        cmocka_unit_test(test_timer_interrupt),
        cmocka_unit_test(test_pci),           cmocka_unit_test(test_across_ranges),
        cmocka_unit_test(test_acpi),          cmocka_unit_test(test_map),
        cmocka_unit_test(test_card_comes_and_goes), cmocka_unit_test(test_doorbells),
        cmocka_unit_test(test_storm),         cmocka_unit_test(test_storm_from_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
