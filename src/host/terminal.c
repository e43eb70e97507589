// See terminal.h. O_NONBLOCK belongs to the file description, and that of standard output is shared with the shell
// and with whatever else runs in the terminal; so we open the same terminal or pipe once more through /proc and set
// it there.
#include "host/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int terminal_reopen(int fd, int mode)
{
    struct stat status;
    char path[32];
    if (fstat(fd, &status) < 0 || !(S_ISFIFO(status.st_mode) || isatty(fd)))
        return -1; // for a file it would lose the position, for a socket it is not possible
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void terminal_open(struct terminal *terminal, int *in, int *out)
{
    *terminal = (struct terminal){.reopened_in = -1, .reopened_out = terminal_reopen(STDOUT_FILENO, O_WRONLY)};
    *out = terminal->reopened_out >= 0 ? terminal->reopened_out : STDOUT_FILENO;
    bool terminal_in = isatty(STDIN_FILENO);
    // A job in the background is stopped when it reads from its terminal.
    terminal->is_terminal = terminal_in && tcgetpgrp(STDIN_FILENO) == getpgrp();
    if (terminal_in && !terminal->is_terminal) {
        *in = -1;
        return;
    }
    terminal->reopened_in = terminal_reopen(STDIN_FILENO, O_RDONLY);
    *in = terminal->reopened_in >= 0 ? terminal->reopened_in : STDIN_FILENO;
}

void terminal_enter_raw(struct terminal *terminal)
{
    if (!terminal->is_terminal || terminal->raw || tcgetattr(STDIN_FILENO, &terminal->before) < 0)
        return;
    struct termios raw = terminal->before;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST; // our own messages end their lines with \n alone
    terminal->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void terminal_leave_raw(struct terminal *terminal)
{
    if (terminal->raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->before);
    terminal->raw = false;
}

void terminal_close(struct terminal *terminal)
{
    terminal_leave_raw(terminal);
    if (terminal->reopened_in > 0)
        close(terminal->reopened_in);
    if (terminal->reopened_out > 0)
        close(terminal->reopened_out);
}

bool terminal_size(const struct terminal *terminal, u16 *columns, u16 *rows)
{
    struct winsize size;
    if (!terminal->is_terminal || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_col || !size.ws_row)
        return false;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return true;
}
