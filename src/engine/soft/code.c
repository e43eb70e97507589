// The code cache: finding, linking and dropping blocks (block.h).
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/soft/access.h"
#include "engine/soft/block.h"
#include "engine/soft/bytes.h"
#include "engine/soft/fpu.h"
#include "engine/soft/trace.h"
#include "engine/soft/world.h"

enum { LONGEST_INSN = 15, CODE_RESERVE = 64 << 10 };
enum { CODE_LOOP_HOT = 64 }; // rounds, after which a loop is worth MODE_LOOP

static void *reserve(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static size_t hash_bytes(void) { return sizeof(struct block *) << CODE_HASH_BITS; }

int code_create(struct engine_vm *vm)
{
    struct code_cache *code = calloc(1, sizeof *code);
    if (!code)
        return -ENOMEM;
    vm->code = code;
    code->vm = vm;
    pthread_mutex_init(&code->lock, NULL);
    code->memfd = memfd_create("nidus-code", MFD_CLOEXEC);
    if (code->memfd < 0 || ftruncate(code->memfd, CODE_BYTES) < 0)
        return -errno;
    code->writable = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, code->memfd, 0);
    code->executable = mmap(NULL, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, code->memfd, 0);
    code->block = reserve(CODE_BLOCKS * sizeof *code->block);
    code->insn = reserve(CODE_INSNS * sizeof *code->insn);
    code->exit = reserve(CODE_EXITS * sizeof *code->exit);
    code->site = reserve(CODE_SITES * sizeof *code->site);
    code->hash = reserve(hash_bytes());
    code->translation = reserve(translate_bytes());
    if (code->writable == MAP_FAILED || code->executable == MAP_FAILED || !code->block || !code->insn || !code->exit ||
        !code->site || !code->hash || !code->translation)
        return -ENOMEM;
    u8 *cold = code->writable + CODE_HOT_BYTES;
    s64 to_executable = code->executable - code->writable;
    code->emit = (struct emit){ .at = code->writable, .end = cold, .to_executable = to_executable };
    code->cold = (struct emit){ .at = cold, .end = code->writable + CODE_BYTES, .to_executable = to_executable };
    glue_emit(code);
    code->first = code->emit.at;
    return 0;
}

void code_destroy(struct engine_vm *vm)
{
    struct code_cache *code = vm->code;
    if (!code)
        return;
    munmap(code->writable, CODE_BYTES);
    munmap((void *)(uintptr_t)code->executable, CODE_BYTES);
    munmap(code->block, CODE_BLOCKS * sizeof *code->block);
    munmap(code->insn, CODE_INSNS * sizeof *code->insn);
    munmap(code->exit, CODE_EXITS * sizeof *code->exit);
    munmap(code->site, CODE_SITES * sizeof *code->site);
    munmap((void *)code->hash, hash_bytes());
    munmap(code->translation, translate_bytes());
    close(code->memfd);
    pthread_mutex_destroy(&code->lock);
    free(code);
    vm->code = NULL;
}

static struct block *_Atomic *bucket(struct code_cache *code, u64 gpa, mode_word mode)
{
    u64 hash = (gpa ^ mode << 40) * 0x9e3779b97f4a7c15ull;
    return &code->hash[hash >> (64 - CODE_HASH_BITS)];
}

static struct block *block_lookup(struct code_cache *code, u64 gpa, mode_word mode)
{
    struct block *block = atomic_load_explicit(bucket(code, gpa, mode), memory_order_acquire);
    while (block && (block->gpa != gpa || block->mode != mode || block->dropped))
        block = block->hash_next;
    return block;
}

struct block *code_block_at(struct code_cache *code, const u8 *host)
{
    bool cold = host - code->executable >= CODE_HOT_BYTES;
    u32 low = 0, high = code->block_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        const struct block *block = &code->block[middle];
        const u8 *end = cold ? block->cold + block->cold_bytes : block->host + block->host_bytes;
        if (end <= host)
            low = middle + 1;
        else
            high = middle;
    }
    return low < code->block_count && block_contains(&code->block[low], host) ? &code->block[low] : NULL;
}

// Code pages and pages written through inline probes exclude each other. The page is announced as code first, then
// every vCPU that may hold a write tag loses it; an announcement without blocks yet is the marker below.
static struct block page_marker;

