// A virtio device without its transport: status, features, queues, and the thread that does the work (VIRTIO 1.2,
// sections 2 and 3). A device type fills in a `struct virtio_type` and embeds a `struct virtio`; a transport
// (virtio_pci) shows the registers to the guest.
//
// Each device has one thread, and everything it does happens there: it sleeps in poll until the doorbell rings or a
// host descriptor of the device is ready, so an idle device costs nothing and a vCPU never waits for I/O. A doorbell
// is an eventfd, rung by virtio_notify from a vCPU's exit, or by KVM without one (machine/board_doorbell.h).
//
// One lock per device covers its state. The thread lets go of it while it waits for the host (virtio_host_begin and
// virtio_host_end around the system call); a reset waits until no such call is under way, so that afterwards nothing
// touches the guest's buffers any more.
#pragma once

#include <pthread.h>

#include "base/error.h"
#include "base/state.h"
#include "base/types.h"
#include "host/pollset.h"
#include "memory/memory.h"
#include "virtio/virtqueue.h"

enum { VIRTIO_MAX_QUEUES = 17, VIRTIO_NO_VECTOR = 0xFFFF, VIRTIO_ROUND_CHAINS = 1024 };

enum virtio_id {
    VIRTIO_ID_NET = 1,
    VIRTIO_ID_BLOCK = 2,
    VIRTIO_ID_CONSOLE = 3,
    VIRTIO_ID_ENTROPY = 4,
    VIRTIO_ID_BALLOON = 5,
    VIRTIO_ID_MEMORY = 24,
};

// 2.1, device status.
enum {
    VIRTIO_STATUS_ACKNOWLEDGE = 1,
    VIRTIO_STATUS_DRIVER = 2,
    VIRTIO_STATUS_DRIVER_OK = 4,
    VIRTIO_STATUS_FEATURES_OK = 8,
    VIRTIO_STATUS_NEEDS_RESET = 64,
    VIRTIO_STATUS_FAILED = 128,
};

// 6, features every device has here.
#define VIRTIO_F_INDIRECT_DESC ((u64)1 << 28)
#define VIRTIO_F_EVENT_IDX ((u64)1 << 29)
#define VIRTIO_F_VERSION_1 ((u64)1 << 32)
#define VIRTIO_FEATURES_COMMON (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1)

struct virtio;

struct virtio_type {
    const char *name;
    u16 id;
    u16 queues, queue_size;
    u32 class_code; // what PCI calls such a device
    u16 config_bytes;
    bool batch; // much of little: how its thread is scheduled (base/batch.h)

    // On the device's thread with the lock held, while the driver is up and no queue is broken. `work` looks at every
    // queue.
    void (*work)(struct virtio *virtio);
    // Around each sleep: what else to wait for, and what came of it. NULL: only the doorbell.
    void (*prepare)(struct virtio *virtio, struct pollset *set);
    void (*dispatch)(struct virtio *virtio, const struct pollset *set);
    // Saved state beside that of status and queues (base/state.h); its object is the device's struct, of which the
    // `virtio` must then be the first member. Saved and loaded while paused, with the lock held; `reset` was called
    // before loading. What was taken and not returned is not saved: between rounds of the thread a device holds no
    // chain. NULL: nothing.
    const struct state_section *state;
    // The driver is gone (with the lock held, on any thread): forget what it asked for. NULL: nothing to forget.
    void (*reset)(struct virtio *virtio);
    // The guest writes device configuration space, with the lock held. NULL: all of it is read-only.
    void (*config_write)(struct virtio *virtio, u32 offset, const void *from, u32 bytes);
    // The thread is gone: calls virtio_close and frees the device.
    void (*destroy)(struct virtio *virtio);
};

// The state of negotiation and of the queues: with the device type's own, all that a saved state needs.
struct virtio_state {
    u8 status;
    u8 config_generation;
    u16 config_vector;
    u64 driver_features;
    struct virtqueue_state queues[VIRTIO_MAX_QUEUES];
};

// How the transport interrupts: any thread, with the device's lock held. `config` tells a change of configuration from
// returned buffers.
struct virtio_interrupt {
    void (*raise)(void *context, u16 vector, bool config);
    void *context;
};

struct virtio {
    const struct virtio_type *type;
    struct memory *memory;
    u64 features; // offered
    const void *config; // device configuration space, type->config_bytes, owned by the device
    struct virtio_interrupt interrupt;

    pthread_mutex_t lock;
    pthread_cond_t idle; // host_calls became 0
    unsigned host_calls;
    u32 epoch; // counts resets: whoever let go of the lock sees whether its chains still exist
    u8 status, config_generation;
    u16 config_vector;
    u64 driver_features;
    struct virtqueue queues[VIRTIO_MAX_QUEUES];
    const char *broken; // the rule that the guest broke, for messages; NULL after a reset

    int doorbell; // eventfd
    unsigned budget;   // chains left in this round of the thread
    bool stop, paused; // under the lock
    bool running;      // the thread was started; under the lock
    pthread_t thread;
};

// Fills `virtio`, whose type, memory, features and config were set; creates no thread yet. virtio_close after
// virtio_stop.
int virtio_open(struct virtio *virtio, struct error *error);
void virtio_close(struct virtio *virtio);

// The thread begins, ends. A device that was not started keeps its registers, but does nothing.
int virtio_start(struct virtio *virtio, struct error *error);
void virtio_stop(struct virtio *virtio);

// For the transport; any thread, without the lock.
void virtio_notify(struct virtio *virtio); // a doorbell rang; never blocks
void virtio_set_status(struct virtio *virtio, u8 status);
void virtio_reset(struct virtio *virtio);

// Between pause and resume the device touches neither guest memory nor its state.
void virtio_pause(struct virtio *virtio);
void virtio_resume(struct virtio *virtio);
void virtio_save(struct virtio *virtio, struct virtio_state *state);            // while paused
int virtio_restore(struct virtio *virtio, const struct virtio_state *state, struct error *error); // while paused

// For device types, with the lock held.
static inline bool virtio_has(const struct virtio *virtio, u64 feature) { return virtio->driver_features & feature; }
bool virtio_live(const struct virtio *virtio);   // the driver is up and broke no rule
bool virtio_active(const struct virtio *virtio); // live, and neither paused nor stopped: may touch memory and interrupt
void virtio_ring(struct virtio *virtio);       // the thread shall come to `work` again

// virtqueue_take and virtqueue_listen for `work`: a broken rule breaks the device, and a guest that adds chains as
// fast as they are served gets a bounded number a round, so that the lock becomes free from time to time.
enum virtqueue_result virtio_take(struct virtio *virtio, unsigned queue, struct virtqueue_chain *chain);
bool virtio_listen(struct virtio *virtio, unsigned queue, u16 known);
void virtio_publish(struct virtio *virtio, unsigned queue);      // virtqueue_publish, and the interrupt
void virtio_break(struct virtio *virtio, const char *rule);      // 2.1.2: the device needs a reset
void virtio_config_changed(struct virtio *virtio);               // the device changed its configuration space
void virtio_host_begin(struct virtio *virtio);                   // unlocks
bool virtio_host_end(struct virtio *virtio, u32 epoch);          // locks; false if there was a reset since `epoch`
