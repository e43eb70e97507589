// Segment registers. In 64-bit mode most of this has no visible effect, yet every check stays: kernels load selectors
// there too, and a hypervisor's conformance tests look at each error code. Checks come in the order of the
// MOV, POP and LDS pages of SDM 2A/2B, since a selector may be wrong in several ways and only the first shows.
#include "engine/soft/access.h"
#include "engine/soft/segment.h"

struct segment segment_from_descriptor(u16 selector, u64 raw)
{
    u32 limit = (raw & 0xffff) | (raw >> 32 & 0xf0000);
    u32 access = raw >> 40 & 0xf0ff;
    if (access & AR_G)
        limit = limit << 12 | 0xfff;
    return (struct segment){
        .selector = selector, .base = (raw >> 16 & 0xffffff) | (raw >> 56 << 24), .limit = limit, .access = access,
    };
}

bool segment_locate(const struct cpu *cpu, u16 selector, unsigned bytes, u64 *linear)
{
    u64 base = cpu->gdt.base, limit = cpu->gdt.limit;
    unsigned offset = selector & 0xfff8;
    if (selector & 4) {
        const struct segment *ldt = &cpu->segment[SEG_LDTR];
        if (ldt->access & AR_UNUSABLE)
            return false;
        base = ldt->base;
        limit = ldt->limit;
    }
    if (offset + bytes - 1 > limit)
        return false;
    *linear = base + offset;
    if (!cpu_long(cpu))
        *linear = (u32)*linear;
    return true;
}

u64 segment_fetch(struct cpu *cpu, u16 selector, enum vector vector, unsigned ext)
{
    u64 linear;
    if (!segment_locate(cpu, selector, 8, &linear))
        cpu_raise_code(cpu, vector, (selector & 0xfffc) | ext);
    return access_read_system(cpu, linear, 8);
}

u64 segment_fetch_upper(struct cpu *cpu, u16 selector, enum vector vector, unsigned ext)
{
    u64 linear;
    if (!segment_locate(cpu, selector, 16, &linear))
        cpu_raise_code(cpu, vector, (selector & 0xfffc) | ext);
    u64 upper = access_read_system(cpu, linear + 8, 8);
    // The place of the type field must be zero, so that the upper half cannot be used as a descriptor (SDM 3A 5.8.3.1).
    if (upper >> 40 & 0x1f)
        cpu_raise_code(cpu, vector, (selector & 0xfffc) | ext);
    return upper;
}

void segment_mark(struct cpu *cpu, u16 selector, unsigned set, unsigned clear)
{
    u64 linear;
    if (!segment_locate(cpu, selector, 8, &linear))
        return;
    linear += 4;
    u64 value = access_read_system(cpu, linear, 4);
    for (;;) {
        u64 wanted = (value | set << 8) & ~(u64)(clear << 8);
        if (wanted == value)
            return;
        if (linear & 3) { // a table that no kernel aligns so badly on purpose: processors lock the bus here
            access_write_system(cpu, linear, 4, wanted);
            return;
        }
        if (access_compare_exchange(cpu, linear, 4, &value, wanted))
            return;
    }
}

void segment_set(struct cpu *cpu, enum segment_index index, struct segment segment)
{
    cpu->segment[index] = segment;
    segment_set_base(cpu, index, segment.base);
}

void segment_set_base(struct cpu *cpu, enum segment_index index, u64 base)
{
    cpu->segment[index].base = base;
    if (index == SEG_FS)
        cpu->fs_base = base;
    else if (index == SEG_GS)
        cpu->gs_base = base;
}

void segment_set_null(struct cpu *cpu, enum segment_index index, u16 selector, unsigned dpl)
{
    segment_set(cpu, index, (struct segment){
        .selector = selector, .access = AR_UNUSABLE | dpl << AR_DPL_SHIFT,
    });
}

// Real mode changes selector and base only: limit and rights survive from protected mode (SDM 3A 9.9.2, "unreal mode").
void segment_set_real(struct cpu *cpu, enum segment_index index, u16 selector)
{
    struct segment segment = cpu->segment[index];
    segment.selector = selector;
    segment.base = (u64)selector << 4;
    if (cpu_v8086(cpu)) {
        segment.limit = 0xffff;
        segment.access = AR_P | AR_DPL | AR_S | AR_RW | AR_ACCESSED;
    } else if (segment.access & AR_UNUSABLE) {
        segment.limit = 0xffff;
        segment.access = AR_P | AR_S | AR_RW | AR_ACCESSED;
    }
    segment_set(cpu, index, segment);
}

static struct segment segment_accessed(struct cpu *cpu, u16 selector, u64 raw)
{
    if (!(raw >> 40 & AR_ACCESSED))
        segment_mark(cpu, selector, AR_ACCESSED, 0);
    return segment_from_descriptor(selector, raw | (u64)AR_ACCESSED << 40);
}

