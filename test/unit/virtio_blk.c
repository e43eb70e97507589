// The block device and the PCI transport, driven by a driver of our own: what it does, and what it refuses.
#include "virtio_driver.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "virtio/virtio_blk.h"

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum { OK = 0, IOERR = 1, UNSUPPORTED = 2 };
enum { HEADER = DRIVER_DATA, STATUS = DRIVER_DATA + 0x100, BUFFER = DRIVER_DATA + 0x1000, SECTORS = 2048 };
#define FEATURE_RO ((u64)1 << 5)
#define FEATURE_FLUSH ((u64)1 << 9)

struct setup {
    struct driver driver;
    struct disk disk;
    char path[64];
};

static void open_disk(struct setup *setup, bool readonly)
{
    struct error error = {0};
    if (disk_open(&setup->disk, &(struct disk_config){.path = setup->path, .readonly = readonly}, &error) < 0)
        fail_msg("%s", error.text);
    driver_init(&setup->driver);
    driver_attach(&setup->driver,
                  virtio_blk_create(setup->driver.memory, &(struct virtio_blk_config){.disk = &setup->disk}, &error));
    driver_messages_on(&setup->driver);
}

static void create_image(struct setup *setup)
{
    snprintf(setup->path, sizeof setup->path, "/tmp/nidus-test-blk-XXXXXX");
    int fd = mkstemp(setup->path);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < SECTORS; i++) {
        u8 sector[512];
        memset(sector, (int)i, sizeof sector);
        assert_int_equal(write(fd, sector, sizeof sector), sizeof sector);
    }
    close(fd);
}

static int create(void **state)
{
    struct setup *setup = calloc(1, sizeof *setup);
    create_image(setup);
    open_disk(setup, false);
    driver_begin(&setup->driver, UINT64_MAX);
    *state = setup;
    return 0;
}

static int create_readonly(void **state)
{
    struct setup *setup = calloc(1, sizeof *setup);
    create_image(setup);
    open_disk(setup, true);
    driver_begin(&setup->driver, UINT64_MAX);
    *state = setup;
    return 0;
}

static int destroy(void **state)
{
    struct setup *setup = *state;
    driver_destroy(&setup->driver);
    disk_close(&setup->disk);
    unlink(setup->path);
    free(setup);
    return 0;
}

static void put_header(struct driver *driver, u32 type, u64 sector)
{
    struct {
        u32 type, reserved;
        u64 sector;
    } header = {.type = type, .sector = sector};
    u8 unset = 0xEE;
    driver_put(driver, HEADER, &header, sizeof header);
    driver_put(driver, STATUS, &unset, 1);
}

static u8 get_status(struct driver *driver)
{
    u8 status;
    assert_true(memory_read(driver->memory, STATUS, &status, 1));
    return status;
}

// One request with `bytes` of data at BUFFER; returns its status.
static u8 request(struct setup *setup, u32 type, u64 sector, u32 bytes, bool device_writes)
{
    struct driver *driver = &setup->driver;
    struct driver_buffer buffers[3] = {{HEADER, 16, false}};
    unsigned count = 1;
    if (bytes)
        buffers[count++] = (struct driver_buffer){BUFFER, bytes, device_writes};
    buffers[count++] = (struct driver_buffer){STATUS, 1, true};
    put_header(driver, type, sector);
    u16 head = driver_add(driver, 0, buffers, count);
    driver_kick(driver, 0);
    assert_int_equal(driver_wait_used(driver, 0).id, head);
    return get_status(driver);
}

static u8 *data(struct setup *setup) { return memory_pointer(setup->driver.memory, BUFFER, 1 << 20); }

static u8 on_disk(struct setup *setup, u64 offset)
{
    u8 byte = 0xEE;
    int fd = open(setup->path, O_RDONLY);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
    return byte;
}

static void test_identity(void **state)
{
    struct setup *setup = *state;
    struct pci_function *function = &setup->driver.pci->function;
    assert_int_equal(pci_config_read(function, 0, 4), 0x10421AF4);
    assert_int_equal(pci_config_read(function, 8, 1), 1);
    assert_int_equal(driver_read(&setup->driver, VIRTIO_PCI_CONFIG, 8), SECTORS);
    assert_int_equal(driver_read(&setup->driver, VIRTIO_PCI_CONFIG + 20, 4), 512);
    assert_false(driver_offered(&setup->driver) & FEATURE_RO);
}

