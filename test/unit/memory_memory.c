// Guest memory: layout around the PCI hole, translation at every border, dirty bits, what the engine is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "memory/memory.h"

struct engine_vm {
    struct kvm_userspace_memory_region regions[8];
    unsigned calls;
    u64 written_gpa, written_bytes;
    int refuse;
    u64 log_word;
};

static int fake_vm_ioctl(struct engine_vm *vm, unsigned long request, void *argument)
{
    if (request == KVM_SET_USER_MEMORY_REGION) {
        vm->regions[vm->calls++ % 8] = *(struct kvm_userspace_memory_region *)argument;
        return vm->refuse;
    }
    if (request == KVM_GET_DIRTY_LOG) {
        *(u64 *)((struct kvm_dirty_log *)argument)->dirty_bitmap = vm->log_word;
        return 0;
    }
    return -25;
}

static void fake_written(struct engine_vm *vm, u64 gpa, u64 bytes)
{
    vm->written_gpa = gpa;
    vm->written_bytes = bytes;
}

static const struct engine fake_engine = {.name = "fake", .vm_ioctl = fake_vm_ioctl, .memory_written = fake_written};

static void test_small(void **state)
{
    (void)state;
    struct error error;
    struct memory *memory = memory_create(MIB(2), &error);
    assert_non_null(memory);
    u8 *base = memory_pointer(memory, 0, MIB(2));
    assert_non_null(base);
    assert_ptr_equal(memory_pointer(memory, MIB(2) - 1, 1), base + MIB(2) - 1);
    assert_null(memory_pointer(memory, MIB(2) - 1, 2));
    assert_null(memory_pointer(memory, MIB(2), 1));
    assert_null(memory_pointer(memory, MIB(1), UINT64_MAX));
    assert_null(memory_pointer(memory, UINT64_MAX, 2));
    assert_int_equal(memory_run(memory, MIB(1), GIB(9)), MIB(1));
    assert_int_equal(memory_run(memory, MIB(2), 1), 0);
    assert_true(memory_write(memory, MIB(2) - 4, "abcd", 4));
    assert_false(memory_write(memory, MIB(2) - 3, "abcd", 4));
    char back[4];
    assert_true(memory_read(memory, MIB(2) - 4, back, 4));
    assert_memory_equal(back, "abcd", 4);
    memory_unmap_page(memory, MIB(2) - 4);
    memory_unmap_page(memory, UINT64_MAX);
    assert_true(memory_read(memory, MIB(2) - 4, back, 4));
    assert_memory_equal(back, "abcd", 4);
    assert_int_equal(memory_clear(memory, &error), 0);
    assert_true(memory_read(memory, MIB(2) - 4, back, 4));
    assert_memory_equal(back, "\0\0\0\0", 4);
    memory_destroy(memory);
}

static void test_hole(void **state)
{
    (void)state;
    struct error error;
    struct memory *memory = memory_create(GIB(5), &error);
    assert_non_null(memory);
    const struct memory_block *blocks;
    assert_int_equal(memory_blocks(memory, &blocks), 2);
    assert_int_equal(blocks[0].bytes, MEMORY_HOLE);
    assert_int_equal(blocks[1].gpa, GIB(4));
    assert_int_equal(blocks[1].bytes, GIB(2));
    assert_null(memory_pointer(memory, MEMORY_HOLE, 1));
    assert_null(memory_pointer(memory, MEMORY_HOLE - 1, 2));
    assert_null(memory_pointer(memory, GIB(4) - 1, 1));
    assert_true(memory_write(memory, GIB(6) - 2, "xy", 2));
    assert_null(memory_pointer(memory, GIB(6) - 1, 2));
    memory_destroy(memory);
}

static void test_refused_sizes(void **state)
{
    (void)state;
    struct error error;
    assert_null(memory_create(0, &error));
    assert_null(memory_create(MIB(2) + 1, &error));
    assert_null(memory_create(MEMORY_MOST + PAGE_BYTES, &error));
}

