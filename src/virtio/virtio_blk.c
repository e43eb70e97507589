// See virtio_blk.h. The disk reads and writes the guest's own buffers; the device's lock is open meanwhile, so that
// a vCPU never waits for the host's storage. Section numbers are those of VIRTIO 1.2.
#include "virtio/virtio_blk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLK_F_SEG_MAX ((u64)1 << 2)
#define BLK_F_RO ((u64)1 << 5)
#define BLK_F_BLK_SIZE ((u64)1 << 6)
#define BLK_F_FLUSH ((u64)1 << 9)
#define BLK_F_TOPOLOGY ((u64)1 << 10)
#define BLK_F_DISCARD ((u64)1 << 13)
#define BLK_F_WRITE_ZEROES ((u64)1 << 14)

enum { BLK_IN = 0, BLK_OUT = 1, BLK_FLUSH = 4, BLK_GET_ID = 8, BLK_DISCARD = 11, BLK_WRITE_ZEROES = 13 };
enum { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPPORTED = 2 };
enum { BLK_ZEROES_UNMAP = 1 };
enum {
    BLK_QUEUE_SIZE = 256,
    BLK_SEGMENTS = BLK_QUEUE_SIZE - 2,
    BLK_RANGES = 16,               // in one discard or write-zeroes request
    BLK_RANGE_SECTORS = 1 << 21,   // 1 GiB
};

// 5.2.4
struct blk_configuration {
    u64 capacity;
    u32 size_max;
    u32 seg_max;
    u16 cylinders;
    u8 heads, sectors;
    u32 blk_size;
    u8 physical_block_exp;
    u8 alignment_offset;
    u16 min_io_size;
    u32 opt_io_size;
    u8 writeback;
    u8 unused0;
    u16 num_queues;
    u32 max_discard_sectors, max_discard_seg, discard_sector_alignment;
    u32 max_write_zeroes_sectors, max_write_zeroes_seg;
    u8 write_zeroes_may_unmap;
    u8 unused1[3];
} __attribute__((packed));

static_assert(sizeof(struct blk_configuration) == 60, "VIRTIO 1.2, 5.2.4");

// 5.2.6
struct blk_header {
    u32 type;
    u32 reserved;
    u64 sector;
};

struct blk_range {
    u64 sector;
    u32 sectors;
    u32 flags;
};

static_assert(sizeof(struct blk_header) == 16 && sizeof(struct blk_range) == 16, "VIRTIO 1.2, 5.2.6");

struct virtio_blk {
    struct virtio virtio;
    struct virtio_pci pci;
    struct disk *disk;
    struct blk_configuration configuration;
    u64 saved_capacity;                            // of the disk the saved state was made with
    struct virtqueue_chain chain;                  // the thread's
    struct iovec data[VIRTQUEUE_MAX_SEGMENTS];     // the thread's: the chain's data without header and status
};

static int blk_status(int result)
{
    return result >= 0 ? BLK_OK : result == -EOPNOTSUPP ? BLK_UNSUPPORTED : BLK_IOERR;
}

static bool blk_in_range(const struct virtio_blk *blk, u64 sector, u64 bytes)
{
    u64 sectors = blk->disk->bytes / DISK_SECTOR;
    return sector <= sectors && bytes <= (sectors - sector) * DISK_SECTOR;
}

// Lists bytes [skip, skip + bytes) of some segments in blk->data and returns how many pieces that makes.
static unsigned blk_slice(struct virtio_blk *blk, const struct iovec *segments, unsigned count, u64 skip, u64 bytes)
{
    unsigned pieces = 0;
    for (unsigned i = 0; i < count && bytes; i++) {
        u64 length = segments[i].iov_len;
        if (skip >= length) {
            skip -= length;
            continue;
        }
        u64 part = length - skip < bytes ? length - skip : bytes;
        blk->data[pieces++] = (struct iovec){.iov_base = (u8 *)segments[i].iov_base + skip, .iov_len = part};
        skip = 0;
        bytes -= part;
    }
    return pieces;
}

static int blk_read(struct virtio_blk *blk, u64 sector)
{
    const struct virtqueue_chain *chain = &blk->chain;
    u64 bytes = chain->writable_bytes - 1;
    if (bytes % DISK_SECTOR || !blk_in_range(blk, sector, bytes))
        return BLK_IOERR;
    unsigned pieces = blk_slice(blk, chain->segments + chain->readable, chain->writable, 0, bytes);
    return blk_status(disk_read(blk->disk, blk->data, pieces, bytes, sector * DISK_SECTOR));
}

