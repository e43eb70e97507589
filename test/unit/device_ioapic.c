// The IOAPIC as kvm-unit-tests and Linux use it: registers, edges, levels and remote IRR, masks, when routes change.
#include "chip.h"

#include "device/ioapic.h"

struct fixture {
    struct ioapic ioapic;
    unsigned messages, routes;
    u64 address;
    u32 data;
};

static void message(void *context, u64 address, u32 data)
{
    struct fixture *f = context;
    f->messages++;
    f->address = address;
    f->data = data;
}

static void routes(void *context) { ((struct fixture *)context)->routes++; }

static void start(struct fixture *f)
{
    *f = (struct fixture){.ioapic = {.context = f, .message = message, .routes = routes}};
    ioapic_model.reset(&f->ioapic);
}

static u32 get(struct fixture *f, u8 index)
{
    ioapic_model.ranges[0].write(&f->ioapic, 0, 4, index);
    return (u32)ioapic_model.ranges[0].read(&f->ioapic, 0x10, 4);
}

static void set(struct fixture *f, u8 index, u32 value)
{
    ioapic_model.ranges[0].write(&f->ioapic, 0, 4, index);
    ioapic_model.ranges[0].write(&f->ioapic, 0x10, 4, value);
}

static void pin(struct fixture *f, unsigned number, u32 low, u32 high)
{
    set(f, (u8)(0x11 + 2 * number), high);
    set(f, (u8)(0x10 + 2 * number), low);
}

enum { LEVEL = 0x8000, MASKED = 0x10000, REMOTE_IRR = 0x4000 };

static void test_registers(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(get(&f, 1), 0x170020);
    set(&f, 1, 0);
    assert_int_equal(get(&f, 1), 0x170020);
    set(&f, 0, 0xFFFFFFFF);
    assert_int_equal(get(&f, 0), 0x0F000000);
    assert_int_equal(get(&f, 2), 0x0F000000);
    set(&f, 2, 0);
    assert_int_equal(get(&f, 2), 0x0F000000);
    assert_int_equal(get(&f, 0x10), MASKED);
    set(&f, 0x10, 0xFFFFFFFF);
    set(&f, 0x11, 0xFFFFFFFF);
    assert_int_equal(get(&f, 0x10), 0x0001AFFF); // status bits are read-only
    assert_int_equal(get(&f, 0x11), 0xFF000000);
    assert_int_equal(get(&f, 0x40), 0);
    assert_int_equal(get(&f, 0xFF), 0);
}

static void test_edge(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    pin(&f, 14, 0x76, 0x03000000);
    ioapic_line(&f.ioapic, 14, true);
    assert_int_equal(f.messages, 1);
    assert_true(f.address == 0xFEE03000);
    assert_int_equal(f.data, 0x4076);
    ioapic_line(&f.ioapic, 14, true);
    assert_int_equal(f.messages, 1);
    ioapic_line(&f.ioapic, 14, false);
    ioapic_eoi(&f.ioapic, 0x76);
    assert_int_equal(f.messages, 1);
    pin(&f, 14, 0x76 | MASKED, 0);
    ioapic_line(&f.ioapic, 14, true);
    ioapic_line(&f.ioapic, 14, false);
    pin(&f, 14, 0x76, 0);
    assert_int_equal(f.messages, 1); // lost while masked
    pin(&f, 14, 0x76 | 1 << 11 | 1 << 8, 0x05000000);
    ioapic_line(&f.ioapic, 14, true);
    assert_true(f.address == 0xFEE05004); // logical
    assert_int_equal(f.data, 0x4176);     // lowest priority
    ioapic_line(&f.ioapic, 24, true);
    ioapic_line(&f.ioapic, UINT32_MAX, true);
}

static void test_level(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    pin(&f, 14, 0x77 | LEVEL, 0);
    ioapic_line(&f.ioapic, 14, true);
    assert_int_equal(f.messages, 1);
    assert_int_equal(f.data, 0xC077);
    assert_int_equal(get(&f, 0x10 + 28), 0x77 | LEVEL | REMOTE_IRR);
    ioapic_line(&f.ioapic, 14, false);
    ioapic_line(&f.ioapic, 14, true); // coalesced
    assert_int_equal(f.messages, 1);
    ioapic_eoi(&f.ioapic, 0x78);
    assert_int_equal(f.messages, 1);
    ioapic_eoi(&f.ioapic, 0x77); // still high: again
    assert_int_equal(f.messages, 2);
    ioapic_line(&f.ioapic, 14, false);
    ioapic_model.ranges[0].write(&f.ioapic, 0x40, 4, 0x77); // the EOI register
    assert_int_equal(f.messages, 2);
    assert_int_equal(get(&f, 0x10 + 28), 0x77 | LEVEL);
}

static void test_level_mask(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    pin(&f, 14, 0x82 | LEVEL | MASKED, 0);
    ioapic_line(&f.ioapic, 14, true);
    assert_int_equal(f.messages, 0);
    pin(&f, 14, 0x82 | LEVEL, 0);
    assert_int_equal(f.messages, 1);
    pin(&f, 14, 0x82 | LEVEL | MASKED, 0); // masked in the handler, then EOI, then unmasked
    ioapic_eoi(&f.ioapic, 0x82);
    assert_int_equal(f.messages, 1);
    pin(&f, 14, 0x82 | LEVEL, 0);
    assert_int_equal(f.messages, 2);
    pin(&f, 14, 0x82 | MASKED, 0); // the old way to clear remote IRR: edge and back
    pin(&f, 14, 0x82 | LEVEL | MASKED, 0);
    assert_int_equal(get(&f, 0x10 + 28), 0x82 | LEVEL | MASKED);
}

static void test_nmi_is_an_edge(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    pin(&f, 3, 4 << 8 | LEVEL, 0);
    ioapic_line(&f.ioapic, 3, true);
    assert_int_equal(f.messages, 1);
    assert_int_equal(f.data, 0x4400);
    assert_int_equal(get(&f, 0x10 + 6) & REMOTE_IRR, 0);
}

static void test_routes(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    unsigned before = f.routes;
    pin(&f, 5, 0x55 | LEVEL, 0x01000000);
    assert_true(f.routes > before);
    before = f.routes;
    pin(&f, 5, 0x55 | LEVEL | MASKED, 0x01000000); // masking alone changes no route
    pin(&f, 5, 0x55 | LEVEL, 0x01000000);
    assert_int_equal(f.routes, before);
    set(&f, 0x11 + 10, 0x02000000);
    assert_int_equal(f.routes, before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers),  cmocka_unit_test(test_edge),           cmocka_unit_test(test_level),
        cmocka_unit_test(test_level_mask), cmocka_unit_test(test_nmi_is_an_edge), cmocka_unit_test(test_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