static void test_read(void **state)
{
    struct setup *setup = *state;
    assert_int_equal(request(setup, IN, 3, 1024, true), OK);
    assert_int_equal(data(setup)[0], 3);
    assert_int_equal(data(setup)[511], 3);
    assert_int_equal(data(setup)[512], 4);
    assert_int_equal(data(setup)[1023], 4);
}

static void test_read_scattered(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    // No boundary of a buffer is one of a sector, and the status shares the last buffer with data.
    struct driver_buffer buffers[] = {
        {HEADER, 7, false}, {HEADER + 7, 9, false}, {BUFFER, 100, true}, {BUFFER + 0x1000, 900, true},
        {BUFFER + 0x2000, 25, true},
    };
    put_header(driver, IN, 9);
    driver_add(driver, 0, buffers, ARRAY_SIZE(buffers));
    driver_kick(driver, 0);
    assert_int_equal(driver_wait_used(driver, 0).bytes, 1025);
    assert_int_equal(data(setup)[99], 9);
    assert_int_equal(data(setup)[0x1000], 9);
    assert_int_equal(data(setup)[0x1000 + 411], 9);
    assert_int_equal(data(setup)[0x1000 + 412], 10);
    assert_int_equal(data(setup)[0x2000 + 23], 10);
    assert_int_equal(data(setup)[0x2000 + 24], OK);
}

static void test_write_and_flush(void **state)
{
    struct setup *setup = *state;
    memset(data(setup), 0xAB, 4096);
    assert_int_equal(request(setup, OUT, 16, 4096, false), OK);
    assert_int_equal(request(setup, FLUSH, 0, 0, false), OK);
    assert_int_equal(on_disk(setup, 16 * 512 - 1), 15);
    assert_int_equal(on_disk(setup, 16 * 512), 0xAB);
    assert_int_equal(on_disk(setup, 24 * 512 - 1), 0xAB);
    assert_int_equal(on_disk(setup, 24 * 512), 24);
}

static void test_identifier(void **state)
{
    struct setup *setup = *state;
    memset(data(setup), 0, 32);
    assert_int_equal(request(setup, GET_ID, 0, 20, true), OK);
    assert_memory_equal(data(setup), setup->disk.identity, 20);
    assert_int_not_equal(data(setup)[0], 0);
}

static void put_range(struct setup *setup, u64 sector, u32 sectors, u32 flags)
{
    struct {
        u64 sector;
        u32 sectors, flags;
    } range = {sector, sectors, flags};
    memcpy(data(setup), &range, sizeof range);
}

static void test_write_zeroes(void **state)
{
    struct setup *setup = *state;
    put_range(setup, 100, 3, 0);
    assert_int_equal(request(setup, WRITE_ZEROES, 0, 16, false), OK);
    put_range(setup, 200, 8, 1);
    assert_int_equal(request(setup, WRITE_ZEROES, 0, 16, false), OK);
    assert_int_equal(on_disk(setup, 100 * 512 - 1), 99);
    assert_int_equal(on_disk(setup, 100 * 512), 0);
    assert_int_equal(on_disk(setup, 103 * 512 - 1), 0);
    assert_int_equal(on_disk(setup, 103 * 512), 103);
    assert_int_equal(on_disk(setup, 200 * 512), 0);
    assert_int_equal(on_disk(setup, 208 * 512), 208);
}

static void test_discard(void **state)
{
    struct setup *setup = *state;
    put_range(setup, 1024, 16, 0);
    assert_int_equal(request(setup, DISCARD, 0, 16, false), OK);
    assert_int_equal(on_disk(setup, 1024 * 512 - 1), (u8)1023);
    assert_int_equal(on_disk(setup, 1040 * 512), (u8)1040);
    put_range(setup, 1024, 16, 1); // 5.2.6.2: no UNMAP in a discard
    assert_int_equal(request(setup, DISCARD, 0, 16, false), UNSUPPORTED);
}

