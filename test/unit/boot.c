// The boot protocols, on images built here byte by byte: what a plan must hold, and what is refused with which words. A
// truncation test cuts every image at every length: no cut may be read past, and each must fail or stay inside.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "machine/boot.h"

enum { IMAGE = 64 << 10 };

struct fixture {
    u8 image[IMAGE];
    u8 module[5000];
    struct boot_config config;
    struct boot_plan plan;
    struct error error;
};

static void put16(u8 *at, u16 value) { memcpy(at, &value, 2); }
static void put32(u8 *at, u32 value) { memcpy(at, &value, 4); }
static void put64(u8 *at, u64 value) { memcpy(at, &value, 8); }

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->config = (struct boot_config){
        .kernel = {.name = "kernel", .data = f->image, .bytes = IMAGE},
        .append = "one two",
        .regions = {{0, 0x9fc00, BOOT_RAM}, {0x9fc00, 0x400, BOOT_RESERVED}, {0xe0000, 0x20000, BOOT_ACPI},
                    {MIB(1), MIB(63), BOOT_RAM}},
        .region_count = 4,
        .rsdp = 0xe0000,
    };
    memset(f->module, 0x5a, sizeof f->module);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void plans(struct fixture *f)
{
    f->error.text[0] = 0;
    int result = boot_plan_make(&f->plan, &f->config, &f->error);
    assert_string_equal(f->error.text, "");
    assert_int_equal(result, 0);
}

static void refuses(struct fixture *f, const char *part)
{
    f->error.text[0] = 0;
    assert_int_equal(boot_plan_make(&f->plan, &f->config, &f->error), -1);
    if (!strstr(f->error.text, part))
        fail_msg("\"%s\" does not say \"%s\"", f->error.text, part);
}

// What the plan puts at a guest address, or NULL.
static const u8 *planned(const struct fixture *f, u64 gpa, u64 bytes)
{
    for (unsigned i = 0; i < f->plan.count; i++) {
        const struct boot_segment *segment = &f->plan.segments[i];
        if (gpa >= segment->gpa && gpa + bytes <= segment->gpa + segment->data_bytes)
            return segment->data + (gpa - segment->gpa);
    }
    return NULL;
}

static u32 planned32(const struct fixture *f, u64 gpa)
{
    u32 value;
    const u8 *at = planned(f, gpa, 4);
    assert_non_null(at);
    memcpy(&value, at, 4);
    return value;
}

static u64 planned64(const struct fixture *f, u64 gpa)
{
    return planned32(f, gpa) | (u64)planned32(f, gpa + 4) << 32;
}

static const char *planned_text(const struct fixture *f, u64 gpa)
{
    assert_non_null(planned(f, gpa, 1));
    return (const char *)planned(f, gpa, 1);
}

// Every segment in RAM, none over another.
static void plan_is_sound(const struct fixture *f)
{
    for (unsigned i = 0; i < f->plan.count; i++) {
        const struct boot_segment *a = &f->plan.segments[i];
        bool inside = false;
        for (unsigned r = 0; r < f->config.region_count; r++) {
            const struct boot_region *region = &f->config.regions[r];
            inside |= region->type == BOOT_RAM && a->gpa >= region->base &&
                      a->gpa + a->bytes <= region->base + region->bytes;
        }
        assert_true(inside);
        assert_true(a->data_bytes <= a->bytes);
        for (unsigned j = 0; j < i; j++) {
            const struct boot_segment *b = &f->plan.segments[j];
            assert_true(a->gpa >= b->gpa + b->bytes || b->gpa >= a->gpa + a->bytes);
        }
    }
}

// An ELF32 file whose single segment is the whole file, at 4 MiB.
static void build_elf32(struct fixture *f)
{
    u8 *image = f->image;
    memcpy(image, "\177ELF\1\1\1", 7);
    put16(image + 16, 2);
    put16(image + 18, 3);
    put32(image + 24, 0x400100); // entry
    put32(image + 28, 52);       // program headers
    put16(image + 42, 32);
    put16(image + 44, 1);
    u8 *program = image + 52;
    put32(program, 1);
    put32(program + 4, 0);
    put32(program + 8, 0x400000);
    put32(program + 12, 0x400000);
    put32(program + 16, IMAGE);
    put32(program + 20, IMAGE + MIB(1));
}

static void build_multiboot(struct fixture *f, u32 flags)
{
    build_elf32(f);
    put32(f->image + 512, 0x1badb002);
    put32(f->image + 516, flags);
    put32(f->image + 520, 0 - (0x1badb002 + flags));
}

