// Guest memory as C functions of instructions use it: by linear address, with all the checks and faults of the real
// thing, or by guest-physical address. Linear accesses hit in the same soft TLB as generated code.
#pragma once

#include "engine/soft/cpu.h"

// Linear address of a memory operand's offset in a segment, checked (limit, type, null, canonical: #GP or #SS).
u64 access_linear(struct cpu *cpu, unsigned segment, u64 offset, unsigned size, enum access access);

// Reads and writes at CPL's privilege, 1..8 bytes as a value, any number as a block. A page crossing is checked on both
// pages before a byte is written. Faults do not return. Device memory goes through mmio.h.
u64 access_read(struct cpu *cpu, u64 linear, unsigned size);
void access_write(struct cpu *cpu, u64 linear, unsigned size, u64 value);
void access_read_block(struct cpu *cpu, u64 linear, void *data, unsigned size);
void access_write_block(struct cpu *cpu, u64 linear, const void *data, unsigned size);

// The same as implicit supervisor accesses (SDM 3A 4.6.1): descriptor tables, TSS, IDT, stacks of inner rings.
u64 access_read_system(struct cpu *cpu, u64 linear, unsigned size);
void access_write_system(struct cpu *cpu, u64 linear, unsigned size, u64 value);

// Faults as an access would, without making it (#PF, EPT violation...), for instructions that must check before they
// write.
void access_check(struct cpu *cpu, u64 linear, unsigned size, enum access access);

// Host pointer to [linear, linear+size) for the access, filling the TLB on a miss; NULL when the range crosses a page
// or is not RAM that may be accessed directly (device memory, pages with code on write). Faults do not return. The
// page's write barrier has been passed when a pointer for ACCESS_WRITE is returned.
void *access_pointer(struct cpu *cpu, u64 linear, unsigned size, enum access access);

// A compare-and-swap loop's building block for guest structures (descriptor accessed bits): 4 or 8 bytes, aligned.
bool access_compare_exchange(struct cpu *cpu, u64 linear, unsigned size, u64 *expected, u64 desired);

// Guest-physical of the current level (so through EPT in guest mode): page tables, PDPTEs.
u64 access_read_guest_physical(struct cpu *cpu, u64 gpa, unsigned size);

// Physical of the VM itself (L1): VMCS regions, bitmaps, MSR lists, EPT entries. Not RAM: reads all ones, writes
// nothing.
u64 physical_read(struct cpu *cpu, u64 gpa, unsigned size);
void physical_write(struct cpu *cpu, u64 gpa, unsigned size, u64 value);
void physical_read_block(struct cpu *cpu, u64 gpa, void *data, unsigned size);
void physical_write_block(struct cpu *cpu, u64 gpa, const void *data, unsigned size);

// Operands of a decoded instruction. Reading or writing memory operands faults as above; 1, 2, 4 and 8 byte operands.
u64 operand_read(struct cpu *cpu, const struct insn *insn, unsigned index);
void operand_write(struct cpu *cpu, const struct insn *insn, unsigned index, u64 value);
u64 operand_offset(struct cpu *cpu, const struct insn *insn, unsigned index); // effective address, of the address size
u64 operand_linear(struct cpu *cpu, const struct insn *insn, unsigned index, unsigned size, enum access access);

// A register by number and size in bytes; writing 4 bytes clears the upper half, 1 and 2 bytes keep the rest.
u64 gpr_read(const struct cpu *cpu, unsigned reg, unsigned size);
void gpr_write(struct cpu *cpu, unsigned reg, unsigned size, u64 value);

// The slow path of a generated memory access: the inline probe missed. `access` has bit 0 for reading and bit 1 for
// writing (a masked store is both). Returns where the re-encoded instruction may find its operand: RAM itself, or
// cpu->bounce (as aligned as the linear address, modulo 64) for device memory and page crossings. All faults of both
// pages are raised before. When the instruction has executed, access_commit puts back what it wrote to the bounce
// buffer; it is needed only when cpu->loan.data is set. If the write hit the running translation, cpu->code_changed
// says so.
void *access_slow(struct cpu *cpu, u64 linear, unsigned size, unsigned access);
void access_commit(struct cpu *cpu);
