// See vhd.h. Whether a VHD or VHDX file is fixed or dynamic is written in it and nowhere else: how much of it lies on
// the host's disk says nothing, since a fixed file may have holes and a dynamic one may be full.
#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "service/vhd.h"

// Virtual Hard Disk Image Format Specification 1.0, "Hard Disk Footer Format": the file's last 512 bytes.
struct vpc_footer {
    char cookie[8];
    u8 before_type[52];
    u32 type; // big-endian
} __attribute__((packed));
enum { VPC_FOOTER_BYTES = 512, VPC_FIXED = 2 };
static_assert(sizeof(struct vpc_footer) == 64, "the type stands at byte 60");

// [MS-VHDX] 2.2.3 and 2.6.1: two tables of the same shape, the regions and what is in the region of metadata.
struct vhdx_region {
    u8 guid[16];
    u64 offset;
    u32 length, required;
} __attribute__((packed));
struct vhdx_item {
    u8 guid[16];
    u32 offset, length, flags, reserved;
} __attribute__((packed));
static_assert(sizeof(struct vhdx_region) == 32 && sizeof(struct vhdx_item) == 32, "entries are 32 bytes");
enum { VHDX_REGIONS = 192 << 10, VHDX_REGION_ENTRIES = 16, VHDX_ITEMS = 32, VHDX_ENTRIES = 2047,
       VHDX_LEAVE_ALLOCATED = 1 };

static const u8 vhdx_metadata[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                     0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
static const u8 vhdx_file_parameters[16] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                            0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};

static bool header_read(int fd, void *bytes, size_t count, u64 offset)
{
    return offset < INT64_MAX / 2 && pread(fd, bytes, count, (off_t)offset) == (ssize_t)count;
}

static bool vpc_is_fixed(int fd)
{
    struct vpc_footer footer;
    const off_t end = lseek(fd, 0, SEEK_END);
    return end >= VPC_FOOTER_BYTES && header_read(fd, &footer, sizeof footer, (u64)end - VPC_FOOTER_BYTES) &&
           !memcmp(footer.cookie, "conectix", sizeof footer.cookie) && be32toh(footer.type) == VPC_FIXED;
}

// Where the region of metadata begins; 0: nowhere.
static u64 vhdx_metadata_at(int fd)
{
    u32 head[4];
    if (!header_read(fd, head, sizeof head, VHDX_REGIONS) || memcmp(head, "regi", 4))
        return 0;
    const u32 count = le32toh(head[2]);
    for (u32 i = 0; i < count && i < VHDX_ENTRIES; i++) {
        struct vhdx_region region;
        if (!header_read(fd, &region, sizeof region, VHDX_REGIONS + VHDX_REGION_ENTRIES + i * sizeof region))
            return 0;
        if (!memcmp(region.guid, vhdx_metadata, sizeof region.guid))
            return le64toh(region.offset);
    }
    return 0;
}

static bool vhdx_is_fixed(int fd)
{
    struct {
        char signature[8];
        u16 reserved, count;
    } head;
    const u64 at = vhdx_metadata_at(fd);
    if (!at || !header_read(fd, &head, sizeof head, at) || memcmp(head.signature, "metadata", sizeof head.signature))
        return false;
    for (u32 i = 0; i < le16toh(head.count) && i < VHDX_ENTRIES; i++) {
        struct vhdx_item item;
        u32 parameters[2]; // the block size, and the flags
        if (!header_read(fd, &item, sizeof item, at + VHDX_ITEMS + i * sizeof item))
            return false;
        if (!memcmp(item.guid, vhdx_file_parameters, sizeof item.guid))
            return header_read(fd, parameters, sizeof parameters, at + le32toh(item.offset)) &&
                   le32toh(parameters[1]) & VHDX_LEAVE_ALLOCATED;
    }
    return false;
}

bool vhd_header_fixed(const char *path, enum vhd_format format)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    const bool fixed = format == VHD_VPC ? vpc_is_fixed(fd) : format == VHD_VHDX && vhdx_is_fixed(fd);
    close(fd);
    return fixed;
}