static void test_out_of_range(void **state)
{
    struct setup *setup = *state;
    assert_int_equal(request(setup, IN, SECTORS, 512, true), IOERR);
    assert_int_equal(request(setup, IN, SECTORS - 1, 1024, true), IOERR);
    assert_int_equal(request(setup, OUT, UINT64_MAX, 512, false), IOERR);
    assert_int_equal(request(setup, OUT, UINT64_MAX / 512 + 1, 512, false), IOERR);
    assert_int_equal(request(setup, IN, 0, 511, true), IOERR);
    put_range(setup, SECTORS - 1, 2, 0);
    assert_int_equal(request(setup, WRITE_ZEROES, 0, 16, false), IOERR);
    put_range(setup, 0, UINT32_MAX, 0);
    assert_int_equal(request(setup, WRITE_ZEROES, 0, 16, false), IOERR);
    assert_int_equal(request(setup, WRITE_ZEROES, 0, 17, false), IOERR);
    assert_int_equal(request(setup, IN, SECTORS - 1, 512, true), OK);
    assert_int_equal(driver_status(&setup->driver), 15);
}

static void test_unknown_command(void **state)
{
    struct setup *setup = *state;
    assert_int_equal(request(setup, 77, 0, 512, true), UNSUPPORTED);
}

static void test_readonly(void **state)
{
    struct setup *setup = *state;
    assert_true(driver_offered(&setup->driver) & FEATURE_RO);
    assert_int_equal(request(setup, OUT, 0, 512, false), IOERR);
    put_range(setup, 0, 8, 0);
    assert_int_equal(request(setup, WRITE_ZEROES, 0, 16, false), IOERR);
    assert_int_equal(request(setup, FLUSH, 0, 0, false), OK);
    assert_int_equal(request(setup, IN, 5, 512, true), OK);
    assert_int_equal(data(setup)[0], 5);
}

static void test_request_without_status_needs_reset(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    struct driver_buffer buffers[] = {{HEADER, 16, false}};
    put_header(driver, IN, 0);
    driver_add(driver, 0, buffers, 1);
    driver_kick(driver, 0);
    driver_wait_needs_reset(driver);
    // A reset makes it a good device again.
    driver_begin(driver, UINT64_MAX);
    assert_int_equal(request(setup, IN, 3, 512, true), OK);
    assert_int_equal(data(setup)[0], 3);
}

static void test_wild_dma_needs_reset(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    struct driver_buffer buffers[] = {{HEADER, 16, false}, {0xFEE00000, 4096, true}, {STATUS, 1, true}};
    put_header(driver, IN, 0);
    driver_add(driver, 0, buffers, 3);
    driver_kick(driver, 0);
    driver_wait_needs_reset(driver);
}

static void test_many_requests_one_doorbell(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    for (unsigned round = 0; round < 200; round++) {
        for (u32 i = 0; i < 5; i++) {
            struct {
                u32 type, reserved;
                u64 sector;
            } header = {.type = IN, .sector = round + i};
            driver_put(driver, HEADER + i * 16, &header, 16);
            struct driver_buffer buffers[] = {
                {HEADER + i * 16, 16, false}, {BUFFER + i * 512, 512, true}, {STATUS + i, 1, true}};
            driver_add(driver, 0, buffers, 3);
        }
        driver_kick(driver, 0);
        for (unsigned i = 0; i < 5; i++)
            driver_wait_used(driver, 0);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(data(setup)[i * 512], (u8)(round + i));
    }
}

static void test_features_not_offered(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    driver_set_status(driver, 0);
    driver_set_status(driver, 3);
    driver_accept(driver, VIRTIO_F_VERSION_1 | (u64)1 << 40);
    driver_set_status(driver, 11);
    assert_int_equal(driver_status(driver), 3);
}

static void test_legacy_driver_is_refused(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    driver_set_status(driver, 0);
    driver_set_status(driver, 3);
    driver_accept(driver, FEATURE_FLUSH);
    driver_set_status(driver, 11);
    assert_int_equal(driver_status(driver), 3);
}

static void test_driver_ok_without_features_needs_reset(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    driver_set_status(driver, 0);
    driver_set_status(driver, 7);
    assert_int_equal(driver_status(driver), 7 | VIRTIO_STATUS_NEEDS_RESET);
}

static void test_queue_outside_memory_needs_reset(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    driver_set_status(driver, 0);
    driver_set_status(driver, 3);
    driver_accept(driver, VIRTIO_F_VERSION_1);
    driver_set_status(driver, 11);
    driver_write(driver, DRIVER_COMMON(queue_select), 2, 0);
    driver_write_address(driver, DRIVER_COMMON(queue_descriptors), 0xFFFFFFFFFFFFF000);
    driver_write(driver, DRIVER_COMMON(queue_enable), 2, 1);
    driver_set_status(driver, 15);
    assert_int_equal(driver_status(driver), 15 | VIRTIO_STATUS_NEEDS_RESET);
}

