// Whole VMs that stand still: paused and resumed, saved and restored, at any moment of a guest that does nothing but
// what has a middle (device accesses of every kind) and ends its VM when one of them comes out wrong or its time runs
// back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "machine/vcpu_clock.h"
#include "worker/host.h"
#include "worker/vm.h"

#include "worker_image.h"

enum { COUNTER = 0x200000, PAUSES = 300, SAVES = 25, PATIENCE_S = 60 };

// 32-bit code, from IMAGE_CODE.
static const u8 code[] = {
    0xbb, 0x00, 0x00, 0x20, 0x00,                               //     mov ebx, COUNTER
    0x0f, 0x31, 0x89, 0x43, 0x08, 0x89, 0x53, 0x0c,             //     rdtsc; mov [ebx+8], eax; mov [ebx+12], edx
    0xff, 0x03,                                                 // 1:  inc dword [ebx]
    0xc7, 0x05, 0x00, 0x00, 0xc0, 0xfe, 0x01, 0x00, 0x00, 0x00, //     mov dword [IOAPIC select], 1
    0x81, 0x3d, 0x10, 0x00, 0xc0, 0xfe, 0x20, 0x00, 0x17, 0x00, //     cmp dword [IOAPIC window], its version
    0x75, 0x47,                                                 //     jne 2f
    0x8b, 0x03, 0xe7, 0xe0, 0xe5, 0xe0,                         //     mov eax, [ebx]; out 0xe0, eax; in eax, 0xe0
    0x39, 0x03, 0x75, 0x3d,                                     //     cmp [ebx], eax; jne 2f
    0xbf, 0x00, 0x00, 0x21, 0x00,                               //     mov edi, 0x210000
    0x66, 0xba, 0xe0, 0x00, 0x0f, 0xb7, 0xd2,                   //     mov dx, 0xe0; movzx edx, dx
    0xb9, 0x04, 0x00, 0x00, 0x00, 0xfc, 0xf3, 0x6c,             //     mov ecx, 4; cld; rep insb
    0x66, 0xba, 0x10, 0x05, 0x66, 0xb8, 0x03, 0x00, 0x66, 0xef, //     mov dx, 0x510; mov ax, 3 (RAM size); out dx, ax
    0x42, 0xec, 0xec, 0xec, 0xec,                               //     inc edx; in al, dx, four times
    0x3c, 0x01, 0x75, 0x16,                                     //     cmp al, 1 (it is 0x1000000); jne 2f
    0x0f, 0x31, 0x89, 0xc6, 0x89, 0xd7,                         //     rdtsc; mov esi, eax; mov edi, edx
    0x2b, 0x43, 0x08, 0x1b, 0x53, 0x0c, 0x72, 0x08,             //     sub eax, [ebx+8]; sbb edx, [ebx+12]; jc 2f
    0x89, 0x73, 0x08, 0x89, 0x7b, 0x0c, 0xeb, 0xa1,             //     mov [ebx+8], esi; mov [ebx+12], edi; jmp 1b
    0xb0, 0x01, 0xe6, 0xf4, 0xf4,                               // 2:  mov al, 1; out 0xf4, al; hlt
};

struct setup {
    char image[64], console[64], file[64];
    struct run_options options;
    struct host host;
    struct vm *vm;
};

static void create_vm(struct setup *setup)
{
    struct error error = {""};
    setup->vm = vm_create(&setup->options, &engine_soft, &setup->host, &error);
    if (!setup->vm)
        fail_msg("%s", error.text);
}

