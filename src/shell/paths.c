// See paths.h.
#include "shell/paths.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmdlet/value.h"

enum { PATHS_MOST = 4096 };

static bool is_folder(const char *path)
{
    struct stat status;
    return !stat(path, &status) && S_ISDIR(status.st_mode);
}

// "~/" is the home folder: it is looked up there and stays as it was typed.
static char *folder_of(const char *prefix, size_t length)
{
    const char *home = getenv("HOME");
    if (length >= 2 && prefix[0] == '~' && prefix[1] == '/' && home)
        return value_text("%s%.*s", home, (int)length - 1, prefix + 1);
    return length ? value_text("%.*s", (int)length, prefix) : value_text_copy("./");
}

void paths_offer(const char *prefix, struct completions *to)
{
    const char *slash = strrchr(prefix, '/'), *start = slash ? slash + 1 : prefix;
    size_t length = (size_t)(start - prefix);
    char *folder = folder_of(prefix, length);
    DIR *directory = opendir(folder);
    struct dirent *entry;
    for (unsigned i = 0; directory && i < PATHS_MOST && (entry = readdir(directory)); i++) {
        const char *name = entry->d_name;
        if (strncmp(name, start, strlen(start)) || (*name == '.' && *start != '.') || !strcmp(name, ".") ||
            !strcmp(name, ".."))
            continue;
        char *whole = value_text("%s%s", folder, name);
        char *offer = value_text("%.*s%s%s", (int)length, prefix, name, is_folder(whole) ? "/" : "");
        complete_offer(to, offer, NULL);
        free(offer);
        free(whole);
    }
    if (directory)
        closedir(directory);
    free(folder);
}
