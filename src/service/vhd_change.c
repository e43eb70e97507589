// Making and changing virtual hard disk files (vhd.h).
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/tool.h"
#include "service/vhd.h"

enum { VHD_ARGUMENTS = 24, VHD_OPTION = 64 };

// Everything that changes a file asks first: a disk that changes under a running VM is lost.
static int vhd_idle(const char *path, struct error *error)
{
    char owner[160];
    if (vhd_in_use(path, owner, sizeof owner))
        return error_set(error, "'%s' is in use by %s; turn that off first", path, owner);
    return 0;
}

static int vhd_absent(const char *path, struct error *error)
{
    struct stat status;
    if (lstat(path, &status) == 0)
        return error_set(error, "'%s' exists already; remove it or name another file", path);
    return 0;
}

static int vhd_tool(const char *const *words, struct error *error)
{
    const struct tool tool = {.words = words, .package = "qemu-utils"};
    char *text = tool_run(&tool, error);
    free(text);
    return text ? 0 : -1;
}

static int vhd_raw_size(const char *path, int fd, u64 size, bool whole, struct error *error)
{
    if (ftruncate(fd, (off_t)size) < 0)
        return error_set(error, "'%s': cannot be made %llu bytes large: %s", path, (unsigned long long)size,
                         strerror(errno));
    if (!whole)
        return 0;
    int failed = posix_fallocate(fd, 0, (off_t)size);
    return failed
               ? error_set(error, "'%s': no room for %llu bytes: %s", path, (unsigned long long)size, strerror(failed))
               : 0;
}

static int vhd_create_raw(const char *path, const struct vhd_new *new, struct error *error)
{
    if (new->type == VHD_DIFFERENCING)
        return error_set(error, "'%s': only qcow2 files hold differences here; name it with the ending .qcow2", path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set(error, "'%s': %s", path, strerror(errno));
    int result = vhd_raw_size(path, fd, new->size, new->type == VHD_FIXED, error);
    if (!result && fsync(fd) < 0)
        result = error_set(error, "'%s': %s", path, strerror(errno));
    close(fd);
    if (result)
        unlink(path);
    return result;
}

// What was written under a name of its own gets the one it is for, once it is safely on the disk: qemu-img does not
// wait for that.
static int vhd_publish(const char *part, const char *path, struct error *error)
{
    const int fd = open(part, O_RDONLY | O_CLOEXEC);
    const bool safe = fd >= 0 && fsync(fd) == 0 && rename(part, path) == 0;
    const int why = errno;
    if (fd >= 0)
        close(fd);
    return safe ? 0 : error_set(error, "'%s': %s", path, strerror(why));
}

// The -o options of a format: what Hyper-V's parameters mean in it.
static int vhd_options(char *text, size_t bytes, enum vhd_format format, enum vhd_type type, u64 block,
                       const char *path, struct error *error)
{
    static const char *const fixed[] = {[VHD_RAW] = "preallocation=full",
                                        [VHD_VPC] = "subformat=fixed,force_size=on",
                                        [VHD_VHDX] = "subformat=fixed",
                                        [VHD_QCOW2] = "preallocation=falloc"};
    static const char *const dynamic[] = {[VHD_RAW] = "preallocation=off",
                                          [VHD_VPC] = "subformat=dynamic,force_size=on",
                                          [VHD_VHDX] = "subformat=dynamic",
                                          [VHD_QCOW2] = "preallocation=off"};
    static const char *const unit[] = {[VHD_VHDX] = "block_size", [VHD_QCOW2] = "cluster_size"};
    const char *base = type == VHD_FIXED ? fixed[format] : dynamic[format];
    if (!block) {
        snprintf(text, bytes, "%s", base);
        return 0;
    }
    if (format == VHD_RAW || format == VHD_VPC)
        return error_set(error, "'%s': the block size of this format is fixed; leave -BlockSizeBytes out", path);
    snprintf(text, bytes, "%s,%s=%llu", base, unit[format], (unsigned long long)block);
    return 0;
}

// qemu-img leaves holes in fixed VHD and VHDX files: the room they promise is taken here.
static int vhd_allocate(const char *path, enum vhd_type type, struct error *error)
{
    const int fd = type == VHD_FIXED ? open(path, O_RDWR | O_CLOEXEC) : -1;
    struct stat status;
    if (type != VHD_FIXED)
        return 0;
    int failed = fd < 0 || fstat(fd, &status) < 0 ? errno : posix_fallocate(fd, 0, status.st_size);
    if (fd >= 0)
        close(fd);
    return failed ? error_set(error, "no room for it: %s", strerror(failed)) : 0;
}

static int vhd_create_tool(const char *path, const struct vhd_new *new, struct error *error)
{
    char options[VHD_OPTION * 2], size[VHD_OPTION];
    const enum vhd_format format = vhd_format(path);
    const char *words[VHD_ARGUMENTS] = {"qemu-img", "create", "-q", "-f", vhd_format_driver(format)};
    unsigned count = 5;
    if (new->type == VHD_DIFFERENCING) {
        if (format != VHD_QCOW2)
            return error_set(error, "'%s': only qcow2 files hold differences here; name it with the ending .qcow2",
                             path);
        words[count++] = "-b";
        words[count++] = new->parent;
        words[count++] = "-F";
        words[count++] = vhd_format_driver(vhd_format(new->parent));
    } else {
        if (vhd_options(options, sizeof options, format, new->type, new->block, path, error) < 0)
            return -1;
        words[count++] = "-o";
        words[count++] = options;
    }
    words[count++] = "--";
    words[count++] = path;
    if (new->type != VHD_DIFFERENCING) {
        snprintf(size, sizeof size, "%llu", (unsigned long long)new->size);
        words[count++] = size;
    }
    if (vhd_tool(words, error) == 0 && vhd_allocate(path, new->type, error) == 0)
        return 0;
    unlink(path);
    return error_prefix(error, "'%s'", path);
}

int vhd_create(const char *path, const struct vhd_new *new, struct error *error)
{
    struct vhd_info parent;
    if (vhd_absent(path, error) < 0)
        return -1;
    if (new->type == VHD_DIFFERENCING && vhd_read(&parent, new->parent, error) < 0)
        return error_prefix(error, "the parent");
    return vhd_format(path) == VHD_RAW ? vhd_create_raw(path, new, error) : vhd_create_tool(path, new, error);
}

static int vhd_resize_raw(const char *path, u64 size, struct error *error)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "'%s': %s", path, strerror(errno));
    int result = vhd_raw_size(path, fd, size, false, error);
    if (!result && fsync(fd) < 0)
        result = error_set(error, "'%s': %s", path, strerror(errno));
    close(fd);
    return result;
}

