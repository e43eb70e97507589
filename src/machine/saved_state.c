// See saved_state.h.
#include "machine/saved_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/crc32c.h"

// What the stream begins with.
struct saved_state_start {
    char magic[8];
    u32 version;
    u32 reserved;
};

struct saved_state_header {
    u32 mark;
    u32 crc; // of this header with 0 here, and of the content
    char name[STATE_NAME];
    u32 instance, version, bytes, reserved;
};

// The content of a "memory" section begins with this; then the pages, unless they are zero.
struct saved_state_run {
    u64 gpa;
    u32 pages;
    u32 zero;
};

static_assert(sizeof(struct saved_state_start) == 16 && sizeof(struct saved_state_header) == 48 &&
              sizeof(struct saved_state_run) == 16, "the stream's format");
static_assert(sizeof(struct saved_state_run) + SAVED_STATE_RUN_PAGES * PAGE_BYTES <= SAVED_STATE_SECTION_MOST, "");

static const char saved_state_magic[8] = "nidusvm";
enum { SECTION_MARK = 0x54434553 /* "SECT" */, SECTION_PARTS = 3 };

// --- Writing ---

static int writer_write(struct state_writer *writer, struct iovec *parts, unsigned count, struct error *error)
{
    while (count) {
        ssize_t put = writev(writer->fd, parts, (int)count);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return error_set(error, "the state cannot be written: %s",
                             put ? strerror(errno) : "nothing is taken any more");
        writer->bytes += (u64)put;
        size_t done = (size_t)put;
        while (count && done >= parts->iov_len) {
            done -= parts->iov_len;
            parts++;
            count--;
        }
        if (count) {
            parts->iov_base = (u8 *)parts->iov_base + done;
            parts->iov_len -= done;
        }
    }
    return 0;
}

// parts[0] is left for the header.
static int writer_section(struct state_writer *writer, const char *name, unsigned instance, u32 version,
                          struct iovec *parts, unsigned count, struct error *error)
{
    struct saved_state_header header = {.mark = SECTION_MARK, .instance = instance, .version = version};
    strncpy(header.name, name, sizeof header.name - 1);
    for (unsigned i = 1; i < count; i++)
        header.bytes += (u32)parts[i].iov_len;
    u32 crc = crc32c(0, &header, sizeof header);
    for (unsigned i = 1; i < count; i++)
        crc = crc32c(crc, parts[i].iov_base, parts[i].iov_len);
    header.crc = crc;
    parts[0] = (struct iovec){.iov_base = &header, .iov_len = sizeof header};
    return writer_write(writer, parts, count, error);
}

int state_writer_begin(struct state_writer *writer, int fd, struct error *error)
{
    struct saved_state_start start = {.version = SAVED_STATE_VERSION};
    struct iovec part = {.iov_base = &start, .iov_len = sizeof start};
    *writer = (struct state_writer){.fd = fd};
    memcpy(start.magic, saved_state_magic, sizeof start.magic);
    return writer_write(writer, &part, 1, error);
}

int state_writer_put_bytes(struct state_writer *writer, const char *name, unsigned instance, u32 version,
                           const void *bytes, size_t count, struct error *error)
{
    struct iovec parts[SECTION_PARTS] = {[1] = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count}};
    if (count > SAVED_STATE_SECTION_MOST)
        return error_set(error, "the state of %s has %zu bytes, more than a section takes", name, count);
    return writer_section(writer, name, instance, version, parts, 2, error);
}

int state_writer_put(struct state_writer *writer, const struct state_section *section, unsigned instance, void *object,
                     struct error *error)
{
    size_t bytes = state_bytes(section, section->version);
    u8 *content = malloc(bytes ? bytes : 1);
    if (!content)
        return error_set(error, "the state of %s: out of memory", section->name);
    state_save(section, object, content);
    int result = state_writer_put_bytes(writer, section->name, instance, section->version, content, bytes, error);
    free(content);
    return result;
}

