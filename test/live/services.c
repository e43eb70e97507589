// Memory at run time and the guest agent with a real kernel: what the host asks for, the guest's own numbers show.
//
//   services GUEST      GUEST as tools/guest-kernel and tools/initramfs left it
//
// Not a cmocka program: cmocka puts handlers of its own where the engine has its, before each test.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "engine/select.h"
#include "worker/host.h"
#include "worker/memory_control.h"
#include "worker/vm.h"
#include "worker/vm_devices.h"

enum { PATIENCE_S = 180, LINE = 4096 };

struct live {
    struct run_options options;
    struct host host;
    const struct engine *engine;
    struct vm *vm;
    pthread_t watch;
    int console;
    char path[64];
    char text[LINE];
    size_t used;
};

static const char *guest_directory;

static u64 now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec;
}

static void fail(const char *file, int line, const char *text)
{
    printf("# %s:%d: %s\n", file, line, text);
    fflush(stdout);
}

// In functions that return false to say that they failed.
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fail(__FILE__, __LINE__, #condition);                                                                      \
            return false;                                                                                              \
        }                                                                                                              \
    } while (0)

// Waits for a condition that nobody reports, and lets the guest run meanwhile.
#define WAIT_UNTIL(condition)                                                                                          \
    do {                                                                                                               \
        u64 until_ = now_s() + PATIENCE_S;                                                                             \
        while (!(condition)) {                                                                                         \
            CHECK(now_s() < until_ && #condition);                                                                     \
            poll(NULL, 0, 50);                                                                                         \
        }                                                                                                              \
    } while (0)

static void *watch(void *context)
{
    struct vm *vm = context;
    struct pollfd fds[] = {{.fd = vm->wake, .events = POLLIN}, {.fd = board_timer_fd(vm->board), .events = POLLIN}};
    while (!atomic_load(&vm->over))
        if (poll(fds, ARRAY_SIZE(fds), -1) > 0 && fds[1].revents)
            board_timers(vm->board);
    return NULL;
}

static bool connect_console(struct live *live)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    live->console = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(address.sun_path, live->path, strlen(live->path));
    return !connect(live->console, (struct sockaddr *)&address, sizeof address);
}

// Takes the lines that are there up to one that begins "@nidus 1 event=EVENT", and gives its rest.
static bool find_line(struct live *live, const char *wanted, char rest[LINE])
{
    char *end;
    while ((end = memchr(live->text, '\n', live->used))) {
        char line[LINE];
        size_t bytes = (size_t)(end - live->text) + 1;
        snprintf(line, sizeof line, "%.*s", (int)bytes, live->text);
        memmove(live->text, live->text + bytes, live->used -= bytes);
        char *found = strstr(line, wanted);
        if (found && strchr(" \r\n", found[strlen(wanted)])) {
            snprintf(rest, LINE, "%s", found + strlen(wanted));
            return true;
        }
    }
    return false;
}

static bool hear(struct live *live, const char *event, char rest[LINE])
{
    char wanted[64];
    u64 until = now_s() + PATIENCE_S;
    snprintf(wanted, sizeof wanted, "@nidus 1 event=%s", event);
    while (!find_line(live, wanted, rest)) {
        if (live->used == LINE)
            live->used = 0;
        struct pollfd fd = {.fd = live->console, .events = POLLIN};
        poll(&fd, 1, 1000);
        ssize_t count = fd.revents ? recv(live->console, live->text + live->used, LINE - live->used, 0) : 0;
        if (count > 0)
            live->used += (size_t)count;
        CHECK(now_s() < until);
    }
    return true;
}

struct numbers {
    u64 total, free; // KiB
};

static bool ask(struct live *live, const char *command, struct numbers *numbers)
{
    char line[64], rest[LINE], event[32];
    snprintf(line, sizeof line, "%s\n", command);
    snprintf(event, sizeof event, "%.*s", (int)strcspn(command, " "), command);
    CHECK(write(live->console, line, strlen(line)) == (ssize_t)strlen(line));
    CHECK(hear(live, event, rest));
    CHECK(sscanf(rest, " total=%lu free=%lu", &numbers->total, &numbers->free) == 2);
    return true;
}

