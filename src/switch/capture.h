// A file in pcapng of what goes over a port, while it goes: each frame the VM sends, what the port's rules forbid
// included, and each that it gets. The file is the service's; this process could open none.
#pragma once

#include "base/error.h"
#include "base/types.h"
#include "net/offload.h"

struct capture;

enum capture_direction { CAPTURE_INBOUND = 1 /* to the VM */, CAPTURE_OUTBOUND = 2 }; // as epb_flags says it

struct capture_result {
    u64 frames, bytes; // bytes of the file
    bool over;         // it takes no more: `text` says why
    char text[128];
};

// Takes over `file`, if it succeeds: a regular file, written from its start to at most `limit` bytes. `label` names the
// port in it.
struct capture *capture_open(int file, u64 limit, const char *label, const char *path, struct error *error);
void capture_close(struct capture *capture); // NULL is allowed
void capture_frame(struct capture *capture, enum capture_direction direction, const struct iovec *parts,
                   unsigned count);
void capture_flush(struct capture *capture); // what waits goes to the file
const char *capture_path(const struct capture *capture);
const struct capture_result *capture_get_result(const struct capture *capture);