static void build_linux(struct fixture *f)
{
    u8 *image = f->image;
    memset(image, 0xcc, IMAGE);
    image[0x1f1] = 4; // setup sectors
    put32(image + 0x1f4, (IMAGE - 5 * 512) / 16);
    put16(image + 0x1fe, 0xaa55);
    image[0x200] = 0xeb;
    image[0x201] = 0x6a;
    memcpy(image + 0x202, "HdrS", 4);
    put16(image + 0x206, 0x20f);
    image[0x211] = 1;
    put32(image + 0x22c, 0x7fffffff);
    put32(image + 0x230, 0x200000);
    image[0x234] = 1;
    put16(image + 0x236, 3);
    put32(image + 0x238, 2047);
    put64(image + 0x258, 0x1000000);
    put32(image + 0x260, MIB(8));
}

static void build_pvh(struct fixture *f)
{
    u8 *image = f->image;
    memcpy(image, "\177ELF\2\1\1", 7);
    put16(image + 16, 2);
    put16(image + 18, 62);
    put64(image + 24, 0xffffffff81000000); // not what PVH uses
    put64(image + 32, 64);
    put16(image + 54, 56);
    put16(image + 56, 2);
    u8 *load = image + 64, *note = load + 56;
    put32(load, 1);
    put64(load + 8, 0x1000);
    put64(load + 16, 0xffffffff81000000);
    put64(load + 24, 0x1000000);
    put64(load + 32, 0x2000);
    put64(load + 40, 0x3000);
    put32(note, 4);
    put64(note + 8, 0x800);
    put64(note + 32, 40);
    put64(note + 48, 4);
    u8 *notes = image + 0x800;
    put32(notes, 4), put32(notes + 4, 4), put32(notes + 8, 1), memcpy(notes + 12, "Xen", 4);
    notes += 20;
    put32(notes, 4), put32(notes + 4, 4), put32(notes + 8, 18), memcpy(notes + 12, "Xen", 4);
    put32(notes + 16, 0x1000040);
}

static void add_modules(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        f->config.modules[i] = (struct boot_module){
            .file = {.name = "module", .data = f->module, .bytes = sizeof f->module}, .text = i ? "m two" : "m"};
    f->config.module_count = count;
}

static void multiboot_elf(void **state)
{
    struct fixture *f = *state;
    build_multiboot(f, 3);
    add_modules(f, 2);
    plans(f);
    plan_is_sound(f);
    assert_string_equal(f->plan.protocol, "multiboot");
    assert_int_equal(f->plan.mode, BOOT_PROTECTED);
    assert_int_equal(f->plan.rip, 0x400100);
    assert_int_equal(f->plan.rax, 0x2badb002);
    assert_ptr_equal(planned(f, 0x400000, IMAGE), f->image);
    u64 info = f->plan.rbx;
    assert_int_equal(planned32(f, info) & 0x24d, 0x24d);
    assert_int_equal(planned32(f, info + 4), 639);
    assert_int_equal(planned32(f, info + 8), 63 << 10);
    assert_string_equal(planned_text(f, planned32(f, info + 16)), "kernel one two");
    assert_int_equal(planned32(f, info + 20), 2);
    u64 modules = planned32(f, info + 24);
    assert_ptr_equal(planned(f, planned32(f, modules), sizeof f->module), f->module);
    assert_int_equal(planned32(f, modules) % 4096, 0);
    assert_int_equal(planned32(f, modules + 4) - planned32(f, modules), sizeof f->module);
    assert_string_equal(planned_text(f, planned32(f, modules + 16 + 8)), "m two");
    assert_int_equal(planned32(f, info + 44), 4 * 24);
    u64 map = planned32(f, info + 48);
    assert_int_equal(planned32(f, map), 20);
    assert_int_equal(planned64(f, map + 24 + 4), 0x9fc00);
}

