// A PCI function: header, BAR sizing, capabilities, MSI-X masks and pending bits, INTx, and the bad descriptions.
#include "chip.h"

#include "device/pci.h"

struct fixture {
    struct pci_function function;
    unsigned messages, moves, resets;
    u64 address;
    u32 data;
    bool intx;
    u64 written;
};

static void msi(void *host, u64 address, u32 data)
{
    struct fixture *f = host;
    f->messages++;
    f->address = address;
    f->data = data;
}

static void intx(void *host, const struct pci_function *function, bool level)
{
    (void)function;
    ((struct fixture *)host)->intx = level;
}

static void moved(void *host, struct pci_function *function)
{
    (void)function;
    ((struct fixture *)host)->moves++;
}

static const struct pci_host_ops ops = {msi, intx, moved};

static u64 bar_read(void *context, u64 offset, unsigned bytes)
{
    (void)context;
    return offset << 8 | bytes;
}

static void bar_write(void *context, u64 offset, unsigned bytes, u64 value)
{
    (void)offset, (void)bytes;
    ((struct fixture *)context)->written = value;
}

static void reset(void *context) { ((struct fixture *)context)->resets++; }

static void start(struct fixture *f)
{
    struct error error;
    *f = (struct fixture){.function = {
                              .name = "test",
                              .context = f,
                              .vendor = 0x1AF4,
                              .device = 0x1042,
                              .subsystem_vendor = 0x1AF4,
                              .subsystem = 0x1100,
                              .class_code = 0x018000,
                              .revision = 1,
                              .intx = true,
                              .bars = {[0] = {PCI_BAR_MEMORY64, 0x4000, false, bar_read, bar_write},
                                       [3] = {PCI_BAR_IO, 0x20, false, bar_read, bar_write}},
                              .msix_vectors = 3,
                              .msix_bar = 2,
                              .reset = reset,
                          }};
    assert_int_equal(pci_init(&f->function, &error), 0);
    f->function.host_ops = &ops;
    f->function.host = f;
    pci_reset(&f->function);
}

static u32 get(struct fixture *f, unsigned offset, unsigned bytes)
{
    return pci_config_read(&f->function, offset, bytes);
}
static void set(struct fixture *f, unsigned offset, unsigned bytes, u32 value)
{
    pci_config_write(&f->function, offset, bytes, value);
}

static void test_header(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(get(&f, 0, 4), 0x10421AF4);
    assert_int_equal(get(&f, 8, 4), 0x01800001);
    assert_int_equal(get(&f, 0x2C, 4), 0x11001AF4);
    assert_int_equal(get(&f, 0x0E, 1), 0);
    assert_int_equal(get(&f, 0x3D, 1), 1);
    set(&f, 0, 4, 0);
    assert_int_equal(get(&f, 0, 4), 0x10421AF4);
    set(&f, 4, 2, 0xFFFF);
    assert_int_equal(get(&f, 4, 2), 0x0407);
    set(&f, 0x3C, 1, 11);
    assert_int_equal(get(&f, 0x3C, 1), 11);
    assert_int_equal(get(&f, 0x100, 4), 0);
    assert_int_equal(get(&f, 0xFE, 4), 0);
    set(&f, 0xFE, 4, 0xFFFFFFFF);
    assert_int_equal(f.resets, 1);
    pci_destroy(&f.function);
}

static void test_bars(void **state)
{
    (void)state;
    struct fixture f;
    u64 address;
    start(&f);
    assert_false(pci_bar_address(&f.function, 0, &address));
    set(&f, 0x10, 4, 0xFFFFFFFF);
    set(&f, 0x14, 4, 0xFFFFFFFF);
    set(&f, 0x1C, 4, 0xFFFFFFFF);
    assert_int_equal(get(&f, 0x10, 4), 0xFFFFC004);
    assert_int_equal(get(&f, 0x14, 4), 0xFFFFFFFF);
    assert_int_equal(get(&f, 0x1C, 4), 0xFFFFFFE1);
    set(&f, 0x24, 4, 0xFFFFFFFF);
    assert_int_equal(get(&f, 0x24, 4), 0); // no such BAR
    pci_bar_assign(&f.function, 0, 0x1C0004000);
    set(&f, 4, 2, 2);
    assert_true(pci_bar_address(&f.function, 0, &address));
    assert_true(address == 0x1C0004000);
    assert_false(pci_bar_address(&f.function, 3, &address)); // I/O is off
    set(&f, 4, 2, 3);
    assert_true(pci_bar_address(&f.function, 3, &address));
    assert_true(address == 0xFFFFFFE0);
    unsigned before = f.moves;
    set(&f, 0x12, 2, 0xC123); // any width
    assert_int_equal(f.moves, before + 1);
    assert_true(pci_bar_address(&f.function, 0, &address));
    assert_true(address == 0x1C1234000);
    set(&f, 0x3C, 1, 5);
    assert_int_equal(f.moves, before + 1);
    assert_true(pci_bar_read(&f.function, 0, 0x3FFC, 4) == (0x3FFC << 8 | 4));
    assert_true(pci_bar_read(&f.function, 0, 0x3FFD, 4) == UINT64_MAX);
    pci_bar_write(&f.function, 0, UINT64_MAX, 8, 1);
    assert_true(f.written == 0);
    pci_destroy(&f.function);
}

