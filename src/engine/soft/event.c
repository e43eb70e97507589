// Delivery of events (SDM 3A chapter 6, the INT page of SDM 2A). One path for faults, traps, interrupts, INT n and
// events that a hypervisor injects. Until the handler's frame is complete nothing of the CPU changes and the event
// stays in cpu->event, so that a delivery which is abandoned (an exit to the board for a stack in device memory, a
// save) is simply made again; while it runs, cpu->delivering says what a nested fault interrupts.
#include "engine/soft/access.h"
#include "engine/soft/debug.h"
#include "engine/soft/intercept.h"
#include "engine/soft/lapic.h"
#include "engine/soft/msr.h"
#include "engine/soft/segment.h"
#include "engine/soft/stack.h"
#include "engine/soft/task.h"
#include "engine/soft/trace.h"

static bool event_software(const struct event *event)
{
    return event->type == EVENT_SOFT_INTERRUPT || event->type == EVENT_SOFT_EXCEPTION;
}

// INT n, INT3, INTO and INT1 return behind themselves.
static u64 event_return_rip(const struct cpu *cpu, const struct event *event)
{
    bool behind = event_software(event) || event->type == EVENT_PRIVILEGED_EXCEPTION;
    u64 rip = cpu->rip + (behind ? event->length : 0);
    return cpu_code64(cpu) ? rip : (u32)rip;
}

static void event_delivered(struct cpu *cpu, const struct event *event, u64 rip)
{
    cpu->rip = cpu->next_rip = rip;
    cpu->interruptibility &= ~(u32)(BLOCKING_STI | BLOCKING_MOV_SS);
    if (event->type == EVENT_NMI)
        cpu->interruptibility |= BLOCKING_NMI;
    cpu->event.valid = false;
    cpu->delivering.valid = false;
    cpu_mode_update(cpu);
    if (UNLIKELY(cpu->guest_mode))
        intercept_retired(cpu);
}

static void event_deliver_real(struct cpu *cpu, const struct event *event)
{
    unsigned entry = event->vector * 4;
    if (entry + 3u > cpu->idt.limit)
        cpu_raise(cpu, VECTOR_GP);
    u32 pointer = access_read_system(cpu, cpu->idt.base + entry, 4);
    u16 offset = pointer;
    if (offset > cpu->segment[SEG_CS].limit)
        cpu_raise(cpu, VECTOR_GP);
    struct stack stack = stack_current(cpu, 0);
    stack_check(cpu, &stack, 6);
    stack_push(cpu, &stack, 2, cpu->rflags);
    stack_push(cpu, &stack, 2, cpu->segment[SEG_CS].selector);
    stack_push(cpu, &stack, 2, event_return_rip(cpu, event));
    cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
    cpu->rflags &= ~(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
    segment_set_real(cpu, SEG_CS, pointer >> 16);
    event_delivered(cpu, event, offset);
}

// An IDT entry, decoded and checked, with what its handler's code segment makes of it.
struct gate {
    u64 offset;
    struct segment code;
    u16 selector;
    u8 type;
    u8 ist;
    u8 cpl; // of the handler
    u8 ext;
};

static void event_read_gate(struct cpu *cpu, const struct event *event, struct gate *gate)
{
    bool wide = cpu_long(cpu);
    unsigned size = wide ? 16 : 8, offset = event->vector * size;
    u32 code = event->vector * 8u + 2 + gate->ext;
    if (offset + size - 1 > cpu->idt.limit)
        cpu_raise_code(cpu, VECTOR_GP, code);
    u64 linear = cpu->idt.base + offset;
    u64 raw = access_read_system(cpu, wide ? linear : (u32)linear, 8);
    unsigned type = descriptor_type(raw) | descriptor_s(raw) << 4;
    bool known = type == DESCRIPTOR_INTERRUPT32 || type == DESCRIPTOR_TRAP32;
    if (!wide)
        known |= type == DESCRIPTOR_INTERRUPT16 || type == DESCRIPTOR_TRAP16 || type == DESCRIPTOR_TASK;
    if (!known || (event_software(event) && descriptor_dpl(raw) < cpu->cpl))
        cpu_raise_code(cpu, VECTOR_GP, code);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_NP, code);
    gate->type = type;
    gate->selector = raw >> 16;
    gate->offset = (raw & 0xffff) | (raw >> 32 & 0xffff0000);
    if (type == DESCRIPTOR_INTERRUPT16 || type == DESCRIPTOR_TRAP16)
        gate->offset &= 0xffff;
    if (wide) {
        gate->offset |= access_read_system(cpu, linear + 8, 4) << 32;
        gate->ist = raw >> 32 & 7;
    }
}