static void page_claim(struct cpu *cpu, u64 gpa)
{
    struct ram_page *page = ram_page_find(cpu->vm, gpa);
    if (!page)
        return;
    struct block *none = NULL;
    atomic_compare_exchange_strong(&page->blocks, &none, &page_marker);
    u64 writers = atomic_load(&page->writers);
    if (!writers)
        return;
    bool others = writers & ~(1ull << cpu->id);
    if (others)
        world_stop(cpu->vm, cpu);
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++)
        if (writers >> i & 1 && cpu->vm->cpu[i])
            tlb_protect_page(cpu->vm->cpu[i], gpa & -(u64)PAGE_BYTES);
    atomic_fetch_and(&page->writers, ~writers);
    if (others)
        world_resume(cpu->vm);
}

static void page_list_add(struct engine_vm *vm, struct block *block, u64 gpa, struct block **next)
{
    struct ram_page *page = ram_page_find(vm, gpa);
    if (!page)
        return;
    struct block *first = atomic_load(&page->blocks);
    *next = first == &page_marker ? NULL : first;
    atomic_store(&page->blocks, block);
}

static void block_publish(struct code_cache *code, struct block *block)
{
    page_list_add(code->vm, block, block->gpa, &block->page_next);
    if (block->gpa2 != ~0ull)
        page_list_add(code->vm, block, block->gpa2, &block->page2_next);
    struct block *_Atomic *head = bucket(code, block->gpa, block->mode);
    block->hash_next = atomic_load(head);
    atomic_store_explicit(head, block, memory_order_release);
}

// Bytes at the CPU's rip, and whether its first instruction crosses into the next page (then `bytes` holds both parts).
struct fetch {
    u64 gpa, gpa2;
    const u8 *bytes;
    unsigned available;
    bool crossing;
    u8 joined[2 * LONGEST_INSN];
};

static u64 page_gpa(struct cpu *cpu, u64 linear)
{
    const struct tlb *tlb = cpu->tlb;
    return tlb->note[tlb_index(tlb, linear)].gpa;
}

static u8 *fetch_pointer(struct cpu *cpu, u64 linear)
{
    u8 *bytes = access_pointer(cpu, linear, 1, ACCESS_EXECUTE);
    if (!bytes)
        cpu_raise_code(cpu, VECTOR_GP, 0); // code in device memory
    return bytes;
}

static void fetch_crossing(struct cpu *cpu, struct fetch *fetch, u64 linear)
{
    bytes_copy(fetch->joined, fetch->bytes, fetch->available);
    u64 next = align_up(linear + 1, PAGE_BYTES);
    if (!cpu_code64(cpu))
        next = (u32)next;
    const u8 *second = fetch_pointer(cpu, next);
    fetch->gpa2 = page_gpa(cpu, next);
    bytes_copy(fetch->joined + fetch->available, second, LONGEST_INSN);
    fetch->bytes = fetch->joined;
    fetch->available += LONGEST_INSN;
    if (fetch->available > LONGEST_INSN)
        fetch->available = LONGEST_INSN;
    fetch->crossing = true;
}

static void fetch_fill(struct cpu *cpu, struct fetch *fetch, u64 linear)
{
    fetch->bytes = fetch_pointer(cpu, linear);
    fetch->gpa = page_gpa(cpu, linear) | (linear & (PAGE_BYTES - 1));
    fetch->gpa2 = ~0ull;
    fetch->available = PAGE_BYTES - (unsigned)(linear & (PAGE_BYTES - 1));
    fetch->crossing = false;
    if (fetch->available < LONGEST_INSN) {
        if (translate_crosses(cpu->mode_word, fetch->bytes, fetch->available))
            fetch_crossing(cpu, fetch, linear);
    }
}

// Still claimed once the lock is held? A write may have ended an announcement that had no blocks; or another vCPU has
// dropped blocks for a write that it has not made yet, and would not be told of one made from the bytes as they are.
static bool page_claimed(struct cpu *cpu, u64 gpa)
{
    struct ram_page *page = ram_page_find(cpu->vm, gpa);
    return !page || (atomic_load(&page->blocks) && !(atomic_load(&page->writers) & ~(1ull << cpu->id)));
}

