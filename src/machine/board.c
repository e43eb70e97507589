// See board.h. The order of locks: chips, a PCI function's own, interrupt controllers; the map lock is never held while
// one of them is taken. Who holds the interrupt lock calls only into the engine and `events.extint`.
#include "machine/board.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "machine/acpi.h"
#include "machine/board_parts.h"

enum { GSI_PIT = 0, GSI_KEYBOARD = 1, GSI_COM1 = 4, GSI_RTC = 8, GSI_SCI = 9, PIT_PIN = 2 };
enum { BDA_COM1 = 0x400, BDA_EBDA = 0x40E, BDA_MEMORY = 0x413 };
static_assert((int)BOARD_IOAPIC_PINS == IOAPIC_PINS, "one GSI for each pin");
static_assert((int)BOARD_SLOTS == PCI_HOST_SLOTS, "what board.h says of the bus");
static_assert((int)BOARD_PLACES == PCI_HOST_PLUGS, "likewise");
static_assert(PCI_HOST_PLUG_FIRST + PCI_HOST_PLUGS == PCI_HOST_SLOTS, "the last ones");
static_assert(PCI_HOST_INTX_GSI + PCI_HOST_INTX_LINES <= IOAPIC_PINS, "INTx lines are pins");

// --- Time ---

static u64 board_host_now(void *context)
{
    struct board *board = context;
    struct timespec now;
    if (board->paused)
        return board->paused_at;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)(now.tv_sec - board->origin.tv_sec) * NS_PER_S + (u64)now.tv_nsec - (u64)board->origin.tv_nsec;
}

void board_rearm(struct board *board)
{
    if (board->paused)
        return;
    u64 next = timer_next(&board->timers);
    if (next == board->armed)
        return;
    board->armed = next;
    struct itimerspec when = {0};
    if (next != TIMER_NEVER) {
        u64 now = clock_now(&board->timers.clock);
        u64 left = next > now ? next - now : 1; // 0 would disarm
        when.it_value = (struct timespec){.tv_sec = (time_t)(left / NS_PER_S), .tv_nsec = (long)(left % NS_PER_S)};
    }
    timerfd_settime(board->timer_fd, 0, &when, NULL);
}

int board_timer_fd(const struct board *board) { return board->timer_fd; }

void board_timers(struct board *board)
{
    u64 expirations;
    ssize_t ignored = read(board->timer_fd, &expirations, sizeof expirations);
    (void)ignored; // not expired after all: nothing below is due then
    pthread_mutex_lock(&board->chip_lock);
    if (!board->paused)
        timer_run(&board->timers);
    board->armed = TIMER_NEVER; // it fired, so it is not armed any more
    board_rearm(board);
    pthread_mutex_unlock(&board->chip_lock);
}

// --- Interrupts ---

// Under irq_lock. An ISA line goes to both kinds of controller; the timer's arrives at pin 2 of the IOAPIC (MADT
// override).
static void board_irq_locked(struct board *board, unsigned gsi, bool level)
{
    if (gsi < PIC_LINES)
        pic_line(&board->pic, gsi, level);
    ioapic_line(&board->ioapic, gsi == GSI_PIT ? PIT_PIN : gsi, level);
}

void board_irq(struct board *board, unsigned gsi, bool level)
{
    pthread_mutex_lock(&board->irq_lock);
    board_irq_locked(board, gsi, level);
    pthread_mutex_unlock(&board->irq_lock);
}

static void board_wire(void *context, unsigned gsi, bool level) { board_irq(context, gsi, level); }

static void board_intx(void *context, unsigned gsi, unsigned slot, bool level)
{
    struct board *board = context;
    pthread_mutex_lock(&board->irq_lock);
    u32 *slots = &board->intx[gsi - PCI_HOST_INTX_GSI];
    *slots = level ? *slots | (u32)1 << slot : *slots & ~((u32)1 << slot);
    board_irq_locked(board, gsi, *slots != 0);
    pthread_mutex_unlock(&board->irq_lock);
}

