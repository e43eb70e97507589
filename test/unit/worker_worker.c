// `nidus worker` as a service sees it: started with its descriptors, asked, told, killed, found again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control/control.h"
#include "worker/status.h"
#include "worker/worker.h"

#include "worker_image.h"

enum { PATIENCE_MS = 60000, SECONDS = 120, HIGH = 20 };

struct fixture {
    char directory[40], image[96], saved[96];
    struct control_config config;
    pid_t pid;
    int service; // our end
    int next_id;
};

// --- A guest: writes "go", then does what stands behind ---

// mov dx, 0x3f8; mov al, 'g'; out dx, al; mov al, 'o'; out dx, al
#define GO 0x66, 0xba, 0xf8, 0x03, 0xb0, 'g', 0xee, 0xb0, 'o', 0xee
static const u8 spins[] = {GO, 0xeb, 0xfe};                                           // jmp $
static const u8 sleeps[] = {GO, 0xfa, 0xf4, 0xeb, 0xfd};                              // cli; hlt
static const u8 powers_off[] = {GO, 0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0, 0x34, 0x66, 0xef, 0xf4}; // S5

// --- The worker ---

static char *path_of(const struct fixture *fixture, const char *name)
{
    static char path[100];
    snprintf(path, sizeof path, "%s/%s", fixture->directory, name);
    return path;
}