static void multiboot_flat(void **state)
{
    struct fixture *f = *state;
    memset(f->image, 0x90, IMAGE);
    u8 *header = f->image + 64;
    put32(header, 0x1badb002);
    put32(header + 4, 1 << 16);
    put32(header + 8, 0 - (0x1badb002 + (1 << 16)));
    put32(header + 12, 0x200040); // its own address
    put32(header + 16, 0x200000);
    put32(header + 20, 0x200000 + 0x1000);
    put32(header + 24, 0x200000 + 0x5000);
    put32(header + 28, 0x200080);
    plans(f);
    plan_is_sound(f);
    assert_int_equal(f->plan.rip, 0x200080);
    assert_int_equal(f->plan.segments[0].gpa, 0x200000);
    assert_int_equal(f->plan.segments[0].data_bytes, 0x1000);
    assert_int_equal(f->plan.segments[0].bytes, 0x5000);
    assert_ptr_equal(f->plan.segments[0].data, f->image);
    put32(header + 12, 0x300040); // would begin before the file
    refuses(f, "before the file's start");
    put32(header + 12, 0x200040);
    put32(header + 20, 0x200000 + 2 * IMAGE);
    refuses(f, "more than the file holds");
    put32(header + 4, 1 << 16 | 1 << 9);
    put32(header + 8, 0 - (0x1badb002 + (1 << 16 | 1 << 9)));
    refuses(f, "features nidus does not know");
}

static void linux_64(void **state)
{
    struct fixture *f = *state;
    build_linux(f);
    add_modules(f, 2);
    plans(f);
    plan_is_sound(f);
    assert_string_equal(f->plan.protocol, "linux");
    assert_int_equal(f->plan.mode, BOOT_LONG);
    assert_int_equal(f->plan.rip, 0x1000200);
    u64 zero_page = f->plan.rsi;
    assert_int_equal(planned32(f, zero_page + 0x202), 0x53726448);
    assert_int_equal(*planned(f, zero_page + 0x210, 1), 0xff);
    assert_string_equal(planned_text(f, planned32(f, zero_page + 0x228)), "one two");
    u64 initrd = planned32(f, zero_page + 0x218);
    assert_int_equal(planned32(f, zero_page + 0x21c), 2 * sizeof f->module);
    assert_int_equal(initrd % 4096, 0);
    assert_true(initrd + 2 * sizeof f->module <= MIB(64) && initrd >= MIB(60));
    assert_ptr_equal(planned(f, initrd, 1), f->module);
    assert_ptr_equal(planned(f, initrd + sizeof f->module, 1), f->module);
    assert_int_equal(planned64(f, zero_page + 0x70), 0xe0000);
    assert_int_equal(*planned(f, zero_page + 0x1e8, 1), 4);
    assert_int_equal(planned64(f, zero_page + 0x2d0 + 20), 0x9fc00);
    // The page tables map 0x1000200 to itself.
    u64 directory = planned64(f, planned64(f, f->plan.page_table) & ~0xfffULL) & ~0xfffULL;
    assert_int_equal(planned64(f, directory + 8 * 8), 8 << 21 | 0x83);
}

static void linux_elsewhere(void **state)
{
    struct fixture *f = *state;
    build_linux(f);
    f->config.regions[f->config.region_count++] = (struct boot_region){MIB(17), MIB(2), BOOT_RESERVED};
    f->config.regions[3].bytes = MIB(16);
    f->config.regions[f->config.region_count++] = (struct boot_region){MIB(19), MIB(20), BOOT_RAM};
    plans(f);
    plan_is_sound(f);
    assert_int_equal(f->plan.rip, MIB(20) + 0x200);
    f->image[0x234] = 0; // not relocatable
    refuses(f, "--memory");
    f->image[0x234] = 1;
    f->config.region_count -= 2;
    f->config.regions[3].bytes = MIB(22); // one short
    refuses(f, "needs 8 MiB from 16 MiB on");
}

static void linux_refusals(void **state)
{
    struct fixture *f = *state;
    build_linux(f);
    f->config.kernel.bytes = IMAGE - 64;
    refuses(f, "it is truncated");
    f->config.kernel.bytes = IMAGE;
    put16(f->image + 0x206, 0x20a);
    refuses(f, "boot protocol 2.10");
    build_linux(f);
    put32(f->image + 0x238, 4);
    refuses(f, "--append: 7 bytes");
    build_linux(f);
    add_modules(f, 1);
    f->config.modules[0].file.name = "disk.img";
    f->config.modules[0].file.bytes = MIB(60);
    refuses(f, "disk.img: 60 MiB do not fit");
}

static void pvh_elf64(void **state)
{
    struct fixture *f = *state;
    build_pvh(f);
    add_modules(f, 1);
    plans(f);
    plan_is_sound(f);
    assert_string_equal(f->plan.protocol, "pvh");
    assert_int_equal(f->plan.mode, BOOT_PROTECTED);
    assert_int_equal(f->plan.rip, 0x1000040);
    assert_ptr_equal(planned(f, 0x1000000, 0x2000), f->image + 0x1000);
    u64 start = f->plan.rbx;
    assert_int_equal(planned32(f, start), 0x336ec578);
    assert_int_equal(planned32(f, start + 12), 1);
    assert_ptr_equal(planned(f, planned64(f, planned64(f, start + 16)), 1), f->module);
    assert_string_equal(planned_text(f, planned64(f, start + 24)), "one two");
    assert_int_equal(planned64(f, start + 32), 0xe0000);
    assert_int_equal(planned32(f, start + 48), 4);
    assert_int_equal(planned64(f, planned64(f, start + 40) + 24), 0x9fc00);
}

