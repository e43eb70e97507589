// MOVS, STOS, LODS, CMPS and SCAS. A repeated one works in chunks that lie in one page on each side and lets the host's
// own string instruction of the same element size do the chunk: that is fast, and it is exact where the two sides
// overlap. Whatever cannot be done so (an element across pages, device memory, a page with code) goes element by
// element. Registers are advanced after each chunk, so that a fault, a pending request or a single-step trap finds the
// state the manual demands (SDM 2B, REP), and the instruction then simply runs again.
#include "engine/soft/access.h"
#include "engine/soft/insn_string.h"
#include "engine/soft/string.h"

bool string_begin(struct cpu *cpu, const struct insn *insn, struct string *string)
{
    unsigned source = insn_segment(insn, SEG_DS);
    u8 opcode = insn->bytes[insn->length - 1];
    *string = (struct string){
        .size = opcode & 1 ? insn->operand_size : 1,
        .address = insn->address_size,
        .source = source,
        .repeat = insn->prefixes & (INSN_REP | INSN_REPNE),
        .down = cpu->rflags & FLAG_DF,
        .left = 1,
    };
    if (string->repeat)
        string->left = gpr_read(cpu, RCX, string->address);
    string->chunk = cpu->rflags & FLAG_TF ? 1 : string->left;
    if (!string->left) // as processors do: a 32-bit count is written back
        gpr_write(cpu, RCX, string->address, 0);
    return string->left != 0;
}

unsigned insn_segment(const struct insn *insn, unsigned segment)
{
    for (unsigned i = 0; i < insn->length; i++) {
        switch (insn->bytes[i]) {
        case 0x26: segment = insn->code64 ? segment : SEG_ES; break;
        case 0x2e: segment = insn->code64 ? segment : SEG_CS; break;
        case 0x36: segment = insn->code64 ? segment : SEG_SS; break;
        case 0x3e: segment = insn->code64 ? segment : SEG_DS; break;
        case 0x64: segment = SEG_FS; break;
        case 0x65: segment = SEG_GS; break;
        case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3: break;
        default:
            if (!insn->code64 || (insn->bytes[i] & 0xf0) != 0x40) // a REX in front of another prefix is ignored
                return segment;
        }
    }
    return segment;
}

// How many elements from `offset` on stay below the segment's limit, one at least: the first has been checked already.
static u64 string_segment_room(const struct cpu *cpu, const struct string *string, unsigned segment, u64 offset)
{
    const struct segment *s = &cpu->segment[segment];
    if (cpu_code64(cpu))
        return ~0ull;
    if (!(s->access & AR_CODE) && s->access & AR_EXPAND_DOWN)
        return 1;
    return string->down ? ~0ull : (s->limit - offset + 1) / string->size;
}

u64 string_span(const struct cpu *cpu, const struct string *string, unsigned segment, u64 offset, u64 linear)
{
    unsigned size = string->size, in_page = linear & (PAGE_BYTES - 1);
    if (in_page + size > PAGE_BYTES)
        return 0;
    u64 count = string->down ? in_page / size + 1 : (PAGE_BYTES - in_page) / size;
    if (string->address < 8) {
        u64 end = 1ull << 8 * string->address;
        u64 wrap = string->down ? offset / size + 1 : (end - offset + size - 1) / size;
        count = wrap < count ? wrap : count;
    }
    u64 room = string_segment_room(cpu, string, segment, offset);
    return room < count ? room : count;
}

void string_advance(struct cpu *cpu, struct string *string, unsigned registers, u64 count)
{
    u64 step = string->down ? -(count * string->size) : count * string->size;
    if (registers & STRING_SOURCE)
        gpr_write(cpu, RSI, string->address, cpu->gpr[RSI] + step);
    if (registers & STRING_TARGET)
        gpr_write(cpu, RDI, string->address, cpu->gpr[RDI] + step);
    string->left -= count;
    if (string->repeat)
        gpr_write(cpu, RCX, string->address, string->left);
}

bool string_continue(struct cpu *cpu, const struct string *string)
{
    if (!string->left)
        return false;
    if (!cpu->mmio_reads && !cpu->mmio_writes && !(cpu->rflags & FLAG_TF) &&
        !atomic_load_explicit(&cpu->request, memory_order_relaxed))
        return true;
    cpu->next_rip = cpu->rip;
    return false;
}

// One side of the instruction: checks its first element and finds how far the chunk may go. The pointer is NULL when
// there is no chunk; faults of the first element have then been left to the access itself.
struct side {
    u64 linear;
    u8 *pointer;
};

