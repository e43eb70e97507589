// See access.h. Every linear access takes the same three steps: the soft TLB; else, page by page, translation and
// what the page is (RAM, RAM with translated code, device memory); then the bytes. A range that crosses a page has
// both pages translated before the first byte moves, so that a fault leaves nothing half done.
#include "engine/soft/access.h"

#include "engine/soft/bytes.h"
#include "engine/soft/debug.h"
#include "engine/soft/event.h"
#include "engine/soft/intercept.h"
#include "engine/soft/lapic.h"
#include "engine/soft/mmio.h"
#include "engine/soft/paging.h"
#include "engine/soft/stage2.h"
#include "engine/soft/vm.h"

// A part of an access, within one page.
struct part {
    u64 linear, gpa;
    u8 *host;   // NULL: device memory
    u32 bytes;
    bool apic;  // VMX's APIC-access page
};

static u64 access_wrap(const struct cpu *cpu, u64 linear) { return cpu_long(cpu) ? linear : (u32)linear; }

static u32 access_in_page(u64 linear) { return PAGE_BYTES - (u32)(linear & (PAGE_BYTES - 1)); }

// RAM that is about to be written by C code: the dirty log, and translations of the bytes. `writers` comes before
// `blocks` for the reason in tlb.c.
static void access_before_write(struct cpu *cpu, struct ram_slot *slot, u64 gpa, u64 bytes)
{
    if (UNLIKELY(slot->dirty != NULL))
        ram_mark_dirty(cpu->vm, gpa);
    struct ram_page *page = &slot->pages[(gpa - slot->gpa) >> PAGE_BITS];
    u64 self = 1ull << cpu->id;
    if (!(atomic_load(&page->writers) & self))
        atomic_fetch_or(&page->writers, self);
    if (UNLIKELY(atomic_load(&page->blocks)))
        cpu->code_changed |= code_written(cpu->vm, cpu, gpa, bytes);
}

// Translates and fills the TLB. Faults do not return. `bytes` of 0: checks only, nothing will be written.
static struct part access_resolve(struct cpu *cpu, struct tlb *tlb, u64 linear, u32 bytes, enum access access)
{
    if (cpu_long(cpu) && !cpu_canonical(linear))
        cpu_raise_code(cpu, VECTOR_GP, 0);
    struct paging paging;
    u32 error;
    if (!paging_walk(cpu, linear, access, tlb->key.role, &paging, &error))
        cpu_raise_page_fault(cpu, linear, error);
    struct part part = {.linear = linear, .gpa = paging.gpa, .bytes = bytes};
    if (UNLIKELY(cpu->guest_mode))
        part.apic = (paging.gpa ^ intercept_apic_access_page(cpu)) >> PAGE_BITS == 0;
    struct ram_slot *slot = ram_slot_find(cpu->vm, paging.gpa);
    if (!slot || mmio_is_lapic(cpu, paging.gpa) || (access == ACCESS_WRITE && slot->flags & KVM_MEM_READONLY))
        return part;
    part.host = slot->host + (paging.gpa - slot->gpa);
    if (access == ACCESS_WRITE && bytes)
        access_before_write(cpu, slot, paging.gpa, bytes);
    if (LIKELY(!part.apic && !debug_watch(cpu, linear, bytes, access)))
        tlb_fill(cpu, tlb, linear, paging.gpa, part.host, paging.allowed, paging.note);
    return part;
}

static bool part_apic(struct cpu *cpu, const struct part *part, u32 at, u32 size, enum access access, u64 *value)
{
    return intercept_apic_access(cpu, part->linear + at, (part->gpa + at) & (PAGE_BYTES - 1), size, access, value);
}

static void part_read(struct cpu *cpu, const struct part *part, u8 *data)
{
    for (u32 done = 0; done < part->bytes;) {
        u32 left = part->bytes - done, size = left > 8 ? 8 : left;
        u64 value;
        if (UNLIKELY(part->apic) && part_apic(cpu, part, done, size, ACCESS_READ, &value)) {
            bytes_store(data + done, size, value);
        } else if (part->host) {
            bytes_copy(data + done, part->host + done, left);
            return;
        } else {
            bytes_store(data + done, size, mmio_read(cpu, part->gpa + done, size));
        }
        done += size;
    }
}