static struct memory_status status(struct live *live)
{
    struct memory_status memory;
    memory_control_status(vm_devices_memory(live->vm->devices), &memory);
    return memory;
}

static u64 host_bytes(struct live *live)
{
    struct stat file;
    fstat(memory_fd(board_memory(live->vm->board)), &file);
    return (u64)file.st_blocks * 512;
}

static bool read_append(char *append, size_t bytes)
{
    char path[256], text[256] = "";
    snprintf(path, sizeof path, "%s/append", guest_directory);
    FILE *file = fopen(path, "r");
    CHECK(file && fgets(text, sizeof text, file));
    fclose(file);
    text[strcspn(text, "\n")] = 0;
    snprintf(append, bytes, "%s nidus.level=1 nidus.depth=1 nidus.task=services", text);
    return true;
}

static int start(struct live *live, struct error *error)
{
    const struct engine_config config = {.nested = true, .vcpus = 2, .trace_fd = -1};
    live->engine = engine_select(live->options.engine, &config, error);
    if (!live->engine || host_open(&live->host, &live->options, error))
        return -1;
    // What a service would do: fixed until somebody says otherwise.
    live->host.memory = (struct memory_policy){.minimum = MIB(384), .maximum = MIB(384)};
    live->vm = vm_create(&live->options, live->engine, &live->host, error);
    if (!live->vm || vm_load(live->vm, error) || host_start(&live->host, error))
        return -1;
    return vm_start(live->vm, error);
}

static bool power_on(struct live *live)
{
    static char kernel[256], initrd[256], console[80], append[512];
    struct error error = {0};
    snprintf(live->path, sizeof live->path, "/tmp/nidus-live-%d", getpid());
    snprintf(console, sizeof console, "socket:%s", live->path);
    snprintf(kernel, sizeof kernel, "%s/vmlinuz", guest_directory);
    snprintf(initrd, sizeof initrd, "%s/initramfs", guest_directory);
    char *words[] = {"run", "--engine", "soft", "--memory", "384M,max=896M", "--cpus", "2", "--name", "live",
                     "--kernel", kernel, "--initrd", initrd, "--append", append, "--console", console};
    CHECK(read_append(append, sizeof append));
    if (run_options_parse(&live->options, ARRAY_SIZE(words), words, &error) || start(live, &error)) {
        fail(__FILE__, __LINE__, error.text);
        return false;
    }
    pthread_create(&live->watch, NULL, watch, live->vm);
    return connect_console(live);
}

static void power_off(struct live *live)
{
    vm_end(live->vm, VM_ENDED, 0, "%s", "");
    vm_stop(live->vm);
    pthread_join(live->watch, NULL);
    vm_destroy(live->vm);
    host_close(&live->host);
    run_options_free(&live->options);
    close(live->console);
    unlink(live->path);
}

static bool set_memory(struct live *live, u64 minimum, u64 maximum)
{
    struct error error = {0};
    const struct memory_policy policy = {.minimum = minimum, .maximum = maximum, .buffer = 20};
    if (!vm_set_memory(live->vm, &policy, &error))
        return true;
    fail(__FILE__, __LINE__, error.text);
    return false;
}

// --- The tests, in this order, on one VM ---

static bool test_boots(struct live *live)
{
    char rest[LINE];
    CHECK(hear(live, "services", rest));
    CHECK(status(live).assigned == MIB(384));
    return true;
}

static bool test_agent_answers(struct live *live)
{
    struct agent_status agent;
    WAIT_UNTIL((agent_get(live->host.agent, &agent), agent.heartbeat == AGENT_OK && *agent.host_name && *agent.kernel));
    CHECK(!strcmp(agent.host_name, "under-test"));
    CHECK(strstr(agent.kernel, "amd64"));
    CHECK(!strcmp(agent_heartbeat_name(agent.heartbeat), "OK"));
    return true;
}