// Qemu's tools cannot resize these formats in place: a larger file gets what the old one has, and then its name.
static int vhd_resize_copy(const char *path, const struct vhd_info *info, u64 size, struct error *error)
{
    const char *driver = vhd_format_driver(info->format);
    const struct vhd_new new = {.size = size, .type = info->type, .block = info->format == VHD_VHDX ? info->block : 0};
    char part[VHD_PATH];
    struct stat status;
    if (size < info->size)
        return error_set(error, "'%s': %s files can only grow here; convert it first: Convert-VHD '%s' with a "
                                "destination that ends in .qcow2",
                         path, vhd_format_name(info->format), path);
    if (stat(path, &status) < 0)
        return error_set(error, "'%s': %s", path, strerror(errno));
    if (snprintf(part, sizeof part, "%s.part%s", path, strrchr(path, '.')) >= (int)sizeof part)
        return error_set(error, "'%s': the name is too long", path);
    const char *const words[] = {"qemu-img", "convert", "-n", "--target-is-zero", "-f", driver, "-O", driver, "--",
                                 path,       part,      NULL};
    if (vhd_create(part, &new, error) < 0)
        return -1;
    int result = vhd_tool(words, error) < 0 ? error_prefix(error, "'%s'", path) : 0;
    if (!result && (chown(part, status.st_uid, status.st_gid) < 0 || chmod(part, status.st_mode & 07777) < 0))
        result = error_set(error, "'%s': %s", path, strerror(errno));
    if (!result)
        result = vhd_publish(part, path, error);
    if (result)
        unlink(part);
    return result;
}

int vhd_resize(const char *path, u64 size, bool shrink, struct error *error)
{
    struct vhd_info info;
    char text[VHD_OPTION];
    if (vhd_read(&info, path, error) < 0 || vhd_idle(path, error) < 0)
        return -1;
    if (size < info.size && !shrink)
        return error_set(error,
                         "'%s' is %llu bytes large; making it smaller cuts off what lies behind the new size. If "
                         "nothing is there any more, add -AllowShrink",
                         path, (unsigned long long)info.size);
    if (info.format == VHD_RAW)
        return vhd_resize_raw(path, size, error);
    if (info.format != VHD_QCOW2)
        return vhd_resize_copy(path, &info, size, error);
    snprintf(text, sizeof text, "%llu", (unsigned long long)size);
    const char *const words[] = {"qemu-img", "resize", "-q", "--shrink", "-f", "qcow2", "--", path, text, NULL};
    return vhd_tool(words, error) < 0 ? error_prefix(error, "'%s'", path) : 0;
}

