// Translation of the soft engine: the walk of every paging mode against tables built here, each right and each error
// code, accessed and dirty flags, and the second stage's own rules.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "engine/soft/cpuid.h"
#include "engine/soft/paging.h"
#include "engine/soft/stage2.h"
#include "engine/soft/vm.h"
#include "engine/soft/window.h"

enum { RAM = 4 << 20, PHYSICAL_BITS = 40 };
enum { P = 1, RW = 2, US = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define XD (1ull << 63)
enum { R_ = 1 << ACCESS_READ, W_ = 1 << ACCESS_WRITE, X_ = 1 << ACCESS_EXECUTE };

struct fixture {
    struct engine_vm *vm;
    struct cpu *cpu;
    u8 *ram;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->vm = calloc(1, sizeof *f->vm);
    f->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    f->vm->slot_count = 1;
    f->vm->slot[0] = (struct ram_slot){
        .bytes = RAM, .host = f->ram, .pages = calloc(RAM / PAGE_BYTES, sizeof(struct ram_page))};
    f->cpu = window_create_cpu();
    assert_non_null(f->cpu);
    f->cpu->vm = f->vm;
    f->cpu->physical_mask = (1ull << PHYSICAL_BITS) - 1;
    f->cpu->cpuid[0] = (struct kvm_cpuid_entry2){.function = 0x80000001, .edx = 1 << 26};
    f->cpu->cpuid_count = 1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    window_destroy_cpu(f->cpu);
    free(f->vm->slot[0].pages);
    munmap(f->ram, RAM);
    free(f->vm);
    free(f);
    return 0;
}

static u64 get64(struct fixture *f, u64 gpa) { return *(u64 *)(f->ram + gpa); }
static void put64(struct fixture *f, u64 gpa, u64 value) { *(u64 *)(f->ram + gpa) = value; }
static u32 get32(struct fixture *f, u64 gpa) { return *(u32 *)(f->ram + gpa); }
static void put32(struct fixture *f, u64 gpa, u32 value) { *(u32 *)(f->ram + gpa) = value; }

static void mode32(struct fixture *f)
{
    f->cpu->cr0 = CR0_PE | CR0_PG;
    f->cpu->cr4 = 0;
    f->cpu->msr.efer = 0;
    f->cpu->cr3 = 0x1000;
}

static void mode64(struct fixture *f)
{
    f->cpu->cr0 = CR0_PE | CR0_PG | CR0_WP;
    f->cpu->cr4 = CR4_PAE | CR4_PGE;
    f->cpu->msr.efer = EFER_LME | EFER_LMA | EFER_NXE;
    f->cpu->cr3 = 0x1000;
}

// 0x1000: PML4, 0x2000: PDPT, 0x3000: PD, 0x4000: PT, mapping linear 0xffff800000005xxx to `leaf`.
#define LINEAR 0xffff800000005000ull
static void tables64(struct fixture *f, u64 leaf)
{
    put64(f, 0x1000 + 256 * 8, 0x2000 | P | RW | US);
    put64(f, 0x2000, 0x3000 | P | RW | US);
    put64(f, 0x3000, 0x4000 | P | RW | US);
    put64(f, 0x4000 + 5 * 8, leaf);
}

static struct paging walks(struct fixture *f, u64 linear, enum access access, enum tlb_role role)
{
    struct paging result;
    u32 error = 0xdead;
    assert_true(paging_walk(f->cpu, linear, access, role, &result, &error));
    return result;
}

static u32 faults(struct fixture *f, u64 linear, enum access access, enum tlb_role role)
{
    struct paging result;
    u32 error = 0xdead;
    assert_false(paging_walk(f->cpu, linear, access, role, &result, &error));
    return error;
}

static void test_off(void **state)
{
    struct fixture *f = *state;
    struct paging result = walks(f, 0x12345678, ACCESS_WRITE, TLB_SUPERVISOR_AC);
    assert_int_equal(result.gpa, 0x12345678);
    assert_int_equal(result.allowed, R_ | W_ | X_);
}

static void test_32(void **state)
{
    struct fixture *f = *state;
    mode32(f);
    assert_int_equal(faults(f, 0x00403abc, ACCESS_READ, TLB_SUPERVISOR_AC), 0);
    put32(f, 0x1000 + 4, 0x2000 | P | RW | US);
    assert_int_equal(faults(f, 0x00403abc, ACCESS_WRITE, TLB_USER), PAGING_ERROR_WRITE | PAGING_ERROR_USER);
    assert_int_equal(get32(f, 0x1004), 0x2000 | P | RW | US);
    put32(f, 0x2000 + 3 * 4, 0x7000 | P | US);
    struct paging result = walks(f, 0x00403abc, ACCESS_READ, TLB_USER);
    assert_int_equal(result.gpa, 0x7abc);
    assert_int_equal(result.allowed, R_ | X_);
    assert_int_equal(get32(f, 0x1004), 0x2000 | P | RW | US | A);
    assert_int_equal(get32(f, 0x200c), 0x7000 | P | US | A);
    assert_int_equal(faults(f, 0x00403abc, ACCESS_WRITE, TLB_USER), 7);
    // Without CR0.WP the supervisor writes anyway, and the flag is set.
    walks(f, 0x00403abc, ACCESS_WRITE, TLB_SUPERVISOR_AC);
    assert_int_equal(get32(f, 0x200c), 0x7000 | P | US | A | D);
    f->cpu->cr0 |= CR0_WP;
    assert_int_equal(faults(f, 0x00403abc, ACCESS_WRITE, TLB_SUPERVISOR_AC), 3);
    // No fetch bit without NXE and SMEP.
    put32(f, 0x200c, 0x7000 | P);
    assert_int_equal(faults(f, 0x00403abc, ACCESS_EXECUTE, TLB_USER), PAGING_ERROR_PRESENT | PAGING_ERROR_USER);
    f->cpu->cr4 |= CR4_SMEP;
    assert_int_equal(faults(f, 0x00403abc, ACCESS_EXECUTE, TLB_USER), 0x15);
}

static void test_32_large(void **state)
{
    struct fixture *f = *state;
    mode32(f);
    f->cpu->cr4 = CR4_PSE | CR4_PGE;
    put32(f, 0x1000 + 4, 0x00800000 | P | RW | PS | G | 0x12 << 13);
    struct paging result = walks(f, 0x00623456, ACCESS_WRITE, TLB_SUPERVISOR_AC);
    assert_int_equal(result.gpa, 0x1200a23456);
    assert_int_equal(result.note, TLB_NOTE_LARGE | TLB_NOTE_GLOBAL);
    assert_int_equal(get32(f, 0x1004) & (A | D), A | D);
    f->cpu->cr4 = CR4_PSE;
    assert_int_equal(walks(f, 0x00623456, ACCESS_WRITE, TLB_SUPERVISOR_AC).note, TLB_NOTE_LARGE);
    put32(f, 0x1000 + 4, 0x00800000 | P | RW | PS | 1 << 21);
    assert_int_equal(faults(f, 0x00623456, ACCESS_READ, TLB_SUPERVISOR_AC), 9);
    f->cpu->physical_mask = 0xffffffff; // then bits 20:13 are reserved, too
    put32(f, 0x1000 + 4, 0x00800000 | P | RW | PS | 1 << 13);
    assert_int_equal(faults(f, 0x00623456, ACCESS_READ, TLB_SUPERVISOR_AC), 9);
    // Without PSE the bit means nothing: it is a table.
    f->cpu->cr4 = 0;
    put32(f, 0x1000 + 4, 0x2000 | P | RW | PS);
    put32(f, 0x2000 + 0x223 * 4, 0x9000 | P | RW);
    assert_int_equal(walks(f, 0x00623456, ACCESS_READ, TLB_SUPERVISOR_AC).gpa, 0x9456);
}

static void test_pae(void **state)
{
    struct fixture *f = *state;
    mode32(f);
    f->cpu->cr4 = CR4_PAE;
    assert_int_equal(faults(f, 0xc0201000, ACCESS_READ, TLB_SUPERVISOR_AC), 0);
    f->cpu->pdpte[3] = 0x3000 | P;
    put64(f, 0x3000 + 8, 0x4000 | P | RW | US);
    put64(f, 0x4000 + 8, 0xab0005000 | P | RW | US);
    struct paging result = walks(f, 0xc0201123, ACCESS_WRITE, TLB_USER);
    assert_int_equal(result.gpa, 0xab0005123);
    assert_int_equal(result.allowed, R_ | W_ | X_);
    put64(f, 0x4000 + 8, XD | 0x5000 | P | RW | US);
    assert_int_equal(faults(f, 0xc0201123, ACCESS_READ, TLB_USER), 0xd); // reserved while NXE is off
    f->cpu->msr.efer = EFER_NXE;
    assert_int_equal(walks(f, 0xc0201123, ACCESS_READ, TLB_USER).allowed, R_);
    assert_int_equal(faults(f, 0xc0201123, ACCESS_EXECUTE, TLB_USER), 0x15);
    put64(f, 0x4000 + 8, 1ull << 52 | 0x5000 | P | RW | US); // ignored in 4-level paging, reserved here
    assert_int_equal(faults(f, 0xc0201123, ACCESS_READ, TLB_SUPERVISOR_AC), 9);
    put64(f, 0x3000 + 8, 0x200000 | P | RW | PS);
    result = walks(f, 0xc0345678, ACCESS_READ, TLB_SUPERVISOR_AC);
    assert_int_equal(result.gpa, 0x345678);
    assert_int_equal(result.note, TLB_NOTE_LARGE);
    put64(f, 0x3000 + 8, 0x200000 | P | RW | PS | 1 << 13);
    assert_int_equal(faults(f, 0xc0345678, ACCESS_READ, TLB_SUPERVISOR_AC), 9);
}

static void test_64(void **state)
{
    struct fixture *f = *state;
    mode64(f);
    tables64(f, 0x7000 | P | RW | US | G);
    struct paging result = walks(f, LINEAR + 0x123, ACCESS_READ, TLB_USER);
    assert_int_equal(result.gpa, 0x7123);
    assert_int_equal(result.allowed, R_ | X_); // not before it is dirty
    assert_int_equal(result.note, TLB_NOTE_GLOBAL);
    assert_int_equal(get64(f, 0x4028), 0x7000 | P | RW | US | G | A);
    assert_int_equal(get64(f, 0x1800), 0x2000 | P | RW | US | A);
    result = walks(f, LINEAR, ACCESS_WRITE, TLB_USER);
    assert_int_equal(result.allowed, R_ | W_ | X_);
    assert_int_equal(get64(f, 0x4028), 0x7000 | P | RW | US | G | A | D);
    assert_int_equal(get64(f, 0x3000), 0x4000 | P | RW | US | A);
    assert_int_equal(walks(f, LINEAR, ACCESS_READ, TLB_USER).allowed, R_ | W_ | X_);
    u64 gpa;
    assert_true(paging_look(f->cpu, LINEAR + 5, &gpa));
    assert_int_equal(gpa, 0x7005);
    assert_false(paging_look(f->cpu, LINEAR + 0x1000, &gpa));
}

static void test_64_large(void **state)
{
    struct fixture *f = *state;
    mode64(f);
    tables64(f, 0);
    put64(f, 0x3000, 0x80200000 | P | RW | PS);
    struct paging result = walks(f, LINEAR, ACCESS_WRITE, TLB_SUPERVISOR_AC);
    assert_int_equal(result.gpa, 0x80205000);
    assert_int_equal(result.note, TLB_NOTE_LARGE);
    assert_int_equal(get64(f, 0x3000) & (A | D), A | D);
    put64(f, 0x2000, 0x140000000 | P | RW | PS);
    result = walks(f, LINEAR, ACCESS_READ, TLB_SUPERVISOR_AC);
    assert_int_equal(result.gpa, 0x140005000);
    assert_int_equal(result.note, TLB_NOTE_HUGE);
    put64(f, 0x2000, 0x140000000 | P | RW | PS | 1 << 21);
    assert_int_equal(faults(f, LINEAR, ACCESS_READ, TLB_SUPERVISOR_AC), 9);
    put64(f, 0x2000, 0x140000000 | P | RW | PS);
    f->cpu->cpuid_count = 0; // no 1 GiB pages: the bit is reserved
    assert_int_equal(faults(f, LINEAR, ACCESS_READ, TLB_SUPERVISOR_AC), 9);
}

static void test_64_reserved(void **state)
{
    struct fixture *f = *state;
    mode64(f);
    static const u64 entries[] = {0x1800, 0x2000, 0x3000, 0x4028};
    for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
        for (unsigned bit = PAGE_BITS; bit < 64; bit++) {
            tables64(f, 0x7000 | P | RW | US);
            u64 value = get64(f, entries[i]) ^ 1ull << bit;
            if (bit < PHYSICAL_BITS)
                continue;
            put64(f, entries[i], value);
            struct paging result;
            u32 error = 0;
            bool mapped = paging_walk(f->cpu, LINEAR, ACCESS_READ, TLB_SUPERVISOR_AC, &result, &error);
            assert_int_equal(mapped, bit >= 52); // ignored, and XD that a read does not mind
            if (!mapped)
                assert_int_equal(error, 9);
        }
    }
    tables64(f, 0x7000 | P | RW | US);
    put64(f, 0x1800, 0x2000 | P | RW | US | PS); // in a PML4 entry: reserved
    assert_int_equal(faults(f, LINEAR, ACCESS_WRITE, TLB_USER), 0xf);
    mode64(f);
    f->cpu->msr.efer = EFER_LME | EFER_LMA;
    tables64(f, XD | 0x7000 | P | RW | US);
    assert_int_equal(faults(f, LINEAR, ACCESS_READ, TLB_SUPERVISOR_AC), 9);
    // A table where there is no RAM reads as ones: reserved bits.
    mode64(f);
    tables64(f, 0);
    put64(f, 0x3000, 0x80000000 | P | RW | US);
    assert_int_equal(faults(f, LINEAR, ACCESS_READ, TLB_SUPERVISOR_AC), 9);
}

