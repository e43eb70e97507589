// See testdev.h.
#include "device/testdev.h"

#include <string.h>

// Copies between a little-endian value and bytes; the caller's range bounds it.
static u64 testdev_get(const u8 *from, unsigned bytes)
{
    u64 value = 0;
    memcpy(&value, from, bytes);
    return value;
}

static void testdev_exit_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct testdev *testdev = chip;
    (void)offset, (void)bytes;
    testdev->exit(testdev->context, (unsigned)value << 1 | 1);
}

static u64 testdev_data_read(void *chip, u64 offset, unsigned bytes)
{
    struct testdev *testdev = chip;
    return testdev_get(testdev->data + offset, bytes);
}

static void testdev_data_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct testdev *testdev = chip;
    memcpy(testdev->data + offset, &value, bytes);
}

static u64 testdev_byte_read(void *chip, u64 offset, unsigned bytes)
{
    struct testdev *testdev = chip;
    return testdev_get(testdev->byte_data + offset, bytes);
}

static void testdev_byte_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct testdev *testdev = chip;
    memcpy(testdev->byte_data + offset, &value, bytes);
}

static void testdev_flush_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct testdev *testdev = chip;
    (void)offset, (void)bytes;
    testdev->flush_page(testdev->context, value);
}

static void testdev_line_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct testdev *testdev = chip;
    (void)bytes;
    testdev->line(testdev->context, (unsigned)offset, value);
}

static u64 testdev_memory_read(void *chip, u64 offset, unsigned bytes)
{
    struct testdev *testdev = chip;
    return testdev_get(testdev->memory + offset, bytes);
}

static void testdev_memory_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct testdev *testdev = chip;
    memcpy(testdev->memory + offset, &value, bytes);
}

static void testdev_reset(void *chip)
{
    struct testdev *testdev = chip;
    memset(testdev->data, 0, sizeof testdev->data);
    memset(testdev->byte_data, 0, sizeof testdev->byte_data);
    memset(testdev->memory, 0, sizeof testdev->memory);
}

static const struct state_field testdev_fields[] = {
    STATE_ARRAY(struct testdev, data),
    STATE_ARRAY(struct testdev, byte_data),
    STATE_ARRAY(struct testdev, memory),
};

static const struct state_section testdev_state = STATE_SECTION("testdev", 1, testdev_fields);

const struct device_model testdev_model = {
    .name = "testdev",
    .ranges =
        {
            {DEVICE_PORTS, 0xF4, 4, 4, NULL, testdev_exit_write},
            {DEVICE_PORTS, 0xE0, 4, 4, testdev_data_read, testdev_data_write},
            {DEVICE_PORTS, 0xE4, 4, 4, NULL, testdev_flush_write},
            {DEVICE_PORTS, 0xE8, 4, 1, testdev_byte_read, testdev_byte_write},
            {DEVICE_PORTS, 0x2000, TESTDEV_LINES, 1, NULL, testdev_line_write},
            {DEVICE_MEMORY, 0xFF000000, TESTDEV_MEMORY_BYTES, 8, testdev_memory_read, testdev_memory_write},
        },
    .reset = testdev_reset,
    .state = &testdev_state,
};