static bool page_is_zero(const u8 *page)
{
    u64 sum = 0;
    for (unsigned i = 0; i < PAGE_BYTES && !sum; i += 256)
        for (unsigned j = 0; j < 256; j += 8) {
            u64 word;
            memcpy(&word, page + i + j, sizeof word);
            sum |= word;
        }
    return !sum;
}

static int writer_run(struct state_writer *writer, const struct memory_block *block, u64 page, u32 pages, bool zero,
                      struct error *error)
{
    struct saved_state_run run = {.gpa = block->gpa + page * PAGE_BYTES, .pages = pages, .zero = zero};
    struct iovec parts[SECTION_PARTS] = {
        [1] = {.iov_base = &run, .iov_len = sizeof run},
        [2] = {.iov_base = block->host + page * PAGE_BYTES, .iov_len = (size_t)pages * PAGE_BYTES},
    };
    return pages ? writer_section(writer, "memory", 0, 1, parts, zero ? 2 : 3, error) : 0;
}

// Pages [page, end), as runs that are all zero or all not.
static int writer_pages(struct state_writer *writer, const struct memory_block *block, u64 page, u64 end, bool zeroes,
                        struct error *error)
{
    while (page < end) {
        bool zero = page_is_zero(block->host + page * PAGE_BYTES);
        u32 pages = 1;
        while (pages < SAVED_STATE_RUN_PAGES && page + pages < end &&
               page_is_zero(block->host + (page + pages) * PAGE_BYTES) == zero)
            pages++;
        if ((!zero || zeroes) && writer_run(writer, block, page, pages, zero, error))
            return -1;
        page += pages;
    }
    return 0;
}

// Pages the guest never touched do not exist, and shall not begin to by being looked at.
static int writer_data(struct state_writer *writer, const struct memory *memory, const struct memory_block *block,
                       struct error *error)
{
    int fd = memory_fd(memory);
    off_t end = (off_t)(block->offset + block->bytes);
    for (off_t at = (off_t)block->offset; at < end;) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return 0;
        off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
        if (hole < 0)
            return error_set(error, "guest memory cannot be looked through: %s", strerror(errno));
        if (data >= end)
            return 0;
        u64 first = ((u64)data - block->offset) / PAGE_BYTES;
        u64 last = ((u64)(hole < end ? hole : end) - block->offset + PAGE_BYTES - 1) / PAGE_BYTES;
        if (writer_pages(writer, block, first, last, false, error))
            return -1;
        at = hole;
    }
    return 0;
}

int state_writer_put_memory(struct state_writer *writer, const struct memory *memory, unsigned index, const u64 *bits,
                            struct error *error)
{
    const struct memory_block *blocks;
    if (index >= memory_blocks(memory, &blocks))
        return error_set(error, "there is no block %u of guest memory", index);
    const struct memory_block *block = &blocks[index];
    if (!bits)
        return writer_data(writer, memory, block, error);
    u64 pages = block->bytes / PAGE_BYTES;
    for (u64 page = 0; page < pages; page++) {
        u64 end = page;
        while (end < pages && bits[end / 64] >> end % 64 & 1)
            end++;
        if (writer_pages(writer, block, page, end, true, error))
            return -1;
        page = end;
    }
    return 0;
}

int state_writer_end(struct state_writer *writer, struct error *error)
{
    return state_writer_put_bytes(writer, "end", 0, 1, NULL, 0, error);
}

// --- Reading ---