static int open_lock(const struct fixture *fixture)
{
    return open(path_of(fixture, "lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static bool lock_is_free(const struct fixture *fixture)
{
    int fd = open_lock(fixture);
    bool is_free = flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return is_free;
}

static void launch_text(struct fixture *fixture, const char *text)
{
    int pair[2], lock = open_lock(fixture), config = memfd_create("config", MFD_CLOEXEC);
    int log = open(path_of(fixture, "worker.log"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(write(config, text, strlen(text)), strlen(text));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    const int given[] = {null, log, log, config, lock, pair[1]};
    fixture->pid = fork();
    if (!fixture->pid) {
        char *argv[] = {"worker", NULL};
        int high[ARRAY_SIZE(given)];
        for (int i = 0; i < (int)ARRAY_SIZE(given); i++)
            high[i] = fcntl(given[i], F_DUPFD, HIGH + i);
        for (int i = 0; i < (int)ARRAY_SIZE(given); i++)
            dup2(high[i], i);
        close_range(ARRAY_SIZE(given), ~0u, 0);
        setsid();
        alarm(SECONDS);
        int status = worker_main(1, argv);
        fflush(NULL);
        _exit(status);
    }
    for (size_t i = 0; i < ARRAY_SIZE(given); i++)
        if (i != 2)
            close(given[i]);
    fixture->service = pair[0];
}

static void launch(struct fixture *fixture, const u8 *code, size_t bytes)
{
    image_write(fixture->image, code, bytes);
    char *text = control_config_write(&fixture->config);
    launch_text(fixture, text);
    free(text);
}

static int reap(struct fixture *fixture)
{
    int status;
    assert_int_equal(waitpid(fixture->pid, &status, 0), fixture->pid);
    fixture->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// --- Talking ---

static json_t *hear(struct fixture *fixture)
{
    static char line[CONTROL_LINE + 1];
    size_t done = 0;
    while (!done || line[done - 1] != '\n') {
        struct pollfd ready = {.fd = fixture->service, .events = POLLIN};
        if (poll(&ready, 1, PATIENCE_MS) != 1)
            fail_msg("the worker said nothing for %d ms", PATIENCE_MS);
        assert_true(done < CONTROL_LINE);
        if (read(fixture->service, line + done, 1) != 1)
            return NULL;
        done++;
    }
    json_t *message = json_loadb(line, done, 0, NULL);
    assert_non_null(message);
    return message;
}

// Waits for an event with that value in that field.
static void expect_event(struct fixture *fixture, const char *event, const char *field, const char *value)
{
    for (json_t *message; (message = hear(fixture)); json_decref(message)) {
        const char *name = json_string_value(json_object_get(message, "event"));
        const char *text = json_string_value(json_object_get(message, field));
        if (name && text && !strcmp(name, event) && !strcmp(text, value)) {
            json_decref(message);
            return;
        }
    }
    fail_msg("the worker ended before it said %s %s", event, value);
}

// The answer, and in passing events.
static json_t *ask(struct fixture *fixture, const char *command, const char *path)
{
    int id = ++fixture->next_id;
    json_t *message = json_pack("{s:i,s:s,s:s*}", "id", id, "command", command, "path", path);
    char *line = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    assert_int_equal(dprintf(fixture->service, "%s\n", line), strlen(line) + 1);
    free(line);
    while ((message = hear(fixture))) {
        if (json_integer_value(json_object_get(message, "id")) == id)
            return message;
        json_decref(message);
    }
    fail_msg("the worker ended before it answered '%s'", command);
    return NULL;
}

static void tell(struct fixture *fixture, const char *command)
{
    json_t *answer = ask(fixture, command, NULL);
    if (!json_is_object(json_object_get(answer, "result")))
        fail_msg("%s: %s", command, json_string_value(json_object_get(answer, "error")));
    json_decref(answer);
}

static struct control_status status_of(struct fixture *fixture)
{
    struct control_status status;
    struct error error;
    json_t *answer = ask(fixture, "status", NULL);
    if (control_status_read(&status, json_object_get(answer, "result"), &error))
        fail_msg("%s", error.text);
    json_decref(answer);
    return status;
}

static void connect_again(struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path_of(fixture, "control"));
    close(fixture->service);
    fixture->service = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fixture->service, (struct sockaddr *)&address, sizeof address), 0);
}

static void expect_console(const struct fixture *fixture, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char got[64] = "";
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path_of(fixture, "console"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    for (size_t done = 0; done < strlen(text); done++) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
        assert_int_equal(read(fd, got + done, 1), 1);
    }
    assert_string_equal(got, text);
    close(fd);
}

static void expect_ended_file(const struct fixture *fixture, const char *ending)
{
    json_t *ended = json_load_file(path_of(fixture, "ended"), 0, NULL);
    assert_non_null(ended);
    assert_string_equal(json_string_value(json_object_get(ended, "ending")), ending);
    json_decref(ended);
}

// --- The tests ---

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    snprintf(fixture->directory, sizeof fixture->directory, "/tmp/nidus-test-worker-XXXXXX");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(fixture->image, sizeof fixture->image, "%s/image", fixture->directory);
    snprintf(fixture->saved, sizeof fixture->saved, "%s/saved", fixture->directory);
    fixture->service = -1;
    fixture->config = (struct control_config){
        .id = "test", .name = "lab", .directory = fixture->directory, .cpus = 2, .memory_startup = MIB(16),
        .engine = "soft", .vendor = "host", .nested = true, .kernel = fixture->image,
    };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"image", "saved", "lock", "worker.log", "ended", "control", "console"};
    struct fixture *fixture = *state;
    if (fixture->pid) {
        kill(fixture->pid, SIGKILL);
        reap(fixture);
    }
    close(fixture->service);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        unlink(path_of(fixture, names[i]));
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static void runs_and_is_asked(void **state)
{
    struct fixture *fixture = *state;
    launch(fixture, spins, sizeof spins);
    expect_event(fixture, "state", "state", "running");
    expect_console(fixture, "go");
    assert_false(lock_is_free(fixture));
    struct control_status first = status_of(fixture), second;
    assert_int_equal(first.state, CONTROL_RUNNING);
    assert_string_equal(first.engine, "soft");
    assert_string_equal(first.nested_extension, "none");
    assert_int_equal(first.memory_assigned, MIB(16));
    do
        second = status_of(fixture);
    while (second.cpu_ns <= first.cpu_ns + 1000000);
    assert_true(second.uptime_ns > first.uptime_ns);
    json_t *answer = ask(fixture, "dance", NULL);
    assert_non_null(strstr(json_string_value(json_object_get(answer, "error")), "no command 'dance'"));
    json_decref(answer);
    tell(fixture, "end");
    expect_event(fixture, "ended", "ending", "command");
    assert_int_equal(reap(fixture), STATUS_ENDED);
    assert_true(lock_is_free(fixture));
    expect_ended_file(fixture, "command");
}

// What it wrote to standard error begins anew when it has grown long.
static void bounds_its_log(void **state)
{
    struct fixture *fixture = *state;
    struct stat log;
    launch(fixture, sleeps, sizeof sleeps);
    expect_event(fixture, "state", "state", "running");
    assert_int_equal(truncate(path_of(fixture, "worker.log"), (2 << 20)), 0);
    status_of(fixture);
    assert_int_equal(stat(path_of(fixture, "worker.log"), &log), 0);
    assert_true(log.st_size > 0 && log.st_size < 1000);
    tell(fixture, "end");
    assert_int_equal(reap(fixture), STATUS_ENDED);
}

static void pauses(void **state)
{
    struct fixture *fixture = *state;
    launch(fixture, spins, sizeof spins);
    expect_event(fixture, "state", "state", "running");
    tell(fixture, "pause");
    tell(fixture, "pause");
    struct control_status first = status_of(fixture), second = status_of(fixture);
    assert_int_equal(first.state, CONTROL_PAUSED);
    assert_int_equal(first.uptime_ns, second.uptime_ns);
    json_t *answer = ask(fixture, "shutdown", NULL);
    assert_non_null(strstr(json_string_value(json_object_get(answer, "error")), "'lab' is paused"));
    json_decref(answer);
    tell(fixture, "resume");
    assert_int_equal(status_of(fixture).state, CONTROL_RUNNING);
    tell(fixture, "pause");
    tell(fixture, "reset"); // what starts anew runs
    expect_event(fixture, "state", "state", "running");
    assert_int_equal(status_of(fixture).state, CONTROL_RUNNING);
    tell(fixture, "pause");
    tell(fixture, "end");
    assert_int_equal(reap(fixture), STATUS_ENDED);
}

static void ends_by_itself(void **state)
{
    struct fixture *fixture = *state;
    launch(fixture, powers_off, sizeof powers_off);
    expect_event(fixture, "ended", "ending", "power-off");
    assert_null(hear(fixture)); // it was the last word
    assert_int_equal(reap(fixture), STATUS_POWER_OFF);
    expect_ended_file(fixture, "power-off");
}

// The service dies; another finds the worker, and one more takes over.
static void outlives_the_service(void **state)
{
    struct fixture *fixture = *state;
    launch(fixture, sleeps, sizeof sleeps);
    expect_event(fixture, "state", "state", "running");
    connect_again(fixture);
    assert_int_equal(status_of(fixture).state, CONTROL_RUNNING);
    connect_again(fixture);
    tell(fixture, "end");
    expect_event(fixture, "ended", "ending", "command");
    assert_int_equal(reap(fixture), STATUS_ENDED);
}

static void leaves_no_lock_when_killed(void **state)
{
    struct fixture *fixture = *state;
    launch(fixture, sleeps, sizeof sleeps);
    expect_event(fixture, "state", "state", "running");
    assert_false(lock_is_free(fixture));
    kill(fixture->pid, SIGKILL);
    assert_int_equal(reap(fixture), -SIGKILL);
    assert_true(lock_is_free(fixture));
    struct stat ended;
    assert_int_equal(stat(path_of(fixture, "ended"), &ended), 0);
    assert_int_equal(ended.st_size, 0);
    // What it left behind hinders no other.
    close(fixture->service);
    launch(fixture, powers_off, sizeof powers_off);
    expect_event(fixture, "ended", "ending", "power-off");
    assert_int_equal(reap(fixture), STATUS_POWER_OFF);
}

static void saves_and_goes_on(void **state)
{
    struct fixture *fixture = *state;
    launch(fixture, spins, sizeof spins);
    expect_event(fixture, "state", "state", "running");
    json_t *answer = ask(fixture, "save", "/nonexistent/saved");
    assert_non_null(strstr(json_string_value(json_object_get(answer, "error")), "/nonexistent/saved"));
    json_decref(answer);
    assert_int_equal(status_of(fixture).state, CONTROL_RUNNING);
    answer = ask(fixture, "save", fixture->saved);
    assert_true(json_is_object(json_object_get(answer, "result")));
    json_decref(answer);
    expect_event(fixture, "ended", "ending", "saved");
    assert_int_equal(reap(fixture), STATUS_SAVED);
    close(fixture->service);
    fixture->config.restore = fixture->saved;
    launch(fixture, spins, sizeof spins);
    expect_event(fixture, "state", "state", "running");
    tell(fixture, "reset"); // the file is used once
    expect_event(fixture, "state", "state", "running");
    tell(fixture, "end");
    assert_int_equal(reap(fixture), STATUS_ENDED);
}

// The rows of /proc/PID/status.
static u64 process_status(pid_t pid, const char *row)
{
    char path[64], line[256];
    u64 value = UINT64_MAX;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, row, strlen(row)))
            value = strtoull(line + strlen(row), NULL, 16);
    fclose(file);
    return value;
}

