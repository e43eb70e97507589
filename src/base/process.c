// See process.h. The kernel does not report the owner of an open-file-description lock (F_OFD_GETLK and /proc/locks
// say -1, for the lock belongs to a descriptor that several processes may share). But /proc/PID/fdinfo/N shows the
// locks held through that descriptor, so we look there, at the descriptors that are open on the same file.
#include "base/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool process_descriptor_has_lock(const char *pid, const char *number)
{
    char path[64], line[256];
    bool locked = false;
    snprintf(path, sizeof path, "/proc/%.20s/fdinfo/%.20s", pid, number);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (!locked && fgets(line, sizeof line, file))
        locked = strncmp(line, "lock:", 5) == 0;
    fclose(file);
    return locked;
}

static bool process_holds_lock(const char *pid, const struct stat *wanted, int own_fd)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    bool own = atoi(pid) == getpid(), found = false;
    DIR *directory = opendir(path);
    if (!directory)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(directory));) {
        struct stat status;
        if (entry->d_name[0] == '.' || (own && atoi(entry->d_name) == own_fd))
            continue;
        if (fstatat(dirfd(directory), entry->d_name, &status, 0) < 0 || status.st_dev != wanted->st_dev ||
            status.st_ino != wanted->st_ino)
            continue;
        found = process_descriptor_has_lock(pid, entry->d_name);
    }
    closedir(directory);
    return found;
}

static void process_name(const char *pid, char *name, size_t bytes)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
    snprintf(name, bytes, "?");
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (fgets(name, (int)bytes, file))
        name[strcspn(name, "\n")] = 0;
    fclose(file);
}

void process_describe_lock_owner(int fd, char *text, size_t bytes)
{
    struct stat wanted;
    snprintf(text, bytes, "another process (which this user may not see)");
    DIR *directory = fstat(fd, &wanted) == 0 ? opendir("/proc") : NULL;
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !process_holds_lock(entry->d_name, &wanted, fd))
            continue;
        char name[64];
        process_name(entry->d_name, name, sizeof name);
        snprintf(text, bytes, "process %.20s (%s)", entry->d_name, name);
        break;
    }
    closedir(directory);
}
