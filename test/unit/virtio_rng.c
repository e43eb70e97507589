// The entropy device: that bytes come, that they are random enough to be told from nothing, and that the rate is
// bounded.
#include "virtio_driver.h"

#include "virtio/virtio_rng.h"

static void begin(struct driver *driver, u32 rate)
{
    struct error error = {0};
    driver_init(driver);
    struct virtio_rng_config config = {.bytes_per_second = rate};
    driver_attach(driver, virtio_rng_create(driver->memory, &config, &error));
    driver_messages_on(driver);
    driver_begin(driver, UINT64_MAX);
}

static u32 request(struct driver *driver, u32 bytes)
{
    struct driver_buffer buffer = {DRIVER_DATA, bytes, true};
    driver_add(driver, 0, &buffer, 1);
    driver_kick(driver, 0);
    return driver_wait_used(driver, 0).bytes;
}

static void test_bytes(void **state)
{
    (void)state;
    struct driver driver;
    begin(&driver, 0);
    u8 zeros[64] = {0}, first[64], second[64];
    driver_put(&driver, DRIVER_DATA, zeros, sizeof zeros);
    assert_int_equal(request(&driver, 64), 64);
    memory_read(driver.memory, DRIVER_DATA, first, sizeof first);
    assert_int_equal(request(&driver, 64), 64);
    memory_read(driver.memory, DRIVER_DATA, second, sizeof second);
    assert_memory_not_equal(first, zeros, sizeof zeros);
    assert_memory_not_equal(first, second, sizeof first);
    driver_destroy(&driver);
}

static void test_rate(void **state)
{
    (void)state;
    struct driver driver;
    struct timespec before, after;
    begin(&driver, 100000);
    clock_gettime(CLOCK_MONOTONIC, &before);
    u32 total = 0;
    while (total < 24576) // 4 KiB at once, then 20 KiB at 100,000 bytes a second
        total += request(&driver, 1 << 20);
    clock_gettime(CLOCK_MONOTONIC, &after);
    double seconds = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    assert_true(seconds > 0.19);
    driver_destroy(&driver);
}

static void test_readable_buffer_gets_nothing(void **state)
{
    (void)state;
    struct driver driver;
    begin(&driver, 0);
    struct driver_buffer buffer = {DRIVER_DATA, 64, false};
    driver_add(&driver, 0, &buffer, 1);
    driver_kick(&driver, 0);
    assert_int_equal(driver_wait_used(&driver, 0).bytes, 0);
    driver_destroy(&driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_readable_buffer_gets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