static void board_message(void *context, u64 address, u32 data)
{
    struct board *board = context;
    struct kvm_msi msi = {.address_lo = (u32)address, .address_hi = (u32)(address >> 32), .data = data};
    board->config.engine->vm_ioctl(board->config.vm, KVM_SIGNAL_MSI, &msi);
}

// The engine learns from the routes of GSI 0..23 which vectors' EOIs the IOAPIC wants to hear of.
static void board_routes(void *context)
{
    struct board *board = context;
    union {
        struct kvm_irq_routing routing;
        u8 room[sizeof(struct kvm_irq_routing) + IOAPIC_PINS * sizeof(struct kvm_irq_routing_entry)];
    } table = {.routing = {.nr = IOAPIC_PINS}};
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        u64 address;
        u32 data;
        ioapic_pin_message(&board->ioapic, pin, &address, &data);
        table.routing.entries[pin] = (struct kvm_irq_routing_entry){
            .gsi = pin,
            .type = KVM_IRQ_ROUTING_MSI,
            .u.msi = {.address_lo = (u32)address, .address_hi = (u32)(address >> 32), .data = data},
        };
    }
    board->config.engine->vm_ioctl(board->config.vm, KVM_SET_GSI_ROUTING, &table.routing);
}

static void board_extint(void *context, unsigned number, bool level)
{
    struct board *board = context;
    (void)number;
    atomic_store(&board->extint, level);
    if (level && board->config.events.extint)
        board->config.events.extint(board->config.events.context);
}

int board_before_run(struct board *board, struct engine_vcpu *vcpu, struct kvm_run *run)
{
    run->request_interrupt_window = 0;
    if (LIKELY(!atomic_load(&board->extint)))
        return 0;
    int result = 0;
    if (run->ready_for_interrupt_injection) {
        pthread_mutex_lock(&board->irq_lock);
        struct kvm_interrupt interrupt = {.irq = pic_acknowledge(&board->pic)};
        pthread_mutex_unlock(&board->irq_lock);
        result = board->config.engine->vcpu_ioctl(vcpu, KVM_INTERRUPT, &interrupt);
        // One at a time: the engine can take the next only after this one went in.
        run->ready_for_interrupt_injection = 0;
    }
    run->request_interrupt_window = atomic_load(&board->extint);
    return result < 0 ? result : 0;
}

// --- What chips ask of the world ---

static void board_call(struct board *board, void (*event)(void *context))
{
    if (event)
        event(board->config.events.context);
}

static void board_shutdown(void *context) { board_call(context, ((struct board *)context)->config.events.shutdown); }
static void board_request_reset(void *context) { board_call(context, ((struct board *)context)->config.events.reset); }

static void board_debug_exit(void *context, unsigned status)
{
    struct board *board = context;
    if (board->config.events.debug_exit)
        board->config.events.debug_exit(board->config.events.context, status);
}

static void board_flush_page(void *context, u64 gpa) { memory_unmap_page(((struct board *)context)->memory, gpa); }

static void board_hotplug_event(void *context)
{
    struct board *board = context;
    if (!board->paused) // otherwise board_resume finds it
        acpi_pm_event(&board->pm, ACPI_PM_GPE_HOTPLUG);
}

static void board_hotplug_leave(void *context, unsigned slot, bool let_go)
{
    struct board *board = context;
    struct pci_function *function = pci_host_detach(&board->pci, slot);
    if (function && board->config.events.unplugged)
        board->config.events.unplugged(board->config.events.context, slot - PCI_HOST_PLUG_FIRST, let_go);
}

void board_power_button(struct board *board)
{
    pthread_mutex_lock(&board->chip_lock);
    board->power_button = board->paused;
    if (!board->paused)
        acpi_pm_power_button(&board->pm);
    board_rearm(board);
    pthread_mutex_unlock(&board->chip_lock);
}

size_t board_console_receive(struct board *board, const u8 *bytes, size_t count)
{
    pthread_mutex_lock(&board->chip_lock);
    size_t taken = board->paused ? 0 : uart_receive(&board->com1, bytes, count);
    board->com1.refused |= taken < count; // also because of the pause: it is offered again afterwards
    pthread_mutex_unlock(&board->chip_lock);
    return taken;
}