static void test_engine(void **state)
{
    (void)state;
    struct error error;
    struct engine_vm vm = {0};
    struct memory *memory = memory_create(GIB(4), &error);
    vm.refuse = -22;
    assert_int_equal(memory_attach(memory, &fake_engine, &vm, &error), -1);
    assert_non_null(strstr(error.text, "fake engine refuses"));
    vm = (struct engine_vm){0};
    assert_int_equal(memory_attach(memory, &fake_engine, &vm, &error), 0);
    assert_int_equal(vm.calls, 2);
    assert_int_equal(vm.regions[1].slot, 1);
    assert_int_equal(vm.regions[1].guest_phys_addr, GIB(4));
    assert_ptr_equal((void *)vm.regions[0].userspace_addr, memory_pointer(memory, 0, 1));
    assert_true(memory_fill(memory, 0x1234, 7, 0x100));
    assert_int_equal(vm.written_gpa, 0x1234);
    assert_int_equal(vm.written_bytes, 0x100);
    memory_destroy(memory);
    assert_int_equal(vm.calls, 4);
    assert_int_equal(vm.regions[3].memory_size, 0);
}

static void test_dirty(void **state)
{
    (void)state;
    struct error error;
    struct engine_vm vm = {.log_word = 0x10};
    struct memory *memory = memory_create(MIB(2), &error);
    u64 bits[8];
    assert_int_equal(memory_attach(memory, &fake_engine, &vm, &error), 0);
    assert_int_equal(memory_dirty_take(memory, 0, bits, &error), -1);
    assert_int_equal(memory_dirty_start(memory, &error), 0);
    assert_int_equal(vm.regions[1].flags, KVM_MEM_LOG_DIRTY_PAGES);
    assert_true(memory_fill(memory, 0x40 * PAGE_BYTES - 1, 1, 2));
    assert_int_equal(memory_dirty_take(memory, 0, bits, &error), 0);
    assert_true(bits[0] == (0x10 | (u64)1 << 63));
    assert_true(bits[1] == 1);
    vm.log_word = 0;
    assert_int_equal(memory_dirty_take(memory, 0, bits, &error), 0);
    assert_true(bits[0] == 0 && bits[1] == 0);
    assert_int_equal(memory_dirty_take(memory, 1, bits, &error), -1);
    memory_dirty_stop(memory);
    assert_int_equal(vm.regions[2].flags, 0);
    memory_destroy(memory);
}

static void test_load(void **state)
{
    (void)state;
    struct memory *memory = memory_create(MEMORY_HOLE + MIB(1), NULL);
    static u8 pages[3 * PAGE_BYTES], back[3 * PAGE_BYTES];
    for (unsigned i = 0; i < sizeof pages; i++)
        pages[i] = (u8)(i * 7 + i / 256);
    assert_true(memory_load(memory, MIB(2), pages, sizeof pages));
    assert_true(memory_read(memory, MIB(2), back, sizeof back));
    assert_memory_equal(back, pages, sizeof pages);
    assert_true(memory_load(memory, MEMORY_HIGH + MIB(1) - sizeof pages, pages, sizeof pages));
    assert_true(memory_read(memory, MEMORY_HIGH + MIB(1) - sizeof pages, back, sizeof back));
    assert_memory_equal(back, pages, sizeof pages);
    assert_false(memory_load(memory, MEMORY_HIGH + MIB(1) - PAGE_BYTES, pages, sizeof pages));
    assert_false(memory_load(memory, MEMORY_HOLE - PAGE_BYTES, pages, sizeof pages));
    assert_false(memory_load(memory, MEMORY_HOLE, pages, PAGE_BYTES));
    memory_destroy(memory);
}

