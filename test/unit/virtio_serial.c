// A named port: how the driver learns of it, bytes both ways, what a closed port and a host that does not read mean.
#include "virtio_driver.h"

#include "virtio/virtio_serial.h"

enum { CONTROL_IN = 2, CONTROL_OUT = 3, IN = 4, OUT = 5 };
enum { MESSAGES = DRIVER_DATA, OUTPUT = DRIVER_DATA + 0x10000, INPUT = DRIVER_DATA + 0x40000 };
enum { DEVICE_READY = 0, DEVICE_ADD = 1, PORT_READY = 3, PORT_OPEN = 6, PORT_NAME = 7 };

struct control {
    u32 port;
    u16 event, value;
};

struct setup {
    struct driver driver;
    struct channel *channel;
};

static int create(void **state)
{
    struct setup *setup = *state = calloc(1, sizeof *setup);
    struct error error;
    setup->channel = channel_create(&error);
    const struct virtio_serial_config config = {.name = "a.port", .channel = setup->channel};
    driver_init(&setup->driver);
    driver_attach(&setup->driver, virtio_serial_create(setup->driver.memory, &config, &error));
    driver_messages_on(&setup->driver);
    driver_begin(&setup->driver, UINT64_MAX);
    return 0;
}

static int destroy(void **state)
{
    struct setup *setup = *state;
    driver_destroy(&setup->driver);
    channel_destroy(setup->channel);
    free(setup);
    return 0;
}

static void tell(struct setup *setup, u32 port, u16 event, u16 value)
{
    struct control control = {port, event, value};
    struct driver_buffer buffer = {MESSAGES, sizeof control, false};
    driver_put(&setup->driver, MESSAGES, &control, sizeof control);
    driver_add(&setup->driver, CONTROL_OUT, &buffer, 1);
    driver_kick(&setup->driver, CONTROL_OUT);
    driver_wait_used(&setup->driver, CONTROL_OUT);
}

static void expect(struct setup *setup, u16 event, const char *name)
{
    struct driver *driver = &setup->driver;
    u64 at = MESSAGES + 0x1000;
    struct driver_buffer buffer = {at, 64, true};
    char text[64] = "";
    struct control control;
    driver_add(driver, CONTROL_IN, &buffer, 1);
    driver_kick(driver, CONTROL_IN);
    u32 bytes = driver_wait_used(driver, CONTROL_IN).bytes;
    assert_int_equal(bytes, sizeof control + strlen(name));
    memory_read(driver->memory, at, &control, sizeof control);
    memory_read(driver->memory, at + sizeof control, text, bytes - sizeof control);
    assert_int_equal(control.port, 1);
    assert_int_equal(control.event, event);
    assert_int_equal(control.value, 1);
    assert_string_equal(text, name);
}

static void open_port(struct setup *setup)
{
    tell(setup, 0xFFFFFFFF, DEVICE_READY, 1);
    expect(setup, DEVICE_ADD, "");
    tell(setup, 1, PORT_READY, 1);
    expect(setup, PORT_NAME, "a.port");
    expect(setup, PORT_OPEN, "");
    assert_false(channel_is_open(setup->channel));
    tell(setup, 77, PORT_OPEN, 1); // another port: none of ours
    assert_false(channel_is_open(setup->channel));
    tell(setup, 1, PORT_OPEN, 1);
    assert_true(channel_is_open(setup->channel));
}

static void test_named(void **state)
{
    struct setup *setup = *state;
    assert_true(driver_offered(&setup->driver) & 2);
    assert_int_equal(driver_read(&setup->driver, VIRTIO_PCI_CONFIG + 4, 4), 2);
    open_port(setup);
}

static void test_bytes(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    struct driver_buffer input = {INPUT, 16, true}, output = {OUTPUT, 5, false};
    char text[32] = "";
    assert_int_equal(channel_write(setup->channel, "early", 5), 0);
    open_port(setup);
    driver_put(driver, OUTPUT, "hello", 5);
    driver_add(driver, OUT, &output, 1);
    driver_kick(driver, OUT);
    driver_wait_used(driver, OUT);
    assert_int_equal(channel_read(setup->channel, text, sizeof text), 5);
    assert_string_equal(text, "hello");
    assert_int_equal(channel_write(setup->channel, "how are you today?", 18), 18);
    driver_add(driver, IN, &input, 1);
    driver_kick(driver, IN);
    assert_int_equal(driver_wait_used(driver, IN).bytes, 16);
    driver_add(driver, IN, &input, 1);
    driver_kick(driver, IN);
    assert_int_equal(driver_wait_used(driver, IN).bytes, 2);
    // A guest that closes the port, or resets, has nothing waiting for the next who opens it.
    assert_int_equal(channel_write(setup->channel, "late", 4), 4);
    tell(setup, 1, PORT_OPEN, 0);
    assert_false(channel_is_open(setup->channel));
    tell(setup, 1, PORT_OPEN, 1);
    driver_set_status(driver, 0);
    assert_false(channel_is_open(setup->channel));
}

// What the host does not read stays in the guest's buffers.
static void test_back_pressure(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    struct driver_buffer output = {OUTPUT, CHANNEL_BYTES + 1000, false};
    static u8 bytes[CHANNEL_BYTES + 1000];
    size_t got = 0;
    open_port(setup);
    driver_add(driver, OUT, &output, 1);
    driver_kick(driver, OUT);
    struct timespec until = driver_deadline(), now;
    while (got < sizeof bytes) {
        got += channel_read(setup->channel, bytes, 512);
        clock_gettime(CLOCK_REALTIME, &now);
        assert_true(now.tv_sec < until.tv_sec);
    }
    driver_wait_used(driver, OUT);
    assert_int_equal(channel_read(setup->channel, bytes, 512), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_named, create, destroy),
        cmocka_unit_test_setup_teardown(test_bytes, create, destroy),
        cmocka_unit_test_setup_teardown(test_back_pressure, create, destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
