// See vcpu_state.h. The order is the one in which a vCPU can be set up again, which is the one QEMU found (its
// target/i386/kvm/kvm.c, kvm_arch_put_registers): control registers before the nested state that is entered under them,
// IA32_FEATURE_CONTROL before VMX operation, the registers after the world they belong to, events last.
#include "machine/vcpu_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b, MSR_FEATURE_CONTROL = 0x3a, MSR_TSC_DEADLINE = 0x6e0 };
#define MSR_EFER 0xc0000080u
enum { VCPU_MSRS = 1024, VCPU_NESTED_MOST = 64 << 10, VCPU_VERSION = 1 };

// --- What one request gets and another sets ---

struct vcpu_part {
    const char *name; // of the section
    const char *words;
    unsigned long get, set;
    u32 bytes;
    bool optional; // -ENOTTY is an empty section
};

static const struct vcpu_part vcpu_parts_first[] = {
    {"vcpu-sregs", "control registers", KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs), false},
    {"vcpu-sregs2", "control registers", KVM_GET_SREGS2, KVM_SET_SREGS2, sizeof(struct kvm_sregs2), true},
};

static const struct vcpu_part vcpu_parts[] = {
    {"vcpu-regs", "registers", KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs), false},
    {"vcpu-xsave", "vector registers", KVM_GET_XSAVE, KVM_SET_XSAVE, sizeof(struct kvm_xsave), false},
    {"vcpu-xcrs", "XCR0", KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs), false},
    {"vcpu-debug", "debug registers", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs), false},
    {"vcpu-mp", "activity", KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state), false},
    {"vcpu-events", "events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events), false},
};

static int vcpu_refused(const struct vcpu_state *state, const char *words, int result, struct error *error)
{
    return error_set(error, "processor %u: the %s engine refuses its %s: %s", state->id, state->engine->name, words,
                     strerror(-result));
}

static int part_save(const struct vcpu_state *state, const struct vcpu_part *part, struct state_writer *writer,
                     struct error *error)
{
    void *content = calloc(1, part->bytes);
    if (!content)
        return error_set(error, "processor %u: out of memory for its state", state->id);
    int result = state->engine->vcpu_ioctl(state->vcpu, part->get, content);
    bool none = result == -ENOTTY && part->optional;
    if (result < 0 && !none)
        result = error_set(error, "processor %u: the %s engine does not tell its %s: %s", state->id,
                           state->engine->name, part->words, strerror(-result));
    else
        result = state_writer_put_bytes(writer, part->name, state->id, VCPU_VERSION, content, none ? 0 : part->bytes,
                                        error);
    free(content);
    return result;
}

static int part_restore(const struct vcpu_state *state, const struct vcpu_part *part, struct state_reader *reader,
                        struct error *error)
{
    if (state_reader_take_bytes(reader, part->name, state->id, error))
        return -1;
    if (part->optional && !reader->bytes)
        return 0;
    if (reader->version != VCPU_VERSION || reader->bytes != part->bytes)
        return error_set(error, "processor %u: the saved %s are of a form this nidus does not know", state->id,
                         part->words);
    int result = state->engine->vcpu_ioctl(state->vcpu, part->set, reader->data);
    return result < 0 ? vcpu_refused(state, part->words, result, error) : 0;
}

// --- Model-specific registers ---