static int blk_write(struct virtio_blk *blk, u64 sector, bool through)
{
    const struct virtqueue_chain *chain = &blk->chain;
    u64 bytes = chain->readable_bytes - sizeof(struct blk_header);
    if (blk->disk->readonly || bytes % DISK_SECTOR || !blk_in_range(blk, sector, bytes))
        return BLK_IOERR;
    unsigned pieces = blk_slice(blk, chain->segments, chain->readable, sizeof(struct blk_header), bytes);
    int result = disk_write(blk->disk, blk->data, pieces, bytes, sector * DISK_SECTOR);
    if (result >= 0 && through)
        result = disk_flush(blk->disk);
    return blk_status(result);
}

static int blk_get_id(struct virtio_blk *blk)
{
    virtqueue_chain_write(&blk->chain, 0, blk->disk->identity,
                          blk->chain.writable_bytes - 1 < sizeof blk->disk->identity ? blk->chain.writable_bytes - 1
                                                                                     : sizeof blk->disk->identity);
    return BLK_OK;
}

// 5.2.6.2: what makes a range unacceptable for its command.
static int blk_check_range(const struct virtio_blk *blk, u32 type, const struct blk_range *range)
{
    u32 allowed = type == BLK_WRITE_ZEROES ? BLK_ZEROES_UNMAP : 0;
    if (range->flags & ~allowed)
        return BLK_UNSUPPORTED;
    if (range->sectors > BLK_RANGE_SECTORS || !blk_in_range(blk, range->sector, (u64)range->sectors * DISK_SECTOR))
        return BLK_IOERR;
    return BLK_OK;
}

static int blk_ranges(struct virtio_blk *blk, u32 type)
{
    struct blk_range ranges[BLK_RANGES];
    u64 bytes = blk->chain.readable_bytes - sizeof(struct blk_header);
    if (blk->disk->readonly || !bytes || bytes % sizeof *ranges || bytes > sizeof ranges)
        return BLK_IOERR;
    unsigned count = (unsigned)(bytes / sizeof *ranges);
    virtqueue_chain_read(&blk->chain, sizeof(struct blk_header), ranges, bytes);
    for (unsigned i = 0; i < count; i++) {
        int status = blk_check_range(blk, type, &ranges[i]);
        if (status != BLK_OK)
            return status;
    }
    for (unsigned i = 0; i < count; i++) {
        u64 offset = ranges[i].sector * DISK_SECTOR, length = (u64)ranges[i].sectors * DISK_SECTOR;
        int result = 0;
        if (length && type == BLK_DISCARD)
            result = disk_discard(blk->disk, offset, length);
        else if (length)
            result = disk_zero(blk->disk, offset, length, ranges[i].flags & BLK_ZEROES_UNMAP);
        // A discard is a hint: that the host cannot is no error.
        if (result < 0 && !(type == BLK_DISCARD && result == -EOPNOTSUPP))
            return blk_status(result);
    }
    return BLK_OK;
}

// Without the lock. `through`: the driver does not know of FLUSH, so what it wrote has to be safe at once.
static int blk_execute(struct virtio_blk *blk, const struct blk_header *header, bool through)
{
    switch (header->type) {
    case BLK_IN:
        return blk_read(blk, header->sector);
    case BLK_OUT:
        return blk_write(blk, header->sector, through);
    case BLK_FLUSH:
        return blk_status(disk_flush(blk->disk));
    case BLK_GET_ID:
        return blk_get_id(blk);
    case BLK_DISCARD:
    case BLK_WRITE_ZEROES:
        return blk_ranges(blk, header->type);
    default:
        return BLK_UNSUPPORTED;
    }
}

// One request. False if there was a reset meanwhile or the request has no form.
static bool blk_serve(struct virtio_blk *blk)
{
    struct virtio *virtio = &blk->virtio;
    struct virtqueue_chain *chain = &blk->chain;
    struct blk_header header;
    if (virtqueue_chain_read(chain, 0, &header, sizeof header) < sizeof header || !chain->writable_bytes) {
        virtio_break(virtio, "5.2.6: a request without header or status byte");
        return false;
    }
    u32 epoch = virtio->epoch;
    bool through = !virtio_has(virtio, BLK_F_FLUSH);
    virtio_host_begin(virtio);
    u8 status = (u8)blk_execute(blk, &header, through);
    virtqueue_chain_write(chain, chain->writable_bytes - 1, &status, 1);
    if (!virtio_host_end(virtio, epoch))
        return false;
    u32 written = chain->writable_bytes < UINT32_MAX ? (u32)chain->writable_bytes : UINT32_MAX;
    virtqueue_return(&virtio->queues[0], chain, written);
    virtio_publish(virtio, 0);
    return !virtio->paused && !virtio->stop;
}

