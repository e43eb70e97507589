// What firmware would have left behind. nidus starts kernels without any, but kernels count on traces of it: memory
// types, fast strings, the first local APIC as its virtual wire; and images that were written for a PC's BIOS
// (Multiboot) on a ticking timer, interrupt controllers at their places of 1981, and real-mode vectors that return.
#pragma once

#include "engine/engine.h"
#include "machine/board.h"

// Caches on; on processor 0 the PIC's interrupts pass through the local APIC.
int firmware_processor(const struct engine *engine, struct engine_vcpu *vcpu, unsigned id, struct error *error);

// A PC after its power-on self-test. Before the image is loaded, which may overwrite the vectors.
void firmware_legacy(struct board *board);
