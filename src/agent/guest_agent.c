// See guest_agent.h. One line at a time, from the port and back to it.
#include "agent/guest_agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/command.h"

#define AGENT_PORT_NAME "org.qemu.guest_agent.0"

enum { AGENT_LINE = 64 << 10, STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

// Where the port is. udev makes a link by its name; where there is no udev the kernel still knows the name.
static bool agent_find_port(char *path, size_t bytes)
{
    char name[64], file[320];
    snprintf(path, bytes, "/dev/virtio-ports/%s", AGENT_PORT_NAME);
    if (!access(path, F_OK))
        return true;
    DIR *directory = opendir("/sys/class/virtio-ports");
    bool found = false;
    for (struct dirent *entry; directory && !found && (entry = readdir(directory));) {
        snprintf(file, sizeof file, "/sys/class/virtio-ports/%s/name", entry->d_name);
        FILE *stream = fopen(file, "re");
        found = stream && fgets(name, sizeof name, stream) && !strncmp(name, AGENT_PORT_NAME, strlen(AGENT_PORT_NAME));
        if (stream)
            fclose(stream);
        if (found)
            snprintf(path, bytes, "/dev/%s", entry->d_name);
    }
    if (directory)
        closedir(directory);
    return found;
}

static int agent_write(int port, const char *text, size_t bytes)
{
    while (bytes) {
        ssize_t written = write(port, text, bytes);
        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0) {
            text += written;
            bytes -= (size_t)written;
        }
    }
    return 0;
}

static int agent_line(int port, const char *line, size_t bytes)
{
    char *answer = command_answer(line, bytes);
    int result = answer && (agent_write(port, answer, strlen(answer)) || agent_write(port, "\n", 1)) ? -1 : 0;
    free(answer);
    return result;
}

// Answers every complete line in the buffer; returns how many bytes are left in it.
static size_t agent_lines(int port, char *buffer, size_t used, int *result)
{
    size_t start = 0;
    for (size_t i = 0; i < used && !*result; i++) {
        if ((u8)buffer[i] == 0xFF) { // drop what came before (guest-sync-delimited)
            start = i + 1;
        } else if (buffer[i] == '\n') {
            if (i > start)
                *result = agent_line(port, buffer + start, i - start);
            start = i + 1;
        }
    }
    memmove(buffer, buffer + start, used - start);
    return used - start == AGENT_LINE ? 0 : used - start; // no command is as long
}

static int agent_serve(int port)
{
    char *buffer = malloc(AGENT_LINE);
    size_t used = 0;
    int result = buffer ? 0 : -1;
    while (!result) {
        ssize_t count = read(port, buffer + used, AGENT_LINE - used);
        if (count > 0) {
            used = agent_lines(port, buffer, used + (size_t)count, &result);
        } else if (!count || errno == EAGAIN) {
            // Nobody is at the other end, which says nothing of when there will be.
            nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
            used = 0;
        } else if (errno != EINTR) {
            result = -1;
        }
    }
    free(buffer);
    return result;
}

int guest_agent_main(int argc, char **argv)
{
    char path[320];
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        puts("usage: nidus guest-agent [PORT]\n"
             "Inside a VM: answers the host's questions (heartbeat, system, addresses, clock) and its request to shut\n"
             "down. PORT is a character device or a terminal; by default the virtio port " AGENT_PORT_NAME ".");
        return STATUS_OK;
    }
    if (argc > 2 || (argc == 2 && *argv[1] == '-')) {
        fprintf(stderr, "nidus: guest-agent %s: expected the path of a port, or nothing\n", argv[argc - 1]);
        return STATUS_USAGE;
    }
    if (argc == 2) {
        snprintf(path, sizeof path, "%s", argv[1]);
    } else if (!agent_find_port(path, sizeof path)) {
        fprintf(stderr, "nidus: guest-agent: there is no virtio port " AGENT_PORT_NAME ": is this a VM, and is "
                        "virtio_console loaded?\n");
        return STATUS_FAILED;
    }
    int port = open(path, O_RDWR | O_CLOEXEC);
    if (port < 0 || agent_serve(port)) {
        fprintf(stderr, "nidus: guest-agent: %s: %s\n", path, strerror(errno));
        return STATUS_FAILED;
    }
    return STATUS_OK;
}
