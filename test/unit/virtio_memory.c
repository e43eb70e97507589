// The balloon and the memory device, each with a driver that keeps the rules and one that does not.
#include "virtio_driver.h"

#include <sys/stat.h>

#include "virtio/virtio_balloon.h"
#include "virtio/virtio_mem.h"

enum { INFLATE, DEFLATE, STATISTICS, REPORT };
enum { NUMBERS = DRIVER_DATA, ANSWER = DRIVER_DATA + 0x1000, GIVEN = 0x400000 };
enum { PLUG = 0, UNPLUG = 1, UNPLUG_ALL = 2, STATE = 3, ACK = 0, NACK = 1, ERROR = 3 };

static void begin_balloon(struct driver *driver)
{
    struct error error;
    driver_init(driver);
    driver_attach(driver, virtio_balloon_create(driver->memory, &error));
    driver_messages_on(driver);
    driver_begin(driver, UINT64_MAX);
}

static u64 host_blocks(struct driver *driver)
{
    struct stat file;
    assert_int_equal(fstat(memory_fd(driver->memory), &file), 0);
    return (u64)file.st_blocks * 512;
}

static u8 byte_at(struct driver *driver, u64 gpa)
{
    u8 byte;
    assert_true(memory_read(driver->memory, gpa, &byte, 1));
    return byte;
}

static void send(struct driver *driver, u16 queue, u64 at, u32 bytes, bool write)
{
    struct driver_buffer buffer = {at, bytes, write};
    driver_add(driver, queue, &buffer, 1);
    driver_kick(driver, queue);
    driver_wait_used(driver, queue);
}

static void test_inflate(void **state)
{
    (void)state;
    struct driver driver;
    begin_balloon(&driver);
    virtio_balloon_ask(driver.pci, MIB(1));
    DRIVER_WAIT(&driver, driver.messages[5] == 1);
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG, 4), 256);
    memory_fill(driver.memory, GIVEN, 0xAA, MIB(2));
    u32 numbers[257];
    for (u32 i = 0; i < 256; i++)
        numbers[i] = (GIVEN >> 12) + 255 - i;
    numbers[256] = 0xFFFFFFFF; // no RAM: nothing happens
    driver_put(&driver, NUMBERS, numbers, sizeof numbers);
    u64 before = host_blocks(&driver);
    send(&driver, INFLATE, NUMBERS, sizeof numbers, false);
    assert_int_equal(before - host_blocks(&driver), MIB(1));
    assert_int_equal(byte_at(&driver, GIVEN + MIB(1)), 0xAA);
    assert_int_equal(byte_at(&driver, GIVEN + MIB(1) - 1), 0);
    driver_write(&driver, VIRTIO_PCI_CONFIG + 4, 4, 256);
    struct virtio_balloon_status status;
    virtio_balloon_get(driver.pci, &status);
    assert_true(status.live && status.held == MIB(1) && status.target == MIB(1));
    send(&driver, DEFLATE, NUMBERS, 1024, false);
    driver_destroy(&driver);
}

static void test_report(void **state)
{
    (void)state;
    struct driver driver;
    begin_balloon(&driver);
    memory_fill(driver.memory, GIVEN, 0xAA, MIB(2));
    send(&driver, REPORT, GIVEN + 1, MIB(1), true); // the pages at both ends are not wholly free
    assert_int_equal(byte_at(&driver, GIVEN), 0xAA);
    assert_int_equal(byte_at(&driver, GIVEN + PAGE_BYTES), 0);
    assert_int_equal(byte_at(&driver, GIVEN + MIB(1) - 1), 0);
    assert_int_equal(byte_at(&driver, GIVEN + MIB(1) + 1), 0xAA);
    driver_destroy(&driver);
}

struct heard {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count;
};

static void hear(void *context)
{
    struct heard *heard = context;
    pthread_mutex_lock(&heard->lock);
    heard->count++;
    pthread_cond_broadcast(&heard->changed);
    pthread_mutex_unlock(&heard->lock);
}

