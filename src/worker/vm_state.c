// The saved state of a whole VM (vm.h): what it is made of, guest memory, processors, board, devices, in this order.
// What it is made of comes first and is compared, so that somebody who gives the VM other parts is told which, before
// anything is taken over.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/control.h"
#include "machine/cpuid.h"
#include "machine/vcpu_state.h"
#include "worker/host.h"
#include "worker/vm.h"
#include "worker/vm_devices.h"

struct vm_parts {
    char engine[16];
    u64 memory_bytes;
    u32 cpus, devices;
    u32 tsc_khz;
    u8 nested, debug_exit;
};

static const struct state_field vm_parts_fields[] = {
    STATE_ARRAY(struct vm_parts, engine),
    STATE_FIELD(struct vm_parts, memory_bytes),
    STATE_FIELD(struct vm_parts, cpus),
    STATE_FIELD(struct vm_parts, devices),
    STATE_FIELD(struct vm_parts, tsc_khz),
    STATE_BOOL(struct vm_parts, nested),
    STATE_BOOL(struct vm_parts, debug_exit),
};

static const struct state_section vm_parts_section = STATE_SECTION("vm", 1, vm_parts_fields);

static const struct state_field memory_plugged_fields[] = {
    STATE_FIELD(struct memory_plugged, reserved),
    STATE_ARRAY(struct memory_plugged, chunks),
};

static const struct state_section memory_plugged_section = STATE_SECTION("memory-plugged", 1, memory_plugged_fields);

static struct vm_parts vm_parts(const struct vm *vm)
{
    int khz = vm->engine->vcpu_ioctl(vm->vcpus[0].handle, KVM_GET_TSC_KHZ, NULL);
    struct vm_parts parts = {
        .memory_bytes = vm->options->memory_bytes,
        .cpus = vm->vcpu_count,
        .devices = vm_devices_count(vm->devices),
        .tsc_khz = khz > 0 ? (u32)khz : 0,
        .nested = vm->options->nested,
        .debug_exit = vm->options->debug_exit,
    };
    snprintf(parts.engine, sizeof parts.engine, "%s", vm->engine->name);
    return parts;
}

// A time-stamp counter measured twice is not the same to the last digit; a guest notices a thousandth.
static bool vm_tsc_differs(u32 a, u32 b)
{
    u32 more = a > b ? a - b : b - a;
    return more > a / 1000;
}

static int vm_parts_compare(const struct vm_parts *saved, const struct vm_parts *here, struct error *error)
{
    if (memcmp(saved->engine, here->engine, sizeof here->engine) != 0)
        return error_set(error, "it ran on the engine %.15s, and this one is %s: take the same with --engine",
                         saved->engine, here->engine);
    if (saved->memory_bytes != here->memory_bytes)
        return error_set(error, "it has %" PRIu64 " KiB of memory, and this VM %" PRIu64 ": --memory %" PRIu64 "K",
                         saved->memory_bytes >> 10, here->memory_bytes >> 10, saved->memory_bytes >> 10);
    if (saved->cpus != here->cpus)
        return error_set(error, "it has %u processors, and this VM %u: --cpus %u", saved->cpus, here->cpus,
                         saved->cpus);
    if (saved->nested != here->nested)
        return error_set(error, "hypervisors can%s run in it, and can%s in this VM: --nested %s",
                         saved->nested ? "" : "not", here->nested ? "" : "not", saved->nested ? "on" : "off");
    if (saved->debug_exit != here->debug_exit)
        return error_set(error, "it was started with%s --debug-exit, and this VM with%s",
                         saved->debug_exit ? "" : "out", here->debug_exit ? "" : "out");
    if (saved->devices != here->devices)
        return error_set(error, "it has %u virtio devices, and this VM %u: give it the same with --disk and --net",
                         saved->devices, here->devices);
    if (vm_tsc_differs(saved->tsc_khz, here->tsc_khz))
        return error_set(error, "its time-stamp counter runs at %u kHz, and this host's at %u: restore it on a host "
                                "with the same clock", saved->tsc_khz, here->tsc_khz);
    return 0;
}

// Processors that can do something else than those the guest found are not its processors.
static struct kvm_cpuid2 *vm_cpuid(struct vm *vm, struct error *error)
{
    const struct cpuid_config config = {.cpus = vm->options->cpus, .nested = vm->options->nested};
    return cpuid_make(vm->engine, vm->engine_vm, &config, 0, error);
}

