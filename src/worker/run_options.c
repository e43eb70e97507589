// See run_options.h.
#include "worker/run_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "memory/memory.h"
#include "worker/suggest.h"

struct run_option {
    const char *name;
    const char *value; // what it takes, NULL: nothing
    const char *help;
    int (*take)(struct run_options *options, const char *value, struct error *error);
};

// One of the words of a NULL-ended list, or -1 with an error that names them all.
static int run_choice(const char *option, const char *value, const char *const *words, struct error *error)
{
    char list[128] = "";
    for (int i = 0; words[i]; i++)
        if (!strcmp(value, words[i]))
            return i;
    for (int i = 0; words[i]; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
    }
    return error_set(error, "%s %s: expected %s", option, value, list);
}

bool run_size_parse(const char *text, u64 *bytes)
{
    static const struct {
        char letter;
        unsigned shift;
    } units[] = {{'K', 10}, {'M', 20}, {'G', 30}, {'T', 40}};
    char *end;
    unsigned shift = 20;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    u64 number = strtoull(text, &end, 10);
    for (size_t i = 0; i < ARRAY_SIZE(units) && *end; i++)
        if ((*end & ~0x20) == units[i].letter) {
            shift = units[i].shift;
            end++;
            end += !strcmp(end, "iB") || !strcmp(end, "ib") ? 2 : !strcmp(end, "B") || !strcmp(end, "b") ? 1 : 0;
            break;
        }
    if (errno || *end || number > ~0ULL >> shift)
        return false;
    *bytes = number << shift;
    return true;
}

static int run_take_cpus(struct run_options *options, const char *value, struct error *error)
{
    char *end;
    unsigned long number = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || number < 1 || number > ENGINE_MAX_VCPUS)
        return error_set(error, "--cpus %s: expected a number from 1 to %d", value, ENGINE_MAX_VCPUS);
    options->cpus = (unsigned)number;
    return 0;
}

// A size of memory, of `--memory VALUE`'s part `text`.
static int run_memory_size(const char *text, u64 *bytes, struct error *error)
{
    if (!run_size_parse(text, bytes))
        return error_set(error, "--memory %s: expected a number with K, M, G or T (MiB without), such as 512M", text);
    if (*bytes < MEMORY_LEAST || *bytes > MEMORY_MOST)
        return error_set(error, "--memory %s: a VM has from %" PRIu64 " MiB to %" PRIu64 " GiB", text,
                         MEMORY_LEAST >> 20, MEMORY_MOST >> 30);
    if (*bytes % PAGE_BYTES)
        return error_set(error, "--memory %s: expected a multiple of %d KiB", text, PAGE_BYTES >> 10);
    return 0;
}

static int run_memory_buffer(const char *text, unsigned *percent, struct error *error)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || number > RUN_MEMORY_BUFFER_MOST)
        return error_set(error, "--memory buffer=%s: expected a percentage from 0 to %d", text, RUN_MEMORY_BUFFER_MOST);
    *percent = (unsigned)number;
    return 0;
}

static int run_memory_setting(struct run_options *options, const char *setting, struct error *error)
{
    if (!strncmp(setting, "min=", 4))
        return run_memory_size(setting + 4, &options->memory_minimum, error);
    if (!strncmp(setting, "max=", 4))
        return run_memory_size(setting + 4, &options->memory_maximum, error);
    if (!strncmp(setting, "buffer=", 7))
        return run_memory_buffer(setting + 7, &options->memory_buffer, error);
    return error_set(error, "--memory %s: expected min=SIZE, max=SIZE or buffer=PERCENT", setting);
}

static int run_take_memory(struct run_options *options, const char *value, struct error *error)
{
    char text[128], *rest = text;
    if ((size_t)snprintf(text, sizeof text, "%s", value) >= sizeof text)
        return error_set(error, "--memory %s: expected SIZE[,min=SIZE][,max=SIZE][,buffer=PERCENT]", value);
    if (run_memory_size(strsep(&rest, ","), &options->memory_bytes, error))
        return -1;
    options->memory_minimum = options->memory_maximum = options->memory_bytes;
    options->memory_buffer = RUN_MEMORY_BUFFER;
    for (char *setting; (setting = strsep(&rest, ","));)
        if (run_memory_setting(options, setting, error))
            return -1;
    if (options->memory_minimum > options->memory_bytes || options->memory_maximum < options->memory_bytes)
        return error_set(error, "--memory %s: a VM starts with no less than its minimum and no more than its maximum",
                         value);
    return 0;
}

