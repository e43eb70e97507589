// The soft engine's side: a long-mode guest that is nothing but page tables, an IDT whose handlers do one OUT each, and
// an IRETQ. KVM_RUN starts at the IRETQ with a frame that leads to the case at CPL 3, and comes back with the number of
// the exception as the port; what the processor pushed tells the rest. So a case costs one KVM_RUN, four instructions
// long plus the case's.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/engine.h"
#include "random.h"

#define KERNEL_BASE 0xffff800000000000ull
enum {
    RAM_BYTES = 4 << 20, TABLES_GPA = 0x10000, TABLES_END = 0x20000, GDT_GPA = 0x20000, IDT_GPA = 0x21000,
    TSS_GPA = 0x22000,
    STACK_GPA = 0x23000, STACK_TOP = 0x24000, HANDLER_GPA = 0x24000, GO_GPA = 0x25000, FRAME_GPA = 0x23100,
    FRAME_ALIAS = 0x8100,
    CODE_GPA = 0x100000, DATA_GPA = 0x200000, LDT_GPA = 0x26000, KERNEL_END = 0x27000, HANDLER_STEP = 16, VECTORS = 32,
};
enum { KERNEL_CS = 0x10, KERNEL_DS = 0x18, TSS_SELECTOR = 0x40, LDT_SELECTOR = 0x50 };
enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40 };
#define PTE_NX (1ull << 63)

static struct {
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;
    struct kvm_run *run;
    u8 *ram;
    const u8 *pristine;
    u64 tables;
} guest;

__attribute__((noreturn)) static void die(const char *what, long result)
{
    fprintf(stderr, "random: soft engine: %s: %ld\n", what, result);
    exit(2);
}

static void vcpu(const char *name, unsigned long request, void *argument)
{
    int result = engine_soft.vcpu_ioctl(guest.vcpu, request, argument);
    if (result < 0)
        die(name, result);
}

static u64 *table_entry(u64 *table, u64 linear, unsigned level)
{
    return &table[linear >> (12 + 9 * level) & 511];
}

static void map_page(u64 linear, u64 gpa, u64 flags)
{
    u64 *table = (u64 *)(guest.ram + TABLES_GPA);
    for (unsigned level = 3; level > 0; level--) {
        u64 *entry = table_entry(table, linear, level);
        if (!*entry) {
            *entry = guest.tables | PTE_P | PTE_W | PTE_U | PTE_A;
            guest.tables += PAGE_BYTES;
            if (guest.tables > TABLES_END)
                die("page tables", (long)guest.tables);
        }
        table = (u64 *)(guest.ram + (*entry & ~0xfffull));
    }
    *table_entry(table, linear, 0) = gpa | flags | PTE_P | PTE_A | PTE_D;
}

static void map_all(void)
{
    guest.tables = TABLES_GPA + PAGE_BYTES;
    for (u64 gpa = GDT_GPA; gpa < KERNEL_END; gpa += PAGE_BYTES)
        map_page(KERNEL_BASE + gpa, gpa, PTE_W);
    map_page((KERNEL_BASE + FRAME_ALIAS) & -(u64)PAGE_BYTES, STACK_GPA, PTE_W);
    for (u64 i = 0; i < CODE_REGION; i += PAGE_BYTES)
        map_page(CODE_BASE + i, CODE_GPA + i, PTE_U);
    for (u64 i = 0; i < DATA_MAPPED; i += PAGE_BYTES)
        map_page(DATA_BASE + i, DATA_GPA + i, PTE_NX | PTE_U | (i < DATA_WRITABLE ? PTE_W : 0));
}

static u64 descriptor(u64 access) { return 0xffff | 0xfull << 48 | access << 40; }

static u64 small_descriptor(u64 base, u64 limit, u64 access)
{
    return (limit & 0xffff) | (base & 0xffffff) << 16 | access << 40 | (base >> 24 & 0xff) << 56;
}

