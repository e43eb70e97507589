// Every chip, saved and loaded into another one that was driven elsewhere: from then on the two cannot be told apart,
// by what they answer, what they drive, and when their timers are due.
#include "chip.h"

#include "device/acpi_pm.h"
#include "device/fwcfg.h"
#include "device/i8042.h"
#include "device/ioapic.h"
#include "device/pci.h"
#include "device/pci_hotplug.h"
#include "device/pic.h"
#include "device/pit.h"
#include "device/rtc.h"
#include "device/testdev.h"
#include "device/uart.h"

enum { ROUNDS = 300, BEFORE = 200, AFTER = 300, STATE_MOST = 80 << 10 };

struct fixture {
    struct fake_time time;
    struct fake_wire wire;
    u64 said; // a hash of all that the chip told its surroundings
    union {
        struct acpi_pm pm;
        struct pci_hotplug hotplug;
        struct fwcfg fwcfg;
        struct i8042 i8042;
        struct ioapic ioapic;
        struct pic pic;
        struct pit pit;
        struct rtc rtc;
        struct testdev testdev;
        struct uart uart;
    } chip;
};

static void say(void *context, u64 what)
{
    struct fixture *f = context;
    f->said = (f->said ^ what) * 0x100000001b3;
}

static void say_set(void *context, unsigned number, bool level)
{
    struct fixture *f = context;
    fake_set(&f->wire, number, level);
    say(f, level);
}

static void say_call(void *context) { say(context, 1); }
static void say_status(void *context, unsigned status) { say(context, status); }
static void say_line(void *context, unsigned line, bool level) { say(context, line * 2 + level); }
static void say_gpa(void *context, u64 gpa) { say(context, gpa); }
static void say_message(void *context, u64 address, u32 data) { say(context, address ^ data); }
static void say_bytes(void *context, const u8 *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        say(context, bytes[i]);
}

static struct wire wire_of(struct fixture *f) { return (struct wire){say_set, f, 0}; }

static void init_pic(struct fixture *f) { f->chip.pic.intr = wire_of(f); }
static void init_ioapic(struct fixture *f)
{
    f->chip.ioapic.context = f;
    f->chip.ioapic.message = say_message;
    f->chip.ioapic.routes = say_call;
}
static void init_pit(struct fixture *f)
{
    f->chip.pit.irq = wire_of(f);
    pit_init(&f->chip.pit, &f->time.list);
}
static void init_rtc(struct fixture *f)
{
    f->chip.rtc.irq = wire_of(f);
    rtc_init(&f->chip.rtc, &f->time.list, 1700000000);
}
static void init_pm(struct fixture *f)
{
    f->chip.pm.sci = wire_of(f);
    f->chip.pm.shutdown = say_call;
    f->chip.pm.context = f;
    acpi_pm_init(&f->chip.pm, &f->time.list);
}
static void say_slot(void *context, unsigned slot, bool let_go) { say(context, slot << 1 | let_go); }
static void init_hotplug(struct fixture *f)
{
    f->chip.hotplug = (struct pci_hotplug){.slots = 0xFF, .context = f, .event = say_call, .leave = say_slot};
    pci_hotplug_init(&f->chip.hotplug, &f->time.list);
}
static void init_uart(struct fixture *f)
{
    f->chip.uart.irq = wire_of(f);
    f->chip.uart.backend = (struct uart_backend){.context = f, .transmit = say_bytes};
}
static void init_i8042(struct fixture *f)
{
    f->chip.i8042.keyboard_irq = wire_of(f);
    f->chip.i8042.reset_cpu = say_call;
    f->chip.i8042.context = f;
}
static void init_fwcfg(struct fixture *f)
{
    f->chip.fwcfg.ram_bytes = 123456789;
    f->chip.fwcfg.cpus = 3;
}
static void init_testdev(struct fixture *f)
{
    f->chip.testdev.context = f;
    f->chip.testdev.exit = say_status;
    f->chip.testdev.line = say_line;
    f->chip.testdev.flush_page = say_gpa;
}

static void poke_pic(struct fixture *f, unsigned random)
{
    if (random & 0x100)
        say(f, pic_acknowledge(&f->chip.pic));
    else
        pic_line(&f->chip.pic, random & 15, random >> 4 & 1);
}
static void poke_ioapic(struct fixture *f, unsigned random)
{
    if (random & 0x100)
        ioapic_eoi(&f->chip.ioapic, (u8)random);
    else
        ioapic_line(&f->chip.ioapic, random % IOAPIC_PINS, random >> 5 & 1);
}
static void poke_uart(struct fixture *f, unsigned random)
{
    u8 bytes[4] = {(u8)random, (u8)(random >> 8), 3, 4};
    say(f, uart_receive(&f->chip.uart, bytes, random & 3));
}
static void poke_pm(struct fixture *f, unsigned random)
{
    if (!(random & 15))
        acpi_pm_power_button(&f->chip.pm);
}

