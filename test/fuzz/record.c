// Stored records, and exported ones: a database file is foreign, too, once it was on a disk that fails or was edited by
// hand. Whatever the bytes, opening and loading it ends with records or with an error, and what was loaded can be
// stored again. An input that begins with a brace is the JSON of an exported one.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service/record_json.h"
#include "service/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE = 5 }; // bytes of a change: where, how many, what

static void check(const struct vm_record *record)
{
    if (!record->id || !record->name || !record->state || record->processor_count < 1 || !record->engine)
        abort();
}

// What was read is written, and reads as the same.
static void exported(const uint8_t *data, size_t size)
{
    struct error error;
    struct vm_record record = {0}, again = {0};
    json_t *json = size <= RECORD_JSON_BYTES ? json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL)
                                             : NULL;
    if (json && record_json_read(&record, json, &error) == 0) {
        check(&record);
        json_t *written = record_json_write(&record);
        if (record_json_read(&again, written, &error) < 0 || strcmp(again.name, record.name))
            abort();
        json_decref(written);
        record_vm_free(&again);
    }
    record_vm_free(&record);
    json_decref(json);
}

static void loaded(void *context, struct vm_record *record)
{
    (void)context;
    check(record);
    struct vm_record copy;
    record_vm_copy(&copy, record);
    record_vm_free(&copy);
    record_vm_free(record);
    free(record);
}

// A good database, to be spoiled: one VM with a disk and an adapter.
static void seed_make(const char *path)
{
    struct error error;
    struct vm_record record = {0};
    struct store *store = store_open(path, &error);
    if (!store)
        abort();
    record_vm_defaults(&record);
    record_text_set(&record.id, "00000000-0000-4000-8000-000000000001");
    record_text_set(&record.name, "lab");
    record_text_set(&record_drive_add(&record)->path, "/disk");
    record_text_set(&record_adapter_add(&record)->name, "Network Adapter");
    if (store_vm_save(store, &record, &error) < 0)
        abort();
    record_vm_free(&record);
    store_close(store);
}

static u8 *seed_read(size_t *bytes)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/nidus-fuzz-record-%d.db", getpid());
    seed_make(path);
    FILE *file = fopen(path, "rb");
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    u8 *seed = malloc(*bytes);
    if (fread(seed, 1, *bytes, file) != *bytes)
        abort();
    fclose(file);
    unlink(path);
    return seed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static u8 *seed;
    static size_t bytes;
    char path[64], other[80];
    struct error error;
    if (size && data[0] == '{') {
        exported(data, size);
        return 0;
    }
    if (!seed)
        seed = seed_read(&bytes);
    u8 *spoiled = malloc(bytes);
    memcpy(spoiled, seed, bytes);
    for (; size >= PIECE; data += PIECE, size -= PIECE) {
        const size_t at = (data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16) % bytes;
        const size_t length = data[3] % 16 + 1;
        memset(spoiled + at, data[4], at + length > bytes ? bytes - at : length);
    }
    snprintf(path, sizeof path, "/dev/shm/nidus-fuzz-record-%d.db", getpid());
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(spoiled, 1, bytes, file) != bytes)
        abort();
    fclose(file);
    free(spoiled);
    struct store *store = store_open(path, &error);
    if (store) {
        struct host_record host = {0};
        store_vm_load(store, loaded, NULL, &error);
        store_host_load(store, &host, &error);
        record_host_free(&host);
        store_close(store);
    }
    unlink(path);
    static const char *const ends[] = {"-wal", "-shm", "-journal"};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        snprintf(other, sizeof other, "%s%s", path, ends[i]);
        unlink(other);
    }
    return 0;
}