static void wait_heard(struct heard *heard, unsigned count)
{
    struct timespec until = driver_deadline();
    pthread_mutex_lock(&heard->lock);
    while (heard->count < count)
        assert_int_equal(pthread_cond_timedwait(&heard->changed, &heard->lock, &until), 0);
    pthread_mutex_unlock(&heard->lock);
}

static void put_statistics(struct driver *driver, u64 available)
{
    struct {
        u16 tag;
        u64 value;
    } __attribute__((packed)) statistics[] = {{4, MIB(3)}, {5, MIB(7)}, {99, 1}, {6, available}};
    struct driver_buffer buffer = {NUMBERS, sizeof statistics, false};
    driver_put(driver, NUMBERS, statistics, sizeof statistics);
    driver_add(driver, STATISTICS, &buffer, 1);
    driver_kick(driver, STATISTICS);
}

static void test_statistics(void **state)
{
    (void)state;
    struct driver driver;
    struct error error;
    struct virtio_balloon_status status;
    struct heard heard = {0};
    pthread_mutex_init(&heard.lock, NULL);
    pthread_cond_init(&heard.changed, NULL);
    driver_init(&driver);
    struct virtio_pci *balloon = virtio_balloon_create(driver.memory, &error);
    virtio_balloon_listen(balloon, hear, &heard);
    driver_attach(&driver, balloon);
    driver_messages_on(&driver);
    driver_begin(&driver, UINT64_MAX);
    put_statistics(&driver, MIB(4));
    wait_heard(&heard, 1);
    virtio_balloon_get(driver.pci, &status);
    assert_true(status.free == MIB(3) && status.total == MIB(7) && status.available == MIB(4) && status.reports == 1);
    // The buffer stays with the device until somebody wants to know.
    virtio_balloon_refresh(driver.pci);
    driver_wait_used(&driver, STATISTICS);
    put_statistics(&driver, MIB(5));
    wait_heard(&heard, 2);
    virtio_balloon_every(driver.pci, 1);
    driver_wait_used(&driver, STATISTICS);
    put_statistics(&driver, MIB(6));
    wait_heard(&heard, 3);
    virtio_balloon_get(driver.pci, &status);
    assert_true(status.available == MIB(6));
    driver_destroy(&driver);
}

// A driver that takes pages back without being asked is short of memory, and is asked at once how short.
static void test_short_of_memory(void **state)
{
    (void)state;
    struct driver driver;
    begin_balloon(&driver);
    virtio_balloon_ask(driver.pci, MIB(1));
    driver_write(&driver, VIRTIO_PCI_CONFIG + 4, 4, 256);
    put_statistics(&driver, MIB(4));
    driver_write(&driver, VIRTIO_PCI_CONFIG + 4, 4, 128);
    driver_wait_used(&driver, STATISTICS);
    driver_destroy(&driver);
}

static void test_endless_numbers(void **state)
{
    (void)state;
    struct driver driver;
    begin_balloon(&driver);
    struct driver_buffer buffer = {NUMBERS, MIB(1), false};
    driver_add(&driver, INFLATE, &buffer, 1);
    driver_kick(&driver, INFLATE);
    driver_wait_needs_reset(&driver);
    driver_destroy(&driver);
}

// --- The memory device ---

struct request {
    u16 type, padding[3];
    u64 address;
    u16 blocks, padding2[3];
};

static u64 begin_mem(struct driver *driver)
{
    struct error error;
    u64 region;
    driver_init(driver);
    assert_int_equal(memory_reserve(driver->memory, MIB(512), &error), 0);
    driver_attach(driver, virtio_mem_create(driver->memory, &error));
    driver_messages_on(driver);
    driver_begin(driver, UINT64_MAX);
    memory_reserved(driver->memory, &region);
    return region;
}

static u16 answer(struct driver *driver, u16 type, u64 address, u16 blocks)
{
    struct request request = {.type = type, .address = address, .blocks = blocks};
    struct driver_buffer buffers[] = {{NUMBERS, sizeof request, false}, {ANSWER, 10, true}};
    driver_put(driver, NUMBERS, &request, sizeof request);
    driver_put16(driver, ANSWER, 0xFFFF);
    driver_add(driver, 0, buffers, 2);
    driver_kick(driver, 0);
    assert_int_equal(driver_wait_used(driver, 0).bytes, 10);
    return driver_get16(driver, ANSWER);
}