// Claims what is fetched and takes the lock. Claiming may stop the world and fetching may fault, so neither holds the
// lock.
static void fetch_locked(struct cpu *cpu, struct fetch *fetch, u64 linear)
{
    for (;;) {
        fetch_fill(cpu, fetch, linear);
        page_claim(cpu, fetch->gpa);
        if (fetch->crossing) {
            page_claim(cpu, fetch->gpa2);
            fetch_fill(cpu, fetch, linear); // the bytes as they are now that nobody can change them unseen
        }
        pthread_mutex_lock(&cpu->vm->code->lock);
        if (page_claimed(cpu, fetch->gpa) && (!fetch->crossing || page_claimed(cpu, fetch->gpa2)))
            return;
        pthread_mutex_unlock(&cpu->vm->code->lock);
    }
}

static struct block *block_make(struct cpu *cpu, u64 linear, mode_word mode)
{
    struct code_cache *code = cpu->vm->code;
    struct fetch fetch;
    for (;;) {
        fpu_save(cpu);
        fetch_locked(cpu, &fetch, linear);
        struct block *block = block_lookup(code, fetch.gpa, mode);
        if (!block || block->gpa2 != fetch.gpa2) {
            bool room = code->emit.end - code->emit.at > CODE_RESERVE && code->cold.end - code->cold.at > CODE_RESERVE;
            block = room ? translate_block(code, mode, linear, fetch.gpa, fetch.gpa2, fetch.bytes, fetch.available,
                                           fetch.crossing) : NULL;
            if (block) {
                block_publish(code, block);
                trace_blocks(cpu, "linear %#lx physical %#lx: %u bytes become %u at %p", linear, block->gpa,
                             block->bytes, block->host_bytes + block->cold_bytes, (void *)block->host);
            }
        }
        pthread_mutex_unlock(&code->lock);
        if (block)
            return block;
        world_stop(cpu->vm, cpu);
        code_flush(cpu->vm);
        world_resume(cpu->vm);
    }
}

// A block that crosses into another page is the right one only where that page still maps to the same place.
static bool second_page_same(struct cpu *cpu, const struct block *block, u64 linear)
{
    if (LIKELY(block->gpa2 == ~0ull))
        return true;
    u64 next = align_up(linear + 1, PAGE_BYTES);
    next = cpu_code64(cpu) ? next : (u32)next;
    return tlb_probe(cpu->tlb, next, 1, ACCESS_EXECUTE) && page_gpa(cpu, next) == block->gpa2;
}

static struct block *block_find(struct cpu *cpu, u64 linear, mode_word mode)
{
    u8 *bytes = tlb_probe(cpu->tlb, linear, 1, ACCESS_EXECUTE);
    if (!bytes)
        fetch_pointer(cpu, linear);
    u64 gpa = page_gpa(cpu, linear) | (linear & (PAGE_BYTES - 1));
    struct block *block = block_lookup(cpu->vm->code, gpa, mode);
    if (!block || !second_page_same(cpu, block, linear))
        block = block_make(cpu, linear, mode);
    return block;
}

static u64 rip_linear(const struct cpu *cpu)
{
    if (cpu_code64(cpu))
        return cpu->rip;
    return (u32)(cpu->segment[SEG_CS].base + cpu->rip);
}

static void rip_check(struct cpu *cpu)
{
    bool good = cpu_code64(cpu) ? cpu_canonical(cpu->rip) : cpu->rip <= cpu->segment[SEG_CS].limit;
    if (!good)
        cpu_raise_code(cpu, VECTOR_GP, 0);
}

static void code_base_set(struct cpu *cpu, u64 linear)
{
    cpu->code_base = (linear & -(u64)PAGE_BYTES) - (cpu_code64(cpu) ? 0 : cpu->segment[SEG_CS].base);
}

const u8 *code_find_one(struct cpu *cpu)
{
    u64 linear = rip_linear(cpu);
    rip_check(cpu);
    code_base_set(cpu, linear);
    return block_find(cpu, linear, cpu->mode_word | MODE_STEP)->entry_memory;
}

const u8 *code_find(struct cpu *cpu)
{
    u64 linear = rip_linear(cpu);
    struct tlb *tlb = cpu->tlb;
    if (tlb->mode_word != cpu->mode_word) {
        tlb_clear_jumps(tlb);
        tlb->mode_word = cpu->mode_word;
    }
    code_base_set(cpu, linear);
    void *code = tlb_jump_find(tlb, linear);
    if (code)
        return code;
    rip_check(cpu);
    struct block *block = block_find(cpu, linear, cpu->mode_word);
    struct tlb_jump *jump = tlb_jump_fill(cpu->tlb, linear, (void *)(uintptr_t)block->entry_memory);
    if (__atomic_load_n(&block->dropped, __ATOMIC_SEQ_CST)) // by another vCPU, which may have looked here too early
        jump->rip = tlb_jump_invalid(cpu->tlb, jump);
    return block->entry_memory;
}