static int run_take_engine(struct run_options *options, const char *value, struct error *error)
{
    static const char *const words[] = {"auto", "soft", "kvm", NULL};
    if (run_choice("--engine", value, words, error) < 0)
        return -1;
    options->engine = value;
    return 0;
}

static int run_take_nested(struct run_options *options, const char *value, struct error *error)
{
    static const char *const words[] = {"on", "off", NULL};
    int choice = run_choice("--nested", value, words, error);
    options->nested = choice == 0;
    return choice < 0 ? -1 : 0;
}

static int run_take_vendor(struct run_options *options, const char *value, struct error *error)
{
    static const char *const words[] = {"intel", NULL};
    options->vendor = ENGINE_VENDOR_INTEL;
    return run_choice("--vendor", value, words, error) < 0 ? -1 : 0;
}

static int run_take_kernel(struct run_options *options, const char *value, struct error *error)
{
    (void)error;
    options->kernel = value;
    return 0;
}

static int run_take_initrd(struct run_options *options, const char *value, struct error *error)
{
    (void)error;
    options->initrd = value;
    return 0;
}

static int run_take_append(struct run_options *options, const char *value, struct error *error)
{
    (void)error;
    options->append = value;
    return 0;
}

// Takes a setting off the end of `path`. The words behind the last comma are settings only if nidus knows them: file
// names may hold commas.
static bool run_disk_setting(char *path, struct run_disk *disk)
{
    static const char *const formats[] = {"raw", "qcow2", "vpc", "vhdx"};
    char *comma = strrchr(path, ',');
    if (!comma || comma == path)
        return false;
    bool known = !strcmp(comma, ",readonly");
    disk->readonly |= known;
    for (size_t i = 0; i < ARRAY_SIZE(formats) && !known; i++)
        if (!strncmp(comma, ",format=", 8) && !strcmp(comma + 8, formats[i])) {
            disk->format = formats[i];
            known = true;
        }
    if (known)
        *comma = 0;
    return known;
}

static int run_take_disk(struct run_options *options, const char *value, struct error *error)
{
    struct run_disk disk = {.path = NULL};
    if (options->disk_count == RUN_DISKS)
        return error_set(error, "--disk %s: a VM has %d disks at most", value, RUN_DISKS);
    disk.path = strdup(value);
    if (!disk.path)
        return error_set(error, "out of memory");
    while (run_disk_setting(disk.path, &disk))
        ;
    options->disks[options->disk_count++] = disk;
    return 0;
}

static int run_take_net(struct run_options *options, const char *value, struct error *error)
{
    static const char *const words[] = {[RUN_NET_NONE] = "none", [RUN_NET_USER] = "user", NULL};
    int choice = run_choice("--net", value, words, error);
    if (choice < 0)
        return -1;
    options->adapters[0].present = choice == RUN_NET_USER;
    options->adapters[0].net = (enum run_net)choice;
    return 0;
}

static int run_take_console(struct run_options *options, const char *value, struct error *error)
{
    static const char prefix[] = "socket:";
    if (!strcmp(value, "stdio")) {
        options->console = RUN_CONSOLE_STDIO;
        return 0;
    }
    if (strncmp(value, prefix, sizeof prefix - 1) || !value[sizeof prefix - 1])
        return error_set(error, "--console %s: expected stdio or socket:PATH", value);
    options->console = RUN_CONSOLE_SOCKET;
    options->console_path = value + sizeof prefix - 1;
    return 0;
}

static int run_take_name(struct run_options *options, const char *value, struct error *error)
{
    if (!*value || strlen(value) > 64)
        return error_set(error, "--name %s: expected 1 to 64 characters", value);
    options->name = value;
    return 0;
}

