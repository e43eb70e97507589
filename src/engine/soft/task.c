// Hardware task switches (SDM 3A 8.3). No kernel of today uses them but for a double-fault task; a virtual CPU has to
// have them all the same, because 32-bit conformance tests and old systems do. The order follows the numbered steps
// of SDM 3A 8.3: up to the commit point everything faults in the old task, after it everything faults in the new one,
// whose registers are all loaded before the first of its selectors is checked.
#include "engine/soft/access.h"
#include "engine/soft/control.h"
#include "engine/soft/debug.h"
#include "engine/soft/intercept.h"
#include "engine/soft/segment.h"
#include "engine/soft/stack.h"
#include "engine/soft/task.h"

// Where things are in a TSS; the registers and selectors follow each other in the order of the instruction encodings.
struct task_layout {
    u8 size;  // of a register
    u8 cr3, ip, flags, gpr, selector, selector_step, selectors, ldt, trap;
    u16 limit;
};

static const struct task_layout task_layout32 = {
    .size = 4, .cr3 = 0x1c, .ip = 0x20, .flags = 0x24, .gpr = 0x28, .selector = 0x48, .selector_step = 4,
    .selectors = 6, .ldt = 0x60, .trap = 0x64, .limit = 0x67,
};

static const struct task_layout task_layout16 = {
    .size = 2, .ip = 0x0e, .flags = 0x10, .gpr = 0x12, .selector = 0x22, .selector_step = 2, .selectors = 4,
    .ldt = 0x2a, .limit = 0x2b,
};

static const struct task_layout *task_layout(u32 type)
{
    return type >= DESCRIPTOR_TSS32 ? &task_layout32 : &task_layout16;
}

struct task_image {
    u32 cr3, ip, flags, gpr[8];
    u16 selector[6], ldt; // in the order of enum segment_index
    bool trap;
};

static u32 task_read(struct cpu *cpu, u64 base, unsigned offset, unsigned size)
{
    return access_read_system(cpu, (u32)(base + offset), size);
}

static void task_write(struct cpu *cpu, u64 base, unsigned offset, unsigned size, u32 value)
{
    access_write_system(cpu, (u32)(base + offset), size, value);
}

static void task_save(struct cpu *cpu, u64 return_rip, u64 flags)
{
    const struct segment *tss = &cpu->segment[SEG_TR];
    const struct task_layout *layout = task_layout(tss->access & AR_TYPE);
    task_write(cpu, tss->base, layout->ip, layout->size, return_rip);
    task_write(cpu, tss->base, layout->flags, layout->size, flags);
    for (unsigned i = 0; i < 8; i++)
        task_write(cpu, tss->base, layout->gpr + i * layout->size, layout->size, cpu->gpr[i]);
    for (unsigned i = 0; i < layout->selectors; i++)
        task_write(cpu, tss->base, layout->selector + i * layout->selector_step, 2, cpu->segment[i].selector);
}

static void task_fetch(struct cpu *cpu, u64 base, const struct task_layout *layout, struct task_image *image)
{
    *image = (struct task_image){
        .ip = task_read(cpu, base, layout->ip, layout->size),
        .flags = task_read(cpu, base, layout->flags, layout->size),
        .ldt = task_read(cpu, base, layout->ldt, 2),
    };
    for (unsigned i = 0; i < 8; i++) {
        image->gpr[i] = task_read(cpu, base, layout->gpr + i * layout->size, layout->size);
        if (layout->size == 2)
            image->gpr[i] |= 0xffff0000; // what a 16-bit task does not say reads as ones (SDM 3A 8.6)
    }
    for (unsigned i = 0; i < layout->selectors; i++)
        image->selector[i] = task_read(cpu, base, layout->selector + i * layout->selector_step, 2);
    if (layout->cr3) {
        image->cr3 = task_read(cpu, base, layout->cr3, 4);
        image->trap = task_read(cpu, base, layout->trap, 2) & 1;
    }
}

static void task_load_ldt(struct cpu *cpu, u16 selector, unsigned ext)
{
    segment_set_null(cpu, SEG_LDTR, selector, 0);
    if (selector_null(selector))
        return;
    u32 code = (selector & 0xfffc) | ext;
    if (selector & 4)
        cpu_raise_code(cpu, VECTOR_TS, code);
    u64 raw = segment_fetch(cpu, selector, VECTOR_TS, ext);
    if (descriptor_s(raw) || descriptor_type(raw) != DESCRIPTOR_LDT || !descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_TS, code);
    segment_set(cpu, SEG_LDTR, segment_from_descriptor(selector, raw));
}

static void task_load_code(struct cpu *cpu, u16 selector, unsigned ext)
{
    u32 code = (selector & 0xfffc) | ext;
    if (selector_null(selector))
        cpu_raise_code(cpu, VECTOR_TS, ext);
    u64 raw = segment_fetch(cpu, selector, VECTOR_TS, ext);
    unsigned dpl = descriptor_dpl(raw), rpl = selector_rpl(selector);
    if (!descriptor_code(raw) || (descriptor_conforming(raw) ? dpl > rpl : dpl != rpl))
        cpu_raise_code(cpu, VECTOR_TS, code);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_NP, code);
    segment_set(cpu, SEG_CS, segment_prepare_code(cpu, selector, raw, rpl));
}

