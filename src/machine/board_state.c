// The board as something that can stand still. See board.h.
#include "machine/board_parts.h"

#include <sys/timerfd.h>

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
        board->armed = TIMER_NEVER;
        board_rearm(board);
    }
    if (board->com1.refused && board->config.console.room)
        board->config.console.room(board->config.console.context);
    pthread_mutex_unlock(&board->chip_lock);
}
