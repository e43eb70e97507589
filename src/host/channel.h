// A byte stream between a guest's device and somebody in this process: what a named port of the console device
// (virtio_console.h) is on the host's side. It is two bounded buffers with a lock of its own, and nobody is called back
// while it is held, so that either side may use it with any locks of theirs.
//
// It outlives the device: a guest that resets comes back to the same channel, closed. What was under way in either
// direction when the guest closes its end, or resets, is dropped: half a message means nothing to the next reader.
#pragma once

#include "base/error.h"
#include "base/types.h"

struct channel;

enum { CHANNEL_BYTES = 32 << 10 }; // in each direction

struct channel *channel_create(struct error *error);
void channel_destroy(struct channel *channel); // no side uses it any more; NULL is allowed

// The device's side. `wake` is called on any thread, with the channel's lock held and perhaps others, when there are
// bytes for the guest or room for its own: it takes note and returns. NULL: the device is gone, and with it the
// guest's end.
void channel_attach(struct channel *channel, void (*wake)(void *context), void *context);
void channel_guest_open(struct channel *channel, bool open); // a program in the guest opened or closed the port
size_t channel_from_guest(struct channel *channel, const void *bytes, size_t count); // how many there was room for
size_t channel_to_guest(struct channel *channel, void *to, size_t most);             // how many there were

// The host's side. The descriptor becomes readable when the guest sent something, opened, closed, or made room;
// channel_read makes it unreadable again and reads what there is (0 bytes: nothing).
int channel_descriptor(const struct channel *channel);
bool channel_is_open(struct channel *channel);
size_t channel_read(struct channel *channel, void *to, size_t most);
size_t channel_write(struct channel *channel, const void *bytes, size_t count); // how many were taken; 0 while closed
