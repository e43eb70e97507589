// The vCPU's state in KVM's structures, so that the board, saved state and one day other monitors see the soft engine
// as they would see KVM. Values come from the VM's owner, not from its guest; what would break an invariant is
// refused with -EINVAL.
#include "engine/soft/state.h"

#include <errno.h>

#include "engine/soft/access.h"
#include "engine/soft/bytes.h"
#include "engine/soft/control.h"
#include "engine/soft/debug.h"
#include "engine/soft/lapic.h"
#include "engine/soft/msr.h"
#include "engine/soft/paging.h"
#include "engine/soft/segment.h"
#include "engine/soft/vmx/vmx.h"

static_assert(offsetof(struct kvm_regs, rip) == 16 * sizeof(u64), "RAX to R15 come first");

// KVM's order of the general registers in kvm_regs.
static const u8 state_gpr[16] = {RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, R8, R9, R10, R11, R12, R13, R14, R15};

int state_get_regs(struct cpu *cpu, struct kvm_regs *regs)
{
    for (unsigned i = 0; i < 16; i++)
        (&regs->rax)[i] = cpu->gpr[state_gpr[i]];
    regs->rip = cpu->rip;
    regs->rflags = cpu->rflags;
    return 0;
}

int state_set_regs(struct cpu *cpu, const struct kvm_regs *regs)
{
    for (unsigned i = 0; i < 16; i++)
        cpu->gpr[state_gpr[i]] = (&regs->rax)[i];
    cpu->rip = cpu->next_rip = regs->rip;
    cpu->rflags = (regs->rflags & 0x3f7fd5) | FLAG_FIXED;
    cpu_mode_update(cpu);
    return 0;
}

static struct kvm_segment state_get_segment(const struct segment *segment)
{
    u32 access = segment->access;
    return (struct kvm_segment){
        .base = segment->base, .limit = segment->limit, .selector = segment->selector, .type = access & AR_TYPE,
        .present = !!(access & AR_P), .dpl = (access & AR_DPL) >> AR_DPL_SHIFT, .db = !!(access & AR_DB),
        .s = !!(access & AR_S), .l = !!(access & AR_L), .g = !!(access & AR_G), .avl = !!(access & AR_AVL),
        .unusable = !!(access & AR_UNUSABLE),
    };
}

static void state_set_segment(struct cpu *cpu, enum segment_index index, const struct kvm_segment *from)
{
    u32 access = (from->type & AR_TYPE) | (from->dpl & 3) << AR_DPL_SHIFT;
    access |= (from->s ? AR_S : 0) | (from->present ? AR_P : 0) | (from->avl ? AR_AVL : 0) | (from->l ? AR_L : 0);
    access |= (from->db ? AR_DB : 0) | (from->g ? AR_G : 0);
    if (from->unusable || !from->present) // as KVM takes it
        access |= AR_UNUSABLE;
    segment_set(cpu, index, (struct segment){
        .selector = from->selector, .base = from->base, .limit = from->limit, .access = access,
    });
}

int state_get_sregs(struct cpu *cpu, struct kvm_sregs *sregs)
{
    *sregs = (struct kvm_sregs){
        .es = state_get_segment(&cpu->segment[SEG_ES]), .cs = state_get_segment(&cpu->segment[SEG_CS]),
        .ss = state_get_segment(&cpu->segment[SEG_SS]), .ds = state_get_segment(&cpu->segment[SEG_DS]),
        .fs = state_get_segment(&cpu->segment[SEG_FS]), .gs = state_get_segment(&cpu->segment[SEG_GS]),
        .tr = state_get_segment(&cpu->segment[SEG_TR]), .ldt = state_get_segment(&cpu->segment[SEG_LDTR]),
        .gdt = {.base = cpu->gdt.base, .limit = cpu->gdt.limit},
        .idt = {.base = cpu->idt.base, .limit = cpu->idt.limit},
        .cr0 = cpu->cr0, .cr2 = cpu->cr2, .cr3 = cpu->cr3, .cr4 = cpu->cr4, .cr8 = lapic_cr8(cpu),
        .efer = cpu->msr.efer, .apic_base = cpu->msr.apic_base,
    };
    // One that was acknowledged but not injected yet; KVM_GET_VCPU_EVENTS tells whether it is on its way in already.
    if (cpu->event.valid && cpu->event.type == EVENT_INTERRUPT)
        sregs->interrupt_bitmap[cpu->event.vector / 64] |= 1ull << (cpu->event.vector & 63);
    else if (cpu->extint_pending)
        sregs->interrupt_bitmap[cpu->extint_vector / 64] |= 1ull << (cpu->extint_vector & 63);
    return 0;
}

