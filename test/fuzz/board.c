// Any sequence of port and memory accesses, interrupts, moments of time, and cards that come and go: the board takes it,
// and its bus still works after. An operation is 16 bytes: what, width, a place, how far from it, a value.
#include <stdlib.h>
#include <string.h>

#include "device/pci_hotplug.h"
#include "engine/engine.h"
#include "machine/board.h"
#include "machine/pci_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct engine_vm {
    u64 messages;
};

static int fuzz_vm_ioctl(struct engine_vm *vm, unsigned long request, void *argument)
{
    (void)argument;
    vm->messages += request == KVM_SIGNAL_MSI;
    return 0;
}

static int fuzz_vcpu_ioctl(struct engine_vcpu *vcpu, unsigned long request, void *argument)
{
    (void)vcpu, (void)request, (void)argument;
    return 0;
}

static const struct engine fuzz_engine = {.name = "fuzz", .vm_ioctl = fuzz_vm_ioctl, .vcpu_ioctl = fuzz_vcpu_ioctl};

static u64 fuzz_now(void *context) { return *(u64 *)context; }

static u64 fuzz_bar_read(void *context, u64 offset, unsigned bytes)
{
    (void)context;
    if (bytes < 1 || bytes > 8 || offset + bytes > 0x1000)
        abort();
    return offset;
}

static void fuzz_bar_write(void *context, u64 offset, unsigned bytes, u64 value)
{
    (void)value;
    fuzz_bar_read(context, offset, bytes);
}

#define FUZZ_ECAM(slot) (BOARD_ECAM + ((u64)(slot) << 15))

// The same number of both; some are there more than once, because more happens there.
static const u64 fuzz_places[2][20] = {
    {0x20, 0xA0, 0x40, 0x60, 0x70, 0x92, 0xE0, 0xF4, 0x3F8, 0x4D0, 0x510, 0x600, 0xCF8, 0xCFC, 0x2000, 0xC000,
     PCI_HOTPLUG_PORT, PCI_HOTPLUG_PORT + PCI_HOTPLUG_LEAVING, PCI_HOTPLUG_PORT + PCI_HOTPLUG_EJECT, 0xCF8},
    {0, BOARD_IOAPIC, BOARD_IOAPIC + 0x10, BOARD_ECAM, FUZZ_ECAM(1), FUZZ_ECAM(1) + 0x10, BOARD_PCI_WINDOW,
     BOARD_PCI_WINDOW + 0x1000, BOARD_LAPIC, 0xFF000000, 0xFF00FFF8, UINT64_MAX - 8, 0xFFFFFFF8, GIB(4), MIB(2),
     MIB(1), FUZZ_ECAM(PCI_HOST_PLUG_FIRST), FUZZ_ECAM(PCI_HOST_PLUG_FIRST) + 0x10, FUZZ_ECAM(PCI_HOST_PLUG_FIRST + 1),
     FUZZ_ECAM(PCI_HOST_PLUG_FIRST + 7)},
};

static const struct pci_function fuzz_card = {
    .name = "card",
    .intx = true,
    .bars = {[0] = {PCI_BAR_MEMORY64, 0x1000, true, fuzz_bar_read, fuzz_bar_write}},
    .msix_vectors = 4,
    .msix_bar = 2,
};

// What is plugged, by place; and what has left and is to be thrown away, which is not done inside the board's call.
struct fuzz_cards {
    struct pci_function *plugged[BOARD_PLACES], *left[BOARD_PLACES];
    unsigned left_count;
};

static void fuzz_unplugged(void *context, unsigned place, bool let_go)
{
    struct fuzz_cards *cards = context;
    (void)let_go;
    if (place >= BOARD_PLACES || !cards->plugged[place] || cards->left_count == BOARD_PLACES)
        abort();
    cards->left[cards->left_count++] = cards->plugged[place];
    cards->plugged[place] = NULL;
}

static void fuzz_throw_away(struct pci_function *card)
{
    pci_destroy(card);
    free(card);
}

static void fuzz_collect(struct fuzz_cards *cards)
{
    while (cards->left_count)
        fuzz_throw_away(cards->left[--cards->left_count]);
}

