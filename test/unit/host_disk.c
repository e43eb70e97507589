// The raw disk: its borders, its lock, and what it says when it cannot.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/disk.h"

struct image {
    char path[64];
    struct disk disk;
};

static int create(void **state)
{
    struct image *image = calloc(1, sizeof *image);
    snprintf(image->path, sizeof image->path, "/tmp/nidus-test-disk-XXXXXX");
    int fd = mkstemp(image->path);
    assert_true(fd >= 0);
    char sector[512];
    for (int i = 0; i < 16; i++) {
        memset(sector, 'a' + i, sizeof sector);
        assert_int_equal(write(fd, sector, sizeof sector), sizeof sector);
    }
    close(fd);
    image->disk.fd = -1;
    *state = image;
    return 0;
}

static int destroy(void **state)
{
    struct image *image = *state;
    disk_close(&image->disk);
    unlink(image->path);
    free(image);
    return 0;
}

static int try_open(struct image *image, struct disk *disk, bool readonly, struct error *error)
{
    *error = (struct error){0};
    return disk_open(disk, &(struct disk_config){.path = image->path, .readonly = readonly}, error);
}

static void open_image(struct image *image, bool readonly)
{
    struct error error;
    if (try_open(image, &image->disk, readonly, &error) < 0)
        fail_msg("%s", error.text);
}

static void expect_text(const struct error *error, const char *text)
{
    if (!strstr(error->text, text))
        fail_msg("\"%s\" lacks \"%s\"", error->text, text);
}

static void test_read_write(void **state)
{
    struct image *image = *state;
    char first[300], second[212], third[512];
    struct iovec segments[] = {{first, 300}, {second, 212}, {third, 512}};
    open_image(image, false);
    assert_int_equal(image->disk.bytes, 8192);
    assert_int_equal(disk_read(&image->disk, segments, 3, 1024, 512), 0);
    assert_int_equal(first[0], 'b');
    assert_int_equal(second[211], 'b');
    assert_int_equal(third[0], 'c');
    memset(third, 'X', sizeof third);
    struct iovec one = {third, 512};
    assert_int_equal(disk_write(&image->disk, &one, 1, 512, 7680), 0);
    assert_int_equal(disk_flush(&image->disk), 0);
    struct iovec again = {third, 512};
    memset(third, 0, sizeof third);
    assert_int_equal(disk_read(&image->disk, &again, 1, 512, 7680), 0);
    assert_int_equal(third[511], 'X');
}

static void test_size_is_rounded_up(void **state)
{
    struct image *image = *state;
    char sector[512];
    struct iovec segment = {sector, 512};
    assert_int_equal(truncate(image->path, 1000), 0);
    open_image(image, true);
    assert_int_equal(image->disk.bytes, 1024);
    memset(sector, 'X', sizeof sector);
    assert_int_equal(disk_read(&image->disk, &segment, 1, 512, 512), 0);
    assert_int_equal(sector[487], 'b');
    assert_int_equal(sector[488], 0);
    assert_int_equal(sector[511], 0);
}

static void test_file_that_shrinks(void **state)
{
    struct image *image = *state;
    char buffer[4096];
    struct iovec segment = {buffer, sizeof buffer};
    open_image(image, true);
    assert_int_equal(truncate(image->path, 0), 0);
    assert_true(disk_read(&image->disk, &segment, 1, sizeof buffer, 0) < 0);
}

