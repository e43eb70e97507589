// See board_bus.h.
#include "machine/board_bus.h"

#include <string.h>

void board_bus_init(struct board_bus *bus, const struct engine *engine, struct engine_vm *vm)
{
    // A guest that rings doorbells without pause must not keep another vCPU from moving a BAR.
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&bus->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    atomic_init(&bus->removals, 0);
    bus->ports.count = 0;
    bus->memory.count = 0;
    board_doorbell_init(&bus->doorbells, engine, vm);
}

void board_bus_destroy(struct board_bus *bus) { pthread_rwlock_destroy(&bus->lock); }

static struct board_map *board_bus_map(struct board_bus *bus, enum device_space space)
{
    return space == DEVICE_PORTS ? &bus->ports : &bus->memory;
}

// The first range that ends after `address`, or the end.
static unsigned board_map_search(const struct board_map *map, u64 address)
{
    unsigned low = 0, high = map->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct board_range *range = &map->ranges[middle];
        if (range->base + (range->bytes - 1) < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool board_map_insert(struct board_map *map, const struct board_range *range)
{
    unsigned at = board_map_search(map, range->base);
    if (map->count == BOARD_BUS_RANGES)
        return false;
    if (at < map->count && map->ranges[at].base <= range->base + (range->bytes - 1))
        return false;
    memmove(&map->ranges[at + 1], &map->ranges[at], (map->count - at) * sizeof *map->ranges);
    map->ranges[at] = *range;
    map->count++;
    return true;
}

bool board_bus_add_chip(struct board_bus *bus, const struct device_model *model, void *chip, pthread_mutex_t *lock)
{
    bool fits = true;
    pthread_rwlock_wrlock(&bus->lock);
    for (unsigned i = 0; i < DEVICE_RANGES && model->ranges[i].space != DEVICE_NOWHERE; i++) {
        const struct device_range *from = &model->ranges[i];
        struct board_range range = {
            .base = from->base,
            .bytes = from->bytes,
            .lock = lock,
            .widest = from->widest,
            .chip = chip,
            .read = from->read,
            .write = from->write,
        };
        fits &= board_map_insert(board_bus_map(bus, from->space), &range);
    }
    pthread_rwlock_unlock(&bus->lock);
    return fits;
}

static void board_map_remove(struct board_map *map, const struct pci_function *function)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < map->count; i++)
        if (map->ranges[i].function != function)
            map->ranges[kept++] = map->ranges[i];
    map->count = kept;
}

void board_bus_update_function(struct board_bus *bus, struct pci_function *function, pthread_mutex_t *lock)
{
    pthread_rwlock_wrlock(&bus->lock);
    board_map_remove(&bus->ports, function);
    board_map_remove(&bus->memory, function);
    board_doorbell_take_back(&bus->doorbells, function);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        const struct pci_bar *bar = &function->bars[i];
        struct board_range range = {
            .bytes = bar->bytes,
            .lock = bar->unlocked ? NULL : lock,
            .widest = 8,
            .bar = (u8)i,
            .function = function,
        };
        if (!pci_bar_address(function, i, &range.base))
            continue;
        if (bar->kind != PCI_BAR_IO)
            board_map_insert(&bus->memory, &range);
        else if (range.base + range.bytes <= 0x10000)
            board_map_insert(&bus->ports, &range);
    }
    pthread_rwlock_unlock(&bus->lock);
}

void board_bus_remove_function(struct board_bus *bus, const struct pci_function *function)
{
    pthread_rwlock_wrlock(&bus->lock);
    board_map_remove(&bus->ports, function);
    board_map_remove(&bus->memory, function);
    board_doorbell_take_back(&bus->doorbells, function);
    atomic_fetch_add(&bus->removals, 1);
    pthread_rwlock_unlock(&bus->lock);
}

static u64 board_range_read(const struct board_range *range, u64 offset, unsigned bytes)
{
    if (range->function)
        return pci_bar_read(range->function, range->bar, offset, bytes);
    if (!range->read)
        return UINT64_MAX;
    u64 value = 0;
    for (unsigned done = 0; done < bytes; done += range->widest) {
        unsigned piece = bytes - done < range->widest ? bytes - done : range->widest;
        u64 part = range->read(range->chip, offset + done, piece);
        value |= (piece < 8 ? part & (((u64)1 << piece * 8) - 1) : part) << done * 8;
    }
    return value;
}