union vcpu_msr {
    struct kvm_msrs msrs;
    u8 space[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

// 1: done; else the engine knows no such register, or not this value of it.
static int msr_access(const struct vcpu_state *state, unsigned long request, struct kvm_msr_entry *entry)
{
    union vcpu_msr one = {.msrs = {.nmsrs = 1}};
    one.msrs.entries[0] = *entry;
    int result = state->engine->vcpu_ioctl(state->vcpu, request, &one.msrs);
    entry->data = one.msrs.entries[0].data;
    return result;
}

static struct kvm_msr_list *msr_list(const struct vcpu_state *state, struct error *error)
{
    struct kvm_msr_list *list = calloc(1, sizeof *list + VCPU_MSRS * sizeof list->indices[0]);
    if (!list) {
        error_set(error, "processor %u: out of memory for its state", state->id);
        return NULL;
    }
    list->nmsrs = VCPU_MSRS;
    int result = state->engine->vm_ioctl(state->vm, KVM_GET_MSR_INDEX_LIST, list);
    if (result >= 0 && list->nmsrs <= VCPU_MSRS)
        return list;
    error_set(error, "the %s engine does not tell which MSRs are state: %s", state->engine->name, strerror(-result));
    free(list);
    return NULL;
}

// Others carry these: the control registers, the clock, the local APIC.
static bool msr_is_elsewhere(u32 index)
{
    return index == MSR_TSC || index == MSR_TSC_DEADLINE || index == MSR_APIC_BASE || index == MSR_EFER;
}

// `first`: IA32_FEATURE_CONTROL alone, else all others.
static bool msr_wanted(u32 index, bool first)
{
    return !msr_is_elsewhere(index) && (index == MSR_FEATURE_CONTROL) == first;
}

static const char *msr_section(bool first) { return first ? "vcpu-msr-first" : "vcpu-msrs"; }

// An engine may list registers that this VM's processors do not have.
static int msrs_save(const struct vcpu_state *state, bool first, struct state_writer *writer, struct error *error)
{
    struct kvm_msr_list *list = msr_list(state, error);
    struct kvm_msr_entry *entries = calloc(VCPU_MSRS, sizeof *entries);
    int result = list ? error_set(error, "processor %u: out of memory for its state", state->id) : -1;
    if (list && entries) {
        u32 count = 0;
        for (u32 i = 0; i < list->nmsrs; i++) {
            entries[count] = (struct kvm_msr_entry){.index = list->indices[i]};
            if (msr_wanted(list->indices[i], first) && msr_access(state, KVM_GET_MSRS, &entries[count]) == 1)
                count++;
        }
        result = state_writer_put_bytes(writer, msr_section(first), state->id, VCPU_VERSION, entries,
                                        count * sizeof *entries, error);
    }
    free(entries);
    free(list);
    return result;
}

static bool msr_is_listed(const struct kvm_msr_list *list, u32 index)
{
    for (u32 i = 0; i < list->nmsrs; i++)
        if (list->indices[i] == index)
            return true;
    return false;
}

static int msr_restore(const struct vcpu_state *state, const struct kvm_msr_list *list,
                       const struct kvm_msr_entry *saved, bool first, struct error *error)
{
    struct kvm_msr_entry set = *saved, now = {.index = saved->index};
    if (!msr_wanted(saved->index, first) || !msr_is_listed(list, saved->index))
        return error_set(error, "processor %u: MSR 0x%x is no state of a processor here", state->id, saved->index);
    if (msr_access(state, KVM_SET_MSRS, &set) == 1)
        return 0;
    // One that cannot be written does no harm if it says the same here.
    if (msr_access(state, KVM_GET_MSRS, &now) == 1 && now.data == saved->data)
        return 0;
    return error_set(error, "processor %u: the %s engine refuses the value 0x%llx of MSR 0x%x", state->id,
                     state->engine->name, (unsigned long long)saved->data, saved->index);
}

static int msrs_restore(const struct vcpu_state *state, bool first, struct state_reader *reader, struct error *error)
{
    if (state_reader_take_bytes(reader, msr_section(first), state->id, error))
        return -1;
    u32 count = reader->bytes / (u32)sizeof(struct kvm_msr_entry);
    if (reader->version != VCPU_VERSION || reader->bytes % sizeof(struct kvm_msr_entry) || count > VCPU_MSRS)
        return error_set(error, "processor %u: the saved MSRs are of a form this nidus does not know", state->id);
    struct kvm_msr_list *list = msr_list(state, error);
    int result = list ? 0 : -1;
    for (u32 i = 0; i < count && !result; i++) {
        struct kvm_msr_entry entry;
        memcpy(&entry, reader->data + i * sizeof entry, sizeof entry);
        result = msr_restore(state, list, &entry, first, error);
    }
    free(list);
    return result;
}

// --- Nested state ---

static int nested_save(const struct vcpu_state *state, struct state_writer *writer, struct error *error)
{
    struct kvm_nested_state *nested = state->nested ? calloc(1, VCPU_NESTED_MOST) : NULL;
    if (!state->nested)
        return 0;
    if (!nested)
        return error_set(error, "processor %u: out of memory for its state", state->id);
    nested->size = VCPU_NESTED_MOST;
    int result = state->engine->vcpu_ioctl(state->vcpu, KVM_GET_NESTED_STATE, nested);
    if (result < 0 || nested->size > VCPU_NESTED_MOST)
        result = error_set(error, "processor %u: the %s engine does not tell its nested state: %s", state->id,
                           state->engine->name, strerror(-result));
    else
        result = state_writer_put_bytes(writer, "vcpu-nested", state->id, VCPU_VERSION, nested, nested->size, error);
    free(nested);
    return result;
}

static int nested_restore(const struct vcpu_state *state, struct state_reader *reader, struct error *error)
{
    struct kvm_nested_state nested;
    if (!state->nested)
        return 0;
    if (state_reader_take_bytes(reader, "vcpu-nested", state->id, error))
        return -1;
    bool known = reader->version == VCPU_VERSION && reader->bytes >= sizeof nested && reader->bytes <= VCPU_NESTED_MOST;
    if (known) // its own length is what an engine goes by
        memcpy(&nested, reader->data, sizeof nested);
    if (!known || nested.size != reader->bytes)
        return error_set(error, "processor %u: the saved nested state is of a form this nidus does not know",
                         state->id);
    int result = state->engine->vcpu_ioctl(state->vcpu, KVM_SET_NESTED_STATE, reader->data);
    return result < 0 ? vcpu_refused(state, "nested state", result, error) : 0;
}

// --- All of it ---

static int clock_restore(const struct vcpu_state *state, struct state_reader *reader, struct error *error)
{
    if (state_reader_take_bytes(reader, "vcpu-clock", state->id, error))
        return -1;
    if (reader->version != VCPU_VERSION || reader->bytes != sizeof *state->clock)
        return error_set(error, "processor %u: the saved time is of a form this nidus does not know", state->id);
    memcpy(state->clock, reader->data, sizeof *state->clock);
    return 0;
}

int vcpu_state_save(const struct vcpu_state *state, struct state_writer *writer, struct error *error)
{
    int result = 0;
    for (unsigned i = 0; !result && i < ARRAY_SIZE(vcpu_parts_first); i++)
        result = part_save(state, &vcpu_parts_first[i], writer, error);
    if (!result)
        result = msrs_save(state, true, writer, error);
    if (!result)
        result = nested_save(state, writer, error);
    if (!result)
        result = msrs_save(state, false, writer, error);
    for (unsigned i = 0; !result && i < ARRAY_SIZE(vcpu_parts); i++)
        result = part_save(state, &vcpu_parts[i], writer, error);
    return result ? -1
                  : state_writer_put_bytes(writer, "vcpu-clock", state->id, VCPU_VERSION, state->clock,
                                           sizeof *state->clock, error);
}

int vcpu_state_restore(const struct vcpu_state *state, struct state_reader *reader, struct error *error)
{
    int result = 0;
    for (unsigned i = 0; !result && i < ARRAY_SIZE(vcpu_parts_first); i++)
        result = part_restore(state, &vcpu_parts_first[i], reader, error);
    if (!result)
        result = msrs_restore(state, true, reader, error);
    if (!result)
        result = nested_restore(state, reader, error);
    if (!result)
        result = msrs_restore(state, false, reader, error);
    for (unsigned i = 0; !result && i < ARRAY_SIZE(vcpu_parts); i++)
        result = part_restore(state, &vcpu_parts[i], reader, error);
    return result ? -1 : clock_restore(state, reader, error);
}