// --- The list of parts ---

const struct board_part board_parts[BOARD_PARTS] = {
    {.model = &pic_model, .offset = offsetof(struct board, pic), .irq_lock = true},
    {.model = &ioapic_model, .offset = offsetof(struct board, ioapic), .irq_lock = true},
    {.model = &pit_model, .offset = offsetof(struct board, pit)},
    {.model = &rtc_model, .offset = offsetof(struct board, rtc)},
    {.model = &acpi_pm_model, .offset = offsetof(struct board, pm)},
    {.model = &uart_com1_model, .offset = offsetof(struct board, com1)},
    {.model = &i8042_model, .offset = offsetof(struct board, i8042)},
    {.model = &pci_host_model, .offset = offsetof(struct board, pci)},
    {.model = &pci_hotplug_model, .offset = offsetof(struct board, hotplug)},
    {.model = &fwcfg_model, .offset = offsetof(struct board, fwcfg), .debug = true},
    {.model = &testdev_model, .offset = offsetof(struct board, testdev), .debug = true},
};

static int board_add_parts(struct board *board, struct error *error)
{
    for (unsigned i = 0; i < BOARD_PARTS; i++) {
        const struct board_part *part = &board_parts[i];
        if (part->debug && !board->config.debug)
            continue;
        pthread_mutex_t *lock = part->irq_lock ? &board->irq_lock : &board->chip_lock;
        if (!board_bus_add_chip(&board->bus, part->model, (u8 *)board + part->offset, lock))
            return error_set(error, "board: %s overlaps another chip", part->model->name);
    }
    return 0;
}

static void board_wire_up(struct board *board)
{
    board->pic.intr = (struct wire){board_extint, board, 0};
    board->ioapic.context = board;
    board->ioapic.message = board_message;
    board->ioapic.routes = board_routes;
    board->pit.irq = (struct wire){board_wire, board, GSI_PIT};
    pit_init(&board->pit, &board->timers);
    board->rtc.irq = (struct wire){board_wire, board, GSI_RTC};
    s64 wall = board->config.wall_s ? board->config.wall_s : (s64)time(NULL);
    rtc_init(&board->rtc, &board->timers, wall - (s64)(clock_now(&board->timers.clock) / NS_PER_S));
    u64 low = board->config.memory_bytes < MEMORY_HOLE ? board->config.memory_bytes : MEMORY_HOLE;
    rtc_describe(&board->rtc, low, board->config.memory_bytes - low, board->config.cpus);
    board->pm.sci = (struct wire){board_wire, board, GSI_SCI};
    board->pm.shutdown = board_shutdown;
    board->pm.context = board;
    acpi_pm_init(&board->pm, &board->timers);
    board->hotplug.slots = (((u32)1 << PCI_HOST_PLUGS) - 1) << PCI_HOST_PLUG_FIRST;
    board->hotplug.context = board;
    board->hotplug.event = board_hotplug_event;
    board->hotplug.leave = board_hotplug_leave;
    pci_hotplug_init(&board->hotplug, &board->timers);
    board->com1.irq = (struct wire){board_wire, board, GSI_COM1};
    board->com1.backend = board->config.console;
    board->i8042.keyboard_irq = (struct wire){board_wire, board, GSI_KEYBOARD};
    board->i8042.reset_cpu = board_request_reset;
    board->i8042.context = board;
    board->fwcfg.ram_bytes = board->config.memory_bytes;
    board->fwcfg.cpus = (u16)board->config.cpus;
    board->testdev.context = board;
    board->testdev.exit = board_debug_exit;
    board->testdev.line = board_wire;
    board->testdev.flush_page = board_flush_page;
    board->pci.bus = &board->bus;
    board->pci.lock = &board->chip_lock;
    board->pci.context = board;
    board->pci.message = board_message;
    board->pci.intx = board_intx;
    board->pci.reset_machine = board_request_reset;
}