static struct side string_side(struct cpu *cpu, struct string *string, unsigned segment, unsigned reg,
                               enum access access)
{
    u64 offset = gpr_read(cpu, reg, string->address);
    struct side side = {.linear = access_linear(cpu, segment, offset, string->size, access)};
    u64 span = string_span(cpu, string, segment, offset, side.linear);
    if (UNLIKELY(cpu->rflags & FLAG_AC) && cpu->cpl == 3) // alignment is checked by the accesses
        span = 0;
    if (span)
        side.pointer = access_pointer(cpu, side.linear, string->size, access);
    if (span < string->chunk)
        string->chunk = span;
    return side;
}

static void string_chunk_reset(const struct cpu *cpu, struct string *string)
{
    string->chunk = cpu->rflags & FLAG_TF ? 1 : string->left;
}

#define HOST_STRING(down, operation, ...)                           \
    do {                                                            \
        if (down)                                                   \
            __asm__ volatile("std; " operation "; cld" __VA_ARGS__); \
        else                                                        \
            __asm__ volatile(operation __VA_ARGS__);                \
    } while (0)

static void host_movs(const struct string *string, u8 *to, const u8 *from)
{
    u64 count = string->chunk;
    switch (string->size) {
    case 1: HOST_STRING(string->down, "rep movsb", : "+D"(to), "+S"(from), "+c"(count) : : "memory", "cc"); break;
    case 2: HOST_STRING(string->down, "rep movsw", : "+D"(to), "+S"(from), "+c"(count) : : "memory", "cc"); break;
    case 4: HOST_STRING(string->down, "rep movsl", : "+D"(to), "+S"(from), "+c"(count) : : "memory", "cc"); break;
    default: HOST_STRING(string->down, "rep movsq", : "+D"(to), "+S"(from), "+c"(count) : : "memory", "cc"); break;
    }
}

static void host_stos(const struct string *string, u8 *to, u64 value)
{
    u64 count = string->chunk;
    switch (string->size) {
    case 1: HOST_STRING(string->down, "rep stosb", : "+D"(to), "+c"(count) : "a"(value) : "memory", "cc"); break;
    case 2: HOST_STRING(string->down, "rep stosw", : "+D"(to), "+c"(count) : "a"(value) : "memory", "cc"); break;
    case 4: HOST_STRING(string->down, "rep stosl", : "+D"(to), "+c"(count) : "a"(value) : "memory", "cc"); break;
    default: HOST_STRING(string->down, "rep stosq", : "+D"(to), "+c"(count) : "a"(value) : "memory", "cc"); break;
    }
}

// Compare up to `count` elements while they are equal (or, `until`, different); the rest of the count is returned, and
// the flags of the last comparison as LAHF and SETO leave them in AX.
static u64 host_cmps(const struct string *string, const u8 *left, const u8 *right, u64 count, bool until, u64 *ax)
{
#define COMPARE(suffix)                                                                                              \
    if (until)                                                                                                       \
        HOST_STRING(string->down, "repne cmps" suffix "; lahf; seto %%al",                                           \
                    : "+S"(left), "+D"(right), "+c"(count), "=a"(*ax) : : "memory", "cc");                           \
    else                                                                                                             \
        HOST_STRING(string->down, "repe cmps" suffix "; lahf; seto %%al",                                            \
                    : "+S"(left), "+D"(right), "+c"(count), "=a"(*ax) : : "memory", "cc");                           \
    break
    switch (string->size) {
    case 1: COMPARE("b");
    case 2: COMPARE("w");
    case 4: COMPARE("l");
    default: COMPARE("q");
    }
#undef COMPARE
    return count;
}

static u64 host_scas(const struct string *string, u64 value, const u8 *right, u64 count, bool until, u64 *ax)
{
    *ax = value;
#define SCAN(suffix)                                                                                                 \
    if (until)                                                                                                       \
        HOST_STRING(string->down, "repne scas" suffix "; lahf; seto %%al",                                           \
                    : "+D"(right), "+c"(count), "+a"(*ax) : : "memory", "cc");                                       \
    else                                                                                                             \
        HOST_STRING(string->down, "repe scas" suffix "; lahf; seto %%al",                                            \
                    : "+D"(right), "+c"(count), "+a"(*ax) : : "memory", "cc");                                       \
    break
    switch (string->size) {
    case 1: SCAN("b");
    case 2: SCAN("w");
    case 4: SCAN("l");
    default: SCAN("q");
    }
#undef SCAN
    return count;
}