static bool same_namespace(pid_t pid, const char *kind)
{
    char path[64];
    struct stat ours, theirs;
    snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    assert_int_equal(stat(path, &ours), 0);
    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
    assert_int_equal(stat(path, &theirs), 0);
    return ours.st_ino == theirs.st_ino;
}

// What the status says holds is what the kernel says.
static void is_jailed(void **state)
{
    struct fixture *fixture = *state;
    fixture->config.state_directory = fixture->directory;
    launch(fixture, sleeps, sizeof sleeps);
    expect_event(fixture, "state", "state", "running");
    struct control_status status = status_of(fixture);
    char *lacking = strstr(status.jail, " (not: ");
    if (lacking)
        *lacking = 0;
    if (!strstr(status.jail, "seccomp"))
        skip(); // a sanitizer's build, or a kernel without
    assert_non_null(strstr(status.jail, "capabilities no-new-privs"));
    assert_int_equal(process_status(fixture->pid, "CapEff:"), 0);
    assert_int_equal(process_status(fixture->pid, "CapPrm:"), 0);
    assert_int_equal(process_status(fixture->pid, "NoNewPrivs:"), 1);
    assert_int_equal(process_status(fixture->pid, "Seccomp:"), 2);
    assert_int_equal(strstr(status.jail, "mount") == NULL, same_namespace(fixture->pid, "mnt"));
    assert_int_equal(strstr(status.jail, "network") == NULL, same_namespace(fixture->pid, "net"));
    assert_int_equal(strstr(status.jail, "ipc") == NULL, same_namespace(fixture->pid, "ipc"));
    if (strstr(status.jail, "mount")) {
        char path[128];
        snprintf(path, sizeof path, "/proc/%d/root/etc/passwd", fixture->pid);
        assert_int_equal(access(path, F_OK), -1);
        snprintf(path, sizeof path, "/proc/%d/root%s", fixture->pid, fixture->image);
        assert_int_equal(access(path, F_OK), 0); // the state's directory is this one
    }
    json_t *answer = ask(fixture, "save", "/tmp/nidus-test-elsewhere");
    if (strstr(status.jail, "mount"))
        assert_non_null(json_object_get(answer, "error"));
    json_decref(answer);
    unlink("/tmp/nidus-test-elsewhere");
    if (strstr(status.jail, "mount")) {
        tell(fixture, "reset"); // which opens no file
        expect_event(fixture, "state", "state", "running");
        answer = ask(fixture, "save", fixture->saved);
        assert_true(json_is_object(json_object_get(answer, "result")));
        json_decref(answer);
        assert_int_equal(reap(fixture), STATUS_SAVED);
        assert_int_equal(access(fixture->saved, F_OK), 0);
    }
}