// Every combination of rights at both ends of the walk, of the control bits, roles and kinds of access, against the
// manual's sentences (SDM 3A 4.6.1).
static void test_rights(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n < 1 << 12; n++) {
        bool us_top = n & 1, rw_top = n & 2, xd_top = n & 4, us_leaf = n & 8, rw_leaf = n & 16, xd_leaf = n & 32;
        bool wp = n & 64, smep = n & 128, smap = n & 256, ac = n & 512;
        enum access access = n >> 10 & 3;
        if (access > ACCESS_EXECUTE)
            continue;
        mode64(f);
        f->cpu->cr0 = CR0_PE | CR0_PG | (wp ? CR0_WP : 0);
        f->cpu->cr4 |= (smep ? CR4_SMEP : 0) | (smap ? CR4_SMAP : 0);
        for (unsigned user = 0; user < 2; user++) {
            tables64(f, 0x7000 | P | (rw_leaf ? RW : 0) | (us_leaf ? US : 0) | (xd_leaf ? XD : 0));
            put64(f, 0x1800, 0x2000 | P | (rw_top ? RW : 0) | (us_top ? US : 0) | (xd_top ? XD : 0));
            bool user_page = us_top && us_leaf, writable = rw_top && rw_leaf, executable = !xd_top && !xd_leaf;
            bool good;
            if (user)
                good = user_page && (access == ACCESS_READ || (access == ACCESS_WRITE && writable) ||
                                     (access == ACCESS_EXECUTE && executable));
            else if (access == ACCESS_EXECUTE)
                good = executable && !(smep && user_page);
            else
                good = !(smap && user_page && !ac) && (access == ACCESS_READ || writable || !wp);
            f->cpu->cpl = user ? 3 : 0;
            f->cpu->rflags = ac ? FLAG_AC : 0;
            struct paging result;
            u32 error = 0;
            bool mapped = paging_walk(f->cpu, LINEAR, access, tlb_role_now(f->cpu), &result, &error);
            assert_int_equal(mapped, good);
            if (!mapped) {
                u32 expected = P | (access == ACCESS_WRITE ? 2 : 0) | (user ? 4 : 0);
                expected |= access == ACCESS_EXECUTE ? 16 : 0;
                assert_int_equal(error, expected);
                assert_int_equal((get64(f, 0x4028) | get64(f, 0x1800)) & (A | D), 0);
            } else {
                assert_true(result.allowed >> access & 1);
                assert_int_equal(get64(f, 0x4028) & (A | D), access == ACCESS_WRITE ? A | D : A);
            }
        }
    }
}

