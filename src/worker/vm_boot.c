// See vm_boot.h. The images stay mapped for the VM's life: that costs nothing but page cache, and a VM that resets
// finds them again where its process can open no file any more.
#include "worker/vm_boot.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/boot.h"
#include "machine/firmware.h"
#include "worker/file.h"

struct vm_images {
    struct file kernel;
    struct file modules[BOOT_MODULES];
    char *list; // the text of --initrd, cut into pieces
    char *words[BOOT_MODULES];
    char *texts[BOOT_MODULES];
    unsigned count;
    struct boot_config config;
    struct boot_plan plan;
};

void vm_images_free(struct vm_images *images)
{
    if (!images)
        return;
    file_free(&images->kernel);
    for (unsigned i = 0; i < BOOT_MODULES; i++) {
        file_free(&images->modules[i]);
        free(images->texts[i]);
    }
    free(images->list);
    free(images);
}

static int vm_images_load_module(struct vm_images *images, char *piece, bool whole, u64 most, struct error *error)
{
    unsigned i = images->count;
    if (i == BOOT_MODULES)
        return error_set(error, "--initrd: %d files at most", BOOT_MODULES);
    images->texts[i] = strdup(piece);
    if (!images->texts[i])
        return error_set(error, "out of memory");
    if (!whole)
        piece[strcspn(piece, " ")] = 0;
    if (file_load(&images->modules[i], "--initrd", piece, most, error))
        return -1;
    images->words[i] = piece;
    images->count++;
    return 0;
}

// "FILE[ WORDS],FILE[ WORDS]..."; but a file that has the text for its name is meant as it stands.
static int vm_images_load_modules(struct vm_images *images, const char *text, u64 most, struct error *error)
{
    if (!text)
        return 0;
    images->list = strdup(text);
    if (!images->list)
        return error_set(error, "out of memory");
    if (!access(text, F_OK))
        return vm_images_load_module(images, images->list, true, most, error);
    char *rest = images->list;
    for (char *piece; (piece = strsep(&rest, ","));)
        if (vm_images_load_module(images, piece, false, most, error))
            return -1;
    return 0;
}

static void vm_images_config(struct vm_images *images, const struct run_options *options, const struct board *board)
{
    struct board_map_entry map[BOARD_MAP_MOST];
    unsigned count = board_map(board, map, BOARD_MAP_MOST);
    struct boot_config *config = &images->config;
    *config = (struct boot_config){
        .kernel = {.name = options->kernel, .data = images->kernel.data, .bytes = images->kernel.bytes},
        .module_count = images->count,
        .append = options->append,
        .region_count = count,
        .rsdp = board_rsdp(board),
    };
    for (unsigned i = 0; i < images->count; i++)
        config->modules[i] = (struct boot_module){
            .file = {.name = images->words[i], .data = images->modules[i].data, .bytes = images->modules[i].bytes},
            .text = images->texts[i]};
    for (unsigned i = 0; i < count; i++)
        config->regions[i] = (struct boot_region){.base = map[i].gpa, .bytes = map[i].bytes, .type = map[i].type};
}
static_assert(BOARD_MAP_RAM == (int)BOOT_RAM && BOARD_MAP_RESERVED == (int)BOOT_RESERVED &&
              BOARD_MAP_ACPI == (int)BOOT_ACPI && BOARD_MAP_MOST <= (int)BOOT_REGIONS, "both are e820's");

static int vm_images_write(const struct vm_images *images, struct memory *memory, struct error *error)
{
    for (unsigned i = 0; i < images->plan.count; i++) {
        const struct boot_segment *segment = &images->plan.segments[i];
        if (segment->data_bytes && !memory_write(memory, segment->gpa, segment->data, segment->data_bytes))
            return error_set(error, "%s: part %u does not fit into guest memory", images->config.kernel.name, i);
    }
    return 0;
}

static int vm_registers_set(const struct vm_images *images, const struct engine *engine, struct engine_vcpu *vcpu,
                            struct error *error)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    int result = engine->vcpu_ioctl(vcpu, KVM_GET_SREGS, &sregs);
    if (result >= 0) {
        boot_plan_registers(&images->plan, &regs, &sregs);
        result = engine->vcpu_ioctl(vcpu, KVM_SET_SREGS, &sregs);
    }
    if (result >= 0)
        result = engine->vcpu_ioctl(vcpu, KVM_SET_REGS, &regs);
    return result >= 0 ? 0
                       : error_set(error, "the %s engine refuses the registers a %s image starts with: %s",
                                   engine->name, images->plan.protocol, strerror(-result));
}

struct vm_images *vm_images_load(const struct run_options *options, struct error *error)
{
    struct vm_images *images = calloc(1, sizeof *images);
    if (!images) {
        error_set(error, "out of memory");
        return NULL;
    }
    if (!file_load(&images->kernel, "--kernel", options->kernel, options->memory_bytes, error) &&
        !vm_images_load_modules(images, options->initrd, options->memory_bytes, error))
        return images;
    vm_images_free(images);
    return NULL;
}

int vm_boot(struct vm_images *images, const struct run_options *options, struct board *board,
            const struct engine *engine, struct engine_vcpu *first, struct error *error)
{
    vm_images_config(images, options, board);
    int result = boot_plan_make(&images->plan, &images->config, error);
    if (!result && images->plan.legacy)
        firmware_legacy(board);
    if (!result)
        result = vm_images_write(images, board_memory(board), error);
    if (!result)
        result = vm_registers_set(images, engine, first, error);
    file_rest(&images->kernel); // until the next reset
    for (unsigned i = 0; i < images->count; i++)
        file_rest(&images->modules[i]);
    return result;
}
