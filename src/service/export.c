// See export.h. What is to be copied is first put on a list, so that progress is of the whole and a failure can take
// everything back.
#include "service/export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/place.h"
#include "cmdlet/value.h"
#include "service/copy.h"
#include "service/record_json.h"
#include "service/vhd.h"

enum { FOLDERS = 4, FILES = RECORD_JSON_PARTS + 3 };

static const char machines[] = "Virtual Machines", disks_folder[] = "Virtual Hard Disks", boot[] = "Boot",
                  snapshots[] = "Snapshots";

// --- Files to copy ---------------------------------------------------------------------------------------------------
struct file {
    char *from, *to;
    char **path; // of the record: `then` once it is copied
    char *then;
    int flags; // to open it with
};

struct copies {
    struct file files[FILES];
    size_t count, copied;
    u64 total, done;
    const struct export_watch *watch;
    int percent;
};

static void copies_free(struct copies *copies)
{
    for (size_t i = 0; i < copies->count; i++) {
        free(copies->files[i].from);
        free(copies->files[i].to);
        free(copies->files[i].then);
    }
}

static bool copies_progress(void *context, u64 bytes)
{
    struct copies *copies = context;
    copies->done += bytes;
    const int percent = copies->total ? (int)(copies->done * 100 / copies->total) : 100;
    if (percent == copies->percent || !copies->watch || !copies->watch->percent)
        return true;
    copies->percent = percent;
    return copies->watch->percent(copies->watch->context, percent > 100 ? 100 : percent);
}

// "name", "name-1", ...: two disks of two folders may be called the same. Takes nothing over; the name is the caller's.
static char *copies_name(const struct copies *copies, const char *folder, const char *from)
{
    const char *name = strrchr(from, '/') ? strrchr(from, '/') + 1 : from;
    const char *dot = strrchr(name, '.');
    const int stem = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    for (unsigned number = 0;; number++) {
        char *to = number ? value_text("%s/%.*s-%u%s", folder, stem, name, number, name + stem)
                          : value_text("%s/%s", folder, name);
        bool taken = false;
        for (size_t i = 0; i < copies->count; i++)
            taken |= !strcmp(copies->files[i].to, to);
        if (!taken)
            return to;
        free(to);
    }
}