static void write_kernel(void)
{
    u64 *ldt = (u64 *)(guest.ram + LDT_GPA);
    for (u64 i = 0; i < LDT_CODES; i++)
        ldt[i] = small_descriptor(CODE_BASE + (i << 16), 0xffff, 0xfb);
    ldt[LDT_CODES] = small_descriptor(DATA_BASE, LDT_DATA_LIMIT, 0xf3);
    u64 *gdt = (u64 *)(guest.ram + GDT_GPA), tss = KERNEL_BASE + TSS_GPA, stack = KERNEL_BASE + STACK_TOP;
    gdt[KERNEL_CS / 8] = descriptor(0xa09b);
    gdt[KERNEL_DS / 8] = descriptor(0xc093);
    gdt[USER_CS32 / 8] = descriptor(0xc0fb);
    gdt[USER_DS / 8] = descriptor(0xc0f3);
    gdt[USER_CS64 / 8] = descriptor(0xa0fb);
    gdt[TSS_SELECTOR / 8] = 0x67 | (tss & 0xffffff) << 16 | 0x8bull << 40 | (tss >> 24 & 0xff) << 56;
    gdt[TSS_SELECTOR / 8 + 1] = tss >> 32;
    memcpy(guest.ram + TSS_GPA + 4, &stack, 8);
    memset(guest.ram + TSS_GPA + 0x66, 0xff, 2); // no I/O permission bit map
    for (u64 i = 0; i < VECTORS; i++) {
        u64 handler = KERNEL_BASE + HANDLER_GPA + HANDLER_STEP * i, *gate = (u64 *)(guest.ram + IDT_GPA + 16 * i);
        u64 type = i == 3 || i == 4 ? 0xee : 0x8e;
        gate[0] = (handler & 0xffff) | (u64)KERNEL_CS << 16 | type << 40 | (handler >> 16 & 0xffff) << 48;
        gate[1] = handler >> 32;
        memcpy(guest.ram + HANDLER_GPA + HANDLER_STEP * i, (u8[]){0xe6, (u8)i, 0xf4}, 3); // out %al, $i; hlt
    }
    memcpy(guest.ram + GO_GPA, (u8[]){0x48, 0xcf}, 2); // iretq
}

static struct kvm_segment segment(u16 selector, u64 access, u64 base)
{
    return (struct kvm_segment){
        .base = base, .limit = ~0u, .selector = selector, .type = access & 15, .s = access >> 4 & 1,
        .dpl = access >> 5 & 3,
        .present = access >> 7 & 1, .l = access >> 13 & 1, .db = access >> 14 & 1, .g = access >> 15 & 1,
    };
}

static void set_system_registers(unsigned bits)
{
    struct kvm_sregs sregs;
    vcpu("KVM_GET_SREGS", KVM_GET_SREGS, &sregs);
    sregs.cs = segment(KERNEL_CS, 0xa09b, 0);
    sregs.ss = segment(KERNEL_DS, 0xc093, 0);
    sregs.ds = sregs.es = segment(USER_DS, 0xc0f3, 0);
    if (bits == 16) {
        sregs.ds = sregs.es = segment(LDT_DATA, 0xf3, DATA_BASE);
        sregs.ds.limit = sregs.es.limit = LDT_DATA_LIMIT;
    }
    sregs.ldt = segment(LDT_SELECTOR, 0x82, KERNEL_BASE + LDT_GPA);
    sregs.ldt.limit = 0xff;
    sregs.fs = segment(USER_DS, 0xc0f3, FS_BASE);
    sregs.gs = segment(USER_DS, 0xc0f3, GS_BASE);
    sregs.tr = segment(TSS_SELECTOR, 0x8b, KERNEL_BASE + TSS_GPA);
    sregs.tr.limit = 0x67;
    sregs.gdt = (struct kvm_dtable){.base = KERNEL_BASE + GDT_GPA, .limit = PAGE_BYTES - 1};
    sregs.idt = (struct kvm_dtable){.base = KERNEL_BASE + IDT_GPA, .limit = 16 * VECTORS - 1};
    sregs.cr0 = 0x80050033; // PG AM WP NE ET MP PE
    sregs.cr3 = TABLES_GPA;
    sregs.cr4 = 0x50668 & ~8; // OSXSAVE FSGSBASE OSXMMEXCPT OSFXSR MCE PAE
    sregs.efer = 0xd01;   // NXE LMA LME SCE
    vcpu("KVM_SET_SREGS", KVM_SET_SREGS, &sregs);
}

void guest_create(unsigned bits)
{
    struct engine_config config = {.vendor = ENGINE_VENDOR_INTEL, .vcpus = 1, .trace_fd = -1};
    struct error error = {0};
    if (engine_soft.open(&config, &guest.vm, &error) < 0 ||
        engine_soft.vcpu_create(guest.vm, 0, &guest.vcpu, &error) < 0) {
        fprintf(stderr, "random: %s\n", error.text);
        exit(2);
    }
    guest.run = engine_soft.vcpu_run_area(guest.vcpu);
    int fd = memfd_create("random", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, RAM_BYTES) < 0)
        die("memfd", fd);
    guest.ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    struct kvm_userspace_memory_region region = {.memory_size = RAM_BYTES, .userspace_addr = (u64)guest.ram};
    int result = engine_soft.vm_ioctl(guest.vm, KVM_SET_USER_MEMORY_REGION, &region);
    if (guest.ram == MAP_FAILED || result < 0)
        die("memory", result);
    map_all();
    write_kernel();
    enum { ENTRIES = 128 };
    static u64 room[(sizeof(struct kvm_cpuid2) + ENTRIES * sizeof(struct kvm_cpuid_entry2)) / sizeof(u64)];
    struct kvm_cpuid2 *cpuid = (struct kvm_cpuid2 *)room;
    cpuid->nent = ENTRIES;
    result = engine_soft.vm_ioctl(guest.vm, KVM_GET_SUPPORTED_CPUID, cpuid);
    if (result < 0)
        die("KVM_GET_SUPPORTED_CPUID", result);
    vcpu("KVM_SET_CPUID2", KVM_SET_CPUID2, cpuid);
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0].value = 0xe7};
    vcpu("KVM_SET_XCRS", KVM_SET_XCRS, &xcrs);
    set_system_registers(bits);
}