static void test_zero_and_discard(void **state)
{
    struct image *image = *state;
    char buffer[8192];
    struct iovec segment = {buffer, sizeof buffer};
    open_image(image, false);
    assert_int_equal(disk_zero(&image->disk, 512, 512, false), 0);
    assert_int_equal(disk_zero(&image->disk, 2048, 1024, true), 0);
    int discarded = disk_discard(&image->disk, 4096, 4096);
    assert_true(discarded == 0 || discarded == -95);
    assert_int_equal(disk_read(&image->disk, &segment, 1, sizeof buffer, 0), 0);
    assert_int_equal(buffer[511], 'a');
    assert_int_equal(buffer[512], 0);
    assert_int_equal(buffer[1023], 0);
    assert_int_equal(buffer[1024], 'c');
    assert_int_equal(buffer[2048], 0);
    assert_int_equal(buffer[3071], 0);
    assert_int_equal(buffer[3072], 'g');
    assert_int_equal(image->disk.bytes, 8192);
}

static void test_readonly(void **state)
{
    struct image *image = *state;
    char sector[512] = "";
    struct iovec segment = {sector, 512};
    open_image(image, true);
    assert_true(disk_write(&image->disk, &segment, 1, 512, 0) < 0);
    assert_true(disk_zero(&image->disk, 0, 512, true) < 0);
    assert_true(disk_discard(&image->disk, 0, 512) < 0);
    assert_int_equal(disk_flush(&image->disk), 0);
}

// A writer runs alone, readers do not.
static void test_lock(void **state)
{
    struct image *image = *state;
    struct disk other = {.fd = -1};
    struct error error;
    char self[32];
    snprintf(self, sizeof self, "process %d (", getpid());
    open_image(image, false);
    assert_int_equal(try_open(image, &other, false, &error), -1);
    expect_text(&error, image->path);
    expect_text(&error, self);
    assert_int_equal(try_open(image, &other, true, &error), -1);
    disk_close(&image->disk);
    open_image(image, true);
    assert_int_equal(try_open(image, &other, true, &error), 0);
    disk_close(&other);
    assert_int_equal(try_open(image, &other, false, &error), -1);
    expect_text(&error, "readonly");
    disk_close(&image->disk);
    assert_int_equal(try_open(image, &other, false, &error), 0);
    disk_close(&other);
}

static void test_lock_of_another_process(void **state)
{
    struct image *image = *state;
    int ready[2], done[2];
    struct error error;
    char expected[64], byte;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        close(done[1]);
        bool locked = try_open(image, &image->disk, false, &error) == 0;
        if (write(ready[1], locked ? "y" : "n", 1) != 1 || read(done[0], &byte, 1) < 0)
            _exit(1);
        _exit(0); // without closing: as if killed
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(try_open(image, &image->disk, false, &error), -1);
    snprintf(expected, sizeof expected, "process %d (", child);
    expect_text(&error, expected);
    close(done[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    open_image(image, false);
    close(done[0]), close(ready[0]), close(ready[1]);
}

static void test_missing(void **state)
{
    (void)state;
    struct disk disk;
    struct error error;
    assert_int_equal(disk_open(&disk, &(struct disk_config){.path = "/nonexistent/x.img"}, &error), -1);
    expect_text(&error, "/nonexistent/x.img");
    expect_text(&error, "truncate");
}

static void test_empty(void **state)
{
    struct image *image = *state;
    struct error error;
    assert_int_equal(truncate(image->path, 0), 0);
    assert_int_equal(try_open(image, &image->disk, false, &error), -1);
    expect_text(&error, "empty");
}

static void test_not_a_disk(void **state)
{
    (void)state;
    struct disk disk;
    struct error error;
    const char *paths[] = {"/tmp", "/dev/null"};
    for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
        assert_int_equal(disk_open(&disk, &(struct disk_config){.path = paths[i], .readonly = true}, &error), -1);
        expect_text(&error, "neither a file nor a block device");
    }
}

#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK_TEST(test_read_write), DISK_TEST(test_size_is_rounded_up), DISK_TEST(test_file_that_shrinks),
        DISK_TEST(test_zero_and_discard), DISK_TEST(test_readonly), DISK_TEST(test_lock),
        DISK_TEST(test_lock_of_another_process), cmocka_unit_test(test_missing), DISK_TEST(test_empty),
        cmocka_unit_test(test_not_a_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