static void test_queue_registers(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    driver_set_status(driver, 0);
    driver_write(driver, DRIVER_COMMON(queue_select), 2, 0);
    assert_int_equal(driver_read(driver, DRIVER_COMMON(queue_size), 2), 256);
    driver_write(driver, DRIVER_COMMON(queue_size), 2, 100); // not a power of two
    assert_int_equal(driver_read(driver, DRIVER_COMMON(queue_size), 2), 256);
    driver_write(driver, DRIVER_COMMON(queue_size), 2, 512);
    assert_int_equal(driver_read(driver, DRIVER_COMMON(queue_size), 2), 256);
    driver_write(driver, DRIVER_COMMON(queue_size), 2, 64);
    assert_int_equal(driver_read(driver, DRIVER_COMMON(queue_size), 2), 64);
    driver_write(driver, DRIVER_COMMON(queue_vector), 2, 99);
    assert_int_equal(driver_read(driver, DRIVER_COMMON(queue_vector), 2), 0xFFFF);
}

static void test_no_such_queue(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    driver_write(driver, DRIVER_COMMON(queue_select), 2, 1);
    assert_int_equal(driver_read(driver, DRIVER_COMMON(queue_size), 2), 0);
    driver_write(driver, DRIVER_COMMON(queue_enable), 2, 1);
    driver_write(driver, DRIVER_COMMON(queue_select), 2, 0xFFFF);
    driver_write(driver, DRIVER_COMMON(queue_enable), 2, 1);
    assert_int_equal(request(setup, IN, 3, 512, true), OK);
}

static void test_interrupt_pin(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    struct pci_function *function = &driver->pci->function;
    u32 control = pci_config_read(function, function->msix_capability + 2u, 2);
    pci_config_write(function, function->msix_capability + 2u, 2, control & 0x7FFF);
    assert_int_equal(request(setup, IN, 3, 512, true), OK);
    DRIVER_WAIT(driver, driver->pin);
    assert_int_equal(driver_read(driver, VIRTIO_PCI_ISR, 1), 1);
    assert_false(driver->pin);
    assert_int_equal(driver_read(driver, VIRTIO_PCI_ISR, 1), 0);
    assert_int_equal(driver->messages[0], 0);
}

// 4.1.4.9: configuration space as the way to the registers.
static void test_window(void **state)
{
    struct setup *setup = *state;
    struct pci_function *function = &setup->driver.pci->function;
    unsigned at = setup->driver.pci->window;
    assert_int_equal(pci_config_read(function, at, 1), 9);
    assert_int_equal(pci_config_read(function, at + 3, 1), 5);
    pci_config_write(function, at + 4, 1, VIRTIO_PCI_BAR_REGISTERS);
    pci_config_write(function, at + 8, 4, DRIVER_COMMON(status));
    pci_config_write(function, at + 12, 4, 1);
    assert_int_equal(pci_config_read(function, at + 16, 1), 15);
    pci_config_write(function, at + 16, 1, 0);
    assert_int_equal(driver_status(&setup->driver), 0);
    // Nonsense does nothing.
    pci_config_write(function, at + 12, 4, 3);
    pci_config_read(function, at + 16, 4);
    pci_config_write(function, at + 12, 4, 4);
    pci_config_write(function, at + 8, 4, UINT32_MAX - 3);
    pci_config_write(function, at + 16, 4, 1);
    pci_config_write(function, at + 4, 1, 200);
    pci_config_read(function, at + 16, 4);
}

static void test_save_and_restore(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    struct virtio *virtio = driver->pci->virtio;
    struct virtio_state saved;
    assert_int_equal(request(setup, IN, 3, 512, true), OK);
    virtio_pause(virtio);
    virtio_save(virtio, &saved);
    virtio_reset(virtio);
    assert_int_equal(driver_status(driver), 0);
    assert_int_equal(virtio_restore(virtio, &saved, NULL), 0);
    virtio_resume(virtio);
    assert_int_equal(request(setup, IN, 7, 512, true), OK);
    assert_int_equal(data(setup)[0], 7);
    saved.driver_features |= (u64)1 << 50;
    virtio_pause(virtio);
    assert_int_equal(virtio_restore(virtio, &saved, NULL), -1);
    saved.driver_features &= ~((u64)1 << 50);
    saved.queues[0].size = 3;
    assert_int_equal(virtio_restore(virtio, &saved, NULL), -1);
}

