// Vector instructions that touch memory element by element under a mask: what is masked off must not fault, and a fault
// leaves the elements before it done. One function a family; vector registers come as operands, whatever the width.
#pragma once

#include "engine/soft/cpu.h"
#include "engine/soft/insn.h"

insn_function insn_vgather;   // VGATHERDPS/DPD/QPS/QPD, VPGATHERDD/DQ/QD/QQ, VEX and EVEX
insn_function insn_vscatter;  // VSCATTERDPS/DPD/QPS/QPD, VPSCATTERDD/DQ/QD/QQ
insn_function insn_vcompress; // VPCOMPRESSB/W/D/Q, VCOMPRESSPS/PD, to memory or register
insn_function insn_vexpand;   // VPEXPANDB/W/D/Q, VEXPANDPS/PD, from memory or register
insn_function insn_vmaskmov;  // VMASKMOVPS/PD, VPMASKMOVD/Q
insn_function insn_movdir64b;

// For the slow path of instructions with an EVEX-masked memory operand: moves the `elements` of `size` bytes whose bit
// in `mask` is set, checking those and no others; bytes of the others are not written at the destination (in `data`
// they are zeroed by a read). Faults as the instruction does.
void gather_masked_read(struct cpu *cpu, u64 linear, void *data, unsigned size, unsigned elements, u64 mask);
void gather_masked_write(struct cpu *cpu, u64 linear, const void *data, unsigned size, unsigned elements, u64 mask);
