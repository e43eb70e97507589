// Virtual hard disk files: made, read, resized, converted, merged; what is refused leaves no file and changes none.
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "service/tool.h"
#include "service/vhd.h"

static char directory[64];

static const char *file(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % ARRAY_SIZE(paths)];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

static bool have_qemu_img(void)
{
    struct error error;
    const char *const words[] = {"qemu-img", "--version", NULL};
    const struct tool tool = {.words = words, .package = "qemu-utils"};
    char *text = tool_run(&tool, &error);
    free(text);
    return text != NULL;
}

#define NEED_QEMU_IMG()                                                       \
    if (!have_qemu_img()) {                                                   \
        print_message("# qemu-img is missing: install qemu-utils\n");         \
        skip();                                                               \
    }

static void assert_says(const struct error *error, const char *words)
{
    if (!strstr(error->text, words))
        fail_msg("\"%s\" does not say \"%s\"", error->text, words);
}

static void formats_go_by_the_ending(void **state)
{
    (void)state;
    assert_int_equal(vhd_format("/a/b.VHDX"), VHD_VHDX);
    assert_int_equal(vhd_format("/a/b.vhd"), VHD_VPC);
    assert_int_equal(vhd_format("/a/b.qcow2"), VHD_QCOW2);
    assert_int_equal(vhd_format("/a/b.img"), VHD_RAW);
    assert_int_equal(vhd_format(".vhdx"), VHD_RAW);
}

static void raw_disks_need_nothing(void **state)
{
    (void)state;
    struct error error;
    struct vhd_info info;
    const struct vhd_new new = {.size = MIB(8), .type = VHD_DYNAMIC};
    assert_int_equal(vhd_create(file("a.img"), &new, &error), 0);
    assert_int_equal(vhd_read(&info, file("a.img"), &error), 0);
    assert_int_equal(info.size, MIB(8));
    assert_int_equal(info.type, VHD_DYNAMIC);
    assert_int_equal(vhd_create(file("a.img"), &new, &error), -1);
    assert_says(&error, "exists already");
    assert_int_equal(vhd_resize(file("a.img"), MIB(16), false, &error), 0);
    assert_int_equal(vhd_resize(file("a.img"), MIB(4), false, &error), -1);
    assert_says(&error, "-AllowShrink");
    assert_int_equal(vhd_read(&info, file("a.img"), &error), 0);
    assert_int_equal(info.size, MIB(16));
    assert_int_equal(vhd_check(file("a.img"), &error), 0);
    assert_int_equal(vhd_check(file("none.img"), &error), -1);
    assert_says(&error, "no such file");
}

static void a_raw_disk_is_never_looked_into(void **state)
{
    (void)state;
    struct error error;
    struct vhd_info info;
    const char header[] = "QFI\xfb\0\0\0\3";
    int fd = open(file("trap.img"), O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, header, sizeof header), sizeof header);
    assert_int_equal(ftruncate(fd, MIB(1)), 0);
    close(fd);
    assert_int_equal(vhd_read(&info, file("trap.img"), &error), 0);
    assert_int_equal(info.format, VHD_RAW);
    assert_int_equal(info.size, MIB(1));
}

static void a_disk_in_use_is_left_alone(void **state)
{
    (void)state;
    struct error error;
    char owner[160];
    const struct vhd_new new = {.size = MIB(1), .type = VHD_FIXED};
    assert_int_equal(vhd_create(file("used.img"), &new, &error), 0);
    assert_false(vhd_in_use(file("used.img"), owner, sizeof owner));
    int fd = open(file("used.img"), O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    assert_true(vhd_in_use(file("used.img"), owner, sizeof owner));
    assert_int_equal(vhd_resize(file("used.img"), MIB(2), false, &error), -1);
    assert_says(&error, "in use by process");
    close(fd);
    assert_int_equal(vhd_resize(file("used.img"), MIB(2), false, &error), 0);
}

static void a_missing_program_names_its_package(void **state)
{
    (void)state;
    struct error error;
    const char *const words[] = {"a-program-that-nobody-has", NULL};
    const struct tool tool = {.words = words, .package = "some-package"};
    assert_null(tool_run(&tool, &error));
    assert_says(&error, "some-package");
}

static void conversions(void **state)
{
    (void)state;
    NEED_QEMU_IMG();
    struct error error;
    struct vhd_info info;
    static const char *const names[] = {"c.qcow2", "c.vhdx", "c.vhd"};
    const struct vhd_new new = {.size = MIB(8), .type = VHD_DYNAMIC};
    assert_int_equal(vhd_create(file("c.img"), &new, &error), 0);
    int fd = open(file("c.img"), O_RDWR);
    assert_int_equal(pwrite(fd, "hello", 5, MIB(3)), 5);
    close(fd);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(vhd_convert(file("c.img"), file(names[i]), VHD_DYNAMIC, 0, NULL, NULL, &error), 0);
        assert_int_equal(vhd_read(&info, file(names[i]), &error), 0);
        assert_int_equal(info.size, MIB(8));
        assert_int_equal(info.type, VHD_DYNAMIC);
        assert_int_equal(vhd_check(file(names[i]), &error), 0);
        assert_int_equal(vhd_convert(file(names[i]), file("back.img"), VHD_DYNAMIC, 0, NULL, NULL, &error), 0);
        char text[6] = "";
        fd = open(file("back.img"), O_RDONLY);
        assert_int_equal(pread(fd, text, 5, MIB(3)), 5);
        close(fd);
        assert_string_equal(text, "hello");
        unlink(file("back.img"));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        char text[6] = "";
        assert_int_equal(vhd_resize(file(names[i]), MIB(16), false, &error), 0);
        assert_int_equal(vhd_read(&info, file(names[i]), &error), 0);
        assert_int_equal(info.size, MIB(16));
        assert_int_equal(info.type, VHD_DYNAMIC);
        assert_int_equal(vhd_check(file(names[i]), &error), 0);
        assert_int_equal(vhd_convert(file(names[i]), file("back.img"), VHD_DYNAMIC, 0, NULL, NULL, &error), 0);
        fd = open(file("back.img"), O_RDONLY);
        assert_int_equal(pread(fd, text, 5, MIB(3)), 5);
        close(fd);
        assert_string_equal(text, "hello");
        unlink(file("back.img"));
    }
    assert_int_equal(vhd_convert(file("c.vhd"), file("fixed.vhdx"), VHD_FIXED, 0, NULL, NULL, &error), 0);
    assert_int_equal(vhd_read(&info, file("fixed.vhdx"), &error), 0);
    assert_int_equal(info.type, VHD_FIXED);
    assert_true(info.file_bytes >= MIB(16));
    assert_int_equal(vhd_resize(file("c.vhdx"), MIB(64), false, &error), 0);
    assert_int_equal(vhd_read(&info, file("c.vhdx"), &error), 0);
    assert_true(info.file_bytes < MIB(16)); // what is empty stays so
    assert_int_equal(vhd_resize(file("c.vhdx"), MIB(8), true, &error), -1);
    assert_says(&error, "can only grow");
    assert_false(exists(file("c.vhdx.part.vhdx")));
}