// Not a fixture's: cmocka takes the engine's signals (SIGSEGV...) away between a fixture and its test.
static struct setup *begin(void)
{
    struct setup *setup = calloc(1, sizeof *setup);
    struct error error = {""};
    snprintf(setup->image, sizeof setup->image, "/tmp/nidus-test-state-%d", getpid());
    snprintf(setup->console, sizeof setup->console, "socket:/tmp/nidus-test-console-%d", getpid());
    snprintf(setup->file, sizeof setup->file, "/tmp/nidus-test-saved-%d", getpid());
    image_write(setup->image, code, sizeof code);
    char *words[] = {"run", "--engine", "soft", "--memory", "16M", "--cpus", "2", "--debug-exit", "--net", "user",
                     "--kernel", setup->image, "--console", setup->console};
    if (run_options_parse(&setup->options, ARRAY_SIZE(words), words, &error) ||
        host_open(&setup->host, &setup->options, &error))
        fail_msg("%s", error.text);
    create_vm(setup);
    if (vm_load(setup->vm, &error) || vm_start(setup->vm, &error))
        fail_msg("%s", error.text);
    return setup;
}

static void destroy_vm(struct setup *setup)
{
    vm_stop(setup->vm);
    vm_destroy(setup->vm);
    setup->vm = NULL;
}

static void end(struct setup *setup)
{
    if (setup->vm)
        destroy_vm(setup);
    host_close(&setup->host);
    unlink(setup->image);
    unlink(setup->file);
    run_options_free(&setup->options);
    free(setup);
}

