// See firmware.h.
#include "machine/firmware.h"

#include <string.h>

struct firmware_msr {
    _Alignas(struct kvm_msrs) u8 space[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

static struct kvm_msrs *firmware_msr(struct firmware_msr *msr, u32 index, u64 value)
{
    struct kvm_msrs *msrs = (struct kvm_msrs *)msr->space;
    *msrs = (struct kvm_msrs){.nmsrs = 1};
    msrs->entries[0] = (struct kvm_msr_entry){.index = index, .data = value};
    return msrs;
}

// All of memory write-back; what must not be cached says so in the page tables, as every guest of today does (SDM
// volume 3, 11.11.2.1).
static int firmware_set_memory_types(const struct engine *engine, struct engine_vcpu *vcpu)
{
    enum { MTRR_DEFAULT_TYPE = 0x2ff, MTRR_ENABLE = 1 << 11, MTRR_WRITE_BACK = 6 };
    struct firmware_msr msr;
    return engine->vcpu_ioctl(vcpu, KVM_SET_MSRS, firmware_msr(&msr, MTRR_DEFAULT_TYPE, MTRR_ENABLE | MTRR_WRITE_BACK));
}

// KVM leaves IA32_MISC_ENABLE zero, which says that fast strings are off, and Linux 6.1 runs its memmove wrongly on a
// processor whose CPUID has FSRM while this bit is clear. AMD's processors have no such register.
static void firmware_set_fast_strings(const struct engine *engine, struct engine_vcpu *vcpu)
{
    enum { MISC_ENABLE = 0x1a0, FAST_STRINGS = 1 };
    struct firmware_msr msr;
    struct kvm_msrs *msrs = firmware_msr(&msr, MISC_ENABLE, 0);
    if (engine->vcpu_ioctl(vcpu, KVM_GET_MSRS, msrs) != 1)
        return;
    msrs->entries[0].data |= FAST_STRINGS;
    engine->vcpu_ioctl(vcpu, KVM_SET_MSRS, msrs);
}

// The MultiProcessor Specification's virtual wire mode (3.6.2.2): LINT0 carries the PIC, LINT1 the NMI.
static int firmware_set_virtual_wire(const struct engine *engine, struct engine_vcpu *vcpu)
{
    static const struct {
        unsigned offset;
        u32 value;
    } registers[] = {{0xf0, 0x1ff}, {0x350, 0x700}, {0x360, 0x400}}; // spurious vector and enable, LINT0, LINT1
    struct kvm_lapic_state lapic;
    int result = engine->vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic);
    if (result < 0)
        return result;
    for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
        memcpy(lapic.regs + registers[i].offset, &registers[i].value, 4);
    return engine->vcpu_ioctl(vcpu, KVM_SET_LAPIC, &lapic);
}

int firmware_processor(const struct engine *engine, struct engine_vcpu *vcpu, unsigned id, struct error *error)
{
    firmware_set_fast_strings(engine, vcpu);
    int result = firmware_set_memory_types(engine, vcpu);
    if (result < 0)
        return error_set(error, "processor %u: the %s engine refuses its memory types: %s", id, engine->name,
                         strerror(-result));
    result = id == 0 ? firmware_set_virtual_wire(engine, vcpu) : 0;
    if (result < 0)
        return error_set(error, "processor %u: the %s engine refuses its local APIC's state: %s", id, engine->name,
                         strerror(-result));
    return 0;
}

// The entries of the first PC's BIOS, in segment 0xF000.
enum { FIRMWARE_IRET = 0xff53, FIRMWARE_TIMER = 0xfea5, FIRMWARE_IRQ = 0xff00, FIRMWARE_IRQ_HIGH = 0xff10 };

static void firmware_write_code(struct memory *memory, unsigned offset, const void *code, size_t bytes)
{
    memory_write(memory, 0xf0000 + offset, code, bytes);
}

static void firmware_write_vectors(struct memory *memory)
{
    static const u8 iret[] = {0xcf};
    // push ds; push ax; xor ax, ax; mov ds, ax; inc dword [0x46c] (the BIOS' tick count); mov al, 0x20; out 0x20, al;
    // pop ax; pop ds; iret
    static const u8 timer[] = {0x1e, 0x50, 0x31, 0xc0, 0x8e, 0xd8, 0x66, 0xff, 0x06, 0x6c, 0x04,
                               0xb0, 0x20, 0xe6, 0x20, 0x58, 0x1f, 0xcf};
    // push ax; mov al, 0x20; out 0x20, al; pop ax; iret; the slave's also out 0xa0, al
    static const u8 irq[] = {0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf};
    static const u8 irq_high[] = {0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf};
    u32 vectors[256];
    for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++)
        vectors[i] = 0xf0000000 | (i == 8                  ? FIRMWARE_TIMER
                                   : i > 8 && i < 0x10     ? FIRMWARE_IRQ
                                   : i >= 0x70 && i < 0x78 ? FIRMWARE_IRQ_HIGH
                                                           : FIRMWARE_IRET);
    memory_write(memory, 0, vectors, sizeof vectors);
    firmware_write_code(memory, FIRMWARE_IRET, iret, sizeof iret);
    firmware_write_code(memory, FIRMWARE_TIMER, timer, sizeof timer);
    firmware_write_code(memory, FIRMWARE_IRQ, irq, sizeof irq);
    firmware_write_code(memory, FIRMWARE_IRQ_HIGH, irq_high, sizeof irq_high);
}

void firmware_legacy(struct board *board)
{
    // Both PICs: initialise, vectors 8 and 0x70, cascade on line 2, 8086 mode; then only timer, keyboard and cascade,
    // and the clock, pass. Timer 0: mode 3, the slowest rate, 18.2 Hz.
    static const struct {
        u16 port;
        u8 value;
    } writes[] = {{0x20, 0x11}, {0xa0, 0x11}, {0x21, 0x08}, {0xa1, 0x70}, {0x21, 0x04}, {0xa1, 0x02}, {0x21, 0x01},
                  {0xa1, 0x01}, {0x21, 0xf8}, {0xa1, 0xfe}, {0x43, 0x36}, {0x40, 0x00}, {0x40, 0x00}};
    struct memory *memory = board_memory(board);
    const u16 ebda_segment = (u16)(BOARD_EBDA >> 4), memory_kib = (u16)(BOARD_EBDA >> 10);
    firmware_write_vectors(memory);
    memory_write(memory, 0x40e, &ebda_segment, sizeof ebda_segment);
    memory_write(memory, 0x413, &memory_kib, sizeof memory_kib);
    for (size_t i = 0; i < ARRAY_SIZE(writes); i++)
        board_write(board, DEVICE_PORTS, writes[i].port, 1, writes[i].value);
}