// Fixed is what the file says, whatever of it lies on the disk; and then all of it does.
static void fixed_files_are_known(void **state)
{
    (void)state;
    NEED_QEMU_IMG();
    struct error error;
    struct vhd_info info;
    struct stat status;
    static const char *const names[] = {"f.vhd", "f.vhdx", "f.qcow2", "f.img"};
    for (unsigned type = VHD_FIXED; type <= VHD_DYNAMIC; type++)
        for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
            const struct vhd_new new = {.size = MIB(4), .type = (enum vhd_type)type};
            assert_int_equal(vhd_create(file(names[i]), &new, &error), 0);
            assert_int_equal(vhd_read(&info, file(names[i]), &error), 0);
            assert_int_equal(info.type, type);
            assert_int_equal(stat(file(names[i]), &status), 0);
            assert_true(type == VHD_DYNAMIC || status.st_blocks * 512 >= (off_t)MIB(4));
            unlink(file(names[i]));
        }
    // Headers that lead nowhere.
    assert_false(vhd_header_fixed(file("nothing.vhdx"), VHD_VHDX));
    int fd = open(file("bad.vhdx"), O_RDWR | O_CREAT, 0600);
    const u32 regions[] = {0x69676572, 0, UINT32_MAX, 0};
    assert_int_equal(pwrite(fd, regions, sizeof regions, 192 << 10), sizeof regions);
    assert_false(vhd_header_fixed(file("bad.vhdx"), VHD_VHDX));
    assert_int_equal(ftruncate(fd, MIB(1)), 0);
    assert_false(vhd_header_fixed(file("bad.vhdx"), VHD_VHDX));
    close(fd);
    assert_false(vhd_header_fixed(file("bad.vhdx"), VHD_VPC));
}

static void differences(void **state)
{
    (void)state;
    NEED_QEMU_IMG();
    struct error error;
    struct vhd_info info;
    const struct vhd_new base = {.size = MIB(4), .type = VHD_DYNAMIC};
    assert_int_equal(vhd_create(file("base.qcow2"), &base, &error), 0);
    const struct vhd_new child = {.type = VHD_DIFFERENCING, .parent = file("base.qcow2")};
    assert_int_equal(vhd_create(file("child.img"), &child, &error), -1);
    assert_false(exists(file("child.img")));
    assert_int_equal(vhd_create(file("child.qcow2"), &child, &error), 0);
    assert_int_equal(vhd_read(&info, file("child.qcow2"), &error), 0);
    assert_int_equal(info.type, VHD_DIFFERENCING);
    assert_string_equal(info.parent, file("base.qcow2"));
    assert_int_equal(rename(file("base.qcow2"), file("moved.qcow2")), 0);
    assert_int_equal(vhd_check(file("child.qcow2"), &error), -1);
    assert_int_equal(vhd_set_parent(file("child.qcow2"), file("moved.qcow2"), false, &error), 0);
    assert_int_equal(vhd_check(file("child.qcow2"), &error), 0);
    assert_int_equal(vhd_merge(file("child.qcow2"), NULL, &error), 0);
    assert_false(exists(file("child.qcow2")));
    assert_int_equal(vhd_merge(file("moved.qcow2"), NULL, &error), -1);
    assert_says(&error, "holds no differences");
}

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/nidus-vhd.XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_go_by_the_ending), cmocka_unit_test(raw_disks_need_nothing),
        cmocka_unit_test(a_raw_disk_is_never_looked_into), cmocka_unit_test(a_disk_in_use_is_left_alone),
        cmocka_unit_test(a_missing_program_names_its_package), cmocka_unit_test(conversions), cmocka_unit_test(fixed_files_are_known),
        cmocka_unit_test(differences),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