static void blk_work(struct virtio *virtio)
{
    struct virtio_blk *blk = CONTAINER_OF(virtio, struct virtio_blk, virtio);
    struct virtqueue *queue = &virtio->queues[0];
    virtqueue_deafen(queue);
    do {
        while (virtio_take(virtio, 0, &blk->chain) == VIRTQUEUE_CHAIN)
            if (!blk_serve(blk))
                return;
    } while (virtio_listen(virtio, 0, 0));
}

static void blk_destroy(struct virtio *virtio)
{
    virtio_close(virtio);
    free(CONTAINER_OF(virtio, struct virtio_blk, virtio));
}

// Nothing of the device itself is state, but its disk must be the one that the guest knows.
static void blk_saving(void *object)
{
    struct virtio_blk *blk = object;
    blk->saved_capacity = blk->configuration.capacity;
}

static int blk_loaded(void *object, struct error *error)
{
    const struct virtio_blk *blk = object;
    if (blk->saved_capacity == blk->configuration.capacity)
        return 0;
    return error_set(error, "the disk has %lu sectors of 512 bytes, and had %lu when the VM was saved: give it the "
                            "same", (unsigned long)blk->configuration.capacity, (unsigned long)blk->saved_capacity);
}

static const struct state_field blk_fields[] = {
    STATE_FIELD(struct virtio_blk, saved_capacity),
};

static const struct state_section blk_state =
    STATE_SECTION("virtio-blk", 1, blk_fields, .pre_save = blk_saving, .post_load = blk_loaded);
static_assert(offsetof(struct virtio_blk, virtio) == 0, "virtio_type.state");

static const struct virtio_type blk_type = {
    .name = "blk",
    .id = VIRTIO_ID_BLOCK,
    .queues = 1,
    .queue_size = BLK_QUEUE_SIZE,
    .class_code = 0x018000, // mass storage, other
    .config_bytes = sizeof(struct blk_configuration),
    .work = blk_work,
    .state = &blk_state,
    .destroy = blk_destroy,
};

static struct blk_configuration blk_describe(const struct disk *disk)
{
    u32 block = disk->block >= DISK_SECTOR ? disk->block / DISK_SECTOR : 1;
    struct blk_configuration configuration = {
        .capacity = disk->bytes / DISK_SECTOR,
        .seg_max = BLK_SEGMENTS,
        .blk_size = DISK_SECTOR,
        .physical_block_exp = (u8)__builtin_ctz(block),
        .min_io_size = (u16)block,
        .num_queues = 1,
    };
    if (!disk->readonly) {
        configuration.max_discard_sectors = configuration.max_write_zeroes_sectors = BLK_RANGE_SECTORS;
        configuration.max_discard_seg = configuration.max_write_zeroes_seg = BLK_RANGES;
        configuration.discard_sector_alignment = block;
        configuration.write_zeroes_may_unmap = 1;
    }
    return configuration;
}

struct virtio_pci *virtio_blk_create(struct memory *memory, const struct virtio_blk_config *config,
                                     struct error *error)
{
    struct virtio_blk *blk = calloc(1, sizeof *blk);
    if (!blk) {
        error_set(error, "virtio blk: out of memory");
        return NULL;
    }
    u64 writer = BLK_F_DISCARD | BLK_F_WRITE_ZEROES;
    blk->disk = config->disk;
    blk->configuration = blk_describe(config->disk);
    blk->virtio.type = &blk_type;
    blk->virtio.memory = memory;
    blk->virtio.config = &blk->configuration;
    blk->virtio.features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH | BLK_F_TOPOLOGY |
                           (config->disk->readonly ? BLK_F_RO : writer);
    if (virtio_open(&blk->virtio, error) < 0) {
        free(blk);
        return NULL;
    }
    if (virtio_pci_init(&blk->pci, &blk->virtio, error) < 0) {
        blk_destroy(&blk->virtio);
        return NULL;
    }
    return &blk->pci;
}
