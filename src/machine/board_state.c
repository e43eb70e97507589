// The board as something that can stand still, be written down and be set up again. See board.h.
#include "machine/board_parts.h"

#include <sys/timerfd.h>

#include "machine/saved_state.h"

void board_pause(struct board *board)
{
    pthread_mutex_lock(&board->chip_lock);
    if (!board->paused) {
        const struct itimerspec never = {0};
        board->paused_at = clock_now(&board->timers.clock);
        board->paused_wall = (s64)time(NULL);
        board->paused = true;
        timerfd_settime(board->timer_fd, 0, &never, NULL);
    }
    pthread_mutex_unlock(&board->chip_lock);
}

// Guest time goes on from where it stopped; the date, which a real board's battery keeps, does not.
static void board_start_time(struct board *board)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    s64 origin = (s64)now.tv_sec * (s64)NS_PER_S + now.tv_nsec - (s64)board->paused_at;
    s64 seconds = origin / (s64)NS_PER_S, rest = origin % (s64)NS_PER_S;
    board->origin = (struct timespec){.tv_sec = rest < 0 ? seconds - 1 : seconds,
                                      .tv_nsec = rest < 0 ? rest + (s64)NS_PER_S : rest};
    board->paused = false;
    rtc_skip(&board->rtc, (s64)time(NULL) - board->paused_wall);
}

void board_resume(struct board *board)
{
    pthread_mutex_lock(&board->chip_lock);
    if (board->paused) {
        board_start_time(board);
        if (board->power_button)
            acpi_pm_power_button(&board->pm);
        board->power_button = false;
        if (board->hotplug.plugged | board->hotplug.leaving)
            acpi_pm_event(&board->pm, ACPI_PM_GPE_HOTPLUG);
        board->armed = TIMER_NEVER;
        board_rearm(board);
    }
    if (board->com1.refused && board->config.console.room)
        board->config.console.room(board->config.console.context);
    pthread_mutex_unlock(&board->chip_lock);
}

// What belongs to no chip. Comes first, because chips compare their times with guest time.
static const struct state_field board_fields[] = {
    STATE_RANGE(struct board, paused_at, 0, (u64)1 << 62),
    STATE_RANGE(struct board, paused_wall, 0, (u64)1 << 62),
    STATE_BOOL(struct board, power_button),
    STATE_ARRAY(struct board, intx),
};

static const struct state_section board_section = STATE_SECTION("board", 1, board_fields);

static bool board_has_part(const struct board *board, const struct board_part *part)
{
    return !part->debug || board->config.debug;
}

static int board_save_parts(struct board *board, struct state_writer *writer, struct error *error)
{
    if (state_writer_put(writer, &board_section, 0, board, error))
        return -1;
    for (unsigned i = 0; i < BOARD_PARTS; i++) {
        const struct board_part *part = &board_parts[i];
        if (board_has_part(board, part) &&
            state_writer_put(writer, part->model->state, 0, (u8 *)board + part->offset, error))
            return -1;
    }
    struct pci_state bridge;
    pci_save(&board->pci.bridge, &bridge);
    return state_writer_put(writer, &pci_section, 0, &bridge, error);
}

static int board_restore_parts(struct board *board, struct state_reader *reader, struct error *error)
{
    if (state_reader_take(reader, &board_section, 0, board, error))
        return -1;
    for (unsigned i = 0; i < BOARD_PARTS; i++) {
        const struct board_part *part = &board_parts[i];
        if (board_has_part(board, part) &&
            state_reader_take(reader, part->model->state, 0, (u8 *)board + part->offset, error))
            return -1;
    }
    struct pci_state bridge;
    if (state_reader_take(reader, &pci_section, 0, &bridge, error))
        return -1;
    atomic_store(&board->extint, board->pic.intr_level);
    return pci_restore(&board->pci.bridge, &bridge, error);
}

// Everything is still, so the locks are for the order of memory alone.
int board_save(struct board *board, struct state_writer *writer, struct error *error)
{
    pthread_mutex_lock(&board->chip_lock);
    pthread_mutex_lock(&board->irq_lock);
    int result = board_save_parts(board, writer, error);
    pthread_mutex_unlock(&board->irq_lock);
    pthread_mutex_unlock(&board->chip_lock);
    return result;
}

int board_restore(struct board *board, struct state_reader *reader, struct error *error)
{
    pthread_mutex_lock(&board->chip_lock);
    pthread_mutex_lock(&board->irq_lock);
    int result = board_restore_parts(board, reader, error);
    pthread_mutex_unlock(&board->irq_lock);
    pthread_mutex_unlock(&board->chip_lock);
    return result;
}

int board_restore_function(struct board *board, struct pci_function *function, const struct pci_state *state,
                           struct error *error)
{
    pthread_mutex_lock(&board->chip_lock);
    int result = pci_restore(function, state, error);
    pthread_mutex_unlock(&board->chip_lock);
    return result;
}