static int run_take_state(struct run_options *options, const char *value, struct error *error)
{
    if (!*value)
        return error_set(error, "--state: expected the name of a file behind it");
    options->state = value;
    return 0;
}

static int run_take_restore(struct run_options *options, const char *value, struct error *error)
{
    if (!*value)
        return error_set(error, "--restore: expected the name of a file behind it");
    options->restore = value;
    return 0;
}

static int run_take_no_reboot(struct run_options *options, const char *value, struct error *error)
{
    (void)value, (void)error;
    options->no_reboot = true;
    return 0;
}

static int run_take_debug_exit(struct run_options *options, const char *value, struct error *error)
{
    (void)value, (void)error;
    options->debug_exit = true;
    return 0;
}

static int run_take_trace(struct run_options *options, const char *value, struct error *error)
{
    static const char *const words[] = {"exits", "faults", "blocks", "vmx", NULL};
    static const unsigned bits[] = {ENGINE_TRACE_EXITS, ENGINE_TRACE_FAULTS, ENGINE_TRACE_BLOCKS, ENGINE_TRACE_VMX};
    char word[16];
    while (true) {
        size_t length = strcspn(value, ",");
        snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), value);
        int choice = run_choice("--trace", word, words, error);
        if (choice < 0)
            return -1;
        options->trace |= bits[choice];
        if (!value[length])
            return 0;
        value += length + 1;
    }
}

static int run_take_help(struct run_options *options, const char *value, struct error *error)
{
    (void)value, (void)error;
    options->help = true;
    return 0;
}

static int run_take_version(struct run_options *options, const char *value, struct error *error)
{
    (void)value, (void)error;
    options->version = true;
    return 0;
}

static const struct run_option run_options[] = {
    {"--kernel", "FILE", "what to boot: Linux bzImage, ELF with a PVH note, or Multiboot image", run_take_kernel},
    {"--initrd", "FILE[,FILE...]", "initial RAM disk; for Multiboot, modules (\"FILE WORDS\" gives one a command line)",
     run_take_initrd},
    {"--append", "TEXT", "the kernel's command line", run_take_append},
    {"--cpus", "N", "processors, 1 to 64 (default 1)", run_take_cpus},
    {"--memory", "SIZE[,min=SIZE][,max=SIZE]",
     "memory, such as 512M (default 1G); with min or max, what the guest needs", run_take_memory},
    {"--disk", "FILE[,format=NAME][,readonly]", "a disk: raw, qcow2, vhdx, vpc (VHD), by name or given; up to 8 times",
     run_take_disk},
    {"--net", "none|user", "network adapter: none, or behind the host's own network (default none)", run_take_net},
    {"--console", "stdio|socket:PATH", "where the serial console goes (default stdio)", run_take_console},
    {"--engine", "auto|soft|kvm", "what runs the processors; auto takes kvm if it can do all that is asked (default)",
     run_take_engine},
    {"--nested", "on|off", "let hypervisors run in the VM (default on)", run_take_nested},
    {"--vendor", "intel", "whose processors and virtualization extensions the VM sees (default: the engine's)",
     run_take_vendor},
    {"--name", "TEXT", "what messages call the VM", run_take_name},
    {"--state", "FILE", "where the VM's state goes when it is saved (Ctrl-] s, or SIGUSR2); the command then ends",
     run_take_state},
    {"--restore", "FILE", "go on from a saved state, with the options it was saved with, instead of booting",
     run_take_restore},
    {"--no-reboot", NULL, "a reset ends the VM (status 6) instead of rebooting it", run_take_no_reboot},
    {"--debug-exit", NULL, "port 0xf4 ends the VM with status (value << 1) | 1; also adds a test device",
     run_take_debug_exit},
    {"--trace", "exits,faults,blocks,vmx", "write what the virtual processors do to standard error (engine kvm: exits only)",
     run_take_trace},
    {"--help", NULL, "print this and end", run_take_help},
    {"--version", NULL, "print the version and end", run_take_version},
};