static void test_plug(void **state)
{
    (void)state;
    struct driver driver;
    u64 region = begin_mem(&driver);
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG, 8), MIB(2));
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 16, 8), region);
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 24, 8), MIB(512));
    assert_int_equal(answer(&driver, PLUG, region, 1), NACK); // nobody asked for it
    virtio_mem_request(driver.pci, MIB(8) - 1);
    DRIVER_WAIT(&driver, driver.messages[1] == 1);
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 48, 8), MIB(8));
    assert_null(memory_pointer(driver.memory, region, 1));
    assert_int_equal(answer(&driver, PLUG, region + MIB(2), 3), ACK);
    assert_true(memory_fill(driver.memory, region + MIB(2), 0xAA, MIB(6)));
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 40, 8), MIB(6));
    assert_int_equal(answer(&driver, PLUG, region, 2), ERROR);     // one of them is there
    assert_int_equal(answer(&driver, PLUG, region + MIB(16), 2), NACK); // more than was asked for
    assert_int_equal(answer(&driver, STATE, region, 1), ACK);
    assert_int_equal(driver_get16(&driver, ANSWER + 8), 1);
    assert_int_equal(answer(&driver, STATE, region, 2), ACK);
    assert_int_equal(driver_get16(&driver, ANSWER + 8), 2);
    assert_int_equal(answer(&driver, STATE, region + MIB(2), 3), ACK);
    assert_int_equal(driver_get16(&driver, ANSWER + 8), 0);
    assert_int_equal(answer(&driver, UNPLUG, region, 2), ERROR);
    assert_int_equal(answer(&driver, UNPLUG, region + MIB(2), 1), ACK);
    assert_int_equal(byte_at(&driver, region + MIB(2)), 0);
    assert_int_equal(byte_at(&driver, region + MIB(4)), 0xAA);
    assert_int_equal(answer(&driver, UNPLUG_ALL, 0, 0), ACK);
    assert_null(memory_pointer(driver.memory, region + MIB(4), 1));
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 40, 8), 0);
    driver_destroy(&driver);
}

static void test_plug_nonsense(void **state)
{
    (void)state;
    struct driver driver;
    u64 region = begin_mem(&driver);
    virtio_mem_request(driver.pci, UINT64_MAX);
    assert_int_equal(answer(&driver, PLUG, region + 4096, 1), ERROR);
    assert_int_equal(answer(&driver, PLUG, region, 0), ERROR);
    assert_int_equal(answer(&driver, PLUG, region - MIB(2), 1), ERROR);
    assert_int_equal(answer(&driver, PLUG, region + MIB(510), 2), ERROR);
    assert_int_equal(answer(&driver, PLUG, region, 257), ERROR);
    assert_int_equal(answer(&driver, PLUG, UINT64_MAX - MIB(2) + 1, 1), ERROR);
    assert_int_equal(answer(&driver, 77, region, 1), ERROR);
    assert_int_equal(answer(&driver, PLUG, region, 256), ACK);
    assert_true(memory_fill(driver.memory, region + MIB(512) - 1, 1, 1));
    driver_destroy(&driver);
}

static void test_blocks(void **state)
{
    (void)state;
    assert_int_equal(virtio_mem_block(MIB(512)), MIB(2));
    assert_int_equal(virtio_mem_block(GIB(16)), MIB(2));
    assert_int_equal(virtio_mem_block(GIB(16) + 1), MIB(4));
    assert_int_equal(virtio_mem_block(GIB(1024)), MIB(128));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inflate),    cmocka_unit_test(test_report),        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_endless_numbers), cmocka_unit_test(test_plug),     cmocka_unit_test(test_plug_nonsense),
        cmocka_unit_test(test_blocks),     cmocka_unit_test(test_short_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
