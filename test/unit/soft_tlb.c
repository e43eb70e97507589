// The soft TLB: contexts and what chooses them, filling, growing, every flush; and the linear accesses on top of it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "engine/soft/access.h"
#include "engine/soft/mmio.h"
#include "engine/soft/paging.h"
#include "engine/soft/vm.h"
#include "engine/soft/window.h"

enum { RAM = 4 << 20 };
enum { R_ = 1 << ACCESS_READ, W_ = 1 << ACCESS_WRITE, X_ = 1 << ACCESS_EXECUTE, ALL = 7 };

struct fixture {
    struct engine_vm *vm;
    struct cpu *cpu;
    u8 *ram;
    struct ram_page *pages;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->vm = calloc(1, sizeof *f->vm);
    f->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    f->pages = calloc(RAM / PAGE_BYTES, sizeof *f->pages);
    f->vm->slot_count = 1;
    f->vm->slot[0] = (struct ram_slot){.bytes = RAM, .host = f->ram, .pages = f->pages};
    f->cpu = window_create_cpu();
    assert_non_null(f->cpu);
    f->cpu->vm = f->vm;
    f->cpu->id = 3;
    f->cpu->run = calloc(1, sizeof *f->cpu->run);
    f->cpu->physical_mask = (1ull << 40) - 1;
    assert_int_equal(tlb_create(f->cpu), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tlb_destroy(f->cpu);
    free(f->cpu->run);
    window_destroy_cpu(f->cpu);
    free(f->pages);
    munmap(f->ram, RAM);
    free(f->vm);
    free(f);
    return 0;
}

static void paged(struct fixture *f, u64 cr3)
{
    f->cpu->cr0 = CR0_PE | CR0_PG | CR0_WP;
    f->cpu->cr4 = CR4_PAE | CR4_PGE | CR4_PCIDE;
    f->cpu->msr.efer = EFER_LME | EFER_LMA;
    f->cpu->cr3 = cr3;
    tlb_switch(f->cpu);
}

static void fill(struct fixture *f, u64 linear, u64 gpa, unsigned allowed, unsigned note)
{
    tlb_fill(f->cpu, f->cpu->tlb, linear, gpa, f->ram + gpa, allowed, note);
}

static bool hits(struct fixture *f, u64 linear, enum access access)
{
    return tlb_probe(f->cpu->tlb, linear, 1, access) != NULL;
}

static void jump_add(struct fixture *f, u64 linear, void *code)
{
    tlb_jump_fill(f->cpu->tlb, linear, code);
}

static bool jump_has(struct fixture *f, u64 linear)
{
    return tlb_jump_find(f->cpu->tlb, linear) != NULL;
}

static void test_window(void **state)
{
    struct fixture *f = *state;
    struct cpu *same = (struct cpu *)f->cpu->tlb->window;
    same->rip = 0x1234567890;
    assert_int_equal(f->cpu->rip, 0x1234567890);
    assert_ptr_equal((u8 *)f->cpu->tlb->entry, f->cpu->tlb->window + CPU_WINDOW_TLB);
    f->cpu->rip = 5;
    paged(f, 0x1000);
    assert_int_equal(((struct cpu *)f->cpu->tlb->window)->rip, 5);
}

static void test_fill(void **state)
{
    struct fixture *f = *state;
    fill(f, 0x5123, 0x7123, ALL, 0);
    assert_ptr_equal(tlb_probe(f->cpu->tlb, 0x5ff8, 8, ACCESS_WRITE), f->ram + 0x7ff8);
    assert_null(tlb_probe(f->cpu->tlb, 0x5ff9, 8, ACCESS_READ)); // crosses the page
    assert_null(tlb_probe(f->cpu->tlb, 0x4fff, 2, ACCESS_READ));
    assert_false(hits(f, 0x105123, ACCESS_READ));
    assert_int_equal(f->pages[7].writers, 1 << 3);
    fill(f, 0x5000, 0x7000, R_, 0);
    assert_true(hits(f, 0x5000, ACCESS_READ));
    assert_false(hits(f, 0x5000, ACCESS_WRITE));
    assert_false(hits(f, 0x5000, ACCESS_EXECUTE));
}

static void test_write_tags(void **state)
{
    struct fixture *f = *state;
    // A page with translated code: refused.
    atomic_store(&f->pages[8].blocks, (struct block *)f);
    fill(f, 0x5000, 0x8000, ALL, 0);
    assert_false(hits(f, 0x5000, ACCESS_WRITE));
    assert_true(hits(f, 0x5000, ACCESS_READ) && hits(f, 0x5000, ACCESS_EXECUTE));
    assert_int_equal(f->pages[8].writers, 0);
    // The dirty log: refused until the bit is there.
    _Atomic u64 dirty[RAM / PAGE_BYTES / 64] = {0};
    f->vm->slot[0].dirty = dirty;
    fill(f, 0x6000, 0x41000, ALL, 0);
    assert_false(hits(f, 0x6000, ACCESS_WRITE));
    ram_mark_dirty(f->vm, 0x41fff);
    assert_int_equal(dirty[1], 2);
    fill(f, 0x6000, 0x41000, ALL, 0);
    assert_true(hits(f, 0x6000, ACCESS_WRITE));
    f->vm->slot[0].dirty = NULL;
    // Read-only memory.
    f->vm->slot[0].flags = KVM_MEM_READONLY;
    fill(f, 0x7000, 0x42000, ALL, 0);
    assert_false(hits(f, 0x7000, ACCESS_WRITE));
    f->vm->slot[0].flags = 0;
    // Taking write tags back, in every context, by physical page.
    fill(f, 0x9000, 0x43000, ALL, 0);
    struct tlb *first = f->cpu->tlb;
    paged(f, 0x1000);
    fill(f, 0xa000, 0x43000, ALL, 0);
    fill(f, 0xb000, 0x44000, ALL, 0);
    tlb_protect_page(f->cpu, 0x43000);
    assert_false(hits(f, 0xa000, ACCESS_WRITE));
    assert_true(hits(f, 0xa000, ACCESS_READ));
    assert_true(hits(f, 0xb000, ACCESS_WRITE));
    assert_null(tlb_probe(first, 0x9000, 1, ACCESS_WRITE));
}

// More write tags of one page, and more pages, than the reverse map has room for.
static void test_protect(void **state)
{
    struct fixture *f = *state;
    enum { PCIDS = 12, PAGES = 1000 };
    for (unsigned round = 0; round < 2; round++) {
        for (u64 pcid = 1; pcid <= PCIDS; pcid++) {
            paged(f, pcid);
            for (u64 i = 0; i < PAGES; i++)
                fill(f, (i * 3 + pcid) << PAGE_BITS, i << PAGE_BITS, ALL, 0);
        }
        for (u64 i = round; i < PAGES; i += 2)
            tlb_protect_page(f->cpu, i << PAGE_BITS);
        for (u64 pcid = 1; pcid <= PCIDS; pcid++) {
            paged(f, pcid);
            for (u64 i = 0; i < PAGES; i++)
                assert_false(hits(f, (i * 3 + pcid) << PAGE_BITS, ACCESS_WRITE) && i % 2 == round);
            assert_true(hits(f, ((PAGES - 1 - round) * 3 + pcid) << PAGE_BITS, ACCESS_READ));
        }
    }
}

static void test_contexts(void **state)
{
    struct fixture *f = *state;
    struct tlb *off = f->cpu->tlb;
    paged(f, 0x1001);
    struct tlb *one = f->cpu->tlb;
    assert_ptr_not_equal(one, off);
    fill(f, 0x5000, 0x7000, ALL, 0);
    paged(f, 0x1002); // another PCID
    struct tlb *two = f->cpu->tlb;
    assert_ptr_not_equal(one, two);
    assert_false(hits(f, 0x5000, ACCESS_READ));
    paged(f, 0x9001); // the same PCID: nothing was flushed
    assert_ptr_equal(f->cpu->tlb, one);
    assert_true(hits(f, 0x5000, ACCESS_READ));
    f->cpu->cpl = 3;
    tlb_switch(f->cpu);
    assert_ptr_not_equal(f->cpu->tlb, one);
    assert_int_equal(f->cpu->tlb->key.role, TLB_USER);
    f->cpu->cpl = 0;
    f->cpu->cr4 |= CR4_SMAP;
    tlb_switch(f->cpu);
    assert_int_equal(f->cpu->tlb->key.role, TLB_SUPERVISOR);
    f->cpu->rflags |= FLAG_AC;
    tlb_switch(f->cpu);
    assert_int_equal(f->cpu->tlb->key.role, TLB_SUPERVISOR_AC);
    // Implicit supervisor accesses do not profit from AC.
    assert_int_equal(tlb_context(f->cpu, TLB_SUPERVISOR)->key.role, TLB_SUPERVISOR);
    f->cpu->cr4 &= ~CR4_SMAP;
    f->cpu->rflags = 0;
    tlb_switch(f->cpu);
    assert_ptr_equal(f->cpu->tlb, one);
    // Guest mode, its VPID and its EPT pointer.
    f->cpu->guest_mode = true;
    f->cpu->vpid = 1;
    f->cpu->eptp = 0x10000;
    tlb_switch(f->cpu);
    struct tlb *guest = f->cpu->tlb;
    assert_ptr_not_equal(guest, one);
    f->cpu->eptp = 0x20000;
    tlb_switch(f->cpu);
    assert_ptr_not_equal(guest, f->cpu->tlb);
    f->cpu->eptp = 0x10000;
    tlb_switch(f->cpu);
    assert_ptr_equal(guest, f->cpu->tlb);
}

static void test_recycling(void **state)
{
    struct fixture *f = *state;
    paged(f, 1);
    fill(f, 0x5000, 0x7000, ALL, 0);
    for (u64 pcid = 2; pcid < 300; pcid++) {
        paged(f, pcid);
        assert_false(hits(f, 0x5000, ACCESS_READ));
        fill(f, 0x5000, 0x7000 + ((pcid & 15) << PAGE_BITS), ALL, 0);
        jump_add(f, 0x5000, f);
        if (pcid % 7 == 0) { // stays in use
            paged(f, 1);
            assert_true(hits(f, 0x5000, ACCESS_READ));
        }
    }
    paged(f, 2);
    assert_false(hits(f, 0x5000, ACCESS_READ));
    assert_false(jump_has(f, 0x5000));
}

static void test_growth(void **state)
{
    struct fixture *f = *state;
    paged(f, 1);
    u64 pages = 3000;
    for (unsigned round = 0; round < 20; round++)
        for (u64 i = 0; i < pages; i++)
            if (!hits(f, 0x100000 + i * PAGE_BYTES, ACCESS_READ))
                fill(f, 0x100000 + i * PAGE_BYTES, (i & 1023) << PAGE_BITS, ALL, 0);
    assert_true(f->cpu->tlb->mask >= (4096 - 1) * sizeof(struct tlb_entry));
    assert_int_equal(f->cpu->tlb_mask, f->cpu->tlb->mask);
    for (u64 i = 0; i < pages; i++)
        assert_ptr_equal(tlb_probe(f->cpu->tlb, 0x100000 + i * PAGE_BYTES + 5, 1, ACCESS_WRITE),
                         f->ram + ((i & 1023) << PAGE_BITS) + 5);
    assert_true(f->cpu->tlb->logged <= f->cpu->tlb->mask / sizeof(struct tlb_entry) + 1);
    tlb_flush_page(f->cpu, 0, 0x100000, -1);
    assert_false(hits(f, 0x100000, ACCESS_READ));
    tlb_flush_all(f->cpu);
    for (u64 i = 0; i < pages; i++)
        assert_false(hits(f, 0x100000 + i * PAGE_BYTES, ACCESS_READ));
}

static void test_flush_page(void **state)
{
    struct fixture *f = *state;
    paged(f, 1);
    fill(f, 0x5000, 0x7000, ALL, 0);
    fill(f, 0x6000, 0x8000, ALL, TLB_NOTE_GLOBAL);
    fill(f, 0x7000, 0x9000, ALL, 0);
    paged(f, 2);
    fill(f, 0x5000, 0x7000, ALL, 0);
    fill(f, 0x6000, 0x8000, ALL, TLB_NOTE_GLOBAL);
    tlb_flush_page(f->cpu, 0, 0x5abc, 2);
    tlb_flush_page(f->cpu, 0, 0x6abc, 2);
    assert_false(hits(f, 0x5000, ACCESS_READ) || hits(f, 0x6000, ACCESS_READ));
    paged(f, 1);
    assert_true(hits(f, 0x5000, ACCESS_READ)); // another PCID's
    assert_false(hits(f, 0x6000, ACCESS_READ)); // global
    assert_true(hits(f, 0x7000, ACCESS_WRITE));
    tlb_flush_page(f->cpu, 0, 0x5000, -1);
    assert_false(hits(f, 0x5000, ACCESS_READ));
    tlb_flush_page(f->cpu, 9, 0x7000, -1); // no such VPID
    assert_true(hits(f, 0x7000, ACCESS_READ));
    // The index may be filled again after a flush of its page, and is still flushed with all.
    fill(f, 0x5000, 0x7000, ALL, 0);
    tlb_flush_pcid(f->cpu, 0, 1, false);
    assert_false(hits(f, 0x5000, ACCESS_READ) || hits(f, 0x7000, ACCESS_READ));
}

static void test_flush_large(void **state)
{
    struct fixture *f = *state;
    paged(f, 1);
    fill(f, 0x40200000, 0x7000, ALL, TLB_NOTE_LARGE);
    fill(f, 0x402ff000, 0x8000, ALL, TLB_NOTE_LARGE);
    fill(f, 0x40800000, 0x8000, ALL, TLB_NOTE_LARGE);
    fill(f, 0x40001000, 0x9000, ALL, 0);
    fill(f, 0x80005000, 0xa000, ALL, TLB_NOTE_HUGE);
    fill(f, 0xc0006000, 0xb000, ALL, TLB_NOTE_HUGE);
    tlb_flush_page(f->cpu, 0, 0x40280000, 1);
    assert_false(hits(f, 0x40200000, ACCESS_READ) || hits(f, 0x402ff000, ACCESS_READ));
    assert_true(hits(f, 0x40800000, ACCESS_READ));
    assert_true(hits(f, 0x40001000, ACCESS_READ));
    assert_true(hits(f, 0x80005000, ACCESS_READ));
    tlb_flush_page(f->cpu, 0, 0xbffff000, 1);
    assert_false(hits(f, 0x80005000, ACCESS_READ));
    assert_true(hits(f, 0xc0006000, ACCESS_READ));
}

static void test_flush_sets(void **state)
{
    struct fixture *f = *state;
    paged(f, 1);
    fill(f, 0x5000, 0x7000, ALL, 0);
    fill(f, 0x6000, 0x8000, ALL, TLB_NOTE_GLOBAL);
    jump_add(f, 0x6010, f);
    tlb_flush_pcid(f->cpu, 0, 1, true); // MOV to CR3
    assert_false(hits(f, 0x5000, ACCESS_READ));
    assert_true(hits(f, 0x6000, ACCESS_WRITE));
    assert_false(jump_has(f, 0x6010));
    tlb_flush_page(f->cpu, 0, 0x6000, 7); // still known as global
    assert_false(hits(f, 0x6000, ACCESS_READ));
    fill(f, 0x6000, 0x8000, ALL, TLB_NOTE_GLOBAL);
    tlb_flush_pcid(f->cpu, 0, 1, false);
    assert_false(hits(f, 0x6000, ACCESS_READ));

    struct tlb *tlb[3];
    for (unsigned i = 0; i < 3; i++) {
        f->cpu->guest_mode = i > 0;
        f->cpu->vpid = (u16)i;
        f->cpu->eptp = i * 0x10000 | (i ? 0x1e : 0);
        tlb_switch(f->cpu);
        tlb[i] = f->cpu->tlb;
    }
#define FILL_ALL() \
    for (unsigned i = 0; i < 3; i++) \
        tlb_fill(f->cpu, tlb[i], 0x5000, 0x7000, f->ram + 0x7000, ALL, 0)
#define STATE() \
    ((tlb_probe(tlb[0], 0x5000, 1, ACCESS_READ) != NULL) | (tlb_probe(tlb[1], 0x5000, 1, ACCESS_READ) != NULL) << 1 | \
     (tlb_probe(tlb[2], 0x5000, 1, ACCESS_READ) != NULL) << 2)
    FILL_ALL();
    assert_int_equal(STATE(), 7);
    tlb_flush_vpid(f->cpu, 1, false);
    assert_int_equal(STATE(), 5);
    tlb_flush_vpids(f->cpu);
    assert_int_equal(STATE(), 1);
    FILL_ALL();
    tlb_flush_eptp(f->cpu, 0x2005e); // the flags of the EPT pointer do not matter
    assert_int_equal(STATE(), 3);
    tlb_flush_eptp(f->cpu, 0);
    assert_int_equal(STATE(), 1);
    FILL_ALL();
    tlb_flush_all(f->cpu);
    assert_int_equal(STATE(), 0);
}

static void test_jumps(void **state)
{
    struct fixture *f = *state;
    paged(f, 1);
    fill(f, 0x5000, 0x7000, ALL, 0);
    fill(f, 0x6000, 0x8000, R_ | W_, 0);
    jump_add(f, 0x5123, f);
    tlb_flush_page(f->cpu, 0, 0x6000, 1); // no code there
    assert_true(jump_has(f, 0x5123));
    // Evicted by another page of the same index: stays, but a flush still knows.
    fill(f, 0x5000 + (PAGE_BYTES << TLB_MIN_BITS), 0x9000, R_, 0);
    assert_false(hits(f, 0x5000, ACCESS_EXECUTE));
    assert_true(jump_has(f, 0x5123));
    tlb_flush_page(f->cpu, 0, 0x5000, 1);
    assert_false(jump_has(f, 0x5123));
    // Losing the right to execute, or pointing elsewhere, without a flush.
    fill(f, 0x5000, 0x7000, ALL, 0);
    jump_add(f, 0x5123, f);
    fill(f, 0x5000, 0x7000, R_, 0);
    assert_false(jump_has(f, 0x5123));
    fill(f, 0x5000, 0x7000, ALL, 0);
    jump_add(f, 0x5123, f);
    fill(f, 0x5000, 0xa000, ALL, 0);
    assert_false(jump_has(f, 0x5123));
    // Another mode: the code was translated for the old one.
    jump_add(f, 0x5123, f);
    f->cpu->mode_word = 77;
    tlb_switch(f->cpu);
    assert_false(jump_has(f, 0x5123));
    // A block goes: by any of the addresses it may have, and only it.
    jump_add(f, 0x5123, f);
    jump_add(f, 0x5134, f->vm);
    tlb_forget_block(f->cpu, 0xa123, f->vm);
    assert_true(jump_has(f, 0x5123));
    tlb_forget_block(f->cpu, 0xa123, f);
    assert_false(jump_has(f, 0x5123));
    assert_true(jump_has(f, 0x5134));
    tlb_forget_code(f->cpu, NULL);
    assert_false(jump_has(f, 0x5134));
}

static void test_access(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu;
    access_write(cpu, 0x4ffc, 8, 0x1122334455667788); // crosses a page
    assert_int_equal(access_read(cpu, 0x4ffc, 8), 0x1122334455667788);
    assert_int_equal(*(u32 *)(f->ram + 0x5000), 0x11223344);
    assert_int_equal(access_read(cpu, 0x4ffd, 2), 0x6677);
    u8 block[9000], back[9000];
    for (unsigned i = 0; i < sizeof block; i++)
        block[i] = (u8)(i * 7);
    access_write_block(cpu, 0x10123, block, sizeof block);
    access_read_block(cpu, 0x10123, back, sizeof back);
    assert_memory_equal(block, back, sizeof block);
    assert_memory_equal(f->ram + 0x10123, block, sizeof block);
    assert_ptr_equal(access_pointer(cpu, 0x20010, 8, ACCESS_WRITE), f->ram + 0x20010);
    assert_null(access_pointer(cpu, 0x20ffc, 8, ACCESS_READ));
    u64 expected = 5;
    assert_false(access_compare_exchange(cpu, 0x30001, 8, &expected, 9));
    assert_int_equal(expected, 0);
    assert_true(access_compare_exchange(cpu, 0x30001, 4, &expected, 9));
    assert_int_equal(access_read(cpu, 0x30001, 8), 9);
    // Physical memory, and what is none.
    physical_write(cpu, 0x3000, 4, 0xaabbccdd);
    assert_int_equal(physical_read(cpu, 0x3001, 2), 0xbbcc);
    assert_int_equal(physical_read(cpu, RAM, 4), 0xffffffff);
    assert_int_equal(physical_read(cpu, RAM - 2, 4), 0xffffffff);
    physical_write(cpu, RAM - 2, 4, 0);
}

static void test_slow(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu;
    assert_ptr_equal(access_slow(cpu, 0x5008, 8, 3), f->ram + 0x5008);
    assert_null(cpu->loan.data);
    // A page crossing over neighbours in RAM needs no copy.
    assert_ptr_equal(access_slow(cpu, 0x5ffc, 8, 3), f->ram + 0x5ffc);
    // Over pages that are no neighbours: a copy, as aligned as the original, and put back.
    paged(f, 1);
    fill(f, 0x5000, 0x7000, ALL, 0);
    u64 *pml4 = (u64 *)(f->ram + 0x100000), *pdpt = pml4 + 512, *pd = pdpt + 512, *pt = pd + 512;
    pml4[0] = 0x101003, pdpt[0] = 0x102003, pd[0] = 0x103003;
    pt[5] = 0x7003, pt[6] = 0x9003;
    paged(f, 0x100001);
    memset(f->ram + 0x7ff0, 0x11, 16);
    memset(f->ram + 0x9000, 0x22, 16);
    u8 *data = access_slow(cpu, 0x5ff0, 32, 3);
    assert_ptr_equal(cpu->loan.data, data);
    assert_int_equal((u64)data & 63, 0x30);
    assert_int_equal(data[15], 0x11);
    assert_int_equal(data[16], 0x22);
    memset(data, 0x33, 32);
    access_commit(cpu);
    assert_null(cpu->loan.data);
    assert_int_equal(f->ram[0x7fff], 0x33);
    assert_int_equal(f->ram[0x900f], 0x33);
    assert_int_equal(f->ram[0x9010], 0);
    assert_int_equal(f->ram[0x8000], 0);
    // A read alone writes nothing back.
    data = access_slow(cpu, 0x5ff0, 32, 1);
    memset(data, 0x44, 32);
    access_commit(cpu);
    assert_int_equal(f->ram[0x7fff], 0x33);
}

static void test_mmio_write(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->cpu;
    struct kvm_run *run = cpu->run;
    u8 *data = access_slow(cpu, RAM + 0x104, 16, 2);
    for (unsigned i = 0; i < 16; i++)
        data[i] = (u8)i;
    access_commit(cpu);
    assert_true(mmio_retire(cpu));
    assert_int_equal(run->exit_reason, KVM_EXIT_MMIO);
    assert_int_equal(run->mmio.phys_addr, RAM + 0x104);
    assert_int_equal(run->mmio.len, 8);
    assert_true(run->mmio.is_write);
    assert_int_equal(run->mmio.data[7], 7);
    assert_true(mmio_complete(cpu));
    assert_int_equal(run->mmio.phys_addr, RAM + 0x10c);
    assert_int_equal(run->mmio.data[0], 8);
    assert_false(mmio_complete(cpu));
    assert_false(mmio_retire(cpu));
    // The answer to a read, given back to the instruction's second try.
    cpu->mmio_exit = MMIO_READ;
    cpu->mmio_read[0] = (struct mmio_fragment){.gpa = RAM + 0x20, .size = 2};
    memcpy(run->mmio.data, "\x34\x12\xff\xff\xff\xff\xff\xff", 8);
    assert_false(mmio_complete(cpu));
    assert_int_equal(access_read(cpu, RAM + 0x20, 2), 0x1234);
    assert_false(mmio_retire(cpu));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_window, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fill, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_tags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_protect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_contexts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recycling, setup, teardown),
        cmocka_unit_test_setup_teardown(test_growth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flush_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flush_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flush_sets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_jumps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_access, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mmio_write, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