static bool state_sregs_valid(const struct cpu *cpu, const struct kvm_sregs *sregs)
{
    bool paging = sregs->cr0 & CR0_PG, lma = sregs->efer & EFER_LMA;
    if (sregs->cr0 >> 32 || (paging && !(sregs->cr0 & CR0_PE)) || sregs->cr4 & ~cpu->cr4_allowed)
        return false;
    if (lma && !(sregs->efer & EFER_LME && paging && sregs->cr4 & CR4_PAE))
        return false;
    if (paging && sregs->efer & EFER_LME && !lma)
        return false;
    return !(sregs->efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE));
}

static int state_load_sregs(struct cpu *cpu, const struct kvm_sregs *sregs)
{
    if (!state_sregs_valid(cpu, sregs) || !lapic_set_base(cpu, sregs->apic_base))
        return -EINVAL;
    state_set_segment(cpu, SEG_ES, &sregs->es);
    state_set_segment(cpu, SEG_CS, &sregs->cs);
    state_set_segment(cpu, SEG_SS, &sregs->ss);
    state_set_segment(cpu, SEG_DS, &sregs->ds);
    state_set_segment(cpu, SEG_FS, &sregs->fs);
    state_set_segment(cpu, SEG_GS, &sregs->gs);
    state_set_segment(cpu, SEG_TR, &sregs->tr);
    state_set_segment(cpu, SEG_LDTR, &sregs->ldt);
    cpu->gdt = (struct descriptor_table){.base = sregs->gdt.base, .limit = sregs->gdt.limit};
    cpu->idt = (struct descriptor_table){.base = sregs->idt.base, .limit = sregs->idt.limit};
    cpu->cr0 = sregs->cr0 | CR0_ET;
    cpu->cr2 = sregs->cr2;
    cpu->cr3 = sregs->cr3;
    cpu->cr4 = sregs->cr4;
    cpu->msr.efer = sregs->efer;
    cpu->cpl = sregs->cr0 & CR0_PE ? sregs->ss.dpl & 3 : 0;
    lapic_set_cr8(cpu, sregs->cr8 & 15);
    cpu_mode_update(cpu);
    tlb_flush_all(cpu);
    if (cpu->cr0 & CR0_PG && cpu->cr4 & CR4_PAE && !cpu_long(cpu) && !cpu->guest_mode)
        control_read_pdptes(cpu, cpu->cr3, cpu->pdpte);
    return 0;
}

int state_set_sregs(struct cpu *cpu, const struct kvm_sregs *sregs)
{
    int result = state_load_sregs(cpu, sregs);
    if (result)
        return result;
    cpu->extint_pending = false;
    for (unsigned i = 0; i < 256; i++)
        if (sregs->interrupt_bitmap[i / 64] >> (i & 63) & 1) {
            cpu->extint_vector = (u8)i;
            cpu->extint_pending = true;
        }
    return 0;
}

// The same with the registers that PAE paging keeps, which no CR3 tells of in a guest of VMX with EPT.
static bool state_has_pdptes(const struct cpu *cpu)
{
    return cpu->cr0 & CR0_PG && cpu->cr4 & CR4_PAE && !cpu_long(cpu);
}

int state_get_sregs2(struct cpu *cpu, struct kvm_sregs2 *sregs2)
{
    struct kvm_sregs sregs;
    state_get_sregs(cpu, &sregs);
    bytes_set(sregs2, 0, sizeof *sregs2);
    bytes_copy(sregs2, &sregs, offsetof(struct kvm_sregs, interrupt_bitmap));
    if (state_has_pdptes(cpu)) {
        sregs2->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
        bytes_copy(sregs2->pdptrs, cpu->pdpte, sizeof cpu->pdpte);
    }
    return 0;
}

int state_set_sregs2(struct cpu *cpu, const struct kvm_sregs2 *sregs2)
{
    struct kvm_sregs sregs;
    if (sregs2->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID)
        return -EINVAL;
    bytes_copy(&sregs, sregs2, offsetof(struct kvm_sregs, interrupt_bitmap));
    int result = state_load_sregs(cpu, &sregs);
    if (!result && sregs2->flags && state_has_pdptes(cpu))
        bytes_copy(cpu->pdpte, sregs2->pdptrs, sizeof cpu->pdpte);
    return result;
}
static_assert(offsetof(struct kvm_sregs2, flags) == offsetof(struct kvm_sregs, interrupt_bitmap) &&
              sizeof ((struct kvm_sregs2 *)0)->pdptrs == sizeof ((struct cpu *)0)->pdpte, "KVM's layouts");

