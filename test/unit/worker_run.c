// Whole VMs: guests of a few bytes each, started as `nidus run` starts them, in a process of their own; what counts is
// the exit status and what they wrote to the serial port.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/types.h"
#include "worker/run.h"
#include "worker/status.h"

#include "worker_image.h"

enum { OUTPUT = 4096, SECONDS = 60 };

struct outcome {
    int status; // -1: ended by a signal
    char output[OUTPUT];
};

static void child(int output, int argc, char **argv)
{
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    alarm(SECONDS); // nothing here takes one of them
    int status = run_main(argc, argv);
    fflush(NULL);
    _exit(status);
}

// With `enough`, the VM is sent SIGTERM once it has written that.
static struct outcome start(int argc, char **argv, const char *enough)
{
    struct outcome outcome = {.status = -1};
    int ends[2], status;
    size_t used = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (!pid)
        child(ends[1], argc, argv);
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], outcome.output + used, OUTPUT - 1 - used)) > 0;) {
        used += (size_t)got;
        if (enough && strstr(outcome.output, enough)) {
            kill(pid, SIGTERM);
            enough = NULL;
        }
    }
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status))
        outcome.status = WEXITSTATUS(status);
    return outcome;
}

static struct outcome start_code(const u8 *code, size_t bytes, char *option, const char *enough)
{
    char path[] = "/tmp/nidus-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    image_write(path, code, bytes);
    char *argv[] = {"run", "--engine", "soft", "--memory", "16M", "--cpus", "2", "--debug-exit", "--kernel", path,
                    option};
    struct outcome outcome = start(option ? 11 : 10, argv, enough);
    unlink(path);
    return outcome;
}

#define START(code, option) start_code(code, sizeof(code), option, NULL)

static void ends_by_debug_exit(void **state)
{
    // mov dx, 0x3f8; mov al, 'H'; out dx, al; mov al, 'i'; out dx, al; mov al, 21; out 0xf4, al; hlt
    static const u8 code[] = {0x66, 0xba, 0xf8, 0x03, 0xb0, 'H', 0xee, 0xb0, 'i', 0xee, 0xb0, 21, 0xe6, 0xf4, 0xf4};
    (void)state;
    struct outcome outcome = START(code, NULL);
    assert_string_equal(outcome.output, "Hi");
    assert_int_equal(outcome.status, 21 << 1 | 1);
}

static void powers_off(void **state)
{
    // mov dx, 0x604; mov ax, 0x3400 (S5, go); out dx, ax; hlt
    static const u8 code[] = {0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x34, 0x66, 0xef, 0xf4};
    (void)state;
    struct outcome outcome = START(code, NULL);
    assert_string_equal(outcome.output, "");
    assert_int_equal(outcome.status, STATUS_POWER_OFF);
}

static void resets(void **state)
{
    static const u8 code[] = {0xb0, 0xfe, 0xe6, 0x64, 0xf4}; // mov al, 0xfe; out 0x64, al; hlt
    (void)state;
    struct outcome outcome = START(code, "--no-reboot");
    assert_int_equal(outcome.status, STATUS_RESET);
}

static void reboots_in_place_until_a_signal(void **state)
{
    // mov dx, 0x3f8; mov al, '.'; out dx, al; mov al, 0xfe; out 0x64, al; hlt
    static const u8 code[] = {0x66, 0xba, 0xf8, 0x03, 0xb0, '.', 0xee, 0xb0, 0xfe, 0xe6, 0x64, 0xf4};
    (void)state;
    struct outcome outcome = start_code(code, sizeof code, NULL, "...");
    assert_non_null(strstr(outcome.output, "nidus: vm: ended by signal 15"));
    assert_int_equal(outcome.status, STATUS_ENDED);
}

static void triple_faults(void **state)
{
    // lidt [the six zeroes behind it]; ud2
    static const u8 code[] = {0x0f, 0x01, 0x1d, 0x29, 0x00, 0x10, 0x00, 0x0f, 0x0b, 0, 0, 0, 0, 0, 0};
    (void)state;
    struct outcome outcome = START(code, NULL);
    assert_non_null(strstr(outcome.output, "processor 0 ended in a triple fault at 10:100027"));
    assert_int_equal(outcome.status, STATUS_TRIPLE_FAULT);
}

static void says_why_it_does_not_start(void **state)
{
    (void)state;
    char *missing[] = {"run", "--engine", "soft", "--kernel", "/nonexistent"};
    struct outcome outcome = start(5, missing, NULL);
    assert_string_equal(outcome.output,
                        "nidus: vm: --kernel /nonexistent: cannot be opened: No such file or directory\n");
    assert_int_equal(outcome.status, STATUS_START);
    char *directory[] = {"run", "--engine", "soft", "--kernel", "/"};
    outcome = start(5, directory, NULL);
    assert_non_null(strstr(outcome.output, "--kernel /: is a directory"));
    assert_int_equal(outcome.status, STATUS_START);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_by_debug_exit), cmocka_unit_test(powers_off),    cmocka_unit_test(resets),
        cmocka_unit_test(triple_faults),      cmocka_unit_test(reboots_in_place_until_a_signal),
        cmocka_unit_test(says_why_it_does_not_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
