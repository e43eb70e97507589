// The host's end of a guest's consoles: the terminal (raw, with an escape key), a plain pipe where there is no
// terminal, or a Unix socket that any number of viewers connect to. Several devices of one VM may share it (serial
// port and virtio console): all their output goes out, and what is typed goes to the one that spoke last, because that
// is the one that shows a prompt.
//
// One thread moves the bytes. Devices are called by it with no lock of the console held, and they call the console
// from any thread, with any lock of theirs held.
#pragma once

#include "base/error.h"
#include "base/types.h"

enum { CONSOLE_ESCAPE = 0x1D /* Ctrl-] */, CONSOLE_PORTS = 4 };

struct console;

struct console_config {
    // NULL: standard input and output. Otherwise the path of a Unix socket to listen on, for any number of viewers, and
    // that of another, or NULL.
    const char *socket, *socket_too;
    const char *log; // a file that keeps the last of what was said (console_log.h), NULL: none
    // On a terminal, this key and then another one is a command to us: `command` gets the other one, on the console's
    // thread. The key twice sends it to the guest once. 0: none.
    u8 escape;
    void (*command)(void *context, u8 key);
    void *context;
};

// A device's connection; filled by the device, which owns it and detaches it before it goes.
struct console_port {
    void *context;
    // Input; returns how many bytes the device took. If not all, the rest comes after console_ready.
    size_t (*receive)(void *context, const u8 *bytes, size_t count);
    void (*writable)(void *context); // optional: there is room again after a console_write that fell short
    void (*resized)(void *context);  // optional: console_size changed

    struct console *console; // set by console_attach, NULL: none
};

// `console_start` begins to move bytes, and puts the terminal into raw mode. `console_close` writes what is left, for
// as long as the other side takes it, and puts the terminal back.
struct console *console_open(const struct console_config *config, struct error *error);
int console_attach(struct console *console, struct console_port *port, struct error *error);
void console_detach(struct console_port *port); // afterwards it is not called any more; nothing if it is not attached
int console_start(struct console *console, struct error *error);
void console_close(struct console *console);

// Output. Takes as many bytes as there is room for, and never waits.
size_t console_write(struct console_port *port, const u8 *bytes, size_t count);

// Output of a device that cannot wait for room (a serial port): waits for a moment when the terminal or pipe is slow,
// then loses the bytes; that some were lost is said in the output. Viewers at a socket are never waited for.
void console_put(struct console_port *port, const u8 *bytes, size_t count);

// The device has room for input again.
void console_ready(struct console_port *port);

// The terminal's size; false if it has none. Call console_resized on SIGWINCH.
bool console_size(const struct console *console, u16 *columns, u16 *rows);
void console_resized(struct console *console);
