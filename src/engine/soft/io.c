// IN, OUT, INS and OUTS: the permission checks (SDM 1 19.5), the intercepts, and the exit to the board. Every access
// leaves KVM_RUN, so the repeated forms hand over as many elements at once as lie in one page and fit in the run area.
#include "engine/soft/access.h"
#include "engine/soft/debug.h"
#include "engine/soft/insn_io.h"
#include "engine/soft/intercept.h"
#include "engine/soft/io.h"
#include "engine/soft/string.h"

enum { TSS_IO_MAP_BASE = 0x66, TSS_BYTES = 0x68, TSS_TYPE_32_64 = 9 };

static u8 *io_data(struct cpu *cpu) { return (u8 *)cpu->run + IO_DATA_OFFSET; }

// The I/O permission bit map (SDM 1 19.5.2): all bits of the ports must be clear; two bytes are always read.
static bool io_map_allows(struct cpu *cpu, u16 port, unsigned size)
{
    const struct segment *tss = &cpu->segment[SEG_TR];
    if (tss->access & AR_UNUSABLE || (tss->access & (AR_TYPE & ~2)) != TSS_TYPE_32_64 || tss->limit < TSS_BYTES - 1)
        return false;
    u64 map = access_read_system(cpu, tss->base + TSS_IO_MAP_BASE, 2);
    u64 offset = map + port / 8;
    if (offset + 1 > tss->limit)
        return false;
    u64 bits = access_read_system(cpu, tss->base + offset, 2);
    return !(bits >> (port & 7) & ((1u << size) - 1));
}

static void io_check(struct cpu *cpu, u16 port, unsigned size)
{
    if (cpu_protected(cpu) && (cpu_v8086(cpu) || cpu->cpl > cpu_iopl(cpu)) && !io_map_allows(cpu, port, size))
        cpu_raise_code(cpu, VECTOR_GP, 0);
}

static void io_exit(struct cpu *cpu, u16 port, unsigned size, u32 count, bool in)
{
    cpu->run->exit_reason = KVM_EXIT_IO;
    cpu->run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
    cpu->run->io.size = (u8)size;
    cpu->run->io.port = port;
    cpu->run->io.count = count;
    cpu->run->io.data_offset = IO_DATA_OFFSET;
    cpu->leave = true;
    cpu->leave_result = 0;
    if (debug_armed(cpu))
        debug_io(cpu, port, size);
}

// Size and port of IN and OUT: opcodes E4..E7 with an immediate port, EC..EF with DX; bit 0 is the size. No prefix
// looks like the former, so the last but one byte tells.
static void io_operands(const struct cpu *cpu, const struct insn *insn, unsigned *size, u16 *port)
{
    u8 last = insn->bytes[insn->length - 1];
    bool dx = insn->length == 1 || (insn->bytes[insn->length - 2] & 0xfc) != 0xe4;
    u8 opcode = dx ? last : insn->bytes[insn->length - 2];
    unsigned wide = insn->operand_size == 2 ? 2 : 4; // REX.W changes nothing
    *port = dx ? (u16)cpu->gpr[RDX] : last;
    *size = opcode & 1 ? wide : 1;
}

void insn_in(struct cpu *cpu, const struct insn *insn)
{
    unsigned size;
    u16 port;
    io_operands(cpu, insn, &size, &port);
    io_check(cpu, port, size);
    intercept_io(cpu, insn, port, size, true, false, 0);
    cpu->io = (struct io_pending){.active = true, .size = (u8)size, .count = 1, .next_rip = cpu->next_rip};
    io_exit(cpu, port, size, 1, true);
    cpu_resume(cpu);
}

void insn_out(struct cpu *cpu, const struct insn *insn)
{
    unsigned size;
    u16 port;
    io_operands(cpu, insn, &size, &port);
    io_check(cpu, port, size);
    intercept_io(cpu, insn, port, size, false, false, 0);
    bytes_store(io_data(cpu), size, cpu->gpr[RAX]);
    io_exit(cpu, port, size, 1, false); // the instruction retires before KVM_RUN returns
}