// What nearly all of them are: REP MOVS and REP STOS upwards in flat 64-bit code, without other prefixes, within pages
// that the TLB knows. The number of bytes, or 0 when it is not so plain.
static u64 string_plain(const struct cpu *cpu, const struct insn *insn)
{
    bool bare = insn->length == 2 || (insn->length == 3 && (insn->bytes[1] & 0xf0) == 0x40);
    const bool aligned = cpu->rflags & FLAG_AC && cpu->cpl == 3; // else AC is SMAP's
    if (!insn->code64 || insn->bytes[0] != 0xf3 || !bare || insn->address_size != 8 ||
        cpu->rflags & (FLAG_DF | FLAG_TF) || aligned)
        return 0;
    u64 count = cpu->gpr[RCX], size = insn->bytes[insn->length - 1] & 1 ? insn->operand_size : 1;
    return count <= PAGE_BYTES ? count * size : 0;
}

static bool movs_plain(struct cpu *cpu, const struct insn *insn)
{
    u64 bytes = string_plain(cpu, insn), from_offset = cpu->gpr[RSI] & (PAGE_BYTES - 1),
        to_offset = cpu->gpr[RDI] & (PAGE_BYTES - 1);
    if (!bytes || from_offset + bytes > PAGE_BYTES || to_offset + bytes > PAGE_BYTES)
        return false;
    u8 *from = tlb_probe(cpu->tlb, cpu->gpr[RSI], 1, ACCESS_READ),
        *to = tlb_probe(cpu->tlb, cpu->gpr[RDI], 1, ACCESS_WRITE);
    if (!from || !to || (insn->operand_size > 1 && insn->bytes[insn->length - 1] & 1 &&
                         (u64)(to - from) < insn->operand_size))
        return false; // elements that overlap are not bytes
    u64 left = bytes;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(left) : : "memory");
    cpu->gpr[RSI] += bytes;
    cpu->gpr[RDI] += bytes;
    cpu->gpr[RCX] = 0;
    return true;
}

static bool stos_plain(struct cpu *cpu, const struct insn *insn)
{
    u64 bytes = string_plain(cpu, insn), offset = cpu->gpr[RDI] & (PAGE_BYTES - 1);
    u8 *to = bytes && offset + bytes <= PAGE_BYTES ? tlb_probe(cpu->tlb, cpu->gpr[RDI], 1, ACCESS_WRITE) : NULL;
    if (!to || (insn->bytes[insn->length - 1] & 1 && insn->operand_size != 8))
        return false;
    u64 left = cpu->gpr[RCX];
    if (insn->bytes[insn->length - 1] & 1)
        __asm__ volatile("rep stosq" : "+D"(to), "+c"(left) : "a"(cpu->gpr[RAX]) : "memory");
    else
        __asm__ volatile("rep stosb" : "+D"(to), "+c"(left) : "a"(cpu->gpr[RAX]) : "memory");
    cpu->gpr[RDI] += bytes;
    cpu->gpr[RCX] = 0;
    return true;
}

void insn_movs(struct cpu *cpu, const struct insn *insn)
{
    if (LIKELY(movs_plain(cpu, insn)))
        return;
    struct string string;
    if (!string_begin(cpu, insn, &string)) {
        string_advance(cpu, &string, STRING_SOURCE | STRING_TARGET, 0); // zero-extended even so
        return;
    }
    do {
        string_chunk_reset(cpu, &string);
        struct side from = string_side(cpu, &string, string.source, RSI, ACCESS_READ);
        if (!from.pointer) {
            u64 value = access_read(cpu, from.linear, string.size);
            u64 to = access_linear(cpu, SEG_ES, gpr_read(cpu, RDI, string.address), string.size, ACCESS_WRITE);
            access_write(cpu, to, string.size, value);
            string_advance(cpu, &string, STRING_SOURCE | STRING_TARGET, 1);
            continue;
        }
        struct side to = string_side(cpu, &string, SEG_ES, RDI, ACCESS_WRITE);
        if (!to.pointer) {
            access_write(cpu, to.linear, string.size, bytes_load(from.pointer, string.size));
            string.chunk = 1;
        } else {
            host_movs(&string, to.pointer, from.pointer);
        }
        string_advance(cpu, &string, STRING_SOURCE | STRING_TARGET, string.chunk);
    } while (string_continue(cpu, &string));
}