// A target that crosses into another page cannot be linked to: that page may map elsewhere the next time. The exit goes
// through the jump cache from now on instead of out to C.
static void link_through_jumps(struct code_cache *code, struct block_exit *exit, bool code64)
{
    struct emit *e = &code->cold;
    if (e->end - e->at < CODE_RESERVE)
        return;
    const u8 *detour = emit_address(e);
    if (exit->flags_live)
        emit_flags_save(e, R14);
    emit_gs(e, WIDTH64, X86_MOV_LOAD, R14, offsetof(struct cpu, code_base));
    emit_memory(e, code64 ? WIDTH64 : WIDTH32, X86_LEA, R14, R14, INSN_NO_REGISTER, 1, exit->offset);
    emit_jump(e, EMIT_ALWAYS, code->glue.jump);
    emit_patch(e, exit->rel32, detour);
}

static void exit_set_target(struct code_cache *code, struct block_exit *exit, struct block *block)
{
    exit->target = block;
    exit->next = block->incoming;
    block->incoming = exit;
    emit_patch(&code->emit, exit->rel32, exit->flags_live ? block->entry_live : block->entry_memory);
}

// Who enters the loop from outside begins in the translation of several rounds, too.
static void loop_take_over(struct code_cache *code, struct block *loop, struct block *single)
{
    if (single == loop || single->gpa != loop->gpa || single->mode & MODE_PLAIN)
        return;
    while (single->incoming) {
        struct block_exit *exit = single->incoming;
        single->incoming = exit->next;
        exit_set_target(code, exit, loop);
    }
}

static bool exit_hot(struct block_exit *exit)
{
    return atomic_fetch_add_explicit(&exit->passes, 1, memory_order_relaxed) >= CODE_LOOP_HOT;
}

const u8 *code_link(struct cpu *cpu, u32 exit_id)
{
    struct code_cache *code = cpu->vm->code;
    struct block_exit *exit = &code->exit[exit_id];
    u64 flushes = code->flushes;
    cpu->rip = cpu->code_base + (u64)(s64)exit->offset;
    if (!cpu_code64(cpu))
        cpu->rip = (u32)cpu->rip;
    bool hot = exit->loop && (exit->from->mode & MODE_LOOP || exit_hot(exit)), cold = exit->loop && !hot;
    struct block *block = block_find(cpu, rip_linear(cpu), cpu->mode_word | (exit->plain ? MODE_PLAIN : 0) |
                                                               (hot ? MODE_LOOP : 0));
    if (cold)
        return block->entry_memory;
    pthread_mutex_lock(&code->lock);
    if (block->gpa2 != ~0ull && !exit->from->dropped && code->flushes == flushes)
        link_through_jumps(code, exit, cpu_code64(cpu));
    else if (!exit->target && !exit->from->dropped && !block->dropped && code->flushes == flushes) {
        exit_set_target(code, exit, block);
        if (hot)
            loop_take_over(code, block, exit->from);
    }
    pthread_mutex_unlock(&code->lock);
    return block->entry_memory;
}

static void unlink_from(struct code_cache *code, struct block_exit *exit)
{
    struct block_exit **link = &exit->target->incoming;
    while (*link && *link != exit)
        link = &(*link)->next;
    if (*link)
        *link = exit->next;
    exit->target = NULL;
    emit_patch(&code->emit, exit->rel32, exit->unlinked);
}

static void page_list_remove(struct engine_vm *vm, struct block *block, u64 gpa)
{
    struct ram_page *page = ram_page_find(vm, gpa);
    if (!page)
        return;
    bool second = gpa != align_down(block->gpa, PAGE_BYTES);
    struct block *at = atomic_load(&page->blocks), *previous = NULL;
    while (at && at != &page_marker && at != block) {
        previous = at;
        at = align_down(at->gpa, PAGE_BYTES) == gpa ? at->page_next : at->page2_next;
    }
    if (at != block)
        return;
    struct block *next = second ? block->page2_next : block->page_next;
    if (!previous)
        atomic_store(&page->blocks, next);
    else if (align_down(previous->gpa, PAGE_BYTES) == gpa)
        previous->page_next = next;
    else
        previous->page2_next = next;
}