// The second stage. Tables at 0x10000: PML4, 0x11000: PDPT, 0x12000: PD, 0x13000: PT, mapping GPA 0..2M.
enum { EPT_ROOT = 0x10000, EPT_AD = 1 << 6, EPT_WALK4 = 3 << 3, EPT_WB = 6 << 3 };

static void ept_tables(struct fixture *f, u64 leaf)
{
    put64(f, 0x10000, 0x11000 | 7);
    put64(f, 0x11000, 0x12000 | 7);
    put64(f, 0x12000, 0x13000 | 7);
    for (u64 i = 0; i < 512; i++)
        put64(f, 0x13000 + i * 8, i << PAGE_BITS | EPT_WB | 7);
    put64(f, 0x13000 + 0x20 * 8, leaf);
}

static enum stage2_end second(struct fixture *f, u64 gpa, unsigned wanted, struct stage2 *result)
{
    struct stage2_access access = {.gpa = gpa, .wanted = wanted};
    return stage2_resolve(f->cpu, &access, result);
}

static void test_ept(void **state)
{
    struct fixture *f = *state;
    struct stage2 result;
    f->cpu->guest_mode = true;
    f->cpu->eptp = EPT_ROOT | EPT_WALK4 | 6;
    ept_tables(f, 0x30000 | EPT_WB | 7);
    assert_int_equal(second(f, 0x20123, R_, &result), STAGE2_MAPPED);
    assert_int_equal(result.gpa, 0x30123);
    assert_int_equal(result.allowed, 7);
    assert_int_equal(get64(f, 0x13100), 0x30000 | EPT_WB | 7); // no flags asked for
    // Rights: every legal combination of leaf and upper level.
    for (unsigned leaf = 0; leaf < 8; leaf++) {
        for (unsigned top = 0; top < 8; top++) {
            ept_tables(f, 0x30000 | EPT_WB | leaf);
            put64(f, 0x11000, 0x12000 | top);
            bool bad = (top & 3) == 2 || (top && (leaf & 3) == 2);
            for (unsigned wanted = 1; wanted < 8; wanted++) {
                enum stage2_end end = second(f, 0x20000, wanted, &result);
                if (bad) {
                    assert_int_equal(end, STAGE2_MISCONFIGURATION);
                    continue;
                }
                assert_int_equal(end, (wanted & ~(leaf & top)) ? STAGE2_VIOLATION : STAGE2_MAPPED);
                assert_int_equal(result.allowed, leaf & top);
            }
        }
    }
    // Beyond the 48 bits of the walk.
    assert_int_equal(second(f, 1ull << 48, R_, &result), STAGE2_VIOLATION);
    assert_int_equal(result.allowed, 0);
}