// Elements of a string transfer that one exit carries: 1 when the page does not hold even one, or is not plain RAM.
static u32 io_batch(struct cpu *cpu, const struct string *string, unsigned segment, u64 offset, u64 linear,
                    enum access access)
{
    u64 count = string_span(cpu, string, segment, offset, linear);
    count = count < string->chunk ? count : string->chunk;
    count = count < IO_DATA_BYTES / string->size ? count : IO_DATA_BYTES / string->size;
    return count > 1 && access_pointer(cpu, linear, string->size, access) ? (u32)count : 1;
}

static bool io_string_begin(struct cpu *cpu, const struct insn *insn, struct string *string)
{
    unsigned wide = insn->operand_size == 2 ? 2 : 4; // REX.W changes nothing
    unsigned size = insn->bytes[insn->length - 1] & 1 ? wide : 1;
    io_check(cpu, (u16)cpu->gpr[RDX], size); // also with a count of zero
    if (!string_begin(cpu, insn, string))
        return false;
    string->size = size;
    return true;
}

void insn_ins(struct cpu *cpu, const struct insn *insn)
{
    struct string string;
    u16 port = (u16)cpu->gpr[RDX];
    if (!io_string_begin(cpu, insn, &string))
        return;
    u64 offset = gpr_read(cpu, RDI, string.address);
    u64 linear = access_linear(cpu, SEG_ES, offset, string.size, ACCESS_WRITE);
    intercept_io(cpu, insn, port, string.size, true, true, linear);
    access_check(cpu, linear, string.size, ACCESS_WRITE); // a port that was read cannot be read again after a fault
    u32 count = io_batch(cpu, &string, SEG_ES, offset, linear, ACCESS_WRITE);
    cpu->io = (struct io_pending){
        .active = true, .string = true, .repeat = string.repeat, .down = string.down,
        .size = (u8)string.size, .address = (u8)string.address, .count = count, .linear = linear,
        .next_rip = cpu->next_rip,
    };
    io_exit(cpu, port, string.size, count, true);
    cpu_resume(cpu);
}

void insn_outs(struct cpu *cpu, const struct insn *insn)
{
    struct string string;
    u16 port = (u16)cpu->gpr[RDX];
    if (!io_string_begin(cpu, insn, &string))
        return;
    u64 offset = gpr_read(cpu, RSI, string.address);
    u64 linear = access_linear(cpu, string.source, offset, string.size, ACCESS_READ);
    intercept_io(cpu, insn, port, string.size, false, true, linear);
    u32 count = io_batch(cpu, &string, string.source, offset, linear, ACCESS_READ);
    s64 step = string.down ? -(s64)string.size : (s64)string.size;
    for (u32 i = 0; i < count; i++)
        bytes_store(io_data(cpu) + i * string.size, string.size,
                    access_read(cpu, linear + (u64)(i * step), string.size));
    string_advance(cpu, &string, STRING_SOURCE, count);
    if (string.left)
        cpu->next_rip = cpu->rip;
    io_exit(cpu, port, string.size, count, false);
}

// INS gets its data: the target was checked before the port was read, so a fault here takes another processor's hand.
static u64 io_complete_string(struct cpu *cpu, const struct io_pending *io)
{
    struct string string = {.size = io->size, .address = io->address, .repeat = io->repeat, .down = io->down,
        .left = 1};
    if (io->repeat)
        string.left = gpr_read(cpu, RCX, io->address);
    s64 step = io->down ? -(s64)io->size : (s64)io->size;
    for (u32 i = 0; i < io->count; i++)
        access_write(cpu, io->linear + (u64)(i * step), io->size, bytes_load(io_data(cpu) + i * io->size, io->size));
    string_advance(cpu, &string, STRING_TARGET, io->count);
    return string.left ? cpu->rip : io->next_rip;
}

void io_complete(struct cpu *cpu)
{
    struct io_pending io = cpu->io;
    if (!io.active)
        return;
    cpu->io.active = false;
    u64 next = io.next_rip;
    if (io.string)
        next = io_complete_string(cpu, &io);
    else
        gpr_write(cpu, RAX, io.size, bytes_load(io_data(cpu), io.size));
    cpu->rip = next;
}
