// Slots whose cards come and go: what the guest's method reads and clears, ejection, and the host's patience.
#include "chip.h"

#include "device/pci_hotplug.h"

struct fixture {
    struct fake_time time;
    struct pci_hotplug hotplug;
    unsigned events, left, slot;
    bool let_go;
};

static void event(void *context) { ((struct fixture *)context)->events++; }

static void leave(void *context, unsigned slot, bool let_go)
{
    struct fixture *f = context;
    f->left++;
    f->slot = slot;
    f->let_go = let_go;
}

static void start(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    fake_time_init(&f->time);
    f->hotplug = (struct pci_hotplug){.slots = 0xFF000000, .context = f, .event = event, .leave = leave};
    pci_hotplug_init(&f->hotplug, &f->time.list);
    pci_hotplug_model.reset(&f->hotplug);
}

static u64 in(struct fixture *f, unsigned offset)
{
    return chip_in(&pci_hotplug_model, &f->hotplug, (u16)(PCI_HOTPLUG_PORT + offset), 4);
}

static void out(struct fixture *f, unsigned offset, u64 value)
{
    chip_out(&pci_hotplug_model, &f->hotplug, (u16)(PCI_HOTPLUG_PORT + offset), 4, value);
}

static void test_plug(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    pci_hotplug_plug(&f.hotplug, 24);
    assert_int_equal(f.events, 1);
    u64 read = in(&f, PCI_HOTPLUG_PLUGGED);
    assert_int_equal(read, 1 << 24);
    pci_hotplug_plug(&f.hotplug, 26); // while the guest works on the first
    out(&f, PCI_HOTPLUG_PLUGGED, read);
    assert_int_equal(in(&f, PCI_HOTPLUG_PLUGGED), 1 << 26);
    pci_hotplug_plug(&f.hotplug, 3); // a slot without
    assert_int_equal(in(&f, PCI_HOTPLUG_PLUGGED), 1 << 26);
}

static void test_eject(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    out(&f, PCI_HOTPLUG_EJECT, UINT32_MAX); // nobody asked
    assert_int_equal(f.left, 0);
    pci_hotplug_ask(&f.hotplug, 25);
    assert_int_equal(in(&f, PCI_HOTPLUG_LEAVING), 1 << 25);
    out(&f, PCI_HOTPLUG_LEAVING, 1 << 25);
    assert_int_equal(f.left, 0);
    out(&f, PCI_HOTPLUG_EJECT, 1 << 24);
    assert_int_equal(f.left, 0);
    out(&f, PCI_HOTPLUG_EJECT, 1 << 25);
    assert_true(f.left == 1 && f.slot == 25 && f.let_go);
    out(&f, PCI_HOTPLUG_EJECT, 1 << 25); // once is enough
    assert_int_equal(f.left, 1);
    assert_true(timer_next(&f.time.list) == TIMER_NEVER);
    assert_int_equal(in(&f, PCI_HOTPLUG_EJECT), 0);
}

static void test_patience(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    pci_hotplug_ask(&f.hotplug, 31);
    out(&f, PCI_HOTPLUG_LEAVING, UINT32_MAX);
    fake_advance(&f.time, PCI_HOTPLUG_PATIENCE - 1);
    assert_int_equal(f.left, 0);
    fake_advance(&f.time, 1);
    assert_true(f.left == 1 && f.slot == 31 && !f.let_go);
    assert_int_equal(f.events, 2);
    assert_true(in(&f, PCI_HOTPLUG_LEAVING) == (u32)1 << 31); // it is told that the card has gone
    out(&f, PCI_HOTPLUG_EJECT, (u32)1 << 31);              // and answers late
    assert_int_equal(f.left, 1);
    assert_true(timer_next(&f.time.list) == TIMER_NEVER);
}

static void test_reset(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    pci_hotplug_ask(&f.hotplug, 24);
    pci_hotplug_plug(&f.hotplug, 25);
    pci_hotplug_model.reset(&f.hotplug);
    assert_true(f.left == 1 && f.slot == 24 && !f.let_go);
    assert_int_equal(in(&f, PCI_HOTPLUG_PLUGGED) | in(&f, PCI_HOTPLUG_LEAVING), 0);
    assert_true(timer_next(&f.time.list) == TIMER_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plug),
        cmocka_unit_test(test_eject),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