void guest_begin(const struct test *tests, unsigned count, const u8 data[DATA_MAPPED])
{
    memset(guest.ram + CODE_GPA, 0xcc, CODE_REGION);
    for (unsigned i = 0; i < count; i++)
        memcpy(guest.ram + CODE_GPA + (tests[i].before.rip - CODE_BASE), tests[i].bytes, tests[i].length);
    memcpy(guest.ram + DATA_GPA, data, DATA_MAPPED);
    engine_soft.memory_written(guest.vm, CODE_GPA, CODE_REGION);
    guest.pristine = data;
}

static void exchange_registers(u64 gpr[16], struct kvm_regs *regs, bool set)
{
    __u64 *field[16] = {&regs->rax, &regs->rcx, &regs->rdx, &regs->rbx, &regs->rsp, &regs->rbp, &regs->rsi, &regs->rdi,
                        &regs->r8,  &regs->r9,  &regs->r10, &regs->r11, &regs->r12, &regs->r13, &regs->r14, &regs->r15};
    for (unsigned i = 0; i < 16; i++)
        if (set)
            *field[i] = gpr[i];
        else
            gpr[i] = *field[i];
}

static void enter(const struct test *test)
{
    static struct kvm_xsave xsave;
    struct kvm_regs regs = {.rip = KERNEL_BASE + GO_GPA, .rflags = 2};
    struct state state = test->before;
    u64 code = test->bits == 64 ? USER_CS64 : test->bits == 32 ? USER_CS32 : ldt_code(state.rip);
    u64 stack = test->bits == 16 ? LDT_DATA : USER_DS;
    u64 frame[5] = {state.rip - code_base(test), code, state.flags, state.gpr[4], stack};
    memcpy(guest.ram + FRAME_GPA, frame, sizeof frame);
    area_store(xsave.region, &state.vectors);
    // IRETQ to a 16-bit stack keeps bits 31:16, which Linux makes to be the program's
    state.gpr[4] = KERNEL_BASE + FRAME_ALIAS;
    exchange_registers(state.gpr, &regs, true);
    vcpu("KVM_SET_REGS", KVM_SET_REGS, &regs);
    vcpu("KVM_SET_XSAVE", KVM_SET_XSAVE, &xsave);
}

static bool has_error(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
}

static void leave(struct test *test, unsigned vector)
{
    static struct kvm_xsave xsave;
    struct kvm_regs regs;
    struct state *state = &test->soft;
    vcpu("KVM_GET_REGS", KVM_GET_REGS, &regs);
    vcpu("KVM_GET_XSAVE", KVM_GET_XSAVE, &xsave);
    area_load(&state->vectors, xsave.region);
    exchange_registers(state->gpr, &regs, false);
    u64 frame[6];
    memcpy(frame, guest.ram + STACK_TOP - sizeof frame, sizeof frame);
    state->rip = frame[1] + code_base(test);
    state->flags = frame[3];
    state->gpr[4] = frame[4];
    state->vector = vector;
    state->error = has_error(vector) ? (u32)frame[0] : 0;
    state->cr2 = 0;
    if (vector == 14) {
        struct kvm_sregs sregs;
        vcpu("KVM_GET_SREGS", KVM_GET_SREGS, &sregs);
        state->cr2 = sregs.cr2;
    }
}

bool guest_run(struct test *test, u8 memory[DATA_WRITABLE])
{
    enter(test);
    int result;
    do
        result = engine_soft.vcpu_ioctl(guest.vcpu, KVM_RUN, NULL);
    while (result == -EINTR);
    if (result < 0 || guest.run->exit_reason != KVM_EXIT_IO || guest.run->io.port >= VECTORS) {
        print_test(test);
        die("KVM_RUN", result < 0 ? result : (long)guest.run->exit_reason);
    }
    leave(test, guest.run->io.port);
    u8 *data = guest.ram + DATA_GPA;
    if (!memcmp(data, guest.pristine, DATA_WRITABLE))
        return false;
    memcpy(memory, data, DATA_WRITABLE);
    memcpy(data, guest.pristine, DATA_WRITABLE);
    return true;
}
