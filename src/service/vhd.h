// Virtual hard disk files, as the *-VHD cmdlets see them. Raw images are handled here; VHD, VHDX and qcow2 by qemu-img,
// which knows them better than anything we could write.
//
// A file's format goes by its ending and never by its content: a guest can write any header it likes into a raw disk,
// and would then choose which file of the host is opened as its parent.
#pragma once

#include "base/error.h"
#include "base/types.h"

enum vhd_format { VHD_RAW, VHD_VPC, VHD_VHDX, VHD_QCOW2 };
enum vhd_type { VHD_FIXED, VHD_DYNAMIC, VHD_DIFFERENCING };

enum { VHD_PATH = 4096 };

struct vhd_info {
    enum vhd_format format;
    enum vhd_type type;
    u64 size;       // bytes the guest sees
    u64 file_bytes; // bytes it takes on the host's disk
    u64 block;      // bytes it grows by, 0: does not grow
    char parent[VHD_PATH];
};

struct vhd_new {
    u64 size;
    enum vhd_type type;
    u64 block;          // 0: the format's own
    const char *parent; // VHD_DIFFERENCING
};

enum vhd_format vhd_format(const char *path);
const char *vhd_format_name(enum vhd_format format);  // as VhdFormat shows it: "RAW", "VHDX"
const char *vhd_format_driver(enum vhd_format format); // as qemu and the worker call it: "raw", "vpc"
const char *vhd_type_name(enum vhd_type type);

// All: any thread, 0 or -1 with the reason in `error`. `path` is absolute. Nothing is overwritten, and what fails half
// way leaves no file behind.
int vhd_read(struct vhd_info *info, const char *path, struct error *error);
int vhd_create(const char *path, const struct vhd_new *new, struct error *error);
// VHD and VHDX files are copied for it, and can only grow.
int vhd_resize(const char *path, u64 size, bool shrink, struct error *error);
// `progress` is told percents, 0 to 100. May be NULL.
int vhd_convert(const char *path, const char *to, enum vhd_type type, u64 block,
                void (*progress)(void *context, int percent), void *context, struct error *error);
int vhd_merge(const char *path, const char *into, struct error *error); // into NULL: the parent
int vhd_set_parent(const char *path, const char *parent, bool ignore_size, struct error *error);
int vhd_remove(const char *path, struct error *error); // unless it is in use
int vhd_check(const char *path, struct error *error); // the file and all its parents can be used

// Whether a VHD or VHDX file says that it is fixed (vhd_header.c). False also if it cannot be read.
bool vhd_header_fixed(const char *path, enum vhd_format format);

// Whether a process has the file open as a disk; `owner` gets its description. False if not, or if it cannot be told.
bool vhd_in_use(const char *path, char *owner, size_t bytes);