static int vm_cpuid_save(struct vm *vm, struct state_writer *writer, struct error *error)
{
    struct kvm_cpuid2 *table = vm_cpuid(vm, error);
    if (!table)
        return -1;
    int result = state_writer_put_bytes(writer, "cpuid", 0, 1, table->entries, table->nent * sizeof table->entries[0],
                                        error);
    free(table);
    return result;
}

// The clocks' rates are measured, and compared as such (vm_tsc_differs).
static bool vm_cpuid_is_clock(u32 leaf) { return leaf == 0x15 || leaf == 0x16; }

static int vm_cpuid_compare(const struct kvm_cpuid2 *here, const struct state_reader *reader, struct error *error)
{
    u32 count = reader->bytes / (u32)sizeof here->entries[0];
    for (u32 i = 0; i < count && i < here->nent; i++) {
        struct kvm_cpuid_entry2 saved;
        const struct kvm_cpuid_entry2 *entry = &here->entries[i];
        memcpy(&saved, reader->data + i * sizeof saved, sizeof saved);
        if (saved.function == entry->function && vm_cpuid_is_clock(entry->function))
            continue;
        if (memcmp(&saved, entry, sizeof saved) != 0)
            return error_set(error, "its processors are not those of this host: CPUID leaf 0x%x (%u) is %08x %08x %08x "
                                    "%08x there and leaf 0x%x is %08x %08x %08x %08x here", saved.function, saved.index,
                             saved.eax, saved.ebx, saved.ecx, saved.edx, entry->function, entry->eax, entry->ebx,
                             entry->ecx, entry->edx);
    }
    if (reader->bytes != here->nent * sizeof here->entries[0])
        return error_set(error, "its processors are not those of this host: they have other CPUID leaves");
    return 0;
}

static int vm_cpuid_check(struct vm *vm, struct state_reader *reader, struct error *error)
{
    if (state_reader_take_bytes(reader, "cpuid", 0, error))
        return -1;
    struct kvm_cpuid2 *here = vm_cpuid(vm, error);
    int result = here ? vm_cpuid_compare(here, reader, error) : -1;
    free(here);
    return result;
}

static struct vcpu_state vm_vcpu_state(struct vm *vm, unsigned i)
{
    struct vcpu *vcpu = &vm->vcpus[i];
    return (struct vcpu_state){.engine = vm->engine, .vm = vm->engine_vm, .vcpu = vcpu->handle, .id = i,
                               .nested = vm->options->nested, .clock = &vcpu->clock};
}

static int vm_save_memory(struct vm *vm, struct state_writer *writer, struct error *error)
{
    struct memory *memory = board_memory(vm->board);
    const struct memory_block *blocks;
    struct memory_plugged plugged;
    unsigned count = memory_blocks(memory, &blocks);
    memory_get_plugged(memory, &plugged);
    if (state_writer_put(writer, &memory_plugged_section, 0, &plugged, error))
        return -1;
    for (unsigned i = 0; i < count; i++)
        if (state_writer_put_memory(writer, memory, i, NULL, error))
            return -1;
    return 0;
}

static int vm_save_parts(struct vm *vm, struct state_writer *writer, struct error *error)
{
    struct vm_parts parts = vm_parts(vm);
    if (state_writer_put(writer, &vm_parts_section, 0, &parts, error) || vm_cpuid_save(vm, writer, error) ||
        vm_save_memory(vm, writer, error))
        return -1;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        struct vcpu_state state = vm_vcpu_state(vm, i);
        if (vcpu_state_save(&state, writer, error))
            return -1;
    }
    if (board_save(vm->board, writer, error) || vm_devices_save(vm->devices, writer, error))
        return -1;
    return state_writer_end(writer, error);
}

int vm_save(struct vm *vm, int fd, struct error *error)
{
    struct state_writer writer;
    if (!vm->paused)
        return error_set(error, "cannot save '%s': it is not paused", vm->options->name);
    if (!state_writer_begin(&writer, fd, error) && !vm_save_parts(vm, &writer, error))
        return 0;
    return error_prefix(error, "cannot save '%s'", vm->options->name);
}

