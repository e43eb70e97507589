// See pci_hotplug.h.
#include "device/pci_hotplug.h"

static u32 pci_hotplug_bit(const struct pci_hotplug *hotplug, unsigned slot)
{
    return slot < 32 ? (u32)1 << slot & hotplug->slots : 0;
}

void pci_hotplug_plug(struct pci_hotplug *hotplug, unsigned slot)
{
    hotplug->plugged |= pci_hotplug_bit(hotplug, slot);
    hotplug->event(hotplug->context);
}

void pci_hotplug_ask(struct pci_hotplug *hotplug, unsigned slot)
{
    u32 bit = pci_hotplug_bit(hotplug, slot);
    hotplug->leaving |= bit;
    hotplug->asked |= bit;
    timer_arm(&hotplug->patience, timer_now(&hotplug->patience) + PCI_HOTPLUG_PATIENCE);
    hotplug->event(hotplug->context);
}

static void pci_hotplug_leave(struct pci_hotplug *hotplug, unsigned slot, bool let_go)
{
    u32 bit = pci_hotplug_bit(hotplug, slot);
    hotplug->leaving &= ~bit;
    hotplug->asked &= ~bit;
    if (!hotplug->asked)
        timer_disarm(&hotplug->patience);
    hotplug->leave(hotplug->context, slot, let_go);
}

void pci_hotplug_pull(struct pci_hotplug *hotplug, unsigned slot)
{
    pci_hotplug_leave(hotplug, slot, false);
    hotplug->plugged &= ~pci_hotplug_bit(hotplug, slot);
    hotplug->leaving |= pci_hotplug_bit(hotplug, slot);
    hotplug->event(hotplug->context);
}

static void pci_hotplug_expire(void *context, u64 now)
{
    struct pci_hotplug *hotplug = context;
    (void)now;
    for (unsigned slot = 0; slot < 32; slot++)
        if (hotplug->asked >> slot & 1)
            pci_hotplug_pull(hotplug, slot);
}

void pci_hotplug_init(struct pci_hotplug *hotplug, struct timer_list *timers)
{
    timer_init(&hotplug->patience, timers, pci_hotplug_expire, hotplug);
}

static u64 pci_hotplug_read(void *chip, u64 offset, unsigned bytes)
{
    const struct pci_hotplug *hotplug = chip;
    if (bytes != 4)
        return UINT64_MAX;
    return offset == PCI_HOTPLUG_PLUGGED ? hotplug->plugged : offset == PCI_HOTPLUG_LEAVING ? hotplug->leaving : 0;
}

static void pci_hotplug_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct pci_hotplug *hotplug = chip;
    if (bytes != 4)
        return;
    if (offset == PCI_HOTPLUG_PLUGGED)
        hotplug->plugged &= ~(u32)value;
    else if (offset == PCI_HOTPLUG_LEAVING)
        hotplug->leaving &= ~(u32)value;
    for (unsigned slot = 0; offset == PCI_HOTPLUG_EJECT && slot < 32; slot++)
        if (value >> slot & hotplug->asked >> slot & 1)
            pci_hotplug_leave(hotplug, slot, true);
}

// A guest that starts anew finds what is there, and need not be asked for what was to leave: nobody holds it.
static void pci_hotplug_reset(void *chip)
{
    struct pci_hotplug *hotplug = chip;
    u32 asked = hotplug->asked;
    for (unsigned slot = 0; slot < 32; slot++)
        if (asked >> slot & 1)
            pci_hotplug_leave(hotplug, slot, false);
    hotplug->plugged = hotplug->leaving = 0;
}

static const struct state_field pci_hotplug_fields[] = {
    STATE_FIELD(struct pci_hotplug, plugged),
    STATE_FIELD(struct pci_hotplug, leaving),
    STATE_FIELD(struct pci_hotplug, asked),
    TIMER_STATE(struct pci_hotplug, patience),
};

static int pci_hotplug_loaded(void *object, struct error *error)
{
    const struct pci_hotplug *hotplug = object;
    if ((hotplug->plugged | hotplug->leaving | hotplug->asked) & ~hotplug->slots)
        return error_set(error, "pci-hotplug: a card that came or goes is in a slot that has none");
    return 0;
}

static const struct state_section pci_hotplug_state =
    STATE_SECTION("pci-hotplug", 1, pci_hotplug_fields, .post_load = pci_hotplug_loaded);

const struct device_model pci_hotplug_model = {
    .name = "pci-hotplug",
    .ranges = {{DEVICE_PORTS, PCI_HOTPLUG_PORT, PCI_HOTPLUG_PORTS, 4, pci_hotplug_read, pci_hotplug_write}},
    .reset = pci_hotplug_reset,
    .state = &pci_hotplug_state,
};