static void poke_hotplug(struct fixture *f, unsigned random)
{
    void (*const pokes[])(struct pci_hotplug *hotplug, unsigned slot) = {pci_hotplug_plug, pci_hotplug_ask,
                                                                         pci_hotplug_pull};
    pokes[random % ARRAY_SIZE(pokes)](&f->chip.hotplug, random >> 8 & 15);
}

struct chip {
    const struct device_model *model;
    void (*init)(struct fixture *f);
    void (*poke)(struct fixture *f, unsigned random); // what is not an access; NULL: nothing
};

static const struct chip chips[] = {
    {&pic_model, init_pic, poke_pic},
    {&ioapic_model, init_ioapic, poke_ioapic},
    {&pit_model, init_pit, NULL},
    {&rtc_model, init_rtc, NULL},
    {&acpi_pm_model, init_pm, poke_pm},
    {&pci_hotplug_model, init_hotplug, poke_hotplug},
    {&uart_com1_model, init_uart, poke_uart},
    {&i8042_model, init_i8042, NULL},
    {&fwcfg_model, init_fwcfg, NULL},
    {&testdev_model, init_testdev, NULL},
};

static u32 next_random(u64 *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (u32)(*seed >> 33);
}

// One random access, call or passage of time; what it answered goes into `said`.
static void step(const struct chip *chip, struct fixture *f, u64 *seed)
{
    u32 what = next_random(seed) % 8, random = next_random(seed);
    if (what == 0) {
        f->time.now += (u64)next_random(seed) << random % 12; // nobody looked meanwhile
        timer_run(&f->time.list);
    } else if (what == 1 && chip->poke) {
        chip->poke(f, random);
    } else {
        const struct device_range *range = NULL;
        while (!range || range->space == DEVICE_NOWHERE)
            range = &chip->model->ranges[next_random(seed) % DEVICE_RANGES];
        unsigned bytes = 1u << next_random(seed) % 3;
        if (bytes > range->widest)
            bytes = range->widest;
        // Registers lie at the start of a range; index registers often hold small numbers.
        u64 most = range->bytes - bytes, offset = next_random(seed) % ((most < 0x50 ? most : 0x50) + 1);
        u64 value = random >> 16 & 1 ? random & 0x3f : random;
        value &= ~(u64)0 >> (64 - 8 * bytes);
        if (what < 5 && range->write)
            range->write(&f->chip, offset, bytes, value);
        else if (range->read)
            say(f, range->read(&f->chip, offset, bytes));
    }
}

static void begin(const struct chip *chip, struct fixture *f)
{
    memset(f, 0, sizeof *f);
    fake_time_init(&f->time);
    f->time.now = NS_PER_S;
    chip->init(f);
    chip->model->reset(&f->chip);
}

static void same_from_here(const struct chip *chip, struct fixture *a, struct fixture *b, u64 seed)
{
    u64 seed_a = seed, seed_b = seed;
    for (unsigned i = 0; i < AFTER; i++) {
        step(chip, a, &seed_a);
        step(chip, b, &seed_b);
        if (a->said != b->said || a->wire.level != b->wire.level ||
            timer_next(&a->time.list) != timer_next(&b->time.list))
            fail_msg("%s: seed %lu, step %u", chip->model->name, (unsigned long)seed, i);
    }
}

static void test_chips(void **state)
{
    (void)state;
    static struct fixture a, b;
    static u8 wire[STATE_MOST];
    for (unsigned i = 0; i < ARRAY_SIZE(chips); i++) {
        const struct chip *chip = &chips[i];
        size_t bytes = state_bytes(chip->model->state, chip->model->state->version);
        assert_in_range(bytes, 1, STATE_MOST);
        for (u64 round = 0; round < ROUNDS; round++) {
            u64 seed_a = round * 2, seed_b = round * 2 + 1;
            struct error error;
            begin(chip, &a);
            begin(chip, &b);
            for (unsigned k = 0; k < BEFORE; k++)
                step(chip, &a, &seed_a);
            for (unsigned k = 0; k < BEFORE; k++)
                step(chip, &b, &seed_b);
            state_save(chip->model->state, &a.chip, wire);
            b.time.now = a.time.now;
            if (state_load(chip->model->state, chip->model->state->version, &b.chip, wire, bytes, &error))
                fail_msg("%s: seed %lu: %s", chip->model->name, (unsigned long)round, error.text);
            b.said = a.said;
            b.wire.level = a.wire.level;
            if (chip->model == &ioapic_model)
                ioapic_model.state->post_load(&a.chip, NULL); // loading tells of its routes
            b.said = a.said;
            same_from_here(chip, &a, &b, round);
        }
    }
}