static void event_check_code(struct cpu *cpu, struct gate *gate)
{
    if (selector_null(gate->selector))
        cpu_raise_code(cpu, VECTOR_GP, gate->ext);
    u64 raw = segment_fetch(cpu, gate->selector, VECTOR_GP, gate->ext);
    u32 code = (gate->selector & 0xfffc) | gate->ext;
    if (!descriptor_code(raw) || descriptor_dpl(raw) > cpu->cpl)
        cpu_raise_code(cpu, VECTOR_GP, code);
    if (cpu_long(cpu) && (raw >> 53 & 3) != 1) // L set, D clear
        cpu_raise_code(cpu, VECTOR_GP, code);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_NP, code);
    gate->cpl = descriptor_conforming(raw) ? cpu->cpl : descriptor_dpl(raw);
    if (cpu_v8086(cpu) && gate->cpl != 0)
        cpu_raise_code(cpu, VECTOR_GP, code);
    gate->code = segment_prepare_code(cpu, gate->selector, raw, gate->cpl);
}

static void event_enter_handler(struct cpu *cpu, const struct gate *gate)
{
    cpu->rflags &= ~(FLAG_TF | FLAG_NT | FLAG_VM | FLAG_RF);
    if (gate->type == DESCRIPTOR_INTERRUPT32 || gate->type == DESCRIPTOR_INTERRUPT16)
        cpu->rflags &= ~FLAG_IF;
    segment_set(cpu, SEG_CS, gate->code);
    cpu->cpl = gate->cpl;
}

static void event_deliver_long(struct cpu *cpu, const struct event *event, const struct gate *gate)
{
    u64 pointer = cpu->gpr[RSP];
    if (gate->ist || gate->cpl != cpu->cpl) {
        const struct segment *tss = &cpu->segment[SEG_TR];
        unsigned offset = gate->ist ? 28 + gate->ist * 8 : 4 + gate->cpl * 8;
        if (offset + 7 > tss->limit)
            cpu_raise_code(cpu, VECTOR_TS, (tss->selector & 0xfffc) | gate->ext);
        pointer = access_read_system(cpu, tss->base + offset, 8);
        if (!cpu_canonical(pointer))
            cpu_raise_code(cpu, VECTOR_SS, gate->ext);
    }
    if (!cpu_canonical(gate->offset))
        cpu_raise_code(cpu, VECTOR_GP, gate->ext);
    struct stack stack = stack_flat(pointer & ~15ull, gate->cpl, gate->ext);
    stack_check(cpu, &stack, event->has_error ? 48 : 40);
    stack_push(cpu, &stack, 8, cpu->segment[SEG_SS].selector);
    stack_push(cpu, &stack, 8, cpu->gpr[RSP]);
    stack_push(cpu, &stack, 8, cpu->rflags);
    stack_push(cpu, &stack, 8, cpu->segment[SEG_CS].selector);
    stack_push(cpu, &stack, 8, event_return_rip(cpu, event));
    if (event->has_error)
        stack_push(cpu, &stack, 8, event->error);
    if (gate->cpl != cpu->cpl)
        segment_set_null(cpu, SEG_SS, gate->cpl, gate->cpl);
    cpu->gpr[RSP] = stack.pointer;
    event_enter_handler(cpu, gate);
    event_delivered(cpu, event, gate->offset);
}

// The stack of an inner ring, from a 16- or 32-bit TSS.
static struct stack event_inner_stack(struct cpu *cpu, const struct gate *gate)
{
    const struct segment *tss = &cpu->segment[SEG_TR];
    bool wide = (tss->access & AR_TYPE) >= DESCRIPTOR_TSS32;
    unsigned offset = wide ? 4 + gate->cpl * 8 : 2 + gate->cpl * 4;
    if (offset + (wide ? 5u : 3u) > tss->limit)
        cpu_raise_code(cpu, VECTOR_TS, (tss->selector & 0xfffc) | gate->ext);
    u64 pointer = access_read_system(cpu, (u32)(tss->base + offset), wide ? 4 : 2);
    u16 selector = access_read_system(cpu, (u32)(tss->base + offset + (wide ? 4 : 2)), 2);
    struct segment segment = segment_prepare_stack(cpu, selector, gate->cpl, VECTOR_TS, gate->ext);
    return stack_segment(segment, pointer, gate->cpl, (selector & 0xfffc) | gate->ext);
}

