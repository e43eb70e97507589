// Guest-physical addresses to RAM slots (vm.h). The slots change only while every vCPU is stopped, so looking needs
// no lock; there are a handful of them, and a board's first one holds nearly everything, so that a binary search
// starts there.
#include "engine/soft/vm.h"

struct ram_slot *ram_slot_find(struct engine_vm *vm, u64 gpa)
{
    unsigned low = 0, high = vm->slot_count, middle = 0;
    while (low < high) {
        struct ram_slot *slot = &vm->slot[middle];
        if (gpa < slot->gpa)
            high = middle;
        else if (gpa - slot->gpa < slot->bytes)
            return slot;
        else
            low = middle + 1;
        middle = (low + high) / 2;
    }
    return NULL;
}

void *ram_pointer(struct engine_vm *vm, u64 gpa, u64 bytes)
{
    const struct ram_slot *slot = ram_slot_find(vm, gpa);
    if (!slot || bytes > slot->bytes - (gpa - slot->gpa))
        return NULL;
    return slot->host + (gpa - slot->gpa);
}

struct ram_page *ram_page_find(struct engine_vm *vm, u64 gpa)
{
    const struct ram_slot *slot = ram_slot_find(vm, gpa);
    return slot ? &slot->pages[(gpa - slot->gpa) >> PAGE_BITS] : NULL;
}

void ram_mark_dirty(struct engine_vm *vm, u64 gpa)
{
    const struct ram_slot *slot = ram_slot_find(vm, gpa);
    if (!slot || !slot->dirty)
        return;
    u64 page = (gpa - slot->gpa) >> PAGE_BITS;
    u64 bit = (u64)1 << (page & 63);
    if (!(atomic_load_explicit(&slot->dirty[page / 64], memory_order_relaxed) & bit))
        atomic_fetch_or(&slot->dirty[page / 64], bit);
}