static void task_load_data(struct cpu *cpu, enum segment_index index, u16 selector, unsigned ext)
{
    if (selector_null(selector))
        return;
    u32 code = (selector & 0xfffc) | ext;
    u64 raw = segment_fetch(cpu, selector, VECTOR_TS, ext);
    bool readable = descriptor_s(raw) && (!descriptor_code(raw) || raw >> 40 & AR_RW);
    bool ringless = descriptor_code(raw) && descriptor_conforming(raw);
    unsigned dpl = descriptor_dpl(raw);
    if (!readable || (!ringless && (selector_rpl(selector) > dpl || cpu->cpl > dpl)))
        cpu_raise_code(cpu, VECTOR_TS, code);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_NP, code);
    segment_mark(cpu, selector, AR_ACCESSED, 0);
    segment_set(cpu, index, segment_from_descriptor(selector, raw | (u64)AR_ACCESSED << 40));
}

// The new task's segments (SDM 3A table 8-1). The registers are loaded by now, so what faults here is the new task's
// fault.
static void task_load_segments(struct cpu *cpu, const struct task_image *image, unsigned ext)
{
    cpu->cpl = cpu_v8086(cpu) ? 3 : selector_rpl(image->selector[SEG_CS]);
    for (unsigned i = 0; i < 6; i++) {
        if (cpu_v8086(cpu))
            segment_set_real(cpu, i, image->selector[i]);
        else
            segment_set_null(cpu, i, image->selector[i], i == SEG_SS ? cpu->cpl : 0);
    }
    cpu_mode_update(cpu);
    task_load_ldt(cpu, image->ldt, ext);
    if (cpu_v8086(cpu))
        return;
    task_load_code(cpu, image->selector[SEG_CS], ext);
    u16 stack = image->selector[SEG_SS];
    segment_set(cpu, SEG_SS, segment_prepare_stack(cpu, stack, cpu->cpl, VECTOR_TS, ext));
    task_load_data(cpu, SEG_DS, image->selector[SEG_DS], ext);
    task_load_data(cpu, SEG_ES, image->selector[SEG_ES], ext);
    task_load_data(cpu, SEG_FS, image->selector[SEG_FS], ext);
    task_load_data(cpu, SEG_GS, image->selector[SEG_GS], ext);
}

// The TSS descriptor is there, of the right kind and idle (busy for IRET).
static u64 task_check_descriptor(struct cpu *cpu, u16 selector, enum task_source source, unsigned ext)
{
    enum vector vector = source == TASK_IRET ? VECTOR_TS : VECTOR_GP;
    u32 code = (selector & 0xfffc) | ext;
    if (selector & 4 || selector_null(selector))
        cpu_raise_code(cpu, vector, code);
    u64 raw = segment_fetch(cpu, selector, vector, ext);
    unsigned type = descriptor_type(raw), busy = source == TASK_IRET ? 2 : 0;
    if (descriptor_s(raw) || (type != (DESCRIPTOR_TSS16 | busy) && type != (DESCRIPTOR_TSS32 | busy)))
        cpu_raise_code(cpu, vector, code);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_NP, code);
    return raw;
}

static void task_commit(struct cpu *cpu, const struct task_image *image, bool wide)
{
    cpu->cr0 |= CR0_TS;
    cpu->rip = cpu->next_rip = image->ip;
    u64 known = FLAGS_ARITHMETIC | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT;
    if (wide)
        known |= FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID;
    cpu->rflags = (image->flags & known) | FLAG_FIXED;
    for (unsigned i = 0; i < 8; i++)
        cpu->gpr[i] = image->gpr[i];
    cpu->dr[7] &= ~0x155ull; // local breakpoints end with the task (SDM 3B 18.2.4)
    if (wide && cpu->cr0 & CR0_PG)
        control_set_cr3(cpu, image->cr3);
}

void task_switch(struct cpu *cpu, u16 selector, enum task_source source, u64 return_rip, unsigned ext,
                 bool has_error, u32 error)
{
    u64 raw = task_check_descriptor(cpu, selector, source, ext);
    if (cpu->guest_mode)
        intercept_task_switch(cpu, selector, source, has_error, error);
    struct segment tss = segment_from_descriptor(selector, raw);
    const struct task_layout *layout = task_layout(descriptor_type(raw));
    if (tss.limit < layout->limit)
        cpu_raise_code(cpu, VECTOR_TS, (selector & 0xfffc) | ext);

    struct task_image image;
    task_fetch(cpu, tss.base, layout, &image);
    task_save(cpu, return_rip, source == TASK_IRET ? cpu->rflags & ~FLAG_NT : cpu->rflags);
    u16 old = cpu->segment[SEG_TR].selector;
    bool nested = source == TASK_CALL || source == TASK_GATE;
    if (nested) {
        task_write(cpu, tss.base, 0, 2, old);
        image.flags |= FLAG_NT;
    } else {
        segment_mark(cpu, old, 0, 2);
    }
    if (source != TASK_IRET)
        segment_mark(cpu, selector, 2, 0);

    tss.access |= 2;
    segment_set(cpu, SEG_TR, tss);
    task_commit(cpu, &image, layout->size == 4);
    task_load_segments(cpu, &image, ext);
    cpu_mode_update(cpu);
    if (has_error) {
        struct stack stack = stack_current(cpu, ext);
        stack_push(cpu, &stack, layout->size, error);
        segment_set_rsp(cpu, stack.pointer);
    }
    if (image.ip > cpu->segment[SEG_CS].limit)
        cpu_raise_code(cpu, VECTOR_GP, ext);
    if (image.trap)
        cpu->pending_debug |= DR6_BT;
}