// `path` is the record's; NULL: there is nothing to copy. `shown` is what the folder is called in the record.
static int copies_add(struct copies *copies, char **path, const char *folder, const char *shown, const char *as,
                      struct error *error)
{
    struct stat status;
    if (!*path)
        return 0;
    const bool state = as; // its folder is the worker's, which may have put a link there
    if ((state ? lstat(*path, &status) : stat(*path, &status)) < 0)
        return error_set(error, "'%s': %s", *path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(error, "'%s' is no file, and cannot be copied", *path);
    if (copies->count == FILES)
        return error_set(error, "it has more than %d files", FILES);
    struct file file = {.from = value_text_copy(*path), .path = path, .flags = state ? O_NOFOLLOW : 0};
    file.to = as ? value_text("%s/%s", folder, as) : copies_name(copies, folder, *path);
    file.then = value_text("%s/%s", shown, strrchr(file.to, '/') + 1);
    copies->files[copies->count++] = file;
    copies->total += (u64)status.st_size;
    return 0;
}

static int copies_disks(struct copies *copies, struct vm_record *record, const char *folder, const char *shown,
                        struct error *error)
{
    for (size_t i = 0; i < record->drive_count; i++) {
        struct vhd_info info;
        if (!record->drives[i].path)
            continue;
        if (vhd_read(&info, record->drives[i].path, error) < 0)
            return -1;
        if (info.type == VHD_DIFFERENCING)
            return error_set(error, "disk '%s' is a differencing disk of '%s': Merge-VHD or Convert-VHD makes it whole",
                             record->drives[i].path, info.parent);
        if (copies_add(copies, &record->drives[i].path, folder, shown, NULL, error) < 0)
            return -1;
    }
    return 0;
}

static void copies_undo(struct copies *copies)
{
    while (copies->copied)
        unlink(copies->files[--copies->copied].to);
}

static int copies_run(struct copies *copies, struct error *error)
{
    const struct copy_progress progress = {.copied = copies_progress, .context = copies};
    for (; copies->copied < copies->count; copies->copied++) {
        const struct file *file = &copies->files[copies->copied];
        const int from = open(file->from, O_RDONLY | O_CLOEXEC | O_NOCTTY | file->flags);
        int result = from < 0 ? error_set(error, "'%s': %s", file->from, strerror(errno))
                              : copy_file(from, file->to, &progress, error);
        if (from >= 0)
            close(from);
        if (result < 0) {
            copies_undo(copies);
            return -1;
        }
    }
    for (size_t i = 0; i < copies->count; i++)
        record_text_set(copies->files[i].path, copies->files[i].then);
    return 0;
}

// --- Writing ---------------------------------------------------------------------------------------------------------
struct staging {
    char *folder; // what becomes NAME once it is whole
    char *folders[FOLDERS];
};

static int staging_make(struct staging *staging, const char *path, struct error *error)
{
    static const char *const names[FOLDERS] = {machines, disks_folder, boot, snapshots};
    if (place_make(path, error) < 0)
        return -1;
    staging->folder = value_text("%s/.export-XXXXXX", path);
    if (!mkdtemp(staging->folder))
        return error_set(error, "'%s': %s", path, strerror(errno));
    for (int i = 0; i < FOLDERS; i++) {
        staging->folders[i] = value_text("%s/%s", staging->folder, names[i]);
        if (mkdir(staging->folders[i], 0700) < 0)
            return error_set(error, "'%s': %s", staging->folders[i], strerror(errno));
    }
    return 0;
}

static void staging_end(struct staging *staging, bool keep)
{
    for (int i = 0; i < FOLDERS; i++) {
        if (staging->folders[i] && !keep)
            rmdir(staging->folders[i]);
        free(staging->folders[i]);
    }
    if (staging->folder && !keep)
        rmdir(staging->folder);
    free(staging->folder);
}

static int settings_write(const struct vm_record *record, const char *path, struct error *error)
{
    json_t *json = record_json_write(record);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    FILE *file = text ? fopen(path, "wxe") : NULL;
    const bool written = file && fputs(text, file) >= 0 && fputc('\n', file) != EOF && fflush(file) == 0 &&
                         fsync(fileno(file)) == 0;
    const bool closed = file && fclose(file) == 0;
    json_decref(json);
    free(text);
    if (written && closed)
        return 0;
    error_set(error, "'%s': %s", path, strerror(errno));
    unlink(path);
    return -1;
}

// What is of this host, or of this moment, does not go along.
static void settings_trim(struct vm_record *record)
{
    char **const own[] = {&record->path, &record->last_words};
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        record_text_set(own[i], NULL);
    record->was_running = false;
    record->start_due = 0;
    record->user = 0;
}

static int folder_sync(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int result = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    return result;
}

static int staging_fill(struct staging *staging, struct copies *copies, struct vm_record *record, struct error *error)
{
    char state[RECORD_GUID + 8];
    snprintf(state, sizeof state, "%s.vmrs", record->id);
    if (copies_add(copies, &record->saved_path, staging->folders[0], machines, state, error) < 0 ||
        copies_disks(copies, record, staging->folders[1], disks_folder, error) < 0 ||
        copies_add(copies, &record->kernel_path, staging->folders[2], boot, NULL, error) < 0 ||
        copies_add(copies, &record->initrd_path, staging->folders[2], boot, NULL, error) < 0)
        return -1;
    return copies_run(copies, error);
}

// The last step: who looks for NAME finds all of it.
static int staging_publish(const struct staging *staging, const char *to, struct error *error)
{
    for (int i = 0; i < FOLDERS; i++)
        folder_sync(staging->folders[i]);
    folder_sync(staging->folder);
    if (renameat2(AT_FDCWD, staging->folder, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    return errno == EEXIST ? error_set(error, "'%s' is there already", to)
                           : error_set(error, "'%s': %s", to, strerror(errno));
}

int export_write(const struct vm_record *record, const char *path, const struct export_watch *watch,
                 struct error *error)
{
    struct vm_record own;
    struct staging staging = {0};
    struct copies copies = {.watch = watch, .percent = -1};
    record_vm_copy(&own, record);
    settings_trim(&own);
    char *name = value_text_copy(record->name);
    for (char *at = name; (at = strchr(at, '/'));)
        *at = '_';
    char *to = value_text("%s/%s", path, name), *settings = NULL;
    int result = access(to, F_OK) == 0 ? error_set(error, "'%s' is there already", to) : 0;
    if (result == 0 && (staging_make(&staging, path, error) < 0 || staging_fill(&staging, &copies, &own, error) < 0))
        result = -1;
    if (result == 0) {
        settings = value_text("%s/%s.vmcx", staging.folders[0], own.id);
        result = settings_write(&own, settings, error);
    }
    if (result == 0)
        result = staging_publish(&staging, to, error);
    if (result < 0) {
        copies_undo(&copies);
        if (settings)
            unlink(settings);
    }
    staging_end(&staging, result == 0);
    free(settings);
    free(to);
    free(name);
    copies_free(&copies);
    record_vm_free(&own);
    return result;
}

// --- Reading ---------------------------------------------------------------------------------------------------------
// A path of the exported folder, as an absolute one. It is a file below `root`, without links on the way.
static int inside(int root, const char *folder, char **path, struct error *error)
{
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    struct stat status;
    if (!*path)
        return 0;
    const int fd = (*path)[0] == '/' ? -1 : (int)syscall(SYS_openat2, root, *path, &how, sizeof how);
    const bool there = fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    const int why = (*path)[0] == '/' ? EXDEV : errno;
    if (fd >= 0)
        close(fd);
    if (!there)
        return error_set(error, "its file '%.200s' cannot be used: %s", *path,
                         fd >= 0 ? "it is no file" : why == EXDEV ||
                         why == ELOOP ? "it leads out of the exported folder"
                                                                                  : strerror(why));
    char *whole = value_text("%s/%s", folder, *path);
    free(*path);
    *path = whole;
    return 0;
}

// The one .vmcx file in the folder; NULL: told.
static char *settings_in(const char *folder, struct error *error)
{
    DIR *directory = opendir(folder);
    char *found = NULL;
    unsigned count = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        const size_t length = strlen(entry->d_name);
        if (length <= 5 || strcasecmp(entry->d_name + length - 5, ".vmcx") || count++)
            continue;
        found = value_text("%s/%s", folder, entry->d_name);
    }
    if (directory)
        closedir(directory);
    if (count == 1)
        return found;
    error_set(error, count ? "'%s' has several .vmcx files; name one" : "'%s' has no .vmcx file", folder);
    free(found);
    return NULL;
}

// The .vmcx file: the one named, or the one in the folder or in its "Virtual Machines".
static char *settings_find(const char *file, struct error *error)
{
    struct stat status;
    char *machine = value_text("%s/%s", file, machines), *found = NULL;
    if (stat(file, &status) < 0)
        error_set(error, "'%s': %s", file, strerror(errno));
    else if (S_ISDIR(status.st_mode))
        found = settings_in(access(machine, F_OK) == 0 ? machine : file, error);
    else if (S_ISREG(status.st_mode))
        found = value_text_copy(file);
    else
        error_set(error, "'%s' is no file", file);
    free(machine);
    return found;
}

static json_t *settings_read(const char *path, struct error *error)
{
    char *text = value_allocate(RECORD_JSON_BYTES + 1);
    FILE *file = fopen(path, "re");
    const size_t bytes = file ? fread(text, 1, RECORD_JSON_BYTES + 1, file) : 0;
    json_error_t why;
    json_t *json = NULL;
    if (!file)
        error_set(error, "'%s': %s", path, strerror(errno));
    else if (bytes > RECORD_JSON_BYTES)
        error_set(error, "'%s' is longer than %d bytes", path, RECORD_JSON_BYTES);
    else if (!(json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why)))
        error_set(error, "'%s' is no exported virtual machine: line %d: %s", path, why.line, why.text);
    if (file)
        fclose(file);
    free(text);
    return json;
}

static int paths_resolve(struct vm_record *record, const char *folder, struct error *error)
{
    const int root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set(error, "'%s': %s", folder, strerror(errno));
    char **const paths[] = {&record->saved_path, &record->kernel_path, &record->initrd_path};
    int result = 0;
    for (size_t i = 0; i < ARRAY_SIZE(paths) && result == 0; i++)
        result = inside(root, folder, paths[i], error);
    for (size_t i = 0; i < record->drive_count && result == 0; i++) {
        struct vhd_info info;
        result = inside(root, folder, &record->drives[i].path, error);
        if (result == 0 && record->drives[i].path && (result = vhd_read(&info, record->drives[i].path, error)) == 0 &&
            info.type == VHD_DIFFERENCING)
            result = error_set(error, "its disk '%s' is a differencing disk: it could have any file for its parent",
                               record->drives[i].path);
    }
    close(root);
    return result;
}

int export_read(struct vm_record *record, const char *file, struct error *error)
{
    char *path = settings_find(file, error);
    json_t *json = path ? settings_read(path, error) : NULL;
    int result = -1;
    *record = (struct vm_record){0};
    if (json && (result = record_json_read(record, json, error)) < 0)
        error_prefix(error, "'%s'", path);
    json_decref(json);
    if (result == 0) {
        char *folder = value_text_copy(path), *slash = strrchr(folder, '/'); // two up: "Virtual Machines" is one
        for (int i = 0; i < 2 && slash && slash != folder; i++, slash = strrchr(folder, '/'))
            *slash = 0;
        record_text_set(&record->state, record->saved_path ? "Saved" : "Off");
        record_text_set(&record->path, folder);
        record->user = 0; // this host gives it one
        result = paths_resolve(record, folder, error);
        free(folder);
    }
    if (result < 0)
        record_vm_free(record);
    free(path);
    return result;
}

// --- Copying ---------------------------------------------------------------------------------------------------------
static char *boot_folder(const struct vm_record *record, const char *machine)
{
    return value_text("%s/machines/%s.boot", machine, record->id);
}

int export_copy(struct vm_record *record, const char *disks, const char *machine, const struct export_watch *watch,
                struct error *error)
{
    struct copies copies = {.watch = watch, .percent = -1};
    char *state = value_text("%s/machines/%s", machine, record->id), *files = boot_folder(record, machine);
    const bool boots = record->kernel_path || record->initrd_path;
    int result = -1;
    if (place_make(disks, error) == 0 && (!record->saved_path || place_make(state, error) == 0) &&
        (!boots || place_make(files, error) == 0) &&
        copies_add(&copies, &record->saved_path, state, state, "state.vmrs", error) == 0 &&
        copies_disks(&copies, record, disks, disks, error) == 0 &&
        copies_add(&copies, &record->kernel_path, files, files, NULL, error) == 0 &&
        copies_add(&copies, &record->initrd_path, files, files, NULL, error) == 0)
        result = copies_run(&copies, error);
    record_text_set(&record->path, machine);
    if (result < 0) {
        rmdir(state);
        rmdir(files);
    }
    copies_free(&copies);
    free(files);
    free(state);
    return result;
}

void export_sweep(const struct vm_record *record, bool all)
{
    char *folder = boot_folder(record, record->path ? record->path : "");
    char *const paths[] = {record->kernel_path, record->initrd_path};
    const size_t length = strlen(folder);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (paths[i] && !strncmp(paths[i], folder, length) && paths[i][length] == '/')
            unlink(paths[i]);
    rmdir(folder);
    free(folder);
    for (size_t i = 0; i < record->drive_count && all; i++)
        if (record->drives[i].path)
            unlink(record->drives[i].path);
    if (all && record->saved_path) {
        char *state = value_text_copy(record->saved_path);
        unlink(state);
        *strrchr(state, '/') = 0;
        rmdir(state);
        free(state);
    }
}