static u64 table(struct fixture *f, unsigned at, unsigned bytes) { return pci_bar_read(&f->function, 2, at, bytes); }
static void set_table(struct fixture *f, unsigned at, unsigned bytes, u64 value)
{
    pci_bar_write(&f->function, 2, at, bytes, value);
}

static void test_msix(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    unsigned cap = get(&f, 0x34, 1);
    assert_int_equal(get(&f, 6, 2) & 0x10, 0x10);
    assert_int_equal(get(&f, cap, 4), 0x00020011); // 3 vectors
    assert_int_equal(get(&f, cap + 4, 4), 2);
    unsigned pba = get(&f, cap + 8, 4);
    assert_int_equal(pba & 7, 2);
    pba &= ~7u;
    assert_int_equal(table(&f, 12, 4), 1);
    set_table(&f, 16, 8, 0xFEE01000);
    set_table(&f, 24, 4, 0x4041);
    pci_msix_raise(&f.function, 1);
    assert_int_equal(table(&f, pba, 8), 0); // not enabled: nothing to remember
    set(&f, 4, 2, 6);
    set(&f, cap + 2, 2, 0x8000);
    assert_true(pci_msix_enabled(&f.function));
    pci_msix_raise(&f.function, 1);
    assert_int_equal(f.messages, 0); // the entry is masked
    assert_int_equal(table(&f, pba, 8), 2);
    set_table(&f, 28, 4, 0);
    assert_int_equal(f.messages, 1);
    assert_true(f.address == 0xFEE01000);
    assert_int_equal(f.data, 0x4041);
    assert_int_equal(table(&f, pba, 8), 0);
    set(&f, cap + 2, 2, 0xC000); // all masked
    pci_msix_raise(&f.function, 1);
    pci_msix_raise(&f.function, 1);
    assert_int_equal(f.messages, 1);
    set(&f, cap + 3, 1, 0x80);
    assert_int_equal(f.messages, 2);
    set(&f, 4, 2, 2); // not a bus master: no messages
    pci_msix_raise(&f.function, 1);
    assert_int_equal(f.messages, 2);
    pci_msix_raise(&f.function, 3);
    pci_msix_raise(&f.function, UINT32_MAX);
    set_table(&f, pba, 8, UINT64_MAX);
    assert_int_equal(table(&f, pba, 8), 0);
    assert_true(table(&f, 0xFF8, 8) == 0);
    pci_reset(&f.function);
    assert_false(pci_msix_enabled(&f.function));
    assert_int_equal(table(&f, 28, 4), 1);
    pci_destroy(&f.function);
}

static void test_intx(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    unsigned cap = get(&f, 0x34, 1);
    pci_intx_set(&f.function, true);
    assert_true(f.intx);
    assert_int_equal(get(&f, 6, 2) & 8, 8);
    set(&f, 4, 2, 0x400);
    assert_false(f.intx);
    assert_int_equal(get(&f, 6, 2) & 8, 8);
    set(&f, 4, 2, 0);
    assert_true(f.intx);
    set(&f, cap + 2, 2, 0x8000);
    assert_false(f.intx);
    set(&f, cap + 2, 2, 0);
    assert_true(f.intx);
    pci_intx_set(&f.function, false);
    assert_false(f.intx);
    pci_destroy(&f.function);
}

static void test_capabilities(void **state)
{
    (void)state;
    struct fixture f;
    struct error error;
    start(&f);
    const u8 body[14] = {16, 1}, writable[14] = {[2] = 0x0F};
    int at = pci_capability(&f.function, 9, body, writable, sizeof body, &error);
    assert_true(at > 0x40);
    assert_int_equal(get(&f, get(&f, 0x34, 1) + 1, 1), at);
    assert_int_equal(get(&f, (unsigned)at, 4), 0x01100009);
    set(&f, (unsigned)at, 4, 0);
    assert_int_equal(get(&f, (unsigned)at, 4), 0x01100009);
    set(&f, (unsigned)at + 4, 4, 0xFFFFFFFF);
    assert_int_equal(get(&f, (unsigned)at + 4, 4), 0x0F);
    unsigned count = 0;
    while (pci_capability(&f.function, 9, body, NULL, sizeof body, &error) > 0)
        count++;
    assert_in_range(count, 8, 12);
    pci_destroy(&f.function);
}

static void test_bad_descriptions(void **state)
{
    (void)state;
    struct error error;
    struct pci_function size = {.name = "size", .bars = {{PCI_BAR_MEMORY32, 0x3000, false, NULL, NULL}}};
    assert_int_equal(pci_init(&size, &error), -1);
    struct pci_function wide = {.name = "wide", .bars = {[5] = {PCI_BAR_MEMORY64, 0x1000, false, NULL, NULL}}};
    assert_int_equal(pci_init(&wide, &error), -1);
    struct pci_function overlap = {.name = "overlap",
                                   .bars = {{PCI_BAR_MEMORY64, 0x1000, false, NULL, NULL}},
                                   .msix_vectors = 1,
                                   .msix_bar = 1};
    assert_int_equal(pci_init(&overlap, &error), -1);
    struct pci_function vectors = {.name = "vectors", .msix_vectors = PCI_MSIX_MOST + 1};
    assert_int_equal(pci_init(&vectors, &error), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header), cmocka_unit_test(test_bars),         cmocka_unit_test(test_msix),
        cmocka_unit_test(test_intx),   cmocka_unit_test(test_capabilities), cmocka_unit_test(test_bad_descriptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