static int board_add_memory(struct board *board, struct error *error)
{
    const struct board_config *config = &board->config;
    board->memory = memory_create(config->memory_bytes, error);
    if (!board->memory)
        return -1;
    u64 more = config->memory_most > config->memory_bytes ? config->memory_most - config->memory_bytes : 0;
    if (more && memory_reserve(board->memory, more, error))
        return -1;
    return memory_attach(board->memory, config->engine, config->vm, error);
}

struct board *board_create(const struct board_config *config, struct error *error)
{
    if (config->cpus < 1 || config->cpus > ENGINE_MAX_VCPUS) {
        error_set(error, "%u processors: must be 1 to %u", config->cpus, ENGINE_MAX_VCPUS);
        return NULL;
    }
    struct board *board = calloc(1, sizeof *board);
    if (!board) {
        error_set(error, "board: out of host memory");
        return NULL;
    }
    board->config = *config;
    board->armed = TIMER_NEVER;
    clock_gettime(CLOCK_MONOTONIC, &board->origin);
    board->timers.clock = config->clock ? *config->clock : (struct clock){board_host_now, board};
    board->config.clock = NULL; // the caller's may be gone after this
    pthread_mutex_init(&board->chip_lock, NULL);
    pthread_mutex_init(&board->irq_lock, NULL);
    board_bus_init(&board->bus, config->engine, config->vm);
    board_wire_up(board);
    board->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (board->timer_fd < 0)
        error_set(error, "board: timerfd: %s", strerror(errno));
    else if (!pci_host_init(&board->pci, error) && !board_add_parts(board, error) &&
             !board_add_memory(board, error))
        return board;
    board_destroy(board);
    return NULL;
}

void board_destroy(struct board *board)
{
    if (!board)
        return;
    pci_host_destroy(&board->pci);
    memory_destroy(board->memory);
    if (board->timer_fd >= 0)
        close(board->timer_fd);
    board_bus_destroy(&board->bus);
    pthread_mutex_destroy(&board->irq_lock);
    pthread_mutex_destroy(&board->chip_lock);
    free(board);
}

int board_attach(struct board *board, struct pci_function *function, struct error *error)
{
    if (board->finished)
        return error_set(error, "PCI function %s: the board is finished, and this is no card that can be plugged",
                         function->name);
    return pci_host_attach(&board->pci, function, error);
}

int board_plug(struct board *board, struct pci_function *function, unsigned place, struct error *error)
{
    if (place >= BOARD_PLACES)
        return error_set(error, "PCI function %s: place %u is beyond the last, %u", function->name, place,
                         BOARD_PLACES - 1);
    pthread_mutex_lock(&board->chip_lock);
    int result = pci_host_attach_at(&board->pci, function, PCI_HOST_PLUG_FIRST + place, error);
    if (!result && board->finished) {
        pci_reset(function);
        pci_hotplug_plug(&board->hotplug, function->slot);
        board_rearm(board);
    }
    pthread_mutex_unlock(&board->chip_lock);
    return result;
}

void board_unplug(struct board *board, unsigned place, bool ask)
{
    pthread_mutex_lock(&board->chip_lock);
    if (ask)
        pci_hotplug_ask(&board->hotplug, PCI_HOST_PLUG_FIRST + place);
    else
        pci_hotplug_pull(&board->hotplug, PCI_HOST_PLUG_FIRST + place);
    board_rearm(board);
    pthread_mutex_unlock(&board->chip_lock);
}

// What a BIOS leaves in its data area: where conventional memory ends and where COM1 is.
static bool board_write_bda(struct board *board)
{
    const u16 com1 = 0x3F8, ebda = BOARD_EBDA >> 4, kilobytes = BOARD_EBDA >> 10;
    return memory_write(board->memory, BDA_COM1, &com1, 2) && memory_write(board->memory, BDA_EBDA, &ebda, 2) &&
           memory_write(board->memory, BDA_MEMORY, &kilobytes, 2);
}