// The same guest on another device: memory, rings and messages stay, the device is new and knows what it was told.
static void test_move_to_another_device(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    struct virtio_pci *old = driver->pci;
    struct virtio_pci_saved saved = {0};
    struct pci_state function;
    u8 type[8];
    struct error error = {""};
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(request(setup, IN, i, 512, true), OK);
    virtio_pause(old->virtio);
    // Offered, but not looked at any more.
    put_header(driver, IN, 99);
    struct driver_buffer buffers[] = {{HEADER, 16, false}, {BUFFER, 512, true}, {STATUS, 1, true}};
    u16 head = driver_add(driver, 0, buffers, 3);
    driver_kick(driver, 0);
    pci_save(&old->function, &function);
    virtio_pci_save(old, &saved);
    const struct state_section *section = old->virtio->type->state;
    assert_int_equal(state_bytes(section, section->version), sizeof type);
    state_save(section, old->virtio, type);
    virtio_pci_destroy(old);
    struct virtio_pci *fresh =
        virtio_blk_create(driver->memory, &(struct virtio_blk_config){.disk = &setup->disk}, &error);
    virtio_pause(fresh->virtio);
    driver_attach(driver, fresh);
    if (pci_restore(&fresh->function, &function, &error) || virtio_pci_restore(fresh, &saved, &error) ||
        state_load(section, section->version, fresh->virtio, type, sizeof type, &error))
        fail_msg("%s", error.text);
    virtio_resume(fresh->virtio);
    assert_int_equal(driver_wait_used(driver, 0).id, head);
    assert_int_equal(get_status(driver), OK);
    assert_int_equal(data(setup)[0], 99);
    assert_int_equal(request(setup, IN, 7, 512, true), OK);
    assert_int_equal(data(setup)[0], 7);
    type[0] ^= 1;
    assert_int_equal(state_load(section, section->version, fresh->virtio, type, sizeof type, &error), -1);
    assert_non_null(strstr(error.text, "when the VM was saved"));
}

static void test_reset_under_load(void **state)
{
    struct setup *setup = *state;
    struct driver *driver = &setup->driver;
    for (unsigned round = 0; round < 100; round++) {
        for (u32 i = 0; i < 5; i++) {
            struct driver_buffer buffers[] = {
                {HEADER, 16, false}, {BUFFER + i * 65536, 65536, true}, {STATUS, 1, true}};
            put_header(driver, IN, 0);
            driver_add(driver, 0, buffers, 3);
        }
        driver_kick(driver, 0);
        driver_set_status(driver, 0);
        // After the reset nothing writes to the buffers any more.
        u8 before = (u8)(round | 0x80);
        memset(data(setup), before, 5 * 65536);
        driver_begin(driver, UINT64_MAX);
        for (u32 i = 0; i < 5 * 65536; i++)
            if (data(setup)[i] != before)
                fail_msg("byte %u was written after the reset", i);
    }
}

#define BLK_TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BLK_TEST(test_identity), BLK_TEST(test_read), BLK_TEST(test_read_scattered), BLK_TEST(test_write_and_flush),
        BLK_TEST(test_identifier), BLK_TEST(test_write_zeroes), BLK_TEST(test_discard), BLK_TEST(test_out_of_range),
        BLK_TEST(test_unknown_command), cmocka_unit_test_setup_teardown(test_readonly, create_readonly, destroy),
        BLK_TEST(test_request_without_status_needs_reset), BLK_TEST(test_wild_dma_needs_reset),
        BLK_TEST(test_many_requests_one_doorbell), BLK_TEST(test_features_not_offered),
        BLK_TEST(test_legacy_driver_is_refused), BLK_TEST(test_driver_ok_without_features_needs_reset),
        BLK_TEST(test_queue_outside_memory_needs_reset), BLK_TEST(test_queue_registers), BLK_TEST(test_no_such_queue),
        BLK_TEST(test_interrupt_pin), BLK_TEST(test_window), BLK_TEST(test_save_and_restore),
        BLK_TEST(test_move_to_another_device),
        BLK_TEST(test_reset_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