// As root, the worker becomes who the service says.
static void becomes_its_user(void **state)
{
    enum { USER = 1234567 };
    struct fixture *fixture = *state;
    struct stat saved;
    if (geteuid() != 0)
        skip();
    fixture->config.state_directory = fixture->directory;
    fixture->config.user = USER;
    launch(fixture, sleeps, sizeof sleeps);
    expect_event(fixture, "state", "state", "running");
    assert_non_null(strstr(status_of(fixture).jail, "identity"));
    assert_int_equal(process_status(fixture->pid, "Uid:"), strtoull("1234567", NULL, 16));
    assert_int_equal(process_status(fixture->pid, "CapEff:"), 0);
    json_t *answer = ask(fixture, "save", fixture->saved);
    assert_true(json_is_object(json_object_get(answer, "result")));
    json_decref(answer);
    assert_int_equal(reap(fixture), STATUS_SAVED);
    assert_int_equal(stat(fixture->saved, &saved), 0);
    assert_int_equal(saved.st_uid, USER);
    expect_ended_file(fixture, "saved");
}

static void says_why_it_does_not_start(void **state)
{
    struct fixture *fixture = *state;
    fixture->config.kernel = "/nonexistent";
    char *text = control_config_write(&fixture->config);
    launch_text(fixture, text);
    free(text);
    json_t *ended = hear(fixture);
    assert_string_equal(json_string_value(json_object_get(ended, "ending")), "start");
    assert_non_null(strstr(json_string_value(json_object_get(ended, "text")), "/nonexistent"));
    json_decref(ended);
    assert_int_equal(reap(fixture), STATUS_START);
    expect_ended_file(fixture, "start");
    close(fixture->service);
    launch_text(fixture, "{\"id\":7}");
    expect_event(fixture, "ended", "ending", "start");
    assert_int_equal(reap(fixture), STATUS_START);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_and_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(bounds_its_log, setup, teardown),
        cmocka_unit_test_setup_teardown(pauses, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(outlives_the_service, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_no_lock_when_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(saves_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(is_jailed, setup, teardown),
        cmocka_unit_test_setup_teardown(becomes_its_user, setup, teardown),
        cmocka_unit_test_setup_teardown(says_why_it_does_not_start, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