static bool test_statistics(struct live *live)
{
    WAIT_UNTIL(status(live).demand);
    struct memory_status memory = status(live);
    CHECK(memory.balloon && memory.hotplug);
    CHECK(memory.demand > MIB(16) && memory.demand < MIB(384));
    return true;
}

static bool test_balloon_takes_and_gives(struct live *live)
{
    struct numbers before, now;
    CHECK(ask(live, "memory", &before));
    u64 host_before = host_bytes(live);
    CHECK(set_memory(live, MIB(256), MIB(256)));
    WAIT_UNTIL(status(live).assigned == MIB(256));
    CHECK(ask(live, "memory", &now));
    printf("# balloon of 128 MiB: MemFree %lu -> %lu KiB, on the host %lu -> %lu KiB\n", before.free, now.free,
           host_before >> 10, host_bytes(live) >> 10);
    CHECK(now.free + 100 * 1024 < before.free);
    CHECK(set_memory(live, MIB(384), MIB(384)));
    WAIT_UNTIL(status(live).assigned == MIB(384));
    // What the guest is reporting as free this moment it does not count as free.
    WAIT_UNTIL((ask(live, "memory", &now), now.free + 28 * 1024 > before.free));
    return true;
}

static bool test_memory_grows_and_shrinks(struct live *live)
{
    struct numbers before, now;
    CHECK(ask(live, "memory", &before));
    CHECK(set_memory(live, MIB(896), MIB(896)));
    WAIT_UNTIL(status(live).assigned == MIB(896));
    WAIT_UNTIL((ask(live, "memory", &now), now.total >= before.total + 500 * 1024));
    printf("# 512 MiB plugged: MemTotal %lu -> %lu KiB\n", before.total, now.total);
    // It is used, and read back by the guest's own file system.
    CHECK(ask(live, "use 600", &now));
    CHECK(now.free < 300 * 1024);
    CHECK(host_bytes(live) > MIB(600));
    CHECK(ask(live, "free", &now));
    CHECK(set_memory(live, MIB(384), MIB(384)));
    WAIT_UNTIL(status(live).assigned < MIB(640)); // what the kernel can let go of
    CHECK(ask(live, "memory", &now));
    printf("# asked for 384 MiB again: %lu MiB assigned, MemTotal %lu KiB\n", status(live).assigned >> 20, now.total);
    CHECK(now.total < before.total + 300 * 1024);
    return true;
}

// The pages that the guest has freed go back to the host by themselves.
static bool test_free_pages_are_reported(struct live *live)
{
    struct numbers now;
    CHECK(ask(live, "use 200", &now));
    u64 used = host_bytes(live);
    CHECK(ask(live, "free", &now));
    WAIT_UNTIL(host_bytes(live) + MIB(150) < used);
    return true;
}

static bool test_dynamic_memory_follows_demand(struct live *live)
{
    struct numbers now;
    CHECK(set_memory(live, MIB(128), MIB(896)));
    WAIT_UNTIL(status(live).assigned < MIB(320));
    u64 idle = status(live).assigned, before = status(live).demand;
    // In steps that fit into what the guest says is there, as more comes within seconds: what asks for all of it in one
    // moment is ended by the guest's kernel.
    for (u64 used = 20; used <= 300; used += 20) {
        WAIT_UNTIL(status(live).available > MIB(32));
        CHECK(ask(live, "use 20", &now));
        WAIT_UNTIL(status(live).demand + MIB(30) > before + MIB(used));
    }
    WAIT_UNTIL(status(live).assigned > MIB(400));
    printf("# dynamic memory: %lu MiB idle, %lu MiB with 300 in use\n", idle >> 20, status(live).assigned >> 20);
    CHECK(ask(live, "free", &now));
    WAIT_UNTIL(status(live).assigned < MIB(320));
    CHECK(set_memory(live, MIB(384), MIB(384)));
    return true;
}