// KVM's words for an event on its way in: an exception, an interrupt (soft: INT n) or an NMI that is "injected". A
// debug trap that waits for the instruction boundary is a pending exception with DR6's bits as payload.
int state_get_events(struct cpu *cpu, struct kvm_vcpu_events *events)
{
    const struct event *event = &cpu->event;
    *events = (struct kvm_vcpu_events){
        .nmi = {.pending = cpu->nmi_pending, .masked = !!(cpu->interruptibility & BLOCKING_NMI)},
        .sipi_vector = cpu->sipi_vector,
        .smi.latched_init = cpu->init_pending, // VMX operation blocks it
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM,
    };
    if (cpu->interruptibility & BLOCKING_STI)
        events->interrupt.shadow |= KVM_X86_SHADOW_INT_STI;
    if (cpu->interruptibility & BLOCKING_MOV_SS)
        events->interrupt.shadow |= KVM_X86_SHADOW_INT_MOV_SS;
    if (cpu->pending_debug) {
        events->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
        events->exception.pending = true;
        events->exception.nr = VECTOR_DB;
        events->exception_has_payload = true;
        events->exception_payload = cpu->pending_debug;
    }
    if (!event->valid)
        return 0;
    if (event->type == EVENT_NMI) {
        events->nmi.injected = true;
    } else if (event->type == EVENT_INTERRUPT || event->type == EVENT_SOFT_INTERRUPT) {
        events->interrupt.injected = true;
        events->interrupt.nr = event->vector;
        events->interrupt.soft = event->type == EVENT_SOFT_INTERRUPT;
    } else if (!cpu->pending_debug) {
        events->exception.injected = true;
        events->exception.nr = event->vector;
        events->exception.has_error_code = event->has_error;
        events->exception.error_code = event->error;
    }
    return 0;
}

// The lengths of INT n, INT3 and INTO are not in KVM's structure; these are the encodings everybody uses.
static struct event state_event(const struct kvm_vcpu_events *events)
{
    if (events->exception.injected) {
        u8 vector = events->exception.nr;
        bool soft = vector == VECTOR_BP || vector == VECTOR_OF;
        return (struct event){
            .valid = true, .type = soft ? EVENT_SOFT_EXCEPTION : EVENT_EXCEPTION, .vector = vector, .length = soft,
            .has_error = events->exception.has_error_code, .error = events->exception.error_code,
        };
    }
    if (events->nmi.injected)
        return (struct event){.valid = true, .type = EVENT_NMI, .vector = VECTOR_NMI};
    bool soft = events->interrupt.soft;
    return (struct event){
        .valid = events->interrupt.injected, .type = soft ? EVENT_SOFT_INTERRUPT : EVENT_INTERRUPT,
        .vector = events->interrupt.nr, .length = soft ? 2 : 0,
    };
}

