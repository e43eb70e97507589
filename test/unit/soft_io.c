// Port I/O of the soft engine as the board sees it: what KVM_RUN returns with, how much of a repeated transfer one exit
// carries, and what the guest has when it goes on. Real-mode code, each piece ended by a write to DONE_PORT.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/soft/signal.h"

enum { RAM = 1 << 20, CODE = 0x1000, DATA = 0x2f00, PORT = 0x123, DONE_PORT = 0x42, LONG = 6000 };

struct guest {
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;
    struct kvm_run *run;
    u8 *ram;
    struct kvm_regs regs;
};

static void call(struct guest *guest, unsigned long request, void *argument)
{
    assert_int_equal(engine_soft.vcpu_ioctl(guest->vcpu, request, argument), 0);
}

static int setup(void **state)
{
    static struct guest guest;
    struct error error = {""};
    guest = (struct guest){0};
    guest.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct engine_config config = {.vendor = ENGINE_VENDOR_INTEL, .vcpus = 1, .trace_fd = -1};
    if (engine_soft.open(&config, &guest.vm, &error) || engine_soft.vcpu_create(guest.vm, 0, &guest.vcpu, &error)) {
        print_error("%s\n", error.text);
        return -1;
    }
    guest.run = engine_soft.vcpu_run_area(guest.vcpu);
    struct kvm_userspace_memory_region region = {.memory_size = RAM, .userspace_addr = (u64)guest.ram};
    assert_int_equal(engine_soft.vm_ioctl(guest.vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
    static u64 room[(sizeof(struct kvm_cpuid2) + 128 * sizeof(struct kvm_cpuid_entry2)) / sizeof(u64)];
    struct kvm_cpuid2 *cpuid = (struct kvm_cpuid2 *)room;
    cpuid->nent = 128;
    assert_int_equal(engine_soft.vm_ioctl(guest.vm, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
    call(&guest, KVM_SET_CPUID2, cpuid);
    *state = &guest;
    return 0;
}

static int teardown(void **state)
{
    struct guest *guest = *state;
    engine_soft.vcpu_destroy(guest->vcpu);
    engine_soft.close(guest->vm);
    munmap(guest->ram, RAM);
    return 0;
}

// Puts the code, followed by the write that ends it, and registers in place.
static void load(struct guest *guest, const void *code, size_t bytes, struct kvm_regs regs)
{
    struct kvm_sregs sregs;
    assert_int_equal(signal_install(), 0); // cmocka put its own handlers there between the fixture and the test
    memcpy(guest->ram + CODE, code, bytes);
    memcpy(guest->ram + CODE + bytes, (u8[]){0xe6, DONE_PORT}, 2);
    engine_soft.memory_written(guest->vm, CODE, bytes + 2);
    call(guest, KVM_GET_SREGS, &sregs);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    call(guest, KVM_SET_SREGS, &sregs);
    regs.rip = CODE;
    regs.rflags |= 2;
    regs.rdx = PORT;
    call(guest, KVM_SET_REGS, &regs);
}

static void run(struct guest *guest, unsigned direction, unsigned size)
{
    call(guest, KVM_RUN, NULL);
    assert_int_equal(guest->run->exit_reason, KVM_EXIT_IO);
    assert_int_equal(guest->run->io.port, PORT);
    assert_int_equal(guest->run->io.direction, direction);
    assert_int_equal(guest->run->io.size, size);
}

static void finish(struct guest *guest)
{
    call(guest, KVM_RUN, NULL);
    assert_int_equal(guest->run->exit_reason, KVM_EXIT_IO);
    assert_int_equal(guest->run->io.port, DONE_PORT);
    call(guest, KVM_GET_REGS, &guest->regs);
}

static u8 *data(struct guest *guest) { return (u8 *)guest->run + guest->run->io.data_offset; }

static void test_out(void **state)
{
    struct guest *guest = *state;
    load(guest, "\xee\xef", 2, (struct kvm_regs){.rax = 0x11223344}); // out dx, al; out dx, ax
    run(guest, KVM_EXIT_IO_OUT, 1);
    assert_int_equal(guest->run->io.count, 1);
    assert_int_equal(data(guest)[0], 0x44);
    run(guest, KVM_EXIT_IO_OUT, 2);
    assert_memory_equal(data(guest), "\x44\x33", 2);
    finish(guest);
}

static void test_in(void **state)
{
    struct guest *guest = *state;
    load(guest, "\xec\x66\xed", 3, (struct kvm_regs){.rax = 0x1111111122222222}); // in al, dx; in eax, dx
    run(guest, KVM_EXIT_IO_IN, 1);
    data(guest)[0] = 0x99;
    run(guest, KVM_EXIT_IO_IN, 4);
    call(guest, KVM_GET_REGS, &guest->regs);
    assert_int_equal(guest->regs.rax, 0x1111111122222299);
    memcpy(data(guest), "\x78\x56\x34\x12", 4);
    finish(guest);
    assert_int_equal(guest->regs.rax, 0x12345678);
}

// A long transfer takes one exit a page, not one an element.
static void test_rep_outs(void **state)
{
    struct guest *guest = *state;
    for (unsigned i = 0; i < LONG; i++)
        guest->ram[DATA + i] = (u8)(i * 7);
    load(guest, "\xf3\x6e", 2, (struct kvm_regs){.rcx = LONG, .rsi = DATA});
    unsigned done = 0, exits = 0;
    while (done < LONG) {
        run(guest, KVM_EXIT_IO_OUT, 1);
        assert_true(done + guest->run->io.count <= LONG);
        assert_memory_equal(data(guest), guest->ram + DATA + done, guest->run->io.count);
        done += guest->run->io.count;
        exits++;
    }
    finish(guest);
    assert_int_equal(guest->regs.rcx, 0);
    assert_int_equal(guest->regs.rsi, DATA + LONG);
    assert_in_range(exits, 2, 4);
}

static void test_rep_ins(void **state)
{
    struct guest *guest = *state;
    memset(guest->ram + DATA, 0, LONG + 2);
    load(guest, "\xf3\x6d", 2, (struct kvm_regs){.rcx = LONG / 2, .rdi = DATA}); // words
    unsigned done = 0;
    while (done < LONG) {
        run(guest, KVM_EXIT_IO_IN, 2);
        for (unsigned i = 0; i < 2 * guest->run->io.count; i++)
            data(guest)[i] = (u8)((done + i) * 5 + 1);
        done += 2 * guest->run->io.count;
    }
    finish(guest);
    assert_int_equal(guest->regs.rcx, 0);
    assert_int_equal(guest->regs.rdi, DATA + LONG);
    for (unsigned i = 0; i < LONG; i++)
        assert_int_equal(guest->ram[DATA + i], (u8)(i * 5 + 1));
    assert_int_equal(guest->ram[DATA + LONG], 0);
}

static void test_rep_ins_down(void **state)
{
    struct guest *guest = *state;
    load(guest, "\xf3\x6c", 2, (struct kvm_regs){.rcx = 5, .rdi = DATA + 4, .rflags = 0x400});
    unsigned done = 0;
    while (done < 5) {
        run(guest, KVM_EXIT_IO_IN, 1);
        for (unsigned i = 0; i < guest->run->io.count; i++)
            data(guest)[i] = (u8)(done + i + 1);
        done += guest->run->io.count;
    }
    finish(guest);
    assert_memory_equal(guest->ram + DATA, "\5\4\3\2\1", 5);
    assert_int_equal(guest->regs.rdi, DATA - 1);
}

static void test_rep_zero(void **state)
{
    struct guest *guest = *state;
    load(guest, "\xf3\x6e\xf3\x6c", 4, (struct kvm_regs){.rsi = DATA, .rdi = DATA});
    finish(guest);
    assert_int_equal(guest->regs.rsi, DATA);
    assert_int_equal(guest->regs.rdi, DATA);
}

// A kick that comes while a write is on its way out loses nothing: it ends KVM_RUN either before or after it.
static void test_kick(void **state)
{
    struct guest *guest = *state;
    load(guest, "\xee", 1, (struct kvm_regs){.rax = 0x5a});
    engine_soft.vcpu_kick(guest->vcpu);
    assert_int_equal(engine_soft.vcpu_ioctl(guest->vcpu, KVM_RUN, NULL), -EINTR);
    run(guest, KVM_EXIT_IO_OUT, 1);
    engine_soft.vcpu_kick(guest->vcpu);
    assert_int_equal(engine_soft.vcpu_ioctl(guest->vcpu, KVM_RUN, NULL), -EINTR);
    finish(guest);
}

// KVM_RUN with immediate_exit completes the exit before, so that the registers tell all there is.
static int leave_at_once(struct guest *guest)
{
    guest->run->immediate_exit = 1;
    int result = engine_soft.vcpu_ioctl(guest->vcpu, KVM_RUN, NULL);
    guest->run->immediate_exit = 0;
    call(guest, KVM_GET_REGS, &guest->regs);
    return result;
}

static void test_immediate_exit_in(void **state)
{
    struct guest *guest = *state;
    load(guest, "\xec\xf3\x6c", 3, (struct kvm_regs){.rcx = 3, .rdi = DATA}); // in al, dx; rep insb
    assert_int_equal(leave_at_once(guest), -EINTR);
    assert_int_equal(guest->regs.rip, CODE); // nothing was begun
    run(guest, KVM_EXIT_IO_IN, 1);
    data(guest)[0] = 0x99;
    assert_int_equal(leave_at_once(guest), -EINTR);
    assert_int_equal(guest->regs.rax, 0x99);
    assert_int_equal(guest->regs.rip, CODE + 1);
    run(guest, KVM_EXIT_IO_IN, 1);
    assert_int_equal(guest->run->io.count, 3);
    memcpy(data(guest), "\1\2\3", 3);
    assert_int_equal(leave_at_once(guest), -EINTR);
    assert_int_equal(guest->regs.rip, CODE + 3);
    assert_int_equal(guest->regs.rcx, 0);
    assert_memory_equal(guest->ram + DATA, "\1\2\3", 3);
    finish(guest);
}

static void run_memory(struct guest *guest, bool write, u64 gpa, unsigned bytes)
{
    assert_int_equal(guest->run->exit_reason, KVM_EXIT_MMIO);
    assert_int_equal(guest->run->mmio.is_write, write);
    assert_int_equal(guest->run->mmio.phys_addr, gpa);
    assert_int_equal(guest->run->mmio.len, bytes);
}

static void test_immediate_exit_memory(void **state)
{
    struct guest *guest = *state;
    struct kvm_sregs sregs;
    load(guest, "\xa1\x00\x00\xfe\x06\x04\x00", 7, (struct kvm_regs){0}); // mov ax, [0]; inc byte [4]
    call(guest, KVM_GET_SREGS, &sregs);
    sregs.ds.base = 2 * RAM;
    call(guest, KVM_SET_SREGS, &sregs);
    call(guest, KVM_RUN, NULL);
    run_memory(guest, false, 2 * RAM, 2);
    memcpy(guest->run->mmio.data, "\x34\x12", 2);
    assert_int_equal(leave_at_once(guest), -EINTR);
    assert_int_equal(guest->regs.rax, 0x1234);
    assert_int_equal(guest->regs.rip, CODE + 3);
    call(guest, KVM_RUN, NULL);
    run_memory(guest, false, 2 * RAM + 4, 1);
    guest->run->mmio.data[0] = 5;
    assert_int_equal(leave_at_once(guest), 0); // an exit of its own
    run_memory(guest, true, 2 * RAM + 4, 1);
    assert_int_equal(guest->run->mmio.data[0], 6);
    assert_int_equal(leave_at_once(guest), -EINTR);
    assert_int_equal(guest->regs.rip, CODE + 7);
    finish(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rep_outs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rep_ins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rep_ins_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rep_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kick, setup, teardown),
        cmocka_unit_test_setup_teardown(test_immediate_exit_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_immediate_exit_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
