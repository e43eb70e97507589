// See jail_root.h. The paths are taken as detached mounts before the new root is built, so that it may be built on top
// of what they lie in; then the new root takes the old one's place, and the old one is gone with all that is not held
// open.
#include "jail/jail_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Where the new root is built: every host has it, and nothing of a VM's lies there.
#define JAIL_BUILD "/proc"

struct jail_root {
    int mounts[JAIL_PATHS]; // detached; -1: none
    bool directories[JAIL_PATHS];
    char paths[JAIL_PATHS][PATH_MAX]; // without links
    char here[PATH_MAX];              // the working directory, or empty
};

static int jail_root_take(struct jail_root *root, const struct jail_config *config)
{
    for (unsigned i = 0; i < JAIL_PATHS; i++) {
        struct stat status;
        if (!config->paths[i].path || !realpath(config->paths[i].path, root->paths[i]) ||
            stat(root->paths[i], &status) < 0)
            continue;
        root->directories[i] = S_ISDIR(status.st_mode);
        root->mounts[i] = open_tree(AT_FDCWD, root->paths[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        if (root->mounts[i] < 0)
            return -errno;
    }
    return 0;
}

// Makes `path` below the working directory, and what leads to it.
static int jail_root_make(const char *path, bool directory)
{
    char part[PATH_MAX];
    for (size_t i = 1; path[i - 1]; i++) {
        if (path[i] && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (!path[i] && !directory) {
            int fd = open(part + 1, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            if (fd < 0)
                return -errno;
            close(fd);
        } else if (part[1] && mkdir(part + 1, 0755) < 0 && errno != EEXIST) {
            return -errno;
        }
    }
    return 0;
}

static int jail_root_put(const struct jail_root *root, const struct jail_config *config)
{
    for (unsigned i = 0; i < JAIL_PATHS; i++) {
        if (root->mounts[i] < 0)
            continue;
        int result = jail_root_make(root->paths[i], root->directories[i]);
        if (result)
            return result;
        if (move_mount(root->mounts[i], "", AT_FDCWD, root->paths[i] + 1, MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return -errno;
        struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC |
                                                    (config->paths[i].writable ? 0 : MOUNT_ATTR_RDONLY) |
                                                    (config->paths[i].device ? 0 : MOUNT_ATTR_NODEV)};
        if (mount_setattr(AT_FDCWD, root->paths[i] + 1, AT_RECURSIVE, &attributes, sizeof attributes) < 0 &&
            errno != ENOSYS)
            return -errno;
    }
    return root->here[0] ? jail_root_make(root->here, true) : 0;
}

// The working directory is the new root, on JAIL_BUILD.
static int jail_root_change(void)
{
    if (syscall(SYS_pivot_root, ".", ".") == 0)
        return umount2(".", MNT_DETACH) < 0 ? -errno : 0;
    // The first file system of a kernel, an initramfs, cannot be moved away; it can be covered.
    if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
        return -errno;
    return 0;
}

static int jail_root_build(const struct jail_root *root, const struct jail_config *config)
{
    // Nothing of this shows outside, and nothing that is mounted there later shows here.
    if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0 ||
        mount("nidus", JAIL_BUILD, "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=755,size=64k") < 0 ||
        chdir(JAIL_BUILD) < 0)
        return -errno;
    int result = jail_root_put(root, config);
    if (!result)
        result = jail_root_change();
    if (!result && mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, "size=64k") < 0)
        result = -errno;
    if (!result && chdir(root->here[0] ? root->here : "/") < 0)
        result = -errno;
    return result;
}

int jail_root_enter(const struct jail_config *config)
{
    struct jail_root *root = calloc(1, sizeof *root);
    if (!root)
        return -ENOMEM;
    for (unsigned i = 0; i < JAIL_PATHS; i++)
        root->mounts[i] = -1;
    if (!getcwd(root->here, sizeof root->here) || root->here[0] != '/')
        root->here[0] = 0;
    int result = jail_root_take(root, config);
    if (!result)
        result = jail_root_build(root, config);
    if (result) { // as far as it came, it is taken back: the process goes on with the root it has
        umount2(JAIL_BUILD, MNT_DETACH);
        if (root->here[0] && chdir(root->here) < 0)
            result = -errno;
    }
    for (unsigned i = 0; i < JAIL_PATHS; i++)
        if (root->mounts[i] >= 0)
            close(root->mounts[i]);
    free(root);
    return result;
}
