// The worker's end of the control channel against services that behave, that come later, and that do not behave.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/channel.h"
#include "control/control.h"
#include "control/message.h"

enum { PATIENCE_MS = 20000 };

struct worker {
    struct control_server *server;
    struct control_ticket kept; // of "later"
};

// What was sent with the message: files, each of another size.
static void answer_sizes(struct control_server *server, struct control_ticket ticket,
                         struct message_descriptors *descriptors)
{
    json_t *sizes = json_array();
    for (unsigned i = 0; i < descriptors->count; i++) {
        struct stat status;
        assert_int_equal(fstat(descriptors->fds[i], &status), 0);
        json_array_append_new(sizes, json_integer(status.st_size));
    }
    control_server_answer(server, ticket, json_pack("{s:o}", "sizes", sizes), NULL);
}

static void on_command(void *context, struct control_server *server, struct control_ticket ticket, const char *command,
                       const json_t *message, struct message_descriptors *descriptors)
{
    struct worker *worker = context;
    const struct error error = {.text = "cannot do that"};
    if (!strcmp(command, "echo"))
        control_server_answer(server, ticket, json_pack("{s:O}", "word", json_object_get(message, "word")), NULL);
    else if (!strcmp(command, "sizes"))
        answer_sizes(server, ticket, descriptors);
    else if (!strcmp(command, "later"))
        worker->kept = ticket;
    else if (!strcmp(command, "now"))
        control_server_answer(server, worker->kept, NULL, NULL);
    else
        control_server_answer(server, ticket, NULL, &error);
}

struct fixture {
    struct sockaddr_un address;
    struct worker worker;
    int service;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    int pair[2];
    struct error error;
    fixture->address.sun_family = AF_UNIX;
    snprintf(fixture->address.sun_path, sizeof fixture->address.sun_path, "/tmp/nidus-test-control-%d", getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&fixture->address, sizeof fixture->address) || listen(listener, 4) ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return -1;
    const struct control_server_commands commands = {.context = &fixture->worker, .command = on_command};
    fixture->service = pair[0];
    fixture->worker.server = control_server_open(listener, pair[1], &commands, &error);
    *state = fixture;
    return fixture->worker.server ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    control_server_close(fixture->worker.server);
    close(fixture->service);
    unlink(fixture->address.sun_path);
    free(fixture);
    return 0;
}

static int connect_again(struct fixture *fixture)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&fixture->address, sizeof fixture->address), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

// A line, or "" at the end of the connection.
static const char *hear(int fd)
{
    static char line[CONTROL_LINE + 1];
    size_t done = 0;
    while (done < CONTROL_LINE) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, PATIENCE_MS) != 1)
            fail_msg("nothing came within %d ms", PATIENCE_MS);
        if (read(fd, line + done, 1) <= 0)
            break;
        if (line[done++] == '\n')
            break;
    }
    line[done] = 0;
    return line;
}

static void answers(void **state)
{
    struct fixture *fixture = *state;
    int fd = fixture->service;
    say(fd, "{\"id\":1,\"command\":\"echo\",\"word\":\"a\"}\n{\"id\":2,\"command\":\"what\"}\n{\"id\":3,");
    assert_string_equal(hear(fd), "{\"id\":1,\"result\":{\"word\":\"a\"}}\n");
    assert_string_equal(hear(fd), "{\"id\":2,\"error\":\"cannot do that\"}\n");
    say(fd, "\"command\":\"later\"}\n{\"id\":4,\"command\":\"echo\",\"word\":4}\n{\"id\":5,\"command\":\"now\"}\n");
    assert_string_equal(hear(fd), "{\"id\":4,\"result\":{\"word\":4}}\n");
    assert_string_equal(hear(fd), "{\"id\":3,\"result\":{}}\n");
    control_server_event(fixture->worker.server, json_pack("{s:s}", "event", "ended"));
    assert_string_equal(hear(fd), "{\"event\":\"ended\"}\n");
}

