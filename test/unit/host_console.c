// The console on a terminal (a pseudo-terminal, in a child whose standard input and output it is), on pipes, and the
// errors of the socket.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/console.h"
#include "host/console_log.h"

enum { PATIENCE_MS = 20000 };

// The child: a guest that answers each byte b with "<b>", an escape command with "[key]", and ends at 'q'.
struct guest {
    struct console *console;
    struct console_port port;
    int quit[2];
};

static size_t guest_receive(void *context, const u8 *bytes, size_t count)
{
    struct guest *guest = context;
    for (size_t i = 0; i < count; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "<%02x>", bytes[i]);
        console_put(&guest->port, (u8 *)text, (size_t)length);
        if (bytes[i] == 'q' && write(guest->quit[1], "q", 1) != 1)
            _exit(1);
    }
    return count;
}

static void guest_command(void *context, u8 key)
{
    struct guest *guest = context;
    char text[16];
    int length = snprintf(text, sizeof text, "[%c]", key);
    console_put(&guest->port, (u8 *)text, (size_t)length);
}

static void guest_run(size_t farewell)
{
    struct guest guest = {.port = {.context = &guest, .receive = guest_receive}};
    struct console_config config = {.escape = CONSOLE_ESCAPE, .command = guest_command, .context = &guest};
    struct error error;
    char byte;
    u16 columns = 0, rows = 0;
    guest.console = console_open(&config, &error);
    if (!guest.console || pipe(guest.quit) < 0 || console_attach(guest.console, &guest.port, &error) < 0)
        _exit(1);
    char text[64];
    if (console_start(guest.console, &error) < 0)
        _exit(1);
    bool sized = console_size(guest.console, &columns, &rows);
    int length = snprintf(text, sizeof text, "%s %u %u;", sized ? "size" : "none", columns, rows);
    console_put(&guest.port, (u8 *)text, (size_t)length);
    if (read(guest.quit[0], &byte, 1) != 1)
        _exit(1);
    for (size_t i = 0; i < farewell; i++)
        console_put(&guest.port, (const u8 *)"z", 1);
    console_close(guest.console);
    _exit(0);
}

static void expect(int fd, const char *text)
{
    char got[256] = "";
    size_t done = 0, wanted = strlen(text);
    while (done < wanted) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, PATIENCE_MS) != 1)
            fail_msg("got \"%s\", wanted \"%s\"", got, text);
        ssize_t count = read(fd, got + done, wanted - done);
        if (count <= 0)
            fail_msg("got \"%s\" and the end, wanted \"%s\"", got, text);
        done += (size_t)count;
    }
    assert_string_equal(got, text);
}

static void expect_exit(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_terminal(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    struct winsize size = {.ws_col = 132, .ws_row = 43};
    char name[64];
    snprintf(name, sizeof name, "%s", ptsname(master));
    int keep = open(name, O_RDWR | O_NOCTTY); // so that the settings outlive the child
    assert_int_equal(ioctl(keep, TIOCSWINSZ, &size), 0);
    struct termios before, during, after;
    assert_int_equal(tcgetattr(keep, &before), 0);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        int slave = open(name, O_RDWR); // becomes the controlling terminal
        dup2(slave, 0), dup2(slave, 1);
        guest_run(0);
    }
    expect(master, "size 132 43;");
    assert_int_equal(tcgetattr(keep, &during), 0);
    assert_int_equal(during.c_lflag & (ICANON | ECHO | ISIG), 0);
    assert_int_equal(write(master, "\x03" "a", 2), 2); // no signal: the guest's Ctrl-C
    expect(master, "<03><61>");
    assert_int_equal(write(master, "\x1dh", 2), 2);
    expect(master, "[h]");
    assert_int_equal(write(master, "\x1d\x1d", 2), 2);
    expect(master, "<1d>");
    assert_int_equal(write(master, "\x1d", 1), 1);
    assert_int_equal(write(master, "x", 1), 1);
    expect(master, "[x]");
    assert_int_equal(write(master, "q", 1), 1);
    expect(master, "<71>");
    expect_exit(child);
    assert_int_equal(tcgetattr(keep, &after), 0);
    assert_int_equal(after.c_lflag, before.c_lflag);
    assert_int_equal(after.c_iflag, before.c_iflag);
    close(keep), close(master);
}