static bool hypervisor_runs(struct live *live)
{
    struct engine_nested_status nested;
    live->engine->nested_status(live->vm->engine_vm, &nested);
    return nested.on;
}

// Five reports long.
static bool stays(struct live *live, u64 assigned)
{
    for (u64 until = now_s() + 5; now_s() < until; poll(NULL, 0, 50))
        if (status(live).assigned != assigned)
            return false;
    return true;
}

static bool test_dynamic_memory_stays_under_a_hypervisor(struct live *live)
{
    struct numbers now;
    CHECK(set_memory(live, MIB(896), MIB(896))); // of which little is needed
    WAIT_UNTIL(status(live).assigned == MIB(896));
    CHECK(!hypervisor_runs(live));
    CHECK(ask(live, "hypervisor-begins", &now));
    CHECK(hypervisor_runs(live));
    CHECK(set_memory(live, MIB(128), MIB(896)));
    CHECK(stays(live, MIB(896)));
    CHECK(ask(live, "hypervisor-ends", &now));
    WAIT_UNTIL(status(live).assigned < MIB(320));
    CHECK(set_memory(live, MIB(384), MIB(384)));
    return true;
}

static bool test_heartbeat_is_lost_and_found(struct live *live)
{
    struct numbers now;
    struct agent_status agent;
    CHECK(ask(live, "agent-ends", &now));
    WAIT_UNTIL((agent_get(live->host.agent, &agent), agent.heartbeat == AGENT_LOST));
    CHECK(ask(live, "agent-begins", &now));
    WAIT_UNTIL((agent_get(live->host.agent, &agent), agent.heartbeat == AGENT_OK));
    return true;
}

static bool test_too_much_is_refused(struct live *live)
{
    struct error error = {0};
    const struct memory_policy policy = {.minimum = GIB(2), .maximum = GIB(2)};
    CHECK(vm_set_memory(live->vm, &policy, &error) == -1);
    CHECK(strstr(error.text, "more than the 896 MiB"));
    return true;
}

static bool test_shutdown_by_the_agent(struct live *live)
{
    CHECK(vm_shutdown(live->vm) == VM_SHUTDOWN_AGENT);
    WAIT_UNTIL(atomic_load(&live->vm->over));
    CHECK(live->vm->ending.kind == VM_POWER_OFF);
    return true;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bool (*run)(struct live *live);
    } tests[] = {
        {"boots with the memory it was given", test_boots},
        {"the agent answers", test_agent_answers},
        {"the guest tells what its memory is used for", test_statistics},
        {"the balloon takes memory, and gives it back", test_balloon_takes_and_gives},
        {"memory grows and shrinks", test_memory_grows_and_shrinks},
        {"free pages go back to the host", test_free_pages_are_reported},
        {"dynamic memory follows demand", test_dynamic_memory_follows_demand},
        {"it stays while a hypervisor runs", test_dynamic_memory_stays_under_a_hypervisor},
        {"the heartbeat is lost and found", test_heartbeat_is_lost_and_found},
        {"more than the most is refused", test_too_much_is_refused},
        {"the agent shuts the guest down", test_shutdown_by_the_agent},
    };
    static struct live live;
    unsigned failed = 0;
    if (argc != 2) {
        fputs("usage: services GUEST\n", stderr);
        return 2;
    }
    guest_directory = argv[1];
    if (!power_on(&live)) {
        puts("Bail out! the VM does not start");
        return 1;
    }
    printf("1..%zu\n", ARRAY_SIZE(tests));
    for (unsigned i = 0; i < ARRAY_SIZE(tests); i++) {
        bool passed = tests[i].run(&live);
        failed += !passed;
        printf("%sok %u - %s\n", passed ? "" : "not ", i + 1, tests[i].name);
        fflush(stdout);
    }
    power_off(&live);
    return failed != 0;
}
