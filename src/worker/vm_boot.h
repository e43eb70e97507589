// From files to a guest about to run its first instruction.
#pragma once

#include "engine/engine.h"
#include "machine/board.h"
#include "worker/run_options.h"

// The files that --kernel and --initrd name, ready to boot from as often as the VM resets.
struct vm_images;
struct vm_images *vm_images_load(const struct run_options *options, struct error *error);
void vm_images_free(struct vm_images *images); // NULL is allowed

// Writes the images into the board's memory and sets the registers of `first`.
int vm_boot(struct vm_images *images, const struct run_options *options, struct board *board,
            const struct engine *engine, struct engine_vcpu *first, struct error *error);