static void part_write(struct cpu *cpu, const struct part *part, const u8 *data)
{
    for (u32 done = 0; done < part->bytes;) {
        u32 left = part->bytes - done, size = left > 8 ? 8 : left;
        u64 value = bytes_load(data + done, size);
        if (UNLIKELY(part->apic) && part_apic(cpu, part, done, size, ACCESS_WRITE, &value)) {
            done += size;
            continue;
        }
        if (part->host) {
            bytes_copy(part->host + done, data + done, left);
            return;
        }
        mmio_write(cpu, part->gpa + done, size, value);
        done += size;
    }
}

// Both pages of an access of at most PAGE_BYTES. Returns how many parts there are.
static unsigned access_parts(struct cpu *cpu, struct tlb *tlb, u64 linear, u32 size, enum access access,
                             struct part part[2])
{
    u32 first = access_in_page(linear);
    part[0] = access_resolve(cpu, tlb, linear, size < first ? size : first, access);
    if (size <= first)
        return 1;
    part[1] = access_resolve(cpu, tlb, access_wrap(cpu, linear + first), size - first, access);
    return 2;
}

// At CPL 3 only, and for single values (SDM 3A 6.15, interrupt 17).
static void access_alignment(struct cpu *cpu, u64 linear, unsigned size)
{
    if (UNLIKELY(cpu->rflags & FLAG_AC) && cpu->cr0 & CR0_AM && cpu->cpl == 3 && linear & (size - 1) &&
        !(size & (size - 1)))
        cpu_raise_code(cpu, VECTOR_AC, 0);
}

static u64 access_read_in(struct cpu *cpu, struct tlb *tlb, u64 linear, unsigned size)
{
    const void *host = tlb_probe(tlb, linear, size, ACCESS_READ);
    if (LIKELY(host != NULL))
        return bytes_load(host, size);
    struct part part[2];
    unsigned parts = access_parts(cpu, tlb, linear, size, ACCESS_READ, part);
    if (parts == 1 && part[0].host && !part[0].apic)
        return bytes_load(part[0].host, size);
    u64 value = 0;
    part_read(cpu, &part[0], (u8 *)&value);
    if (parts == 2)
        part_read(cpu, &part[1], (u8 *)&value + part[0].bytes);
    return value;
}

static void access_write_in(struct cpu *cpu, struct tlb *tlb, u64 linear, unsigned size, u64 value)
{
    void *host = tlb_probe(tlb, linear, size, ACCESS_WRITE);
    if (LIKELY(host != NULL)) {
        bytes_store(host, size, value);
        return;
    }
    struct part part[2];
    unsigned parts = access_parts(cpu, tlb, linear, size, ACCESS_WRITE, part);
    if (parts == 1 && part[0].host && !part[0].apic) {
        bytes_store(part[0].host, size, value);
        return;
    }
    part_write(cpu, &part[0], (const u8 *)&value);
    if (parts == 2)
        part_write(cpu, &part[1], (const u8 *)&value + part[0].bytes);
}

u64 access_read(struct cpu *cpu, u64 linear, unsigned size)
{
    access_alignment(cpu, linear, size);
    return access_read_in(cpu, cpu->tlb, linear, size);
}

void access_write(struct cpu *cpu, u64 linear, unsigned size, u64 value)
{
    access_alignment(cpu, linear, size);
    access_write_in(cpu, cpu->tlb, linear, size, value);
}

u64 access_read_system(struct cpu *cpu, u64 linear, unsigned size)
{
    return access_read_in(cpu, tlb_context(cpu, TLB_SUPERVISOR), linear, size);
}

void access_write_system(struct cpu *cpu, u64 linear, unsigned size, u64 value)
{
    access_write_in(cpu, tlb_context(cpu, TLB_SUPERVISOR), linear, size, value);
}