static int reader_read(struct state_reader *reader, void *to, size_t count, struct error *error)
{
    for (size_t done = 0; done < count;) {
        ssize_t got = read(reader->fd, (u8 *)to + done, count - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return error_set(error, "the state cannot be read: %s", got ? strerror(errno) : "it ends too early");
        done += (size_t)got;
    }
    return 0;
}

int state_reader_begin(struct state_reader *reader, int fd, struct error *error)
{
    struct saved_state_start start;
    *reader = (struct state_reader){.fd = fd};
    reader->data = malloc(SAVED_STATE_SECTION_MOST);
    if (!reader->data)
        return error_set(error, "out of memory for reading a state");
    if (reader_read(reader, &start, sizeof start, error))
        return -1;
    if (memcmp(start.magic, saved_state_magic, sizeof start.magic) != 0)
        return error_set(error, "this is no saved state of nidus");
    if (start.version != SAVED_STATE_VERSION || start.reserved)
        return error_set(error, "the state has format %u; this nidus reads format %d", start.version,
                         SAVED_STATE_VERSION);
    return 0;
}

void state_reader_close(struct state_reader *reader)
{
    free(reader->data);
    reader->data = NULL;
}

// A name that can be shown to somebody.
static bool reader_name_valid(const char name[STATE_NAME])
{
    for (unsigned i = 0; i < STATE_NAME; i++)
        if (name[i] < ' ' || name[i] > '~')
            return name[i] == 0 && i;
    return false;
}

// The next section, into the reader.
static int reader_next(struct state_reader *reader, struct error *error)
{
    struct saved_state_header header;
    if (reader->waiting)
        return 0;
    if (reader_read(reader, &header, sizeof header, error))
        return -1;
    if (header.mark != SECTION_MARK || header.reserved || header.bytes > SAVED_STATE_SECTION_MOST ||
        !reader_name_valid(header.name))
        return error_set(error, "the state is damaged: a section does not begin where one must");
    if (reader_read(reader, reader->data, header.bytes, error))
        return -1;
    u32 crc = header.crc;
    header.crc = 0;
    if (crc32c(crc32c(0, &header, sizeof header), reader->data, header.bytes) != crc)
        return error_set(error, "the state is damaged: the check sum of section \"%s\" is wrong", header.name);
    memcpy(reader->name, header.name, sizeof reader->name);
    reader->instance = header.instance;
    reader->version = header.version;
    reader->bytes = header.bytes;
    reader->waiting = true;
    return 0;
}

int state_reader_take_bytes(struct state_reader *reader, const char *name, unsigned instance, struct error *error)
{
    if (reader_next(reader, error))
        return -1;
    if (strcmp(reader->name, name) != 0 || reader->instance != instance)
        return error_set(error, "the VM has \"%s\" (%u) where the saved one has \"%s\" (%u): give it the same parts",
                         name, instance, reader->name, reader->instance);
    reader->waiting = false;
    return 0;
}

int state_reader_take(struct state_reader *reader, const struct state_section *section, unsigned instance, void *object,
                      struct error *error)
{
    if (state_reader_take_bytes(reader, section->name, instance, error))
        return -1;
    return state_load(section, reader->version, object, reader->data, reader->bytes, error);
}

static int reader_run(const struct state_reader *reader, struct memory *memory, struct error *error)
{
    struct saved_state_run run;
    if (reader->version != 1 || reader->bytes < sizeof run)
        return error_set(error, "a run of guest memory is of a form this nidus does not know");
    memcpy(&run, reader->data, sizeof run);
    u64 bytes = (u64)run.pages * PAGE_BYTES;
    if (!run.pages || run.pages > SAVED_STATE_RUN_PAGES || run.zero > 1 ||
        reader->bytes != sizeof run + (run.zero ? 0 : bytes))
        return error_set(error, "a run of guest memory does not have the length it says");
    const u8 *pages = reader->data + sizeof run;
    bool fits = run.gpa % PAGE_BYTES == 0 &&
                (run.zero ? memory_fill(memory, run.gpa, 0, bytes) : memory_load(memory, run.gpa, pages, bytes));
    return fits ? 0
                : error_set(error, "the saved VM has memory at %#lx that this one has not", (unsigned long)run.gpa);
}

int state_reader_take_memory(struct state_reader *reader, struct memory *memory, struct error *error)
{
    for (;;) {
        if (reader_next(reader, error))
            return -1;
        if (strcmp(reader->name, "memory") != 0)
            return 0;
        reader->waiting = false;
        if (reader_run(reader, memory, error))
            return -1;
    }
}

int state_reader_end(struct state_reader *reader, struct error *error)
{
    return state_reader_take_bytes(reader, "end", 0, error);
}
