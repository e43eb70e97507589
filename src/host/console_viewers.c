// See console_viewers.h.
#include "host/console_viewers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/unix_socket.h"

enum { VIEWER_CHUNK = 16 << 10 };

int console_viewers_listen(struct console_viewers *viewers, const char *path, struct error *error)
{
    if (viewers->listener_count == CONSOLE_LISTENERS)
        return error_set(error, "console: no more than %d sockets", CONSOLE_LISTENERS);
    char *copy = strdup(path);
    int fd = copy ? unix_socket_listen(path, "console", error) : error_set(error, "console: out of memory");
    if (fd < 0) {
        free(copy);
        return -1;
    }
    viewers->paths[viewers->listener_count] = copy;
    viewers->listeners[viewers->listener_count++] = fd;
    return 0;
}

static void viewer_remove(struct console_viewers *viewers, unsigned i)
{
    close(viewers->viewers[i].fd);
    viewers->viewers[i] = viewers->viewers[--viewers->count];
}

void console_viewers_close(struct console_viewers *viewers)
{
    while (viewers->count)
        viewer_remove(viewers, viewers->count - 1);
    while (viewers->listener_count) {
        viewers->listener_count--;
        close(viewers->listeners[viewers->listener_count]);
        unlink(viewers->paths[viewers->listener_count]);
        free(viewers->paths[viewers->listener_count]);
    }
}

static bool viewer_behind(const struct console_viewer *viewer, const struct console_ring *ring)
{
    return viewer->at != ring->head || viewer->note[viewer->note_at];
}

void console_viewers_prepare(struct console_viewers *viewers, const struct console_ring *ring, struct pollset *set,
                             bool input)
{
    for (unsigned i = 0; i < viewers->listener_count; i++)
        viewers->indices[i] = viewers->count < CONSOLE_VIEWERS ? pollset_add(set, viewers->listeners[i], POLLIN) : -1;
    for (unsigned i = 0; i < viewers->count; i++) {
        struct console_viewer *viewer = &viewers->viewers[i];
        short events = (short)((input ? POLLIN : 0) | (viewer_behind(viewer, ring) ? POLLOUT : 0));
        viewer->index = events ? pollset_add(set, viewer->fd, events) : -1;
    }
}

void console_viewers_accept(struct console_viewers *viewers, const struct console_ring *ring,
                            const struct pollset *set)
{
    for (unsigned i = 0; i < viewers->listener_count; i++) {
        if (!pollset_events(set, viewers->indices[i]) || viewers->count == CONSOLE_VIEWERS)
            continue;
        int fd = accept4(viewers->listeners[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            viewers->viewers[viewers->count++] =
                (struct console_viewer){.fd = fd, .index = -1, .at = console_ring_oldest(ring)};
    }
}

size_t console_viewers_read(struct console_viewers *viewers, const struct pollset *set, u8 *to, size_t most)
{
    for (unsigned i = 0; i < viewers->count; i++) {
        if (!(pollset_events(set, viewers->viewers[i].index) & (POLLIN | POLLHUP | POLLERR)))
            continue;
        viewers->viewers[i].index = -1; // once a sleep
        ssize_t got = read(viewers->viewers[i].fd, to, most);
        if (got > 0)
            return (size_t)got;
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        viewer_remove(viewers, i--);
    }
    return 0;
}

// It resumes with half of what is remembered, so that it is not behind again at once. A note that is under way is
// finished first.
static void viewer_catch_up(struct console_viewer *viewer, const struct console_ring *ring)
{
    if (viewer->at >= console_ring_oldest(ring) || viewer->note[viewer->note_at])
        return;
    u64 next = ring->head - CONSOLE_RING / 2;
    snprintf(viewer->note, sizeof viewer->note, "\r\n[nidus: %llu bytes of console output were lost]\r\n",
             (unsigned long long)(next - viewer->at));
    viewer->note_at = 0;
    viewer->at = next;
}

// False: it is gone.
static bool viewer_write(struct console_viewer *viewer, const struct console_ring *ring)
{
    u8 chunk[VIEWER_CHUNK];
    viewer_catch_up(viewer, ring);
    const char *note = viewer->note + viewer->note_at;
    bool noting = *note;
    size_t count = noting ? strlen(note) : console_ring_copy(ring, viewer->at, chunk, sizeof chunk);
    ssize_t put = count ? send(viewer->fd, noting ? (const void *)note : chunk, count, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (put < 0)
        return errno == EAGAIN || errno == EINTR;
    if (noting)
        viewer->note_at += (size_t)put;
    else
        viewer->at += (u64)put;
    return true;
}

void console_viewers_write(struct console_viewers *viewers, const struct console_ring *ring)
{
    for (unsigned i = 0; i < viewers->count; i++)
        if (viewer_behind(&viewers->viewers[i], ring) && !viewer_write(&viewers->viewers[i], ring))
            viewer_remove(viewers, i--);
}

bool console_viewers_behind(const struct console_viewers *viewers, const struct console_ring *ring)
{
    for (unsigned i = 0; i < viewers->count; i++)
        if (viewer_behind(&viewers->viewers[i], ring))
            return true;
    return false;
}