void access_read_block(struct cpu *cpu, u64 linear, void *data, unsigned size)
{
    for (u32 done = 0; done < size;) {
        u64 at = access_wrap(cpu, linear + done);
        u32 left = size - done, here = access_in_page(at);
        here = here < left ? here : left;
        const void *host = tlb_probe(cpu->tlb, at, here, ACCESS_READ);
        if (host) {
            bytes_copy((u8 *)data + done, host, here);
        } else {
            struct part part = access_resolve(cpu, cpu->tlb, at, here, ACCESS_READ);
            part_read(cpu, &part, (u8 *)data + done);
        }
        done += here;
    }
}

void access_write_block(struct cpu *cpu, u64 linear, const void *data, unsigned size)
{
    if (size > access_in_page(linear))
        access_check(cpu, linear, size, ACCESS_WRITE);
    for (u32 done = 0; done < size;) {
        u64 at = access_wrap(cpu, linear + done);
        u32 left = size - done, here = access_in_page(at);
        here = here < left ? here : left;
        void *host = tlb_probe(cpu->tlb, at, here, ACCESS_WRITE);
        if (host) {
            bytes_copy(host, (const u8 *)data + done, here);
        } else {
            struct part part = access_resolve(cpu, cpu->tlb, at, here, ACCESS_WRITE);
            part_write(cpu, &part, (const u8 *)data + done);
        }
        done += here;
    }
}

void access_check(struct cpu *cpu, u64 linear, unsigned size, enum access access)
{
    for (u32 done = 0; done < size;) {
        u64 at = access_wrap(cpu, linear + done);
        if (!tlb_probe(cpu->tlb, at, 1, access))
            access_resolve(cpu, cpu->tlb, at, 0, access);
        done += access_in_page(at);
    }
}

void *access_pointer(struct cpu *cpu, u64 linear, unsigned size, enum access access)
{
    void *host = tlb_probe(cpu->tlb, linear, size, access);
    if (host)
        return host;
    if (size > access_in_page(linear))
        return NULL;
    access_resolve(cpu, cpu->tlb, linear, 0, access);
    return tlb_probe(cpu->tlb, linear, size, access); // not there: not RAM, or RAM that may not be written directly
}

// Descriptor tables may lie anywhere, so the operand may be misaligned: nothing that C's atomics promise to do.
static bool access_exchange8(void *host, u64 *expected, u64 desired)
{
    bool same;
    __asm__ volatile("lock cmpxchgq %3, %1"
                     : "=@ccz"(same), "+m"(*(u64_anywhere *)host), "+a"(*expected) : "r"(desired) : "memory");
    return same;
}

static bool access_exchange4(void *host, u64 *expected, u64 desired)
{
    bool same;
    u32 old = (u32)*expected;
    __asm__ volatile("lock cmpxchgl %3, %1"
                     : "=@ccz"(same), "+m"(*(u32_anywhere *)host), "+a"(old) : "r"((u32)desired) : "memory");
    *expected = old;
    return same;
}

bool access_compare_exchange(struct cpu *cpu, u64 linear, unsigned size, u64 *expected, u64 desired)
{
    struct tlb *tlb = tlb_context(cpu, TLB_SUPERVISOR);
    void *host = tlb_probe(tlb, linear, size, ACCESS_WRITE);
    if (!host) {
        struct part part[2];
        unsigned parts = access_parts(cpu, tlb, linear, size, ACCESS_WRITE, part);
        if (parts == 2 || !part[0].host || part[0].apic) { // nothing to be atomic with
            u64 value = access_read_in(cpu, tlb, linear, size);
            bool same = value == *expected;
            *expected = value;
            if (same)
                access_write_in(cpu, tlb, linear, size, desired);
            return same;
        }
        host = part[0].host;
    }
    return size == 8 ? access_exchange8(host, expected, desired) : access_exchange4(host, expected, desired);
}

// Physical memory.