static void test_ept_misconfigured(void **state)
{
    struct fixture *f = *state;
    struct stage2 result;
    f->cpu->eptp = EPT_ROOT | EPT_WALK4 | 6;
    for (unsigned type = 0; type < 8; type++) {
        ept_tables(f, 0x30000 | (u64)type << 3 | 7);
        bool bad = type == 2 || type == 3 || type == 7;
        assert_int_equal(second(f, 0x20000, R_, &result), bad ? STAGE2_MISCONFIGURATION : STAGE2_MAPPED);
    }
    static const u64 entries[] = {0x10000, 0x11000, 0x12000, 0x13100};
    for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
        for (unsigned bit = 3; bit < 64; bit++) {
            if (bit == 7 && (i == 1 || i == 2))
                continue; // a large page: below
            if (i == 3 && bit < 7)
                continue; // type and ignore-PAT
            ept_tables(f, 0x30000 | EPT_WB | 7);
            if (bit >= PAGE_BITS && bit < PHYSICAL_BITS)
                continue; // another address
            put64(f, entries[i], get64(f, entries[i]) | 1ull << bit);
            bool bad = (bit >= PHYSICAL_BITS && bit < 52) || (i < 3 && bit < 7) || (i == 0 && bit == 7);
            assert_int_equal(second(f, 0x20000, R_, &result), bad ? STAGE2_MISCONFIGURATION : STAGE2_MAPPED);
        }
    }
    ept_tables(f, 0);
    put64(f, 0x12000, 0x200000 | EPT_WB | PS | 7);
    assert_int_equal(second(f, 0x20123, R_, &result), STAGE2_MAPPED);
    assert_int_equal(result.gpa, 0x220123);
    put64(f, 0x12000, 0x201000 | EPT_WB | PS | 7);
    assert_int_equal(second(f, 0x20123, R_, &result), STAGE2_MISCONFIGURATION);
    put64(f, 0x11000, 0x40000000 | EPT_WB | PS | 5);
    assert_int_equal(second(f, 0x20123, R_, &result), STAGE2_MAPPED);
    assert_int_equal(result.gpa, 0x40020123);
    assert_int_equal(result.allowed, 5);
    put64(f, 0x11000, 0x40200000 | EPT_WB | PS | 5);
    assert_int_equal(second(f, 0x20123, R_, &result), STAGE2_MISCONFIGURATION);
}

