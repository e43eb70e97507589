// See vhd.h. Asking about files, and which format is what; making and changing them is vhd_change.c.
#include "service/vhd.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/process.h"
#include "service/tool.h"

enum { VHD_PARENTS = 64 /* a longer chain is an accident */, VHD_STAT_BLOCK = 512 };

struct vhd_row {
    const char *ending, *name, *driver;
};

static const struct vhd_row vhd_rows[] = {
    [VHD_RAW] = {NULL, "RAW", "raw"},
    [VHD_VPC] = {".vhd", "VHD", "vpc"},
    [VHD_VHDX] = {".vhdx", "VHDX", "vhdx"},
    [VHD_QCOW2] = {".qcow2", "QCOW2", "qcow2"},
};

enum vhd_format vhd_format(const char *path)
{
    const size_t length = strlen(path);
    for (unsigned i = VHD_VPC; i < ARRAY_SIZE(vhd_rows); i++) {
        const size_t ending = strlen(vhd_rows[i].ending);
        if (length > ending && !strcasecmp(path + length - ending, vhd_rows[i].ending))
            return (enum vhd_format)i;
    }
    return VHD_RAW;
}

const char *vhd_format_name(enum vhd_format format)
{
    return vhd_rows[format].name;
}
const char *vhd_format_driver(enum vhd_format format)
{
    return vhd_rows[format].driver;
}

const char *vhd_type_name(enum vhd_type type)
{
    static const char *const names[] = {
        [VHD_FIXED] = "Fixed", [VHD_DYNAMIC] = "Dynamic", [VHD_DIFFERENCING] = "Differencing"};
    return names[type];
}

static int vhd_read_raw(struct vhd_info *info, const char *path, const struct stat *status, struct error *error)
{
    info->size = (u64)status->st_size;
    if (S_ISBLK(status->st_mode)) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
        if (fd >= 0)
            close(fd);
        if (end < 0)
            return error_set(error, "'%s': %s", path, strerror(errno));
        info->size = (u64)end;
    }
    info->file_bytes = (u64)status->st_blocks * VHD_STAT_BLOCK;
    info->type = info->file_bytes >= info->size ? VHD_FIXED : VHD_DYNAMIC;
    return 0;
}

// What `qemu-img info` says of a file in JSON; foreign text, like the file.
static json_t *vhd_ask(const char *path, enum vhd_format format, struct error *error)
{
    // -U: a file that a running VM has open can be asked about, too.
    const char *const words[] = {"qemu-img", "info", "-U", "--output=json", "-f", vhd_format_driver(format),
                                 "--",       path,   NULL};
    const struct tool tool = {.words = words, .package = "qemu-utils"};
    char *text = tool_run(&tool, error);
    if (!text)
        return NULL;
    json_t *json = json_loads(text, 0, NULL);
    free(text);
    if (!json)
        error_set(error, "qemu-img said something that is no JSON about '%s'", path);
    return json;
}

// A qcow2 file may say that its bytes are in some other file of the host: whoever wrote it would choose which.
static int vhd_read_data(const json_t *answer, const char *path, struct error *error)
{
    const json_t *data = json_object_get(json_object_get(answer, "format-specific"), "data");
    const char *elsewhere = json_string_value(json_object_get(data, "data-file"));
    return elsewhere ? error_set(error, "'%s' keeps its data in another file, '%s'", path, elsewhere) : 0;
}

static void vhd_read_answer(struct vhd_info *info, const char *path, const json_t *answer)
{
    info->size = (u64)json_integer_value(json_object_get(answer, "virtual-size"));
    info->file_bytes = (u64)json_integer_value(json_object_get(answer, "actual-size"));
    info->block = (u64)json_integer_value(json_object_get(answer, "cluster-size"));
    const char *parent = json_string_value(json_object_get(answer, "full-backing-filename"));
    info->type = VHD_DYNAMIC;
    if (parent) {
        info->type = VHD_DIFFERENCING;
        snprintf(info->parent, sizeof info->parent, "%s", parent);
    } else if (info->format == VHD_QCOW2 ? info->file_bytes >= info->size : vhd_header_fixed(path, info->format)) {
        info->type = VHD_FIXED;
    }
}

int vhd_read(struct vhd_info *info, const char *path, struct error *error)
{
    struct stat status;
    *info = (struct vhd_info){.format = vhd_format(path)};
    if (stat(path, &status) < 0)
        return errno == ENOENT ? error_set(error, "'%s': there is no such file", path)
                               : error_set(error, "'%s': %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return error_set(error, "'%s': neither a file nor a block device", path);
    if (info->format == VHD_RAW)
        return vhd_read_raw(info, path, &status, error);
    json_t *answer = vhd_ask(path, info->format, error);
    if (!answer)
        return error_prefix(error, "'%s'", path);
    vhd_read_answer(info, path, answer);
    const int result = vhd_read_data(answer, path, error);
    json_decref(answer);
    return result;
}

static int vhd_check_one(const char *path, enum vhd_format format, struct error *error)
{
    if (format == VHD_RAW)
        return 0;
    const char *const words[] = {"qemu-img", "check", "-U", "-q", "-f", vhd_format_driver(format), "--", path, NULL};
    const struct tool tool = {.words = words, .package = "qemu-utils"};
    char *text = tool_run(&tool, error);
    free(text);
    // VHD has nothing that could be checked, and qemu-img says so by failing.
    if (!text && !(format == VHD_VPC && strstr(error->text, "does not support checks")))
        return error_prefix(error, "'%s'", path);
    return 0;
}

int vhd_check(const char *path, struct error *error)
{
    char current[VHD_PATH];
    struct vhd_info info;
    snprintf(current, sizeof current, "%s", path);
    for (unsigned i = 0; i < VHD_PARENTS; i++) {
        if (vhd_read(&info, current, error) < 0 || vhd_check_one(current, info.format, error) < 0)
            return i ? error_prefix(error, "a parent of '%s'", path) : -1;
        if (!info.size)
            return error_set(error, "'%s': empty", current);
        if (info.type != VHD_DIFFERENCING)
            return 0;
        memcpy(current, info.parent, sizeof current);
    }
    return error_set(error, "'%s': more than %d parents; do they form a circle?", path, VHD_PARENTS);
}

bool vhd_in_use(const char *path, char *owner, size_t bytes)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    const bool used = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (used)
        process_describe_lock_owner(fd, owner, bytes);
    close(fd);
    return used;
}