// The newer connection takes over; an answer to the older one goes nowhere.
static void replaces(void **state)
{
    struct fixture *fixture = *state;
    say(fixture->service, "{\"id\":1,\"command\":\"later\"}\n{\"id\":2,\"command\":\"echo\",\"word\":1}\n");
    assert_string_equal(hear(fixture->service), "{\"id\":2,\"result\":{\"word\":1}}\n");
    int fd = connect_again(fixture);
    assert_string_equal(hear(fixture->service), "");
    say(fd, "{\"id\":8,\"command\":\"now\"}\n{\"id\":9,\"command\":\"echo\",\"word\":9}\n");
    assert_string_equal(hear(fd), "{\"id\":9,\"result\":{\"word\":9}}\n");
    close(fd);
    // Nobody is there: nobody hears it, and nothing waits.
    control_server_event(fixture->worker.server, json_pack("{s:s}", "event", "state"));
    fd = connect_again(fixture);
    say(fd, "{\"id\":1,\"command\":\"echo\",\"word\":1}\n");
    const char *first = hear(fd);
    if (!strcmp(first, "{\"event\":\"state\"}\n")) // it came before the worker saw that the other was gone
        first = hear(fd);
    assert_string_equal(first, "{\"id\":1,\"result\":{\"word\":1}}\n");
    close(fd);
}

static void hangs_up_on_nonsense(void **state)
{
    static const char *const lines[] = {"x\n", "[]\n", "{}\n", "{\"id\":1}\n", "{\"id\":-1,\"command\":\"echo\"}\n",
                                        "{\"id\":1,\"command\":1}\n", "{\"id\":1,\"id\":2,\"command\":\"echo\"}\n"};
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
        int fd = connect_again(fixture);
        say(fd, lines[i]);
        assert_string_equal(hear(fd), "");
        close(fd);
    }
    int fd = connect_again(fixture);
    char block[4096];
    memset(block, 'a', sizeof block);
    for (unsigned i = 0; i <= CONTROL_LINE / sizeof block + 64; i++)
        if (send(fd, block, sizeof block, MSG_NOSIGNAL) < 0)
            break; // it hung up, as it should
    assert_string_equal(hear(fd), "");
    close(fd);
}

// A service that reads nothing loses the connection, and holds nobody up.
static void hangs_up_on_the_slow(void **state)
{
    struct fixture *fixture = *state;
    char text[8192];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    for (unsigned i = 0; i < 2000; i++) // more than the socket and the buffer take
        control_server_event(fixture->worker.server, json_pack("{s:s}", "event", text));
    char drop[65536];
    ssize_t got;
    do {
        struct pollfd ready = {.fd = fixture->service, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
        got = read(fixture->service, drop, sizeof drop);
    } while (got > 0);
    int fd = connect_again(fixture);
    say(fd, "{\"id\":1,\"command\":\"echo\",\"word\":1}\n");
    assert_string_equal(hear(fd), "{\"id\":1,\"result\":{\"word\":1}}\n");
    close(fd);
}

// Each message gets the descriptors it came with, however the bytes are cut; who tells of more than came is hung up on.
static void passes_descriptors(void **state)
{
    struct fixture *fixture = *state;
    int files[3];
    for (int i = 0; i < 3; i++) {
        files[i] = memfd_create("sent", MFD_CLOEXEC);
        assert_int_equal(ftruncate(files[i], i + 1), 0);
    }
    static const char first[] = "{\"id\":1,\"command\":\"sizes\",\"descriptors\":2}\n{\"id\":2,\"command\":\"sizes\"}\n"
        "{";
    static const char second[] = "\"id\":3,\"command\":\"sizes\",\"descriptors\":1}\n";
    assert_int_equal(message_send(fixture->service, first, sizeof first - 1, files, 2), sizeof first - 1);
    assert_int_equal(message_send(fixture->service, second, sizeof second - 1, files + 2, 1), sizeof second - 1);
    assert_string_equal(hear(fixture->service), "{\"id\":1,\"result\":{\"sizes\":[1,2]}}\n");
    assert_string_equal(hear(fixture->service), "{\"id\":2,\"result\":{\"sizes\":[]}}\n");
    assert_string_equal(hear(fixture->service), "{\"id\":3,\"result\":{\"sizes\":[3]}}\n");
    say(fixture->service, "{\"id\":4,\"command\":\"sizes\",\"descriptors\":1}\n");
    assert_string_equal(hear(fixture->service), "");
    for (int i = 0; i < 3; i++)
        close(files[i]);
}

static void says_goodbye(void **state)
{
    struct fixture *fixture = *state;
    control_server_event(fixture->worker.server, json_pack("{s:s}", "event", "ended"));
    control_server_close(fixture->worker.server);
    fixture->worker.server = NULL;
    assert_string_equal(hear(fixture->service), "{\"event\":\"ended\"}\n");
    assert_string_equal(hear(fixture->service), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers, setup, teardown),
        cmocka_unit_test_setup_teardown(replaces, setup, teardown),
        cmocka_unit_test_setup_teardown(hangs_up_on_nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(hangs_up_on_the_slow, setup, teardown),
        cmocka_unit_test_setup_teardown(passes_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(says_goodbye, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