void insn_stos(struct cpu *cpu, const struct insn *insn)
{
    if (LIKELY(stos_plain(cpu, insn)))
        return;
    struct string string;
    if (!string_begin(cpu, insn, &string)) {
        string_advance(cpu, &string, STRING_TARGET, 0); // zero-extended even so
        return;
    }
    do {
        string_chunk_reset(cpu, &string);
        struct side to = string_side(cpu, &string, SEG_ES, RDI, ACCESS_WRITE);
        if (!to.pointer) {
            access_write(cpu, to.linear, string.size, cpu->gpr[RAX]);
            string.chunk = 1;
        } else {
            host_stos(&string, to.pointer, cpu->gpr[RAX]);
        }
        string_advance(cpu, &string, STRING_TARGET, string.chunk);
    } while (string_continue(cpu, &string));
}

void insn_lods(struct cpu *cpu, const struct insn *insn)
{
    struct string string;
    if (!string_begin(cpu, insn, &string))
        return;
    do {
        string_chunk_reset(cpu, &string);
        struct side from = string_side(cpu, &string, string.source, RSI, ACCESS_READ);
        u64 value;
        if (!from.pointer) {
            value = access_read(cpu, from.linear, string.size);
            string.chunk = 1;
        } else { // of a repeated load only the last one is seen
            s64 last = (s64)((string.chunk - 1) * string.size);
            value = bytes_load(from.pointer + (string.down ? -last : last), string.size);
        }
        gpr_write(cpu, RAX, string.size, value);
        string_advance(cpu, &string, STRING_SOURCE, string.chunk);
    } while (string_continue(cpu, &string));
}

// Ends or continues a CMPS or SCAS after a chunk of which `rest` elements were not looked at. REPE goes on while equal,
// REPNE while not. Flags are written only when the instruction is done: a fault or a trap in the middle shows those of
// before (SDM 2B, REP).
static bool string_compared(struct cpu *cpu, struct string *string, unsigned registers, u64 rest, u64 ax, bool until)
{
    u64 flags = (ax >> 8 & (FLAGS_ARITHMETIC & 0xff)) | (ax & 1 ? FLAG_OF : 0);
    string_advance(cpu, string, registers, string->chunk - rest);
    if (!!(flags & FLAG_ZF) != until && string->left)
        return string_continue(cpu, string);
    cpu->rflags = (cpu->rflags & ~FLAGS_ARITHMETIC) | flags;
    return false;
}

void insn_cmps(struct cpu *cpu, const struct insn *insn)
{
    struct string string;
    bool until = insn->prefixes & INSN_REPNE;
    u64 ax, rest;
    if (!string_begin(cpu, insn, &string))
        return;
    do {
        string_chunk_reset(cpu, &string);
        struct side right = string_side(cpu, &string, SEG_ES, RDI, ACCESS_READ); // its faults come first
        u64 other = right.pointer ? 0 : access_read(cpu, right.linear, string.size);
        struct side left = string_side(cpu, &string, string.source, RSI, ACCESS_READ);
        if (left.pointer && right.pointer) {
            rest = host_cmps(&string, left.pointer, right.pointer, string.chunk, until, &ax);
        } else {
            u64 value = left.pointer
                ? bytes_load(left.pointer, string.size) : access_read(cpu, left.linear, string.size);
            if (right.pointer)
                other = bytes_load(right.pointer, string.size);
            string.chunk = 1;
            rest = host_cmps(&string, (const u8 *)&value, (const u8 *)&other, 1, until, &ax);
        }
    } while (string_compared(cpu, &string, STRING_SOURCE | STRING_TARGET, rest, ax, until));
}

void insn_scas(struct cpu *cpu, const struct insn *insn)
{
    struct string string;
    bool until = insn->prefixes & INSN_REPNE;
    u64 ax, rest;
    if (!string_begin(cpu, insn, &string))
        return;
    do {
        string_chunk_reset(cpu, &string);
        struct side right = string_side(cpu, &string, SEG_ES, RDI, ACCESS_READ);
        if (right.pointer) {
            rest = host_scas(&string, cpu->gpr[RAX], right.pointer, string.chunk, until, &ax);
        } else {
            u64 value = access_read(cpu, right.linear, string.size);
            string.chunk = 1;
            rest = host_scas(&string, cpu->gpr[RAX], (const u8 *)&value, 1, until, &ax);
        }
    } while (string_compared(cpu, &string, STRING_TARGET, rest, ax, until));
}