static void block_drop(struct code_cache *code, struct block *block)
{
    __atomic_store_n(&block->dropped, true, __ATOMIC_SEQ_CST);
    while (block->incoming)
        unlink_from(code, block->incoming);
    for (unsigned i = 0; i < block->exit_count; i++)
        if (block->exit[i].target)
            unlink_from(code, &block->exit[i]);
    page_list_remove(code->vm, block, align_down(block->gpa, PAGE_BYTES));
    if (block->gpa2 != ~0ull)
        page_list_remove(code->vm, block, align_down(block->gpa2, PAGE_BYTES));
    struct block *_Atomic *at = bucket(code, block->gpa, block->mode);
    struct block *head = atomic_load(at);
    if (head == block) {
        atomic_store(at, block->hash_next);
        return;
    }
    while (head && head->hash_next != block)
        head = head->hash_next;
    if (head)
        head->hash_next = block->hash_next; // readers on `block` still find their way on
}

static bool block_overlaps(const struct block *block, u64 gpa, u64 bytes)
{
    u64 first = block->gpa & (PAGE_BYTES - 1);
    u64 in_page = block->gpa2 == ~0ull ? block->bytes : PAGE_BYTES - first;
    if (gpa < block->gpa + in_page && block->gpa < gpa + bytes)
        return true;
    return block->gpa2 != ~0ull && gpa < block->gpa2 + (block->bytes - in_page) && block->gpa2 < gpa + bytes;
}

static void jumps_forget(struct engine_vm *vm, const struct block *block)
{
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++)
        if (vm->cpu[i])
            tlb_forget_block(vm->cpu[i], block->gpa, block->entry_memory);
}

static bool page_written(struct engine_vm *vm, struct cpu *cpu, struct ram_page *page, u64 gpa, u64 bytes)
{
    struct code_cache *code = vm->code;
    bool own = false;
    u64 frame = align_down(gpa, PAGE_BYTES);
    pthread_mutex_lock(&code->lock);
    struct block *block = atomic_load(&page->blocks);
    while (block && block != &page_marker) {
        struct block *next = align_down(block->gpa, PAGE_BYTES) == frame ? block->page_next : block->page2_next;
        if (block_overlaps(block, gpa, bytes)) {
            const u8 *at = cpu ? (const u8 *)cpu->scratch[1] : NULL;
            own |= block_contains(block, at);
            block_drop(code, block);
            jumps_forget(vm, block);
        }
        block = next;
    }
    if (atomic_load(&page->blocks) == &page_marker)
        atomic_store(&page->blocks, NULL);
    pthread_mutex_unlock(&code->lock);
    return own;
}

bool code_written(struct engine_vm *vm, struct cpu *cpu, u64 gpa, u64 bytes)
{
    bool own = false;
    while (bytes) {
        u64 part = PAGE_BYTES - (gpa & (PAGE_BYTES - 1));
        part = part < bytes ? part : bytes;
        struct ram_page *page = ram_page_find(vm, gpa);
        if (page && atomic_load(&page->blocks))
            own |= page_written(vm, cpu, page, gpa, part);
        gpa += part;
        bytes -= part;
    }
    return own;
}

void code_flush(struct engine_vm *vm)
{
    struct code_cache *code = vm->code;
    pthread_mutex_lock(&code->lock);
    for (u32 i = 0; i < code->block_count; i++) {
        struct block *block = &code->block[i];
        struct ram_page *page = ram_page_find(vm, block->gpa);
        if (page)
            atomic_store(&page->blocks, NULL);
        page = block->gpa2 != ~0ull ? ram_page_find(vm, block->gpa2) : NULL;
        if (page)
            atomic_store(&page->blocks, NULL);
    }
    for (u32 i = 0; i < 1u << CODE_HASH_BITS; i++)
        atomic_store(&code->hash[i], NULL);
    code->block_count = code->insn_count = code->exit_count = code->site_count = 0;
    code->emit.at = code->first;
    code->cold.at = code->writable + CODE_HOT_BYTES;
    code->emit.full = code->cold.full = false;
    code->flushes++;
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++)
        if (vm->cpu[i])
            tlb_forget_code(vm->cpu[i], NULL);
    pthread_mutex_unlock(&code->lock);
}