static bool segment_writable_data(u64 raw)
{
    return descriptor_s(raw) && !descriptor_code(raw) && raw >> 40 & AR_RW;
}

struct segment segment_prepare_stack(struct cpu *cpu, u16 selector, unsigned cpl, enum vector vector, unsigned ext)
{
    if (selector_null(selector))
        cpu_raise_code(cpu, vector, ext);
    u64 raw = segment_fetch(cpu, selector, vector, ext);
    u32 code = (selector & 0xfffc) | ext;
    if (selector_rpl(selector) != cpl || !segment_writable_data(raw) || descriptor_dpl(raw) != cpl)
        cpu_raise_code(cpu, vector, code);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_SS, code);
    return segment_accessed(cpu, selector, raw);
}

struct segment segment_prepare_code(struct cpu *cpu, u16 selector, u64 raw, unsigned cpl)
{
    struct segment segment = segment_accessed(cpu, selector, raw);
    segment.selector = (selector & 0xfffc) | cpl;
    return segment;
}

void segment_set_code(struct cpu *cpu, struct segment code, unsigned cpl)
{
    segment_set(cpu, SEG_CS, code);
    cpu->cpl = cpl;
    cpu_mode_update(cpu);
}

static void segment_load_stack(struct cpu *cpu, u16 selector)
{
    if (selector_null(selector)) {
        if (!cpu_code64(cpu) || cpu->cpl == 3 || selector_rpl(selector) != cpu->cpl)
            cpu_raise_code(cpu, VECTOR_GP, 0);
        segment_set_null(cpu, SEG_SS, selector, cpu->cpl);
    } else {
        segment_set(cpu, SEG_SS, segment_prepare_stack(cpu, selector, cpu->cpl, VECTOR_GP, 0));
    }
}

static void segment_load_data(struct cpu *cpu, enum segment_index index, u16 selector)
{
    if (selector_null(selector)) {
        segment_set_null(cpu, index, selector, 0);
        return;
    }
    u64 raw = segment_fetch(cpu, selector, VECTOR_GP, 0);
    u32 code = selector & 0xfffc;
    bool readable = descriptor_s(raw) && (!descriptor_code(raw) || raw >> 40 & AR_RW);
    bool ringless = descriptor_code(raw) && descriptor_conforming(raw);
    if (!readable)
        cpu_raise_code(cpu, VECTOR_GP, code);
    if (!ringless && (selector_rpl(selector) > descriptor_dpl(raw) || cpu->cpl > descriptor_dpl(raw)))
        cpu_raise_code(cpu, VECTOR_GP, code);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_NP, code);
    segment_set(cpu, index, segment_accessed(cpu, selector, raw));
}

void segment_load(struct cpu *cpu, enum segment_index index, u16 selector)
{
    if (!cpu_protected(cpu) || cpu_v8086(cpu))
        segment_set_real(cpu, index, selector);
    else if (index == SEG_SS)
        segment_load_stack(cpu, selector);
    else
        segment_load_data(cpu, index, selector);
    cpu_mode_update(cpu);
}

void segment_drop_privileged(struct cpu *cpu)
{
    static const u8 data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
        struct segment *segment = &cpu->segment[data[i]];
        u32 access = segment->access;
        bool ringless = (access & (AR_CODE | AR_CONFORMING)) == (AR_CODE | AR_CONFORMING);
        if (!(access & AR_UNUSABLE) && !ringless && (access & AR_DPL) >> AR_DPL_SHIFT < cpu->cpl) {
            segment->selector = 0; // the base stays: 64-bit code goes on using that of FS and GS
            segment->access |= AR_UNUSABLE;
        }
    }
}

void segment_set_rsp(struct cpu *cpu, u64 value)
{
    u64 mask = segment_stack_mask(cpu);
    if (mask == 0xffff)
        cpu->gpr[RSP] = (cpu->gpr[RSP] & ~mask) | (value & mask);
    else
        cpu->gpr[RSP] = value & mask;
}

bool segment_contains(const struct segment *segment, u64 offset, unsigned bytes)
{
    u64 last = offset + bytes - 1;
    if (segment->access & AR_UNUSABLE || last < offset)
        return false;
    bool expand_down = (segment->access & (AR_CODE | AR_EXPAND_DOWN)) == AR_EXPAND_DOWN;
    if (expand_down)
        return offset > segment->limit && last <= (segment->access & AR_DB ? 0xffffffff : 0xffff);
    if (!segment->base && segment->limit == 0xffffffff) // processors do not check those, even where the offset wraps
        return offset <= 0xffffffff;
    return last <= segment->limit;
}