int board_reset(struct board *board, struct error *error)
{
    pthread_mutex_lock(&board->chip_lock);
    for (unsigned i = 0; i < BOARD_PARTS; i++) {
        const struct board_part *part = &board_parts[i];
        if (part->irq_lock)
            pthread_mutex_lock(&board->irq_lock);
        part->model->reset((u8 *)board + part->offset);
        if (part->irq_lock)
            pthread_mutex_unlock(&board->irq_lock);
    }
    int result = pci_host_assign(&board->pci, error);
    board_rearm(board);
    pthread_mutex_unlock(&board->chip_lock);
    if (result < 0)
        return -1;
    if (!board_write_bda(board))
        return error_set(error, "board: no memory below 1 MiB");
    return acpi_write(board->memory, board->config.cpus, error);
}

int board_finish(struct board *board, struct error *error)
{
    board->finished = true;
    return board_reset(board, error);
}

// --- What others ask of the board ---

struct memory *board_memory(struct board *board) { return board->memory; }

u64 board_rsdp(const struct board *board)
{
    (void)board;
    return BOARD_ACPI;
}

unsigned board_map(const struct board *board, struct board_map_entry *entries, unsigned most)
{
    u64 low = board->config.memory_bytes < MEMORY_HOLE ? board->config.memory_bytes : MEMORY_HOLE;
    u64 high = board->config.memory_bytes - low;
    const struct board_map_entry map[] = {
        {0, BOARD_EBDA, BOARD_MAP_RAM},
        {BOARD_EBDA, 0xA0000 - BOARD_EBDA, BOARD_MAP_RESERVED},
        {BOARD_ACPI, BOARD_ACPI_END - BOARD_ACPI, BOARD_MAP_RESERVED},
        {MIB(1), low - MIB(1), BOARD_MAP_RAM},
        {BOARD_ECAM, BOARD_ECAM_BYTES, BOARD_MAP_RESERVED},
        {MEMORY_HIGH, high, BOARD_MAP_RAM},
    };
    unsigned count = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(map) && count < most; i++)
        if (map[i].bytes)
            entries[count++] = map[i];
    return count;
}

// Timers may have moved. All chips that have one are reached by ports; asking after each is one uncontended lock, small
// against the exit that brought us here.
static void board_after_access(struct board *board)
{
    pthread_mutex_lock(&board->chip_lock);
    board_rearm(board);
    pthread_mutex_unlock(&board->chip_lock);
}

u64 board_read(struct board *board, enum device_space space, u64 address, unsigned bytes)
{
    u64 value = board_bus_read(&board->bus, space, address, bytes);
    if (space == DEVICE_PORTS)
        board_after_access(board);
    return value;
}

void board_write(struct board *board, enum device_space space, u64 address, unsigned bytes, u64 value)
{
    board_bus_write(&board->bus, space, address, bytes, value);
    if (space == DEVICE_PORTS)
        board_after_access(board);
}

static void board_exit_io(struct board *board, struct kvm_run *run)
{
    u8 *data = (u8 *)run + run->io.data_offset;
    unsigned bytes = run->io.size;
    for (u32 i = 0; i < run->io.count; i++, data += bytes) {
        u64 value = 0;
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, bytes);
            board_write(board, DEVICE_PORTS, run->io.port, bytes, value);
        } else {
            value = board_read(board, DEVICE_PORTS, run->io.port, bytes);
            memcpy(data, &value, bytes);
        }
    }
}

static void board_exit_mmio(struct board *board, struct kvm_run *run)
{
    unsigned bytes = run->mmio.len;
    u64 value = 0;
    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, bytes);
        board_write(board, DEVICE_MEMORY, run->mmio.phys_addr, bytes, value);
    } else {
        value = board_read(board, DEVICE_MEMORY, run->mmio.phys_addr, bytes);
        memcpy(run->mmio.data, &value, bytes);
    }
}

bool board_exit(struct board *board, struct kvm_run *run)
{
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        board_exit_io(board, run);
        return true;
    case KVM_EXIT_MMIO:
        board_exit_mmio(board, run);
        return true;
    case KVM_EXIT_IOAPIC_EOI:
        pthread_mutex_lock(&board->irq_lock);
        ioapic_eoi(&board->ioapic, run->eoi.vector);
        pthread_mutex_unlock(&board->irq_lock);
        return true;
    default:
        return false;
    }
}