static void test_ept_flags(void **state)
{
    struct fixture *f = *state;
    struct stage2 result;
    f->cpu->eptp = EPT_ROOT | EPT_WALK4 | 6 | EPT_AD;
    ept_tables(f, 0x30000 | EPT_WB | 7);
    assert_int_equal(second(f, 0x20000, R_, &result), STAGE2_MAPPED);
    assert_int_equal(result.allowed, R_ | X_);
    assert_int_equal(get64(f, 0x13100), 0x30000 | EPT_WB | 7 | 0x100);
    assert_int_equal(get64(f, 0x10000), 0x11000 | 7 | 0x100);
    assert_int_equal(second(f, 0x20000, W_, &result), STAGE2_MAPPED);
    assert_int_equal(result.allowed, 7);
    assert_int_equal(get64(f, 0x13100), 0x30000 | EPT_WB | 7 | 0x300);
    assert_int_equal(get64(f, 0x12000), 0x13000 | 7 | 0x100);
}

// Both stages: the guest's tables lie at guest-physical 0x1000.. = physical 0x1000 + 0x100000.
static void test_nested(void **state)
{
    struct fixture *f = *state;
    mode64(f);
    tables64(f, 0x20000 | P | RW | US);
    memcpy(f->ram + 0x101000, f->ram + 0x1000, 0x4000);
    memset(f->ram + 0x1000, 0, 0x4000);
    ept_tables(f, 0x30000 | EPT_WB | 7);
    for (u64 i = 1; i < 5; i++)
        put64(f, 0x13000 + i * 8, (0x100 + i) << PAGE_BITS | EPT_WB | 7);
    f->cpu->guest_mode = true;
    f->cpu->eptp = EPT_ROOT | EPT_WALK4 | 6;
    struct paging result = walks(f, LINEAR + 0x42, ACCESS_WRITE, TLB_USER);
    assert_int_equal(result.gpa, 0x30042);
    assert_int_equal(result.allowed, 7);
    assert_int_equal(get64(f, 0x104028) & (A | D), A | D);
    u64 gpa;
    assert_true(paging_look(f->cpu, LINEAR + 7, &gpa));
    assert_int_equal(gpa, 0x30007);
    // With flags in EPT, reading the guest's tables makes their pages dirty there.
    f->cpu->eptp |= EPT_AD;
    walks(f, LINEAR, ACCESS_READ, TLB_USER);
    assert_int_equal(get64(f, 0x13000 + 4 * 8) & 0x300, 0x300);
    assert_int_equal(get64(f, 0x13100) & 0x300, 0x100);
    // What the second stage forbids is not allowed by the result.
    put64(f, 0x13100, 0x30000 | EPT_WB | 1);
    assert_int_equal(walks(f, LINEAR, ACCESS_READ, TLB_USER).allowed, R_);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_32, setup, teardown),
        cmocka_unit_test_setup_teardown(test_32_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pae, setup, teardown),
        cmocka_unit_test_setup_teardown(test_64, setup, teardown),
        cmocka_unit_test_setup_teardown(test_64_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_64_reserved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rights, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ept_misconfigured, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ept_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nested, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
