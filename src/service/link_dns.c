// Name servers of this machine (link.h).
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/link.h"
#include "service/tool.h"

static const char dns_file[] = "/etc/resolv.conf";

enum { DNS_BYTES = 16 << 10 };

// systemd-resolved writes the file itself, under /run, and would not see what we write there.
static bool dns_is_resolved(void)
{
    char target[256] = "";
    const ssize_t length = readlink(dns_file, target, sizeof target - 1);
    return length > 0 && strstr(target, "systemd/resolve");
}

static char *dns_read(const char *path)
{
    char *text = calloc(1, DNS_BYTES + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 && text ? read(fd, text, DNS_BYTES) : 0;
    if (fd >= 0)
        close(fd);
    if (text)
        text[got > 0 ? got : 0] = 0;
    return text;
}

// Whole or not at all; in place if the file is a mount of its own, as containers and network namespaces have it.
static int dns_write(const char *text, struct error *error)
{
    char temporary[64];
    snprintf(temporary, sizeof temporary, "%s.nidus", dns_file);
    FILE *file = fopen(temporary, "we");
    bool good = file && fputs(text, file) >= 0;
    good = file && fclose(file) == 0 && good && chmod(temporary, 0644) == 0;
    if (good && rename(temporary, dns_file) == 0)
        return 0;
    const bool mounted = good && errno == EBUSY;
    unlink(temporary);
    if (mounted) {
        file = fopen(dns_file, "we");
        good = file && fputs(text, file) >= 0;
        if (file && fclose(file) == 0 && good)
            return 0;
    }
    return error_set(error, "'%s': %s", dns_file, strerror(errno));
}

int link_dns_add(const char *link, const char *server, struct error *error)
{
    if (dns_is_resolved()) {
        const char *const words[] = {"resolvectl", "dns", link, server, NULL};
        const struct tool tool = {.words = words, .package = "systemd-resolved"};
        char *answer = tool_run(&tool, error);
        free(answer);
        return answer ? 0 : -1;
    }
    char *old = dns_read(dns_file), *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    if (!old || !file) {
        free(old);
        return error_set(error, "out of memory");
    }
    fprintf(file, "%s%snameserver %s\n", old, *old && old[strlen(old) - 1] != '\n' ? "\n" : "", server);
    fclose(file);
    const int result = dns_write(text, error);
    free(old);
    free(text);
    return result;
}

// The servers of a file, one word each; `guests`: only those that a guest could ask.
static char *dns_list(const char *path, bool guests)
{
    char *old = dns_read(path), *text = NULL, *save = NULL, server[64];
    size_t bytes = 0, count = 0;
    FILE *file = open_memstream(&text, &bytes);
    for (char *line = old && file ? strtok_r(old, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
        if (sscanf(line, " nameserver %63s", server) == 1 &&
            !(guests && (strchr(server, ':') || !strncmp(server, "127.", 4))))
            fprintf(file, "%s%s", count++ ? " " : "", server);
    if (file)
        fclose(file);
    free(old);
    if (count)
        return text;
    free(text);
    return NULL;
}

char *link_dns_list(void)
{
    return dns_list(dns_file, false);
}

char *link_dns_upstream(void)
{
    char *servers = dns_list(dns_file, true);
    return servers ? servers : dns_list("/run/systemd/resolve/resolv.conf", true);
}