static void board_range_write(const struct board_range *range, u64 offset, unsigned bytes, u64 value)
{
    if (range->function) {
        pci_bar_write(range->function, range->bar, offset, bytes, value);
        return;
    }
    for (unsigned done = 0; range->write && done < bytes; done += range->widest) {
        unsigned piece = bytes - done < range->widest ? bytes - done : range->widest;
        u64 part = value >> done * 8;
        range->write(range->chip, offset + done, piece, piece < 8 ? part & (((u64)1 << piece * 8) - 1) : part);
    }
}

// The accesses that no instruction of a well-behaved guest makes: across the border of two ranges. They go byte by
// byte.
enum board_hit { BOARD_MISS, BOARD_HIT, BOARD_ACROSS };

// Without the map lock, but not yet with the range's, its function may be taken out and freed: the caller looks again.
static bool board_bus_stale(struct board_bus *bus, const struct board_range *range, unsigned removals)
{
    pthread_mutex_lock(range->lock);
    if (LIKELY(atomic_load(&bus->removals) == removals))
        return false;
    pthread_mutex_unlock(range->lock);
    return true;
}

// Finds the range and leaves with its lock held, or the map lock for reading where it has none.
static enum board_hit board_bus_enter(struct board_bus *bus, enum device_space space, u64 address, unsigned bytes,
                                      struct board_range *range)
{
    struct board_map *map = board_bus_map(bus, space);
    enum board_hit hit;
    unsigned removals;
    do {
        pthread_rwlock_rdlock(&bus->lock);
        removals = atomic_load(&bus->removals);
        unsigned at = board_map_search(map, address);
        hit = BOARD_MISS;
        if (at < map->count && map->ranges[at].base <= address + (bytes - 1)) {
            *range = map->ranges[at];
            u64 offset = address - range->base;
            bool inside = address >= range->base && bytes <= range->bytes && offset <= range->bytes - bytes;
            hit = inside ? BOARD_HIT : BOARD_ACROSS;
        }
        if (hit == BOARD_HIT && !range->lock)
            return hit;
        pthread_rwlock_unlock(&bus->lock);
    } while (hit == BOARD_HIT && board_bus_stale(bus, range, removals));
    return hit;
}

static void board_bus_leave(struct board_bus *bus, const struct board_range *range)
{
    if (range->lock)
        pthread_mutex_unlock(range->lock);
    else
        pthread_rwlock_unlock(&bus->lock);
}

u64 board_bus_read(struct board_bus *bus, enum device_space space, u64 address, unsigned bytes)
{
    struct board_range range;
    u64 value = UINT64_MAX;
    switch (board_bus_enter(bus, space, address, bytes, &range)) {
    case BOARD_MISS:
        break;
    case BOARD_HIT:
        value = board_range_read(&range, address - range.base, bytes);
        board_bus_leave(bus, &range);
        break;
    case BOARD_ACROSS:
        value = 0;
        for (unsigned i = 0; i < bytes; i++)
            value |= (bytes == 1 ? 0xFF : board_bus_read(bus, space, address + i, 1)) << i * 8;
        break;
    }
    return bytes < 8 ? value & (((u64)1 << bytes * 8) - 1) : value;
}

// What a range without a lock was just rung with.
static int board_range_doorbell(const struct board_range *range, u64 offset)
{
    const struct pci_function *function = range->lock ? NULL : range->function;
    return function && function->doorbell ? function->doorbell(function->context, range->bar, offset) : -1;
}

// Between the write and here the BAR may have moved: looked up again.
static void board_bus_hand_over(struct board_bus *bus, u64 address)
{
    pthread_rwlock_wrlock(&bus->lock);
    const unsigned at = board_map_search(&bus->memory, address);
    const struct board_range *range = at < bus->memory.count ? &bus->memory.ranges[at] : NULL;
    const int fd = range && range->base <= address ? board_range_doorbell(range, address - range->base) : -1;
    if (fd >= 0)
        board_doorbell_hand_over(&bus->doorbells, range->function, address, fd);
    pthread_rwlock_unlock(&bus->lock);
}

void board_bus_write(struct board_bus *bus, enum device_space space, u64 address, unsigned bytes, u64 value)
{
    struct board_range range;
    bool doorbell;
    switch (board_bus_enter(bus, space, address, bytes, &range)) {
    case BOARD_MISS:
        break;
    case BOARD_HIT:
        board_range_write(&range, address - range.base, bytes, value);
        doorbell = space == DEVICE_MEMORY && !range.lock && board_doorbell_room(&bus->doorbells);
        board_bus_leave(bus, &range);
        if (doorbell)
            board_bus_hand_over(bus, address);
        break;
    case BOARD_ACROSS:
        for (unsigned i = 0; bytes > 1 && i < bytes; i++)
            board_bus_write(bus, space, address + i, 1, value >> i * 8 & 0xFF);
        break;
    }
}