static void event_push_data_segments(struct cpu *cpu, struct stack *stack, unsigned size)
{
    static const u8 order[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        stack_push(cpu, stack, size, cpu->segment[order[i]].selector);
}

static void event_deliver_protected(struct cpu *cpu, const struct event *event, const struct gate *gate)
{
    unsigned size = gate->type >= DESCRIPTOR_TSS32 ? 4 : 2;
    bool inner = gate->cpl != cpu->cpl, v8086 = cpu_v8086(cpu);
    struct stack stack = inner ? event_inner_stack(cpu, gate) : stack_current(cpu, gate->ext);
    unsigned words = 3 + (inner ? 2 : 0) + (v8086 ? 4 : 0) + event->has_error;
    stack_check(cpu, &stack, words * size);
    if (gate->offset > gate->code.limit)
        cpu_raise_code(cpu, VECTOR_GP, gate->ext);
    if (v8086)
        event_push_data_segments(cpu, &stack, size);
    if (inner) {
        stack_push(cpu, &stack, size, cpu->segment[SEG_SS].selector);
        stack_push(cpu, &stack, size, cpu->gpr[RSP]);
    }
    stack_push(cpu, &stack, size, cpu->rflags);
    stack_push(cpu, &stack, size, cpu->segment[SEG_CS].selector);
    stack_push(cpu, &stack, size, event_return_rip(cpu, event));
    if (event->has_error)
        stack_push(cpu, &stack, size, event->error);
    if (v8086) {
        segment_set_null(cpu, SEG_ES, 0, 0);
        segment_set_null(cpu, SEG_DS, 0, 0);
        segment_set_null(cpu, SEG_FS, 0, 0);
        segment_set_null(cpu, SEG_GS, 0, 0);
    }
    if (inner)
        segment_set(cpu, SEG_SS, stack.segment);
    cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
    event_enter_handler(cpu, gate);
    event_delivered(cpu, event, gate->offset);
}

void event_deliver(struct cpu *cpu)
{
    const struct event event = cpu->event;
    cpu->delivering = event;
    if (!cpu_protected(cpu)) {
        event_deliver_real(cpu, &event);
        return;
    }
    struct gate gate = {.ext = !event_software(&event)};
    event_read_gate(cpu, &event, &gate);
    if (gate.type == DESCRIPTOR_TASK) {
        u64 rip = event_return_rip(cpu, &event);
        task_switch(cpu, gate.selector, TASK_GATE, rip, gate.ext, event.has_error, event.error);
        event_delivered(cpu, &event, cpu->next_rip);
        return;
    }
    event_check_code(cpu, &gate);
    if (cpu_long(cpu))
        event_deliver_long(cpu, &event, &gate);
    else
        event_deliver_protected(cpu, &event, &gate);
}

enum event_class { EVENT_BENIGN, EVENT_CONTRIBUTORY, EVENT_PAGE_FAULT, EVENT_DOUBLE_FAULT };

// SDM 3A table 6-4.
static enum event_class event_classify(const struct event *event)
{
    if (event->type != EVENT_EXCEPTION)
        return EVENT_BENIGN;
    switch (event->vector) {
    case VECTOR_DE: case VECTOR_TS: case VECTOR_NP: case VECTOR_SS: case VECTOR_GP: case VECTOR_CP:
        return EVENT_CONTRIBUTORY;
    case VECTOR_PF: case VECTOR_VE:
        return EVENT_PAGE_FAULT;
    case VECTOR_DF:
        return EVENT_DOUBLE_FAULT;
    default:
        return EVENT_BENIGN;
    }
}

// What a second exception during the delivery of a first one becomes (SDM 3A table 6-5).
static bool event_makes_double_fault(enum event_class first, enum event_class second)
{
    if (first == EVENT_CONTRIBUTORY)
        return second == EVENT_CONTRIBUTORY;
    return first == EVENT_PAGE_FAULT && (second == EVENT_CONTRIBUTORY || second == EVENT_PAGE_FAULT);
}

// Exceptions that were detected, on their way to a handler or a VM exit. A hypervisor sees each exception before it
// is merged into a double fault, and state that says why (CR2, DR6) changes only when it lets it pass (SDM 3C 27.1).
static _Noreturn void event_raise(struct cpu *cpu, struct event event)
{
    event.valid = true;
    if (!cpu_protected(cpu))
        event.has_error = false;
    intercept_event(cpu, &event);
    if (event.vector == VECTOR_PF)
        cpu->cr2 = event.address;
    else if (event.vector == VECTOR_DB)
        debug_record(cpu, event.address);
    if (cpu->delivering.valid) {
        enum event_class first = event_classify(&cpu->delivering), second = event_classify(&event);
        if (first == EVENT_DOUBLE_FAULT && second != EVENT_BENIGN)
            cpu_triple_fault(cpu);
        if (event_makes_double_fault(first, second)) {
            event = (struct event){
                .valid = true, .type = EVENT_EXCEPTION, .vector = VECTOR_DF, .has_error = cpu_protected(cpu),
            };
            cpu->delivering.valid = false; // a double fault's VM exit has no IDT-vectoring information (SDM 3C 27.2.4)
            intercept_event(cpu, &event);
        }
    }
    cpu->event = event;
    event_deliver(cpu);
    cpu_resume(cpu);
}

// What the elements that are done trap comes in place of the next one's fault, which the restarted instruction meets
// again (SDM 2, VGATHERDPS and VSCATTERDPS).
static void event_trap_before_fault(struct cpu *cpu)
{
    u64 bits = cpu->pending_debug | (cpu->stepping ? DR6_BS : 0);
    cpu->partial = false;
    if (!bits)
        return;
    cpu->stepping = false;
    cpu->pending_debug = 0;
    cpu->rflags |= FLAG_RF;
    event_raise(cpu, (struct event){.type = EVENT_EXCEPTION, .vector = VECTOR_DB, .address = bits});
}

static _Noreturn void event_raise_fault(struct cpu *cpu, struct event event)
{
    if (UNLIKELY(cpu->partial))
        event_trap_before_fault(cpu);
    trace_faults(cpu, "vector %u error %#x address %#lx rip %#lx cpl %u%s", event.vector, event.error,
                 (unsigned long)event.address, (unsigned long)cpu->rip, cpu->cpl,
                 cpu->guest_mode ? " in the nested guest" : "");
    event.type = EVENT_EXCEPTION;
    cpu->stepping = false;
    cpu->pending_debug = 0; // the instruction has not retired, and its restart will hit the same breakpoints
    // In the image that is saved, so that the restarted instruction ignores its breakpoint (SDM 3B 17.3.1.1).
    cpu->rflags |= FLAG_RF;
    event_raise(cpu, event);
}

static bool event_has_error(enum vector vector)
{
    const u32 with = 1u << VECTOR_DF | 1u << VECTOR_TS | 1u << VECTOR_NP | 1u << VECTOR_SS | 1u << VECTOR_GP |
        1u << VECTOR_PF | 1u << VECTOR_AC | 1u << VECTOR_CP;
    return with >> vector & 1;
}

void cpu_raise(struct cpu *cpu, enum vector vector)
{
    event_raise_fault(cpu, (struct event){.vector = vector, .has_error = event_has_error(vector)});
}

void cpu_raise_code(struct cpu *cpu, enum vector vector, u32 error_code)
{
    event_raise_fault(cpu, (struct event){.vector = vector, .has_error = true, .error = error_code});
}

void cpu_raise_page_fault(struct cpu *cpu, u64 linear, u32 error_code)
{
    event_raise_fault(cpu, (struct event){
        .vector = VECTOR_PF, .has_error = true, .error = error_code, .address = linear,
    });
}

void cpu_raise_debug(struct cpu *cpu, u64 dr6_bits, bool trap)
{
    if (trap) {
        cpu->rip = cpu->next_rip;
        cpu->rflags &= ~FLAG_RF;
        cpu->interruptibility &= ~(u32)(BLOCKING_STI | BLOCKING_MOV_SS);
    }
    event_raise(cpu, (struct event){.type = EVENT_EXCEPTION, .vector = VECTOR_DB, .address = dr6_bits});
}

void cpu_raise_software(struct cpu *cpu, enum event_type type, unsigned vector, unsigned length)
{
    struct event event = {.valid = true, .type = type, .vector = vector, .length = length};
    cpu->rflags &= ~FLAG_RF;
    cpu->stepping = false;
    if (type == EVENT_PRIVILEGED_EXCEPTION)
        cpu->pending_debug = 0; // INT1 is a #DB itself, and takes the place of one held back by MOV SS
    intercept_event(cpu, &event);
    cpu->event = event;
    event_deliver(cpu);
    cpu_resume(cpu);
}

void cpu_triple_fault(struct cpu *cpu)
{
    cpu->event.valid = false;
    cpu->delivering.valid = false;
    if (cpu->guest_mode)
        intercept_triple_fault(cpu);
    cpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
    cpu->leave = true;
    cpu->leave_result = 0;
    cpu_resume(cpu);
}

static void event_wake(struct cpu *cpu)
{
    if (cpu->mp_state == KVM_MP_STATE_HALTED)
        cpu->mp_state = KVM_MP_STATE_RUNNABLE;
}

static bool event_nmi_open(const struct cpu *cpu)
{
    if (cpu->guest_mode && intercept_nmi_unblocked(cpu))
        return true;
    return !(cpu->interruptibility & BLOCKING_NMI);
}

// INIT: an application processor waits for SIPI, the boot processor starts anew (SDM 3A 8.4.1, 10.4.7.3).
static void event_init(struct cpu *cpu)
{
    if (intercept_init_blocked(cpu))
        return;
    cpu->init_pending = false;
    if (cpu->guest_mode)
        intercept_init(cpu);
    bool boot = cpu->msr.apic_base & APIC_BASE_BSP;
    cpu_reset(cpu, true);
    cpu->mp_state = boot ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED;
}

static void event_sipi(struct cpu *cpu)
{
    u8 vector = cpu->sipi_vector;
    cpu->sipi_pending = false;
    bool waiting = cpu->mp_state == KVM_MP_STATE_INIT_RECEIVED;
    if (cpu->guest_mode && waiting && intercept_sipi(cpu, vector))
        return;
    if (!waiting) // no processor that runs listens to it
        return;
    struct segment code = cpu->segment[SEG_CS];
    code.selector = vector << 8;
    code.base = (u64)vector << 12;
    segment_set(cpu, SEG_CS, code);
    cpu->rip = cpu->next_rip = 0;
    cpu->mp_state = KVM_MP_STATE_RUNNABLE;
    cpu_mode_update(cpu);
}

// Takes the most urgent of NMI and external interrupts into cpu->event. False: nothing can be taken now.
static bool event_take(struct cpu *cpu)
{
    if (cpu->interruptibility & BLOCKING_MOV_SS)
        return false;
    // STI's shadow holds NMIs too, as on the processors with VT-x.
    if (cpu->nmi_pending && event_nmi_open(cpu) && !(cpu->interruptibility & BLOCKING_STI)) {
        cpu->nmi_pending = false;
        if (cpu->guest_mode && !intercept_nmi(cpu))
            return true;
        event_wake(cpu);
        cpu->event = (struct event){.valid = true, .type = EVENT_NMI, .vector = VECTOR_NMI};
        return true;
    }
    bool open = cpu->rflags & FLAG_IF && !(cpu->interruptibility & BLOCKING_STI);
    if (!open && !(cpu->guest_mode && intercept_interrupt_unblocked(cpu)))
        return false;
    if (!cpu->extint_pending && lapic_pending(cpu) < 0)
        return false;
    if (cpu->guest_mode && !intercept_interrupt(cpu))
        return true;
    event_wake(cpu);
    int vector = cpu->extint_vector;
    if (cpu->extint_pending)
        cpu->extint_pending = false;
    else
        vector = lapic_acknowledge(cpu);
    cpu->event = (struct event){.valid = vector >= 0, .type = EVENT_INTERRUPT, .vector = vector};
    return true;
}

void event_unmasked(struct cpu *cpu)
{
    if (cpu->guest_mode || cpu->extint_pending || cpu->nmi_pending || cpu->run->request_interrupt_window ||
        lapic_pending(cpu) >= 0)
        cpu_request(cpu, REQUEST_EVENT);
}

bool event_poll(struct cpu *cpu)
{
    lapic_collect(cpu);
    if (cpu->init_pending)
        event_init(cpu);
    if (cpu->sipi_pending)
        event_sipi(cpu);
    if (cpu->mp_state == KVM_MP_STATE_INIT_RECEIVED || cpu->mp_state == KVM_MP_STATE_UNINITIALIZED)
        return false;
    // Every interrupt that is taken raises the processor's priority, so this ends after at most one per priority class.
    do {
        if (cpu->event.valid)
            event_deliver(cpu);
        if (cpu->guest_mode)
            intercept_boundary(cpu);
        if (cpu->pending_debug && !(cpu->interruptibility & BLOCKING_MOV_SS)) {
            u64 bits = cpu->pending_debug;
            cpu->pending_debug = 0;
            event_wake(cpu);
            event_raise(cpu, (struct event){.type = EVENT_EXCEPTION, .vector = VECTOR_DB, .address = bits});
        }
    } while (event_take(cpu));
    return cpu->mp_state == KVM_MP_STATE_RUNNABLE;
}