// No terminal: bytes are bytes, the escape key too; the end of input is not the end of the guest; and all that the
// guest said arrives, though the reader is slower than the guest and starts after it ended.
static void test_pipes(void **state)
{
    (void)state;
    enum { FAREWELL = 200000 };
    int in[2], out[2];
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(in[0], 0), dup2(out[1], 1);
        close(in[1]), close(out[0]);
        guest_run(FAREWELL);
    }
    close(in[0]), close(out[1]);
    expect(out[0], "none 0 0;");
    assert_int_equal(write(in[1], "\x1dhq", 3), 3);
    close(in[1]);
    expect(out[0], "<1d><68><71>");
    static char text[FAREWELL + 1];
    size_t done = 0;
    for (ssize_t count; (count = read(out[0], text + done, sizeof text - done)) > 0;)
        done += (size_t)count;
    assert_int_equal(done, FAREWELL);
    expect_exit(child);
    close(out[0]);
}

// `nidus run | head -1`
static void test_reader_goes_away(void **state)
{
    (void)state;
    int in[2], out[2];
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(in[0], 0), dup2(out[1], 1);
        close(in[0]), close(in[1]), close(out[0]), close(out[1]);
        guest_run(600000);
    }
    close(in[0]), close(out[1]);
    expect(out[0], "none 0 0;");
    close(out[0]);
    assert_int_equal(write(in[1], "q", 1), 1);
    expect_exit(child);
    close(in[1]);
}

static struct console *open_socket(const char *path, struct error *error)
{
    return console_open(&(struct console_config){.socket = path}, error);
}

static void test_socket_errors(void **state)
{
    (void)state;
    struct error error;
    char path[64], deep[200];
    snprintf(path, sizeof path, "/tmp/nidus-test-socket-%d", getpid());
    memset(deep, 'a', sizeof deep);
    deep[sizeof deep - 1] = 0;
    assert_null(open_socket(deep, &error));
    assert_non_null(strstr(error.text, "characters"));
    assert_null(open_socket("/nonexistent/socket", &error));
    assert_non_null(strstr(error.text, "/nonexistent/socket"));
    struct console *first = open_socket(path, &error);
    assert_non_null(first);
    assert_null(open_socket(path, &error));
    assert_non_null(strstr(error.text, "in use"));
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    console_close(first);
    assert_int_equal(stat(path, &status), -1);
    // A file that is no socket stays what it is.
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_null(open_socket(path, &error));
    assert_int_equal(stat(path, &status), 0);
    unlink(path);
}

static void test_stale_socket(void **state)
{
    (void)state;
    struct error error;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/nidus-test-stale-%d", getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd); // its process was killed
    struct console *console = open_socket(address.sun_path, &error);
    assert_non_null(console);
    console_close(console);
}

