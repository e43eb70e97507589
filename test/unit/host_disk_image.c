// Images that QEMU's tools made, read and written through the storage daemon, and read again by QEMU's tools.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/disk.h"

enum { SIZE = 16 << 20, BLOCK = 64 << 10, AT = 3 << 20 };

static char directory[40];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/nidus-test-image-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    char command[80];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command);
}

static void need_tools(void)
{
    if (system("qemu-img --version >/dev/null 2>&1 && qemu-storage-daemon --version >/dev/null 2>&1") != 0)
        skip(); // qemu-utils and qemu-system-common are not installed
}

__attribute__((format(printf, 1, 2))) static void shell(const char *format, ...)
{
    char command[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    if (system(command) != 0)
        fail_msg("%s", command);
}

static void open_good(struct disk *disk, const char *path, const char *format, bool readonly)
{
    struct error error;
    if (disk_open(disk, &(struct disk_config){.path = path, .format = format, .readonly = readonly}, &error))
        fail_msg("%s", error.text);
}

static void read_write(const char *format, const char *ending)
{
    static u8 block[BLOCK], got[BLOCK];
    char path[96], raw[96];
    struct disk disk;
    snprintf(path, sizeof path, "%s/a, \"b\".%s", directory, ending); // commas and quotes are no syntax
    snprintf(raw, sizeof raw, "%s/raw", directory);
    shell("qemu-img create -q -f %s '%s' %d", format, path, SIZE);
    open_good(&disk, path, NULL, false);
    assert_true(disk.bytes >= SIZE); // VHD rounds up to cylinders
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (u8)(i * 7 + i / 256);
    struct iovec two[] = {{block, 1000}, {block + 1000, BLOCK - 1000}};
    assert_int_equal(disk_write(&disk, two, 2, BLOCK, AT), 0);
    struct iovec again[] = {{block, BLOCK}};
    assert_int_equal(disk_write(&disk, again, 1, BLOCK, AT + 4 * BLOCK), 0);
    assert_int_equal(disk_zero(&disk, AT + 4 * BLOCK, BLOCK, true), 0);
    int discarded = disk_discard(&disk, AT + 8 * BLOCK, BLOCK);
    assert_true(discarded == 0 || discarded == -EOPNOTSUPP);
    assert_int_equal(disk_flush(&disk), 0);
    struct iovec back[] = {{got, 5000}, {got + 5000, BLOCK - 5000}};
    assert_int_equal(disk_read(&disk, back, 2, BLOCK, AT), 0);
    assert_memory_equal(got, block, BLOCK);
    disk_close(&disk);
    disk_close(&disk);
    shell("qemu-img check -q '%s' 2>/dev/null || [ $? = 63 ]", path); // VHD cannot be checked
    shell("qemu-img convert -f %s -O raw '%s' %s", format, path, raw);
    int fd = open(raw, O_RDONLY);
    assert_int_equal(pread(fd, got, BLOCK, AT), BLOCK);
    assert_memory_equal(got, block, BLOCK);
    assert_int_equal(pread(fd, got, BLOCK, AT + 4 * BLOCK), BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        assert_int_equal(got[i], 0);
    close(fd);
    // Readonly, and again at once: the daemon before has let go of it.
    open_good(&disk, path, format, true);
    struct iovec once[] = {{got, BLOCK}};
    assert_int_equal(disk_read(&disk, once, 1, BLOCK, AT), 0);
    assert_memory_equal(got, block, BLOCK);
    struct iovec refused[] = {{block, BLOCK}};
    assert_int_equal(disk_write(&disk, refused, 1, BLOCK, AT), -EROFS);
    disk_close(&disk);
}

static void test_qcow2(void **state)
{
    (void)state;
    need_tools();
    read_write("qcow2", "qcow2");
}

static void test_vhdx(void **state)
{
    (void)state;
    need_tools();
    read_write("vhdx", "VHDX");
}

static void test_vhd(void **state)
{
    (void)state;
    need_tools();
    read_write("vpc", "vhd");
}

static void test_errors(void **state)
{
    char path[96];
    struct disk disk, other;
    struct error error;
    (void)state;
    need_tools();
    snprintf(path, sizeof path, "%s/missing.qcow2", directory);
    assert_int_equal(disk_open(&disk, &(struct disk_config){.path = path}, &error), -1);
    assert_non_null(strstr(error.text, "missing.qcow2': qcow2 image: No such file"));
    snprintf(path, sizeof path, "%s/wrong.qcow2", directory);
    shell("truncate -s 1M %s", path);
    assert_int_equal(disk_open(&disk, &(struct disk_config){.path = path}, &error), -1);
    assert_non_null(strstr(error.text, "not in qcow2 format"));
    snprintf(path, sizeof path, "%s/locked.qcow2", directory);
    shell("qemu-img create -q -f qcow2 %s 1M", path);
    open_good(&disk, path, NULL, false);
    assert_int_equal(disk_open(&other, &(struct disk_config){.path = path}, &error), -1);
    assert_non_null(strstr(error.text, "lock"));
    disk_close(&disk);
}

// What a guest writes to a raw disk does not choose its format.
static void test_raw_stays_raw(void **state)
{
    char path[96], image[96];
    struct disk disk;
    struct stat status;
    (void)state;
    need_tools();
    snprintf(path, sizeof path, "%s/disk.img", directory);
    snprintf(image, sizeof image, "%s/parent.qcow2", directory);
    shell("qemu-img create -q -f qcow2 %s 64M && cp %s %s", image, image, path);
    assert_int_equal(stat(path, &status), 0);
    open_good(&disk, path, NULL, false);
    assert_int_equal(disk.bytes, align_up((u64)status.st_size, DISK_SECTOR));
    disk_close(&disk);
    open_good(&disk, image, "raw", false); // nor does its name, if a format is given
    assert_int_equal(disk.bytes, align_up((u64)status.st_size, DISK_SECTOR));
    disk_close(&disk);
}

// Where the programs are missing, the error names their package.
static void test_says_what_is_missing(void **state)
{
    char path[96], before[4096];
    struct disk disk;
    struct error error;
    (void)state;
    snprintf(path, sizeof path, "%s/none.qcow2", directory);
    shell("touch %s", path);
    snprintf(before, sizeof before, "%s", getenv("PATH"));
    setenv("PATH", "/nonexistent", 1);
    assert_int_equal(disk_open(&disk, &(struct disk_config){.path = path}, &error), -1);
    setenv("PATH", before, 1);
    assert_true(strstr(error.text, "install the package qemu-system-common") ||
                strstr(error.text, "install the package libnbd0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qcow2),  cmocka_unit_test(test_vhdx),          cmocka_unit_test(test_vhd),
        cmocka_unit_test(test_errors), cmocka_unit_test(test_raw_stays_raw),
        cmocka_unit_test(test_says_what_is_missing),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