// Whatever is in a state, a chip that takes it stands.
static void test_hostile_states(void **state)
{
    (void)state;
    static struct fixture f;
    static u8 wire[STATE_MOST];
    unsigned taken = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(chips); i++) {
        const struct chip *chip = &chips[i];
        size_t bytes = state_bytes(chip->model->state, chip->model->state->version);
        for (u64 round = 0; round < ROUNDS; round++) {
            u64 seed = round;
            begin(chip, &f);
            for (unsigned k = 0; k < BEFORE; k++)
                step(chip, &f, &seed);
            state_save(chip->model->state, &f.chip, wire);
            for (unsigned k = 0; k < 1 + round % 4; k++) {
                size_t at = next_random(&seed) % bytes;
                wire[at] = next_random(&seed) & 1 ? (u8)next_random(&seed) : 0xff;
            }
            if (state_load(chip->model->state, chip->model->state->version, &f.chip, wire, bytes, NULL))
                continue;
            taken++;
            for (unsigned k = 0; k < AFTER; k++)
                step(chip, &f, &seed);
        }
    }
    assert_true(taken > ROUNDS);
}

struct bus {
    unsigned moved, messages;
    bool level;
};

static void bus_moved(void *host, struct pci_function *function)
{
    (void)function;
    ((struct bus *)host)->moved++;
}
static void bus_msi(void *host, u64 address, u32 data)
{
    (void)address, (void)data;
    ((struct bus *)host)->messages++;
}
static void bus_intx(void *host, const struct pci_function *function, bool level)
{
    (void)function;
    ((struct bus *)host)->level = level;
}

static const struct pci_host_ops bus_ops = {.msi = bus_msi, .intx = bus_intx, .moved = bus_moved};

static void begin_function(struct pci_function *function, struct bus *bus, u16 device)
{
    *function = (struct pci_function){.name = "test", .vendor = 0x1234, .device = device, .intx = true,
                                      .bars[0] = {.kind = PCI_BAR_MEMORY32, .bytes = 4096},
                                      .msix_vectors = 3, .msix_bar = 2};
    *bus = (struct bus){0};
    assert_int_equal(pci_init(function, NULL), 0);
    function->host_ops = &bus_ops;
    function->host = bus;
    pci_reset(function);
}

static void test_pci(void **state)
{
    (void)state;
    struct pci_function a, b, other;
    struct bus bus_a, bus_b, bus_other;
    struct pci_state saved;
    struct error error;
    u64 address;
    begin_function(&a, &bus_a, 1);
    begin_function(&b, &bus_b, 1);
    begin_function(&other, &bus_other, 2);
    pci_config_write(&a, 0x10, 4, 0xC0010000);
    pci_config_write(&a, 0x04, 2, 6);
    pci_config_write(&a, a.msix_capability + 2u, 2, 0x8000);
    pci_bar_write(&a, 2, 16, 4, 0xFEE00000);
    pci_bar_write(&a, 2, 24, 4, 0x41);
    pci_msix_raise(&a, 1); // masked: pending
    pci_save(&a, &saved);
    assert_int_equal(pci_restore(&b, &saved, NULL), 0);
    assert_int_equal(bus_b.moved, 1);
    assert_int_equal(bus_b.messages, 0);
    assert_true(pci_bar_address(&b, 0, &address));
    assert_int_equal(address, 0xC0010000);
    assert_true(pci_msix_enabled(&b));
    assert_int_equal(pci_bar_read(&b, 2, 0x800, 4), 2);
    pci_bar_write(&b, 2, 28, 4, 0); // unmasked
    assert_int_equal(bus_b.messages, 1);
    pci_config_write(&a, a.msix_capability + 2u, 2, 0);
    pci_intx_set(&a, true);
    pci_save(&a, &saved);
    assert_int_equal(pci_restore(&b, &saved, NULL), 0);
    assert_true(pci_config_read(&b, 6, 1) & 8);
    assert_false(bus_b.level); // the wire's other end has a state of its own
    pci_intx_set(&b, false);
    assert_false(pci_config_read(&b, 6, 1) & 8);
    assert_int_equal(pci_restore(&other, &saved, &error), -1);
    assert_non_null(strstr(error.text, "had another"));
    pci_destroy(&a);
    pci_destroy(&b);
    pci_destroy(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chips),
        cmocka_unit_test(test_hostile_states),
        cmocka_unit_test(test_pci),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
