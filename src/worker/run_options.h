// The command line of `nidus run`: one table says what each option takes and means; help, errors and the manual's test
// are made from it.
#pragma once

#include <stdio.h>

#include "base/error.h"
#include "engine/engine.h"

enum { RUN_MEMORY_BUFFER = 20 /* percent */, RUN_MEMORY_BUFFER_MOST = 2000 };
enum { RUN_DISKS = 8, RUN_ADAPTERS = 8, RUN_INITRD = 4096 };

struct run_disk {
    char *path; // owned
    bool readonly;
    const char *format; // of disk.h, NULL: the name says it
};

enum run_console { RUN_CONSOLE_STDIO, RUN_CONSOLE_SOCKET };

enum run_net {
    RUN_NET_NONE, // a cable to nowhere
    RUN_NET_USER,
    RUN_NET_WIRE, // to a switch, as the service plugs it; no option asks for it
};

struct run_adapter {
    bool present;
    enum run_net net;
    u8 mac[6];
    bool plugged; // RUN_NET_WIRE: its cable is about to come
};

struct run_options {
    unsigned cpus;
    u64 memory_bytes; // at power-on
    u64 memory_minimum, memory_maximum; // while it runs; both memory_bytes, or 0: fixed
    unsigned memory_buffer;             // percent
    const char *engine;
    bool nested;
    enum engine_vendor vendor;
    const char *kernel;
    const char *initrd; // NULL: none
    const char *append;
    struct run_disk disks[RUN_DISKS];
    unsigned disk_count;
    struct run_adapter adapters[RUN_ADAPTERS]; // each at its place on the board (board_plug)
    enum run_console console;
    const char *console_path;
    const char *console_path_too; // another socket of the same console, or NULL
    const char *console_log; // a file that keeps what was last said; NULL: none
    const char *name;
    const char *state;   // where a save goes, NULL: the VM cannot be saved
    const char *restore; // what to go on from, NULL: power-on
    bool no_reboot;
    bool debug_exit;
    u32 user; // whom a worker becomes, and what it starts; 0: who it is
    unsigned trace; // enum engine_trace
    bool help, version;
};

// Reads argv[1..]; argv[0] is the word "run". 0, or -1 with what is wrong and what was expected. The strings stay the
// caller's; run_options_free releases the rest.
int run_options_parse(struct run_options *options, int argc, char **argv, struct error *error);
void run_options_free(struct run_options *options);

void run_options_help(FILE *to);

// The options' names with their dashes, for tests of the manual; NULL past the last.
const char *run_option_name(unsigned index);

// A size in bytes: a number with K, M, G or T, or MiB without. False if it is none.
bool run_size_parse(const char *text, u64 *bytes);
