// Where a virtual disk's sectors live: a raw file or block device, or an image that QEMU's storage daemon serves
// (disk_image.h). The device model sees only this interface.
//
// A disk's format is given, or follows from its name, and never from its content: the guest writes that, and would
// choose with it which file of the host is opened as the image's parent.
//
// All transfers are positioned and take the guest's own segments: sectors of a raw disk move between the page cache and
// guest memory without a buffer between. Every function may be called from several threads at once.
#pragma once

#include <sys/uio.h>

#include "base/error.h"
#include "base/types.h"

enum { DISK_SECTOR = 512, DISK_MAX_SEGMENTS = 1024 /* UIO_MAXIOV */ };

struct disk_config {
    const char *path;
    bool readonly;
    u32 user; // whom a program that serves the image becomes, when we are root; 0: who we are
    const char *format; // "raw", "qcow2", "vpc" (VHD), "vhdx"; NULL: what the name's ending says, otherwise raw
};

struct disk;

// Ranges lie within the disk, nothing is written to a readonly one. See the functions of the same names below.
struct disk_type {
    int (*read)(struct disk *disk, struct iovec *segments, unsigned count, u64 bytes, u64 offset);
    int (*write)(struct disk *disk, struct iovec *segments, unsigned count, u64 bytes, u64 offset);
    int (*flush)(struct disk *disk);
    int (*zero)(struct disk *disk, u64 offset, u64 bytes, bool unmap);
    int (*discard)(struct disk *disk, u64 offset, u64 bytes);
    void (*close)(struct disk *disk);
};

struct disk {
    const struct disk_type *type; // NULL: it is closed
    void *state;    // the type's
    int fd;         // a raw one's, locked as long as it is open
    bool readonly;
    bool device;    // a block device, not a file
    u64 bytes;      // what the guest sees: a multiple of DISK_SECTOR
    u64 file_bytes; // what there is of a raw one; the rest of the last sector reads as zeros
    u32 block;      // the unit the host transfers without a read-modify-write
    char identity[20]; // stable over runs: made of the file's device and inode numbers; may lack a final zero byte
};

// Opens and locks the image. A lock held by somebody else is an error that names the process where the host lets us see
// it. Several readers of one image may run at once, a writer runs alone.
int disk_open(struct disk *disk, const struct disk_config *config, struct error *error);
void disk_close(struct disk *disk);

// What the ending of a name says: one of the formats of struct disk_config.
const char *disk_format(const char *path);
bool disk_format_known(const char *format);

// For the types: the disk's identity, from what stat(2) says of its file.
struct stat;
void disk_identify(struct disk *disk, const struct stat *status);

// 0 or a negative errno. The range must lie within disk->bytes; the segments' lengths add up to `bytes`. The arrays of
// segments are used up (advanced) by the call.
int disk_read(struct disk *disk, struct iovec *segments, unsigned count, u64 bytes, u64 offset);
int disk_write(struct disk *disk, struct iovec *segments, unsigned count, u64 bytes, u64 offset);
int disk_flush(struct disk *disk);

// The range reads as zeros afterwards; `unmap` allows the host to give the space back.
int disk_zero(struct disk *disk, u64 offset, u64 bytes, bool unmap);

// The range's content is no longer needed; what it reads as is undefined. -EOPNOTSUPP where the host cannot.
int disk_discard(struct disk *disk, u64 offset, u64 bytes);