static u32 counter(struct setup *setup)
{
    u32 *place = memory_pointer(board_memory(setup->vm->board), COUNTER, 4);
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static void await_more_than(struct setup *setup, u32 count)
{
    time_t late = time(NULL) + PATIENCE_S;
    while (counter(setup) <= count) {
        if (atomic_load(&setup->vm->over))
            fail_msg("the VM ended (%d): %s", setup->vm->ending.kind, setup->vm->ending.text.text);
        if (time(NULL) > late)
            fail_msg("the guest stands at %u", count);
        sched_yield();
    }
}

static void test_pause_at_any_moment(void **state)
{
    (void)state;
    struct setup *setup = begin();
    struct error error = {""};
    await_more_than(setup, 0);
    for (unsigned i = 0; i < PAUSES; i++) {
        if (vm_pause(setup->vm, &error))
            fail_msg("%s", error.text);
        u32 count = counter(setup);
        sched_yield();
        assert_int_equal(counter(setup), count);
        if (vm_resume(setup->vm, &error))
            fail_msg("%s", error.text);
        await_more_than(setup, count + i % 7);
    }
    end(setup);
}

static void test_time_stands_still(void **state)
{
    (void)state;
    struct setup *setup = begin();
    await_more_than(setup, 10);
    assert_int_equal(vm_pause(setup->vm, NULL), 0);
    u64 paused = vcpu_clock_host_tsc(), tsc[2] = {setup->vm->vcpus[0].clock.tsc, setup->vm->vcpus[1].clock.tsc};
    while (vcpu_clock_host_tsc() - paused < 100000000)
        sched_yield();
    u64 resuming = vcpu_clock_host_tsc();
    assert_int_equal(vm_resume(setup->vm, NULL), 0);
    assert_int_equal(vm_pause(setup->vm, NULL), 0);
    u64 at_most = vcpu_clock_host_tsc() - resuming;
    for (unsigned i = 0; i < 2; i++)
        assert_in_range(setup->vm->vcpus[i].clock.tsc - tsc[i], 0, at_most);
    assert_int_equal(setup->vm->vcpus[0].clock.tsc - tsc[0], setup->vm->vcpus[1].clock.tsc - tsc[1]);
    assert_int_equal(vm_pause(setup->vm, NULL), 0); // twice is once
    assert_int_equal(vm_resume(setup->vm, NULL), 0);
    assert_int_equal(vm_resume(setup->vm, NULL), 0);
    end(setup);
}

static void pause_and_save(struct setup *setup, int fd)
{
    struct error error = {""};
    assert_int_equal(vm_save(setup->vm, fd, &error), -1);
    assert_non_null(strstr(error.text, "it is not paused"));
    if (vm_pause(setup->vm, &error) || vm_save(setup->vm, fd, &error))
        fail_msg("%s", error.text);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
}

static void test_save_and_go_on(void **state)
{
    (void)state;
    struct setup *setup = begin();
    struct error error = {""};
    for (unsigned i = 0; i < SAVES; i++) {
        await_more_than(setup, counter(setup) + i);
        int fd = memfd_create("state", MFD_CLOEXEC);
        pause_and_save(setup, fd);
        u32 count = counter(setup);
        u64 tsc = setup->vm->vcpus[0].clock.tsc;
        destroy_vm(setup);
        create_vm(setup);
        if (vm_restore(setup->vm, fd, &error) || vm_start(setup->vm, &error))
            fail_msg("%s", error.text);
        close(fd);
        assert_int_equal(counter(setup), count);
        assert_int_equal(setup->vm->vcpus[0].clock.tsc, tsc);
        if (vm_resume(setup->vm, &error))
            fail_msg("%s", error.text);
        await_more_than(setup, count + 3);
    }
    end(setup);
}

// Saved, restored and saved again without having run, it is the same.
static void test_a_state_restored_is_the_state(void **state)
{
    (void)state;
    struct setup *setup = begin();
    struct error error = {""};
    struct stat status[2];
    int fd[2] = {memfd_create("a", MFD_CLOEXEC), memfd_create("b", MFD_CLOEXEC)};
    await_more_than(setup, 100);
    pause_and_save(setup, fd[0]);
    destroy_vm(setup);
    create_vm(setup);
    if (vm_restore(setup->vm, fd[0], &error) || vm_save(setup->vm, fd[1], &error))
        fail_msg("%s", error.text);
    assert_int_equal(fstat(fd[0], &status[0]), 0);
    assert_int_equal(fstat(fd[1], &status[1]), 0);
    assert_int_equal(status[0].st_size, status[1].st_size);
    const u8 *a = mmap(NULL, (size_t)status[0].st_size, PROT_READ, MAP_PRIVATE, fd[0], 0);
    const u8 *b = mmap(NULL, (size_t)status[0].st_size, PROT_READ, MAP_PRIVATE, fd[1], 0);
    // The rate of the time-stamp counter is measured by each VM; it is in the sections before memory's.
    size_t memory = (size_t)((u8 *)memmem(a, (size_t)status[0].st_size, "memory", 6) - a);
    assert_in_range(memory, 100, 32768);
    assert_memory_equal(a + memory, b + memory, (size_t)status[0].st_size - memory);
    munmap((void *)(uintptr_t)a, (size_t)status[0].st_size);
    munmap((void *)(uintptr_t)b, (size_t)status[0].st_size);
    close(fd[0]);
    close(fd[1]);
    end(setup);
}

static void test_damaged_states(void **state)
{
    (void)state;
    struct setup *setup = begin();
    int fd = memfd_create("state", MFD_CLOEXEC);
    struct stat status;
    await_more_than(setup, 100);
    pause_and_save(setup, fd);
    assert_int_equal(fstat(fd, &status), 0);
    destroy_vm(setup);
    u8 *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    u64 seed = 1;
    for (unsigned i = 0; i < 40; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t at = (seed >> 20) % (size_t)status.st_size;
        u8 before = bytes[at];
        bytes[at] ^= (u8)(1u << i % 8);
        struct error error = {""};
        create_vm(setup);
        lseek(fd, 0, SEEK_SET);
        assert_int_equal(vm_restore(setup->vm, fd, &error), -1);
        assert_non_null(strstr(error.text, "cannot restore 'vm': "));
        destroy_vm(setup);
        bytes[at] = before;
    }
    munmap(bytes, (size_t)status.st_size);
    for (unsigned i = 0; i < 5; i++) { // cut off
        assert_int_equal(ftruncate(fd, status.st_size - 1 - i * status.st_size / 6), 0);
        create_vm(setup);
        lseek(fd, 0, SEEK_SET);
        assert_int_equal(vm_restore(setup->vm, fd, NULL), -1);
        destroy_vm(setup);
    }
    close(fd);
    end(setup);
}

static void refused_with(struct setup *setup, int fd, const char *words)
{
    struct error error = {""};
    create_vm(setup);
    lseek(fd, 0, SEEK_SET);
    assert_int_equal(vm_restore(setup->vm, fd, &error), -1);
    if (!strstr(error.text, words))
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
    destroy_vm(setup);
}

static void test_other_parts(void **state)
{
    (void)state;
    struct setup *setup = begin();
    const struct run_options right = setup->options;
    int fd = memfd_create("state", MFD_CLOEXEC);
    await_more_than(setup, 0);
    pause_and_save(setup, fd);
    destroy_vm(setup);
    setup->options.memory_bytes = MIB(17);
    refused_with(setup, fd, "it has 16384 KiB of memory, and this VM 17408: --memory 16384K");
    setup->options = right;
    setup->options.cpus = 1;
    refused_with(setup, fd, "it has 2 processors, and this VM 1: --cpus 2");
    setup->options = right;
    setup->options.nested = false;
    refused_with(setup, fd, "hypervisors can run in it, and cannot in this VM: --nested on");
    setup->options = right;
    setup->options.debug_exit = false;
    refused_with(setup, fd, "it was started with --debug-exit, and this VM without");
    setup->options = right;
    setup->options.adapters[0].present = false;
    refused_with(setup, fd, "it has 5 virtio devices, and this VM 4");
    setup->options = right;
    close(fd);
    end(setup);
}

static void test_files(void **state)
{
    (void)state;
    struct setup *setup = begin();
    struct error error = {""};
    struct stat status;
    char fresh[80];
    await_more_than(setup, 0);
    assert_int_equal(vm_pause(setup->vm, NULL), 0);
    assert_int_equal(vm_save_file(setup->vm, "/nonexistent/file", &error), -1);
    assert_non_null(strstr(error.text, "'/nonexistent/file': its folder cannot be opened: No such file or directory"));
    // It runs on after that, and can be saved somewhere else; what was there is replaced.
    u32 count = counter(setup);
    assert_int_equal(vm_resume(setup->vm, NULL), 0);
    await_more_than(setup, count);
    int fd = open(setup->file, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write(fd, "old", 3), 3);
    close(fd);
    assert_int_equal(vm_pause(setup->vm, NULL), 0);
    if (vm_save_file(setup->vm, setup->file, &error))
        fail_msg("%s", error.text);
    assert_int_equal(stat(setup->file, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    snprintf(fresh, sizeof fresh, "%s.new", setup->file);
    assert_int_equal(stat(fresh, &status), -1);
    count = counter(setup);
    destroy_vm(setup);
    create_vm(setup);
    assert_int_equal(vm_restore_file(setup->vm, "/nonexistent", &error), -1);
    destroy_vm(setup);
    create_vm(setup);
    if (vm_restore_file(setup->vm, setup->file, &error) || vm_start(setup->vm, &error) || vm_resume(setup->vm, &error))
        fail_msg("%s", error.text);
    await_more_than(setup, count);
    destroy_vm(setup);
    create_vm(setup);
    assert_int_equal(vm_restore_file(setup->vm, setup->image, &error), -1);
    assert_non_null(strstr(error.text, "this is no saved state of nidus"));
    end(setup);
}

static void test_stopped_while_paused(void **state)
{
    (void)state;
    struct setup *setup = begin();
    await_more_than(setup, 0);
    assert_int_equal(vm_pause(setup->vm, NULL), 0);
    destroy_vm(setup);
    create_vm(setup);
    assert_int_equal(vm_load(setup->vm, NULL), 0);
    assert_int_equal(vm_start(setup->vm, NULL), 0);
    vm_end(setup->vm, VM_ENDED, 0, "%s", "");
    struct error error = {""};
    assert_int_equal(vm_pause(setup->vm, &error), -1);
    assert_non_null(strstr(error.text, "it has just ended"));
    end(setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause_at_any_moment),
        cmocka_unit_test(test_time_stands_still),
        cmocka_unit_test(test_save_and_go_on),
        cmocka_unit_test(test_a_state_restored_is_the_state),
        cmocka_unit_test(test_damaged_states),
        cmocka_unit_test(test_other_parts),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_stopped_while_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