int state_set_events(struct cpu *cpu, const struct kvm_vcpu_events *events)
{
    const u32 known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SHADOW |
        KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_SMM;
    bool payload = events->flags & KVM_VCPUEVENT_VALID_PAYLOAD;
    bool exception = events->exception.injected || events->exception.pending;
    bool smm = events->flags & KVM_VCPUEVENT_VALID_SMM;
    if (events->flags & ~known || (exception && events->exception.nr > 31) || (smm && events->smi.smm))
        return -EINVAL;
    cpu->event = state_event(events);
    if (cpu->event.valid && cpu->event.type == EVENT_INTERRUPT)
        cpu->extint_pending = false; // the sregs told of the same one
    if (smm)
        cpu->init_pending = events->smi.latched_init;
    cpu->delivering.valid = false;
    cpu->pending_debug = payload && events->exception.pending && events->exception.nr == VECTOR_DB ?
        events->exception_payload : 0;
    u32 blocking = cpu->interruptibility & ~(u32)BLOCKING_NMI;
    if (events->flags & KVM_VCPUEVENT_VALID_SHADOW) {
        blocking = events->interrupt.shadow & KVM_X86_SHADOW_INT_STI ? BLOCKING_STI : 0;
        blocking |= events->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? BLOCKING_MOV_SS : 0;
    }
    cpu->interruptibility = blocking | (events->nmi.masked ? BLOCKING_NMI : 0);
    if (events->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
        cpu->nmi_pending = events->nmi.pending;
    if (events->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR)
        cpu->sipi_vector = events->sipi_vector;
    return 0;
}

int state_get_debugregs(struct cpu *cpu, struct kvm_debugregs *debugregs)
{
    *debugregs = (struct kvm_debugregs){.dr6 = cpu->dr[6], .dr7 = cpu->dr[7]};
    for (unsigned i = 0; i < 4; i++)
        debugregs->db[i] = cpu->dr[i];
    return 0;
}

int state_set_debugregs(struct cpu *cpu, const struct kvm_debugregs *debugregs)
{
    if (debugregs->flags || debugregs->dr6 >> 32 || debugregs->dr7 >> 32)
        return -EINVAL;
    for (unsigned i = 0; i < 4; i++)
        cpu->dr[i] = debugregs->db[i];
    cpu->dr[6] = debugregs->dr6 | DR6_FIXED;
    cpu->dr[7] = debugregs->dr7 | DR7_FIXED;
    cpu_mode_update(cpu);
    return 0;
}

int state_get_msrs(struct cpu *cpu, struct kvm_msrs *msrs)
{
    for (u32 i = 0; i < msrs->nmsrs; i++) {
        u64 value;
        if (!msr_read(cpu, msrs->entries[i].index, &value, true))
            return (int)i;
        msrs->entries[i].data = value;
    }
    return (int)msrs->nmsrs;
}

int state_set_msrs(struct cpu *cpu, const struct kvm_msrs *msrs)
{
    for (u32 i = 0; i < msrs->nmsrs; i++)
        if (!msr_write(cpu, msrs->entries[i].index, msrs->entries[i].data, true))
            return (int)i;
    return (int)msrs->nmsrs;
}

// What waits for a time of the guest's waits for the same time afterwards.
static void state_set_tsc_offset(struct cpu *cpu, u64 offset)
{
    u64 moved = offset - cpu->tsc_offset;
    cpu->tsc_offset = offset;
    lapic_tsc_moved(cpu);
    if (cpu->guest_mode)
        vmx_tsc_moved(cpu, moved);
}

// KVM_GET/SET/HAS_DEVICE_ATTR of a vCPU: KVM_VCPU_TSC_OFFSET alone, by which a VM's owner stops its clocks and lets
// them go on, all vCPUs' by exactly the same.
int state_tsc_attribute(struct cpu *cpu, unsigned long request, const struct kvm_device_attr *attribute)
{
    if (attribute->group != KVM_VCPU_TSC_CTRL || attribute->attr != KVM_VCPU_TSC_OFFSET)
        return -ENXIO;
    u64 *offset = (u64 *)(uintptr_t)attribute->addr;
    if (request == KVM_SET_DEVICE_ATTR)
        state_set_tsc_offset(cpu, *offset);
    else if (request == KVM_GET_DEVICE_ATTR)
        *offset = cpu->tsc_offset;
    return 0;
}

int state_get_mp_state(struct cpu *cpu, struct kvm_mp_state *state)
{
    state->mp_state = cpu->mp_state;
    return 0;
}

int state_set_mp_state(struct cpu *cpu, const struct kvm_mp_state *state)
{
    switch (state->mp_state) {
    case KVM_MP_STATE_RUNNABLE: case KVM_MP_STATE_UNINITIALIZED: case KVM_MP_STATE_INIT_RECEIVED:
    case KVM_MP_STATE_HALTED:
        cpu->mp_state = state->mp_state;
        return 0;
    case KVM_MP_STATE_SIPI_RECEIVED:
        cpu->mp_state = KVM_MP_STATE_INIT_RECEIVED;
        cpu->sipi_pending = true;
        return 0;
    default:
        return -EINVAL;
    }
}

int state_interrupt(struct cpu *cpu, const struct kvm_interrupt *interrupt)
{
    if (interrupt->irq > 255)
        return -EINVAL;
    if (cpu->extint_pending)
        return -EEXIST;
    cpu->extint_vector = interrupt->irq;
    cpu->extint_pending = true;
    return 0;
}

int state_nmi(struct cpu *cpu)
{
    cpu->nmi_pending = true;
    return 0;
}

int state_translate(struct cpu *cpu, struct kvm_translation *translation)
{
    u64 gpa;
    translation->valid = paging_look(cpu, translation->linear_address, &gpa);
    translation->physical_address = translation->valid ? gpa : ~0ull;
    translation->writeable = 1; // KVM says so too
    translation->usermode = 0;
    return 0;
}