// Where there is memory comes before what is in it.
static int vm_restore_memory(struct vm *vm, struct state_reader *reader, struct error *error)
{
    struct memory *memory = board_memory(vm->board);
    struct memory_plugged plugged;
    if (state_reader_take(reader, &memory_plugged_section, 0, &plugged, error) ||
        memory_set_plugged(memory, &plugged, error) || memory_clear(memory, error))
        return -1;
    return state_reader_take_memory(reader, memory, error);
}

static int vm_restore_parts(struct vm *vm, struct state_reader *reader, struct error *error)
{
    struct vm_parts saved, here = vm_parts(vm);
    if (state_reader_take(reader, &vm_parts_section, 0, &saved, error) || vm_parts_compare(&saved, &here, error) ||
        vm_cpuid_check(vm, reader, error) || vm_restore_memory(vm, reader, error))
        return -1;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        struct vcpu_state state = vm_vcpu_state(vm, i);
        if (vcpu_state_restore(&state, reader, error))
            return -1;
    }
    if (board_restore(vm->board, reader, error) || vm_devices_restore(vm->devices, vm->board, reader, error))
        return -1;
    return state_reader_end(reader, error);
}

int vm_restore(struct vm *vm, int fd, struct error *error)
{
    struct state_reader reader;
    if (vm_pause(vm, error))
        return -1;
    int result = state_reader_begin(&reader, fd, error);
    if (!result)
        result = vm_restore_parts(vm, &reader, error);
    state_reader_close(&reader);
    return result ? error_prefix(error, "cannot restore '%s'", vm->options->name) : 0;
}

// --- Files ---

static int vm_file_error(const char *path, const char *what, struct error *error)
{
    return error_set(error, "state file '%s': %s: %s", path, what, strerror(errno));
}

// The file's folder: the one we were given, or by name.
static int vm_open_folder(const struct vm *vm, const char *path)
{
    if (vm->host->state_folder >= 0)
        return fcntl(vm->host->state_folder, F_DUPFD_CLOEXEC, 0);
    char *copy = strdup(path);
    int folder = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(copy);
    return folder;
}

// The state remembers what the disks have; they must not forget it in a power failure that the state survives.
static int vm_sync_disks(struct vm *vm, struct error *error)
{
    for (unsigned i = 0; i < vm->host->disk_count; i++) {
        int result = vm->host->disks[i].readonly ? 0 : disk_flush(&vm->host->disks[i]);
        if (result < 0)
            return error_set(error, "cannot save '%s': disk '%s' cannot be synced: %s", vm->options->name,
                             vm->options->disks[i].path, strerror(-result));
    }
    return 0;
}

// `name` and `fresh` are in the folder; `path` is for those who read an error.
static int vm_save_new(struct vm *vm, int folder, const char *path, const char *name, const char *fresh,
                       struct error *error)
{
    // Whoever reads it reads the guest's memory.
    int fd = openat(folder, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return vm_file_error(path, "cannot be created", error);
    int result = vm_save(vm, fd, error);
    if (!result)
        result = vm_sync_disks(vm, error);
    if (!result && fsync(fd))
        result = vm_file_error(path, "cannot be synced", error);
    close(fd);
    if (!result && renameat(folder, fresh, folder, name))
        result = vm_file_error(path, "cannot be replaced", error);
    if (result)
        unlinkat(folder, fresh, 0);
    else if (fsync(folder) && errno != EINVAL) // the new name is durable only with its directory
        result = vm_file_error(path, "its directory cannot be synced", error);
    return result ? -1 : 0;
}

int vm_save_file(struct vm *vm, const char *path, struct error *error)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char fresh[NAME_MAX + sizeof CONTROL_UNFINISHED];
    if (strlen(name) > NAME_MAX - strlen(CONTROL_UNFINISHED))
        return error_set(error, "state file '%s': its name is too long", path);
    int folder = vm_open_folder(vm, path);
    if (folder < 0)
        return vm_file_error(path, "its folder cannot be opened", error);
    snprintf(fresh, sizeof fresh, "%s" CONTROL_UNFINISHED, name);
    int result = vm_save_new(vm, folder, path, name, fresh, error);
    close(folder);
    return result;
}

int vm_restore_file(struct vm *vm, const char *path, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return vm_file_error(path, "cannot be opened", error);
    int result = vm_restore(vm, fd, error);
    close(fd);
    return result ? error_prefix(error, "state file '%s'", path) : 0;
}