struct vhd_progress {
    void (*tell)(void *context, int percent);
    void *context;
};

// "    (12.34/100%)"
static void vhd_progress_line(void *context, const char *line)
{
    const struct vhd_progress *progress = context;
    float percent;
    if (progress->tell && sscanf(line, " (%f/100%%)", &percent) == 1 && percent >= 0 && percent <= 100)
        progress->tell(progress->context, (int)percent);
}

static int vhd_convert_tool(const char *path, const char *to, enum vhd_type type, const char *options,
                            struct vhd_progress *progress, struct error *error)
{
    // Into a name of its own first: an interrupted copy must not look like a disk.
    char part[VHD_PATH];
    if (snprintf(part, sizeof part, "%s.part", to) >= (int)sizeof part)
        return error_set(error, "'%s': the name is too long", to);
    const char *const words[] = {"qemu-img",
                                 "convert",
                                 "-p",
                                 "-f",
                                 vhd_format_driver(vhd_format(path)),
                                 "-O",
                                 vhd_format_driver(vhd_format(to)),
                                 "-o",
                                 options,
                                 "--",
                                 path,
                                 part,
                                 NULL};
    const struct tool tool = {.words = words, .package = "qemu-utils", .line = vhd_progress_line, .context = progress};
    char *text = tool_run(&tool, error);
    free(text);
    int result = text ? 0 : error_prefix(error, "'%s'", path);
    if (!result && vhd_allocate(part, type, error) < 0)
        result = error_prefix(error, "'%s'", to);
    if (!result)
        result = vhd_publish(part, to, error);
    if (result)
        unlink(part);
    return result;
}

int vhd_convert(const char *path, const char *to, enum vhd_type type, u64 block,
                void (*progress)(void *context, int percent), void *context, struct error *error)
{
    struct vhd_info info;
    char options[VHD_OPTION * 2];
    struct vhd_progress teller = {.tell = progress, .context = context};
    if (vhd_read(&info, path, error) < 0 || vhd_idle(path, error) < 0 || vhd_absent(to, error) < 0 ||
        vhd_options(options, sizeof options, vhd_format(to), type, block, to, error) < 0)
        return -1;
    return vhd_convert_tool(path, to, type, options, &teller, error);
}

int vhd_merge(const char *path, const char *into, struct error *error)
{
    struct vhd_info info;
    if (vhd_read(&info, path, error) < 0)
        return -1;
    if (info.type != VHD_DIFFERENCING)
        return error_set(error, "'%s' holds no differences: there is nothing to merge", path);
    const char *parent = into ? into : info.parent;
    if (vhd_idle(path, error) < 0 || vhd_idle(parent, error) < 0)
        return -1;
    // -d: the child is removed by us, once the parent is safely there.
    const char *const words[] = {"qemu-img", "commit", "-q", "-d", "-f", vhd_format_driver(info.format),
                                 "-b",       parent,   "--", path, NULL};
    if (vhd_tool(words, error) < 0)
        return error_prefix(error, "'%s'", path);
    if (unlink(path) < 0)
        return error_set(error, "'%s' was merged into '%s' but cannot be removed: %s", path, parent, strerror(errno));
    return 0;
}

int vhd_set_parent(const char *path, const char *parent, bool ignore_size, struct error *error)
{
    struct vhd_info info, other;
    if (vhd_format(path) != VHD_QCOW2)
        return error_set(error, "'%s': only qcow2 files have a parent here", path);
    if (vhd_read(&other, parent, error) < 0)
        return error_prefix(error, "the parent");
    if (vhd_read(&info, path, error) < 0 || vhd_idle(path, error) < 0)
        return -1;
    if (info.size != other.size && !ignore_size)
        return error_set(error,
                         "'%s' is %llu bytes large and '%s' %llu: it is hardly its parent. If it is, add "
                         "-IgnoreIdMismatch",
                         path, (unsigned long long)info.size, parent, (unsigned long long)other.size);
    const char *const words[] = {"qemu-img", "rebase", "-q",   "-u", "-f",
                                 "qcow2",    "-b",     parent, "-F", vhd_format_driver(other.format),
                                 "--",       path,     NULL};
    return vhd_tool(words, error) < 0 ? error_prefix(error, "'%s'", path) : 0;
}

int vhd_remove(const char *path, struct error *error)
{
    if (vhd_idle(path, error) < 0)
        return -1;
    return unlink(path) < 0 ? error_set(error, "'%s': %s", path, strerror(errno)) : 0;
}
