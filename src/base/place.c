// See place.h.
#include "base/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool place_environment(char *path, const char *name, const char *below)
{
    const char *value = getenv(name);
    if (!value || value[0] != '/')
        return false;
    snprintf(path, PLACE_BYTES, "%s%s", value, below);
    return true;
}

void place_runtime(char path[static PLACE_BYTES])
{
    if (place_environment(path, "NIDUS_RUNTIME_DIRECTORY", ""))
        return;
    if (getuid() == 0)
        snprintf(path, PLACE_BYTES, "/run/nidus");
    else if (!place_environment(path, "XDG_RUNTIME_DIR", "/nidus"))
        snprintf(path, PLACE_BYTES, "/tmp/nidus-%u", (unsigned)getuid());
}

void place_state(char path[static PLACE_BYTES])
{
    if (place_environment(path, "NIDUS_STATE_DIRECTORY", ""))
        return;
    if (getuid() == 0)
        snprintf(path, PLACE_BYTES, "/var/lib/nidus");
    else if (!place_environment(path, "XDG_STATE_HOME", "/nidus") &&
             !place_environment(path, "HOME", "/.local/state/nidus"))
        snprintf(path, PLACE_BYTES, "/tmp/nidus-%u/state", (unsigned)getuid());
}

void place_socket(char path[static PLACE_BYTES])
{
    if (place_environment(path, "NIDUS_SOCKET", ""))
        return;
    char runtime[PLACE_BYTES];
    place_runtime(runtime);
    snprintf(path, PLACE_BYTES, "%.*s/socket", PLACE_BYTES - 8, runtime);
}

int place_make(const char *path, struct error *error)
{
    char part[PLACE_BYTES];
    struct stat status;
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return error_set(error, "folder '%s': the name is too long", path);
    for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = 0;
        if (mkdir(part, slash ? 0755 : 0700) < 0 && errno != EEXIST)
            return error_set(error, "folder '%s': %s", part, strerror(errno));
        if (!slash)
            break;
        *slash = '/';
    }
    if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode))
        return error_set(error, "'%s' is no folder", path);
    if (status.st_uid != geteuid())
        return error_set(error, "folder '%s' belongs to another user (%u); choose another one", path,
                         (unsigned)status.st_uid);
    return 0;
}
