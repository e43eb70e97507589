// See capture.h. The format is pcapng's (draft-ietf-opsawg-pcapng): a section header, one interface, enhanced packet
// blocks; in the host's byte order, which the section header shows. A reader that comes while the file is written finds
// whole blocks, but for the last.
#include "switch/capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    CAPTURE_BUFFER = 256 << 10,
    BLOCK_SECTION = 0x0A0D0D0A,
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET = 6,
    SECTION_MAGIC = 0x1A2B3C4D,
    LINK_ETHERNET = 1,
    OPTION_END = 0,
    OPTION_NAME = 2,      // if_name; epb_flags
    OPTION_RESOLUTION = 9, // if_tsresol
    NANOSECONDS = 9,
    SNAP = 262144,
    PACKET_HEADER = 28,
    PACKET_TAIL = 16, // epb_flags, the options' end, the block's length
};

struct capture {
    int file;
    u64 limit;
    char path[4096];
    struct capture_result result;
    size_t filled;
    u8 buffer[CAPTURE_BUFFER];
};

static size_t padded(size_t bytes) { return (bytes + 3) & ~(size_t)3; }

static void put(struct capture *capture, const void *bytes, size_t count)
{
    memcpy(capture->buffer + capture->filled, bytes, count);
    capture->filled += count;
}

static void put16(struct capture *capture, u16 value) { put(capture, &value, sizeof value); }

static void put32(struct capture *capture, u32 value) { put(capture, &value, sizeof value); }

static void put_padding(struct capture *capture, size_t bytes) { put(capture, "\0\0\0", padded(bytes) - bytes); }

static void put_option(struct capture *capture, u16 code, const void *bytes, size_t count)
{
    put16(capture, code);
    put16(capture, (u16)count);
    put(capture, bytes, count);
    put_padding(capture, count);
}

static void capture_end(struct capture *capture, const char *text)
{
    capture->result.over = true;
    snprintf(capture->result.text, sizeof capture->result.text, "%s", text);
}

void capture_flush(struct capture *capture)
{
    size_t done = 0;
    while (done < capture->filled) {
        const ssize_t now = write(capture->file, capture->buffer + done, capture->filled - done);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0) {
            capture_end(capture, strerror(errno));
            break;
        }
        done += (size_t)now;
    }
    capture->filled = 0;
}

static void put_headers(struct capture *capture, const char *label)
{
    static const u8 resolution = NANOSECONDS;
    const size_t name = strlen(label);
    const u32 bytes = (u32)(16 + 4 + padded(name) + 8 + 4 + 4);
    put32(capture, BLOCK_SECTION);
    put32(capture, 28);
    put32(capture, SECTION_MAGIC);
    put16(capture, 1); // version 1.0
    put16(capture, 0);
    put32(capture, UINT32_MAX); // the section's length is not known
    put32(capture, UINT32_MAX);
    put32(capture, 28);
    put32(capture, BLOCK_INTERFACE);
    put32(capture, bytes);
    put16(capture, LINK_ETHERNET);
    put16(capture, 0);
    put32(capture, SNAP);
    put_option(capture, OPTION_NAME, label, name);
    put_option(capture, OPTION_RESOLUTION, &resolution, sizeof resolution);
    put_option(capture, OPTION_END, "", 0);
    put32(capture, bytes);
    capture->result.bytes = capture->filled;
}

struct capture *capture_open(int file, u64 limit, const char *label, const char *path, struct error *error)
{
    struct stat status;
    if (fstat(file, &status) < 0 || !S_ISREG(status.st_mode) || strlen(path) >= sizeof((struct capture *)0)->path ||
        strlen(label) > UINT8_MAX) {
        error_set(error, "'%.200s' cannot be written to: it is no file", path);
        return NULL;
    }
    struct capture *capture = malloc(sizeof *capture);
    if (!capture) {
        error_set(error, "out of memory");
        return NULL;
    }
    capture->file = file;
    capture->limit = limit;
    capture->filled = 0;
    capture->result = (struct capture_result){.frames = 0};
    snprintf(capture->path, sizeof capture->path, "%s", path);
    put_headers(capture, label);
    capture_flush(capture);
    return capture;
}

void capture_close(struct capture *capture)
{
    if (!capture)
        return;
    capture_flush(capture);
    close(capture->file);
    free(capture);
}

void capture_frame(struct capture *capture, enum capture_direction direction, const struct iovec *parts,
                   unsigned count)
{
    struct timespec now;
    const size_t bytes = offload_bytes(parts, count);
    const u32 block = (u32)(PACKET_HEADER + padded(bytes) + PACKET_TAIL);
    const u32 flags = direction;
    if (capture->result.over || bytes > SNAP / 2)
        return;
    if (capture->result.bytes + block > capture->limit) {
        capture_end(capture, "the file has the size that it may have");
        return;
    }
    if (block > CAPTURE_BUFFER - capture->filled)
        capture_flush(capture);
    clock_gettime(CLOCK_REALTIME, &now);
    const u64 at = (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
    put32(capture, BLOCK_PACKET);
    put32(capture, block);
    put32(capture, 0); // the interface
    put32(capture, (u32)(at >> 32));
    put32(capture, (u32)at);
    put32(capture, (u32)bytes);
    put32(capture, (u32)bytes);
    for (unsigned i = 0; i < count; i++)
        put(capture, parts[i].iov_base, parts[i].iov_len);
    put_padding(capture, bytes);
    put_option(capture, OPTION_NAME, &flags, sizeof flags);
    put_option(capture, OPTION_END, "", 0);
    put32(capture, block);
    capture->result.bytes += block;
    capture->result.frames++;
}

const char *capture_path(const struct capture *capture) { return capture->path; }

const struct capture_result *capture_get_result(const struct capture *capture) { return &capture->result; }