static void fuzz_plug(struct board *board, struct fuzz_cards *cards, unsigned place)
{
    struct pci_function *card = malloc(sizeof *card);
    struct error error;
    if (!card)
        abort();
    *card = fuzz_card;
    if (pci_init(card, &error))
        abort();
    const bool taken = cards->plugged[place];
    if (!board_plug(board, card, place, &error) == taken)
        abort();
    if (taken)
        fuzz_throw_away(card);
    else
        cards->plugged[place] = card;
}

struct fuzz_operation {
    u8 what, width, place, flags;
    u32 distance;
    u64 value;
};
static_assert(sizeof(struct fuzz_operation) == 16, "operations are read from the input as they are");

static void fuzz_step(struct board *board, struct pci_function *function, struct fuzz_cards *cards, u64 *now,
                      const struct fuzz_operation *operation)
{
    enum device_space space = operation->what & 1 ? DEVICE_PORTS : DEVICE_MEMORY;
    u64 address = fuzz_places[space == DEVICE_MEMORY][operation->place % ARRAY_SIZE(fuzz_places[0])] +
                  (operation->distance & 0xFFFF);
    unsigned place = operation->place % BOARD_PLACES;
    unsigned bytes = 1 + operation->width % (space == DEVICE_PORTS ? 4 : 8);
    struct kvm_run run = {.ready_for_interrupt_injection = operation->flags & 1};
    switch (operation->what >> 1 & 7) {
    case 0:
        *now += operation->value & 0xFFFFFFFFFF;
        board_timers(board);
        break;
    case 1:
        board_irq(board, operation->distance, operation->flags & 2);
        break;
    case 2:
        pci_intx_set(function, operation->flags & 2);
        pci_msix_raise(function, operation->distance);
        break;
    case 3:
        board_console_receive(board, (const u8 *)&operation->value, 8);
        run.exit_reason = KVM_EXIT_IOAPIC_EOI;
        run.eoi.vector = operation->width;
        board_exit(board, &run);
        break;
    case 4:
        board_read(board, space, address, bytes);
        break;
    case 5:
        if (operation->flags & 2)
            fuzz_plug(board, cards, place);
        else
            board_unplug(board, place, operation->flags & 1);
        break;
    default:
        board_write(board, space, space == DEVICE_PORTS ? (u16)address : address, bytes, operation->value);
        break;
    }
    for (unsigned i = 0; i < BOARD_PLACES; i++) // their guests are busy
        if (cards->plugged[i] && operation->flags & 4)
            pci_msix_raise(cards->plugged[i], operation->distance);
    fuzz_collect(cards);
    board_before_run(board, NULL, &run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct board *board;
    static struct pci_function function;
    static struct engine_vm vm;
    static struct fuzz_cards cards;
    static u64 now;
    struct error error;
    if (!board) {
        const struct clock clock = {fuzz_now, &now};
        const struct board_config config = {
            .engine = &fuzz_engine, .vm = &vm, .memory_bytes = MIB(2), .cpus = 1, .debug = true,
            .clock = &clock, .wall_s = 1, .events = {.context = &cards, .unplugged = fuzz_unplugged}};
        function = (struct pci_function){
            .name = "fuzz",
            .intx = true,
            .bars = {[0] = {PCI_BAR_MEMORY64, 0x1000, true, fuzz_bar_read, fuzz_bar_write},
                     [4] = {PCI_BAR_IO, 0x20, false, fuzz_bar_read, fuzz_bar_write}},
            .msix_vectors = 4,
            .msix_bar = 2,
        };
        board = board_create(&config, &error);
        if (!board || pci_init(&function, &error) || board_attach(board, &function, &error) ||
            board_finish(board, &error))
            abort();
    }
    struct fuzz_operation operation;
    for (size_t at = 0; at + sizeof operation <= size && at < 512 * sizeof operation; at += sizeof operation) {
        memcpy(&operation, data + at, sizeof operation);
        fuzz_step(board, &function, &cards, &now, &operation);
    }
    for (unsigned place = 0; place < BOARD_PLACES; place++)
        board_unplug(board, place, false); // an input is on its own
    fuzz_collect(&cards);
    if (board_reset(board, &error) || board_read(board, DEVICE_MEMORY, BOARD_ECAM, 4) != 0x00081B36)
        abort();
    return 0;
}