u64 access_read_guest_physical(struct cpu *cpu, u64 gpa, unsigned size)
{
    struct stage2_access access = {.gpa = gpa, .wanted = 1 << ACCESS_READ};
    struct stage2 result;
    stage2_translate(cpu, &access, &result);
    return physical_read(cpu, result.gpa, size);
}

u64 physical_read(struct cpu *cpu, u64 gpa, unsigned size)
{
    const void *host = ram_pointer(cpu->vm, gpa, size);
    return host ? bytes_load(host, size) : ~0ull >> (64 - 8 * size);
}

void physical_write(struct cpu *cpu, u64 gpa, unsigned size, u64 value)
{
    physical_write_block(cpu, gpa, &value, size);
}

void physical_read_block(struct cpu *cpu, u64 gpa, void *data, unsigned size)
{
    const void *host = ram_pointer(cpu->vm, gpa, size);
    if (host)
        bytes_copy(data, host, size);
    else
        bytes_set(data, 0xff, size);
}

void physical_write_block(struct cpu *cpu, u64 gpa, const void *data, unsigned size)
{
    struct ram_slot *slot = ram_slot_find(cpu->vm, gpa);
    if (!slot || size > slot->bytes - (gpa - slot->gpa) || slot->flags & KVM_MEM_READONLY)
        return;
    for (u32 done = 0; done < size;) {
        u32 left = size - done, here = access_in_page(gpa + done);
        here = here < left ? here : left;
        access_before_write(cpu, slot, gpa + done, here);
        u8 *host = slot->host + (gpa + done - slot->gpa);
        if (here == size && size <= 8)
            bytes_store(host, size, bytes_load(data, size)); // as one access
        else
            bytes_copy(host, (const u8 *)data + done, here);
        done += here;
    }
}

// Generated code's slow path.

void *access_slow(struct cpu *cpu, u64 linear, unsigned size, unsigned access)
{
    const bool read = access & 1, write = access & 2;
    struct access_loan *loan = &cpu->loan;
    loan->data = NULL;
    cpu->code_changed = false;
    struct part part[2];
    unsigned parts = access_parts(cpu, cpu->tlb, linear, size, write ? ACCESS_WRITE : ACCESS_READ, part);
    if (UNLIKELY(cpu->tlb->key.role == TLB_USER_ALIGNED) && size <= 8)
        access_alignment(cpu, linear, size);
    // Directly where it is possible, pages with code included: only then is a LOCK prefix what it says. But a write
    // to the translation being executed goes through access_commit, behind which that is left.
    bool direct = part[0].host && !part[0].apic && !cpu->code_changed;
    if (parts == 2)
        direct = direct && !part[1].apic && part[1].host == part[0].host + part[0].bytes;
    if (LIKELY(direct))
        return part[0].host;
    u8 *data = cpu->bounce + (linear & 63);
    if (read) {
        part_read(cpu, &part[0], data);
        if (parts == 2)
            part_read(cpu, &part[1], data + part[0].bytes);
    }
    *loan = (struct access_loan){
        .linear = linear,
        .gpa = {part[0].gpa, parts == 2 ? part[1].gpa : 0},
        .host = {part[0].host, parts == 2 ? part[1].host : NULL},
        .apic = {part[0].apic, parts == 2 && part[1].apic},
        .data = data,
        .size = (u8)size,
        .first = (u8)part[0].bytes,
        .write = write,
    };
    return data;
}

void access_commit(struct cpu *cpu)
{
    struct access_loan *loan = &cpu->loan;
    const u8 *data = loan->data;
    loan->data = NULL;
    if (!data || !loan->write)
        return;
    for (unsigned i = 0; i < 2; i++) {
        u32 start = i ? loan->first : 0, bytes = i ? loan->size - loan->first : loan->first;
        struct part part = {
            .linear = access_wrap(cpu, loan->linear + start),
            .gpa = loan->gpa[i],
            .host = loan->host[i],
            .bytes = bytes,
            .apic = loan->apic[i],
        };
        part_write(cpu, &part, data + start);
    }
}