const char *run_option_name(unsigned index)
{
    return index < ARRAY_SIZE(run_options) ? run_options[index].name : NULL;
}

void run_options_help(FILE *to)
{
    fputs("usage: nidus run --kernel FILE [OPTION...]\n"
          "Runs one VM; its console is the terminal's, its end this command's.\n\n", to);
    for (size_t i = 0; i < ARRAY_SIZE(run_options); i++) {
        char left[48];
        snprintf(left, sizeof left, "%s %s", run_options[i].name, run_options[i].value ? run_options[i].value : "");
        fprintf(to, "  %-30s %s%s\n", left, strlen(left) > 30 ? "\n                                 " : "",
                run_options[i].help);
    }
    fputs("\nAt a terminal, Ctrl-] x ends the VM and Ctrl-] h lists the other keys.\n\n"
          "exit status:\n"
          "   0  the guest powered off\n"
          "   2  the command line is wrong\n"
          "   4  the VM could not be started\n"
          "   6  the guest reset the machine, with --no-reboot\n"
          "   8  a processor ended in a triple fault\n"
          "  10  the engine failed\n"
          "  12  ended from outside: a signal or the escape key\n"
          "  14  saved: --restore goes on from there\n"
          " odd  the guest wrote (status - 1) / 2 to the debug-exit port\n", to);
}

static const struct run_option *run_option_find(const char *argument, size_t length)
{
    for (size_t i = 0; i < ARRAY_SIZE(run_options); i++)
        if (strlen(run_options[i].name) == length && !strncmp(run_options[i].name, argument, length))
            return &run_options[i];
    return NULL;
}

static int run_option_unknown(const char *argument, size_t length, struct error *error)
{
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), argument);
    if (*word != '-')
        return error_set(error, "\"%s\": options begin with two dashes; a kernel is named with --kernel %s", argument,
                         argument);
    const char *nearest = suggest_nearest(word, run_option_name);
    return nearest ? error_set(error, "%s: there is no such option; did you mean %s?", word, nearest)
                   : error_set(error, "%s: there is no such option; nidus run --help lists them", word);
}

// An address that follows from the VM's name: what the guest remembers of its adapter holds over restarts.
static void run_options_mac(const char *name, u8 mac[6])
{
    u64 hash = 0xcbf29ce484222325; // FNV-1a
    for (; *name; name++)
        hash = (hash ^ (u8)*name) * 0x100000001b3;
    mac[0] = 0x02; // locally administered, one station
    for (unsigned i = 1; i < 6; i++)
        mac[i] = (u8)(hash >> 8 * i);
}

static int run_options_check(struct run_options *options, struct error *error)
{
    run_options_mac(options->name, options->adapters[0].mac);
    if (options->help || options->version)
        return 0;
    if (!options->kernel && !options->restore)
        return error_set(error, "no kernel: name one with --kernel FILE (nidus run --help lists all options)");
    return 0;
}

int run_options_parse(struct run_options *options, int argc, char **argv, struct error *error)
{
    *options = (struct run_options){
        .cpus = 1, .memory_bytes = GIB(1), .memory_minimum = GIB(1), .memory_maximum = GIB(1),
        .memory_buffer = RUN_MEMORY_BUFFER, .engine = "auto", .nested = true, .append = "", .name = "vm",
    };
    for (int i = 1; i < argc; i++) {
        size_t length = strcspn(argv[i], "=");
        const struct run_option *option = run_option_find(argv[i], length);
        const char *value = argv[i][length] ? argv[i] + length + 1 : NULL;
        if (!option)
            return run_option_unknown(argv[i], length, error);
        if (!option->value && value)
            return error_set(error, "%s takes no value", option->name);
        if (option->value && !value) {
            if (++i == argc)
                return error_set(error, "%s: expected %s behind it", option->name, option->value);
            value = argv[i];
        }
        if (option->take(options, value, error))
            return -1;
    }
    return run_options_check(options, error);
}

void run_options_free(struct run_options *options)
{
    for (unsigned i = 0; i < options->disk_count; i++)
        free(options->disks[i].path);
    options->disk_count = 0;
}