// Pages that were released read as zeroes and are the host's again.
static void test_release(void **state)
{
    (void)state;
    struct error error;
    struct engine_vm vm = {0};
    struct stat before, after;
    struct memory *memory = memory_create(MIB(4), &error);
    assert_int_equal(memory_attach(memory, &fake_engine, &vm, &error), 0);
    assert_true(memory_fill(memory, 0, 0xAA, MIB(4)));
    assert_int_equal(fstat(memory_fd(memory), &before), 0);
    assert_int_equal(memory_release(memory, MIB(1), MIB(2)), 0);
    assert_int_equal(vm.written_gpa, MIB(1));
    assert_int_equal(vm.written_bytes, MIB(2));
    assert_int_equal(fstat(memory_fd(memory), &after), 0);
    assert_int_equal((before.st_blocks - after.st_blocks) * 512, MIB(2));
    const u8 *bytes = memory_pointer(memory, 0, MIB(4));
    assert_int_equal(bytes[MIB(1) - 1], 0xAA);
    assert_int_equal(bytes[MIB(1)], 0);
    assert_int_equal(bytes[MIB(3) - 1], 0);
    assert_int_equal(bytes[MIB(3)], 0xAA);
    assert_int_equal(memory_release(memory, MIB(3), MIB(2)), -1);
    assert_int_equal(memory_release(memory, 1, PAGE_BYTES), -1);
    assert_int_equal(memory_release(memory, MIB(5), PAGE_BYTES), -1);
    memory_destroy(memory);
}

// The region: nothing of it is RAM until it is plugged; the engine learns of it by chunks.
static void test_region(void **state)
{
    (void)state;
    struct error error;
    struct engine_vm vm = {0};
    u64 gpa;
    struct memory *memory = memory_create(MIB(4), &error);
    assert_int_equal(memory_reserved(memory, &gpa), 0);
    assert_int_equal(memory_reserve(memory, GIB(4), &error), 0);
    assert_int_equal(memory_reserve(memory, GIB(4), &error), -1);
    assert_int_equal(memory_attach(memory, &fake_engine, &vm, &error), 0);
    assert_int_equal(vm.calls, 1);
    assert_true(memory_reserved(memory, &gpa) == GIB(4) && gpa == GIB(4));
    assert_null(memory_pointer(memory, gpa, 1));
    assert_int_equal(memory_plug(memory, gpa + MIB(2), MIB(2), &error), 0);
    assert_int_equal(vm.calls, 2);
    assert_int_equal(vm.regions[1].guest_phys_addr, gpa);
    assert_int_equal(vm.regions[1].memory_size, MIB(256));
    assert_true(memory_fill(memory, gpa + MIB(2), 1, MIB(2)));
    assert_int_equal(memory_plug(memory, gpa + MIB(4), MIB(512), &error), 0); // in three chunks, two of them new
    assert_int_equal(vm.calls, 4);
    memory_unplug(memory, gpa + MIB(2), MIB(2));
    assert_int_equal(vm.calls, 4);
    u8 byte = 7;
    assert_true(memory_read(memory, gpa + MIB(2), &byte, 1));
    assert_int_equal(byte, 0);
    memory_unplug(memory, gpa + MIB(4), MIB(512));
    assert_int_equal(vm.calls, 7);
    assert_int_equal(vm.regions[6].memory_size, 0);
    assert_null(memory_pointer(memory, gpa, 1));
    assert_int_equal(memory_plug(memory, gpa + GIB(4) - MIB(2), MIB(4), &error), -1);
    assert_int_equal(memory_plug(memory, MIB(2), MIB(2), &error), -1);
    vm.refuse = -12;
    assert_int_equal(memory_plug(memory, gpa, MIB(2), &error), -1);
    assert_null(memory_pointer(memory, gpa, 1));
    vm.refuse = 0;
    memory_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),  cmocka_unit_test(test_hole),  cmocka_unit_test(test_refused_sizes),
        cmocka_unit_test(test_engine), cmocka_unit_test(test_dirty), cmocka_unit_test(test_load),
        cmocka_unit_test(test_release), cmocka_unit_test(test_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
