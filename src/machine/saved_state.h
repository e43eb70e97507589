// The stream a VM's state travels in: to a file (Save-VM, checkpoints) or through a socket to another process (live
// migration). A magic number and a version, then sections, each with its name, an instance (a slot, a processor), its
// own version, its length and a check sum over all of it. Sections come in the order in which the writer's calls were
// made, and the reader makes the same calls: what else is there, or is not, is an error that names it.
//
// Guest memory is a series of such sections, a run of pages in each; pages that are zero are left out. They are written
// from where they lie, so that a VM of any size is saved with a buffer of one section.
//
// What is read is taken for hostile: no length is believed beyond a constant, no value is used that was not checked
// (base/state.h), and a stream that lies costs its reader a bounded time per byte.
#pragma once

#include "base/error.h"
#include "base/state.h"
#include "memory/memory.h"

enum { SAVED_STATE_VERSION = 1, SAVED_STATE_RUN_PAGES = 64, SAVED_STATE_SECTION_MOST = 320 << 10 };

// All of these return 0, or -1 with the reason. After an error the stream is of no use.
struct state_writer {
    int fd;    // blocking; the caller's
    u64 bytes; // written so far
};

int state_writer_begin(struct state_writer *writer, int fd, struct error *error);
int state_writer_put(struct state_writer *writer, const struct state_section *section, unsigned instance, void *object,
                     struct error *error);
int state_writer_put_bytes(struct state_writer *writer, const char *name, unsigned instance, u32 version,
                           const void *bytes, size_t count, struct error *error);
// Pages of a block whose bit is set in `bits` (memory_dirty_take's), zero ones too; bits NULL: all that are not zero.
int state_writer_put_memory(struct state_writer *writer, const struct memory *memory, unsigned block, const u64 *bits,
                            struct error *error);
int state_writer_end(struct state_writer *writer, struct error *error);

struct state_reader {
    int fd;
    bool waiting; // a section was read that nobody has taken yet
    char name[STATE_NAME];
    u32 instance, version, bytes;
    u8 *data; // the section's content, `bytes` long; the reader's own until it reads on
};

int state_reader_begin(struct state_reader *reader, int fd, struct error *error); // state_reader_close in any case
int state_reader_take(struct state_reader *reader, const struct state_section *section, unsigned instance, void *object,
                      struct error *error);
// Leaves it in reader->data.
int state_reader_take_bytes(struct state_reader *reader, const char *name, unsigned instance, struct error *error);
// All memory sections up to one that is none. Memory is zero before the first.
int state_reader_take_memory(struct state_reader *reader, struct memory *memory, struct error *error);
int state_reader_end(struct state_reader *reader, struct error *error);
void state_reader_close(struct state_reader *reader);
