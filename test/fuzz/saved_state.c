// Any bytes as a saved state of a small VM of the soft engine: they are refused, or the VM goes on from them, for a
// moment, and can be stopped. The first byte says how the rest is meant: as the stream itself, or as changes to a good
// one (place, kind, value), whose check sums are made right again, because what they protect is what has to stand
// without them.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "worker/host.h"
#include "worker/vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IMAGE_LOAD = 0x100000, IMAGE_HEADER = 32, STREAM_MOST = 1 << 20, DISK_BYTES = 1 << 16 };
enum { START_BYTES = 16, HEADER_BYTES = 48, HEADER_CRC = 4, HEADER_LENGTH = 40 };

struct fuzz {
    struct run_options options;
    struct host host;
    u8 *good;
    size_t good_bytes;
};

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void write_file(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "w");
    must(file && fwrite(bytes, count, 1, file) == 1);
    fclose(file);
}

// A processor that counts, reads the clock and rings whatever is at the first doorbells.
static void write_image(const char *path)
{
    static const u8 code[] = {
        0xff, 0x05, 0x00, 0x00, 0x20, 0x00, // 1: inc dword [0x200000]
        0xe4, 0x71,                         //    in al, 0x71
        0xa3, 0x00, 0x10, 0x00, 0xc0,       //    mov [0xc0001000], eax
        0xeb, 0xf1,                         //    jmp 1b
    };
    u8 image[IMAGE_HEADER + sizeof code] = {0};
    const u32 header[IMAGE_HEADER / 4] = {0x1badb002, 1 << 16, 0 - (0x1badb002 + (1 << 16)), IMAGE_LOAD, IMAGE_LOAD, 0,
                                          0, IMAGE_LOAD + IMAGE_HEADER};
    memcpy(image, header, sizeof header);
    memcpy(image + IMAGE_HEADER, code, sizeof code);
    write_file(path, image, sizeof image);
}

static struct vm *fuzz_create(struct fuzz *fuzz)
{
    struct error error;
    struct vm *vm = vm_create(&fuzz->options, &engine_soft, &fuzz->host, &error);
    must(vm);
    return vm;
}

static void fuzz_destroy(struct vm *vm)
{
    vm_stop(vm);
    vm_destroy(vm);
}

static void fuzz_begin(struct fuzz *fuzz)
{
    static char image[64], disk[64], console[64];
    static u8 sectors[DISK_BYTES];
    struct error error;
    snprintf(image, sizeof image, "/tmp/nidus-fuzz-image-%d", getpid());
    snprintf(disk, sizeof disk, "/tmp/nidus-fuzz-disk-%d", getpid());
    snprintf(console, sizeof console, "socket:/tmp/nidus-fuzz-console-%d", getpid());
    write_image(image);
    write_file(disk, sectors, sizeof sectors);
    char *words[] = {"run", "--engine", "soft", "--memory", "3M", "--cpus", "2", "--debug-exit", "--net", "user",
                     "--disk", disk, "--kernel", image, "--console", console};
    must(!run_options_parse(&fuzz->options, ARRAY_SIZE(words), words, &error));
    must(!host_open(&fuzz->host, &fuzz->options, &error));
    struct vm *vm = fuzz_create(fuzz);
    int fd = memfd_create("good", MFD_CLOEXEC);
    must(!vm_load(vm, &error) && !vm_start(vm, &error) && !vm_pause(vm, &error) && !vm_save(vm, fd, &error));
    fuzz_destroy(vm);
    fuzz->good_bytes = (size_t)lseek(fd, 0, SEEK_END);
    must(fuzz->good_bytes < STREAM_MOST);
    fuzz->good = mmap(NULL, fuzz->good_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    must(fuzz->good != MAP_FAILED);
    close(fd);
}

// Four bytes of input a change.
static void change(u8 *stream, size_t bytes, const uint8_t *data, size_t size)
{
    for (; size >= 4; data += 4, size -= 4) {
        // Guest memory is most of the stream, and not what is to be changed: places count from the end too.
        size_t place = (size_t)(data[0] | data[1] << 8) % bytes;
        u8 *at = data[2] & 1 ? stream + bytes - 1 - place : stream + place;
        *at = data[2] & 2 ? data[3] : data[2] & 4 ? *at ^ (u8)(1 << data[3] % 8) : (u8)(*at + data[3]);
    }
}

static void make_sums_right(u8 *stream, size_t bytes)
{
    for (size_t at = START_BYTES; at + HEADER_BYTES <= bytes;) {
        u32 length, crc;
        memcpy(&length, stream + at + HEADER_LENGTH, sizeof length);
        if (length > bytes - at - HEADER_BYTES)
            return;
        memset(stream + at + HEADER_CRC, 0, sizeof crc);
        crc = crc32c(0, stream + at, HEADER_BYTES + length);
        memcpy(stream + at + HEADER_CRC, &crc, sizeof crc);
        at += HEADER_BYTES + length;
    }
}

static void fuzz_run(struct fuzz *fuzz, const u8 *stream, size_t bytes)
{
    struct error error;
    int fd = memfd_create("stream", MFD_CLOEXEC);
    must(write(fd, stream, bytes) == (ssize_t)bytes && !lseek(fd, 0, SEEK_SET));
    struct vm *vm = fuzz_create(fuzz);
    if (!vm_restore(vm, fd, &error)) {
        must(!vm_start(vm, &error));
        if (!vm_resume(vm, &error))
            vm_pause(vm, &error); // it may have ended
    }
    fuzz_destroy(vm);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz fuzz;
    static u8 stream[STREAM_MOST];
    if (!fuzz.good)
        fuzz_begin(&fuzz);
    if (size < 2 || size > STREAM_MOST)
        return 0;
    if (data[0] & 1) {
        fuzz_run(&fuzz, data + 1, size - 1);
        return 0;
    }
    memcpy(stream, fuzz.good, fuzz.good_bytes);
    change(stream, fuzz.good_bytes, data + 1, size - 1);
    make_sums_right(stream, fuzz.good_bytes);
    fuzz_run(&fuzz, stream, fuzz.good_bytes);
    return 0;
}