// Who connects late sees what was said last.
static void test_socket_scrollback(void **state)
{
    (void)state;
    struct error error;
    struct console_port port = {.receive = guest_receive};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/nidus-test-late-%d", getpid());
    struct console *console = open_socket(address.sun_path, &error);
    assert_non_null(console);
    assert_int_equal(console_attach(console, &port, &error), 0);
    assert_int_equal(console_start(console, &error), 0);
    for (unsigned i = 0; i < 100000; i++)
        console_put(&port, (const u8 *)"0123456789", 10);
    console_put(&port, (const u8 *)"the end", 7);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    char tail[8] = "";
    size_t total = 0;
    while (strcmp(tail, "the end") != 0) {
        char byte;
        struct pollfd ready = {.fd = client, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
        assert_int_equal(read(client, &byte, 1), 1);
        memmove(tail, tail + 1, 6);
        tail[6] = byte;
        total++;
    }
    assert_true(total >= 65536 && total < 1000000);
    close(client);
    console_close(console);
}

static int view(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    return fd;
}

// Every viewer gets everything, any may type, and one that comes or goes is nobody else's business.
static void test_viewers(void **state)
{
    (void)state;
    struct error error;
    struct guest guest = {.port = {.context = &guest, .receive = guest_receive}};
    struct sockaddr_un address = {.sun_family = AF_UNIX}, second = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/nidus-test-view-%d", getpid());
    snprintf(second.sun_path, sizeof second.sun_path, "/tmp/nidus-test-view2-%d", getpid());
    const struct console_config config = {.socket = address.sun_path, .socket_too = second.sun_path};
    struct console *console = guest.console = console_open(&config, &error);
    assert_non_null(console);
    assert_int_equal(console_attach(console, &guest.port, &error), 0);
    assert_int_equal(console_start(console, &error), 0);
    console_put(&guest.port, (const u8 *)"hello", 5);
    int one = view(&address), two = view(&second);
    expect(one, "hello");
    expect(two, "hello");
    assert_int_equal(write(one, "a", 1), 1);
    expect(one, "<61>");
    expect(two, "<61>");
    assert_int_equal(write(two, "\x1d" "b", 2), 2); // no escape key here
    expect(one, "<1d><62>");
    expect(two, "<1d><62>");
    close(one);
    assert_int_equal(write(two, "c", 1), 1);
    expect(two, "<63>");
    one = view(&address);
    expect(one, "hello<61><1d><62><63>");
    console_put(&guest.port, (const u8 *)"bye", 3);
    console_close(console);
    expect(one, "bye");
    expect(two, "bye");
    close(one), close(two);
    struct stat status;
    assert_int_equal(stat(address.sun_path, &status), -1);
    assert_int_equal(stat(second.sun_path, &status), -1);
}

// What was written arrives at the quick viewer whole; the slow one is told what it missed, and nobody waits for it.
static void test_slow_viewer(void **state)
{
    enum { LINES = 400000 };
    (void)state;
    struct error error;
    struct console_port port = {.receive = guest_receive};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/nidus-test-slow-%d", getpid());
    struct console *console = open_socket(address.sun_path, &error);
    assert_int_equal(console_attach(console, &port, &error), 0);
    assert_int_equal(console_start(console, &error), 0);
    console_put(&port, (const u8 *)"first", 5);
    int slow = view(&address);
    expect(slow, "first"); // it is known
    for (unsigned i = 0; i < LINES; i++)
        console_put(&port, (const u8 *)"0123456789", 10);
    console_put(&port, (const u8 *)"the end", 7);
    static char text[LINES * 10 + 1000];
    size_t done = 0;
    while (done < 7 || memcmp(text + done - 7, "the end", 7)) {
        struct pollfd ready = {.fd = slow, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
        ssize_t got = read(slow, text + done, sizeof text - done);
        assert_true(got > 0);
        done += (size_t)got;
    }
    text[done] = 0;
    u64 lost = 0, noted = 0, notes = 0;
    for (char *at = text; (at = strstr(at, "[nidus: ")); at++) {
        char *end = strstr(at, "lost]\r\n");
        assert_non_null(end);
        lost += strtoull(at + 8, NULL, 10);
        noted += (u64)(end + 7 - at) + 2;
        notes++;
    }
    assert_true(notes > 0);
    assert_int_equal(done - noted + lost, (u64)LINES * 10 + 7);
    close(slow);
    console_close(console);
}

static void test_log(void **state)
{
    enum { LINES = 300000 };
    (void)state;
    struct error error;
    struct console_port port = {.receive = guest_receive};
    struct stat status;
    char path[64], log[64], tail[8] = "";
    snprintf(path, sizeof path, "/tmp/nidus-test-logged-%d", getpid());
    snprintf(log, sizeof log, "/tmp/nidus-test-log-%d", getpid());
    const struct console_config config = {.socket = path, .log = log};
    for (unsigned round = 0; round < 2; round++) {
        struct console *console = console_open(&config, &error);
        assert_non_null(console);
        assert_int_equal(console_attach(console, &port, &error), 0);
        assert_int_equal(console_start(console, &error), 0);
        for (unsigned i = 0; i < (round ? 1 : LINES); i++)
            console_put(&port, (const u8 *)"0123456789", 10);
        console_put(&port, (const u8 *)"the end", 7);
        console_close(console);
        assert_int_equal(stat(log, &status), 0);
        assert_true(status.st_size <= CONSOLE_LOG_MOST && status.st_size > 1000);
        int fd = open(log, O_RDONLY);
        assert_int_equal(pread(fd, tail, 7, status.st_size - 7), 7);
        assert_string_equal(tail, "the end");
        if (round) { // what was there is kept
            assert_int_equal(pread(fd, tail, 7, status.st_size - 24), 7);
            assert_string_equal(tail, "the end");
        }
        close(fd);
    }
    assert_int_equal(status.st_mode & 0777, 0600);
    unlink(log);
    assert_null(console_open(&(struct console_config){.log = "/nonexistent/log"}, &error));
    assert_non_null(strstr(error.text, "console log '/nonexistent/log'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_pipes),
        cmocka_unit_test(test_reader_goes_away),
        cmocka_unit_test(test_socket_errors),
        cmocka_unit_test(test_stale_socket),
        cmocka_unit_test(test_socket_scrollback),
        cmocka_unit_test(test_viewers),
        cmocka_unit_test(test_slow_viewer),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