static void refusals(void **state)
{
    struct fixture *f = *state;
    f->config.kernel.bytes = 0;
    refuses(f, "is empty");
    f->config.kernel.bytes = IMAGE;
    refuses(f, "is not a kernel nidus can start");
    build_elf32(f);
    refuses(f, "without a PVH note");
    build_pvh(f);
    put16(f->image + 18, 183);
    refuses(f, "for another machine (number 183)");
    build_pvh(f);
    put64(f->image + 64 + 32, MIB(1));
    put64(f->image + 64 + 40, MIB(1));
    refuses(f, "ends within ELF segment 0");
    build_pvh(f);
    put64(f->image + 64 + 24, 0x9f000); // over the EBDA
    refuses(f, "is not all RAM");
    build_pvh(f);
    put64(f->image + 64 + 24, ~0xfffULL);
    refuses(f, "is not all RAM");
    build_pvh(f);
    put64(f->image + 64 + 40, 0x100);
    refuses(f, "larger in the file than in memory");
}

static void module_too_big(void **state)
{
    struct fixture *f = *state;
    build_multiboot(f, 0);
    add_modules(f, 1);
    f->config.modules[0].file.bytes = MIB(62);
    refuses(f, "do not fit into the VM's memory of 64 MiB");
}

static void registers(void **state)
{
    struct fixture *f = *state;
    struct kvm_regs regs;
    struct kvm_sregs sregs = {.apic_base = 0xfee00900};
    build_linux(f);
    plans(f);
    boot_plan_registers(&f->plan, &regs, &sregs);
    assert_int_equal(regs.rip, f->plan.rip);
    assert_int_equal(regs.rsi, f->plan.rsi);
    assert_int_equal(regs.rflags, 2);
    assert_int_equal(sregs.cs.l, 1);
    assert_int_equal(sregs.cs.db, 0);
    assert_int_equal(sregs.cs.selector, 0x10);
    assert_int_equal(sregs.ds.selector, 0x18);
    assert_int_equal(sregs.cr3, f->plan.page_table);
    assert_int_equal(sregs.efer, 0x500);
    assert_int_equal(sregs.apic_base, 0xfee00900);
    memset(f->image, 0, IMAGE);
    build_multiboot(f, 0);
    plans(f);
    boot_plan_registers(&f->plan, &regs, &sregs);
    assert_int_equal(sregs.cr0, 0x11);
    assert_int_equal(sregs.cs.db, 1);
    assert_int_equal(sregs.cs.l, 0);
    assert_int_equal(sregs.efer, 0);
    assert_int_equal(regs.rax, 0x2badb002);
}

// Each cut is its own allocation, so that a sanitizer sees a read past it.
static void cut_everywhere(struct fixture *f)
{
    for (u64 bytes = 1; bytes < 0x1100; bytes++) {
        u8 *cut = malloc(bytes);
        memcpy(cut, f->image, bytes);
        f->config.kernel.data = cut;
        f->config.kernel.bytes = bytes;
        if (!boot_plan_make(&f->plan, &f->config, &f->error))
            for (unsigned i = 0; i < f->plan.count; i++) {
                const struct boot_segment *segment = &f->plan.segments[i];
                if (segment->data >= cut && segment->data <= cut + bytes)
                    assert_true(segment->data + segment->data_bytes <= cut + bytes);
            }
        free(cut);
    }
    f->config.kernel.data = f->image;
    f->config.kernel.bytes = IMAGE;
    memset(f->image, 0, IMAGE);
}

static void truncations(void **state)
{
    struct fixture *f = *state;
    build_multiboot(f, 0);
    cut_everywhere(f);
    build_linux(f);
    cut_everywhere(f);
    build_pvh(f);
    cut_everywhere(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(multiboot_elf), TEST(multiboot_flat), TEST(linux_64), TEST(linux_elsewhere), TEST(linux_refusals),
        TEST(pvh_elf64),     TEST(refusals),       TEST(module_too_big), TEST(registers), TEST(truncations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
