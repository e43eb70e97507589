// The console device on a console that is a Unix socket: bytes both ways, back-pressure, and who gets what is typed.
#include "virtio_driver.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "virtio/virtio_console.h"

enum { QUEUE_IN, QUEUE_OUT };
enum { INPUT = DRIVER_DATA, OUTPUT = DRIVER_DATA + 0x10000 };

struct setup {
    struct driver driver;
    struct console *console;
    char path[64];
    int client;
};

static int create(void **state)
{
    struct setup *setup = calloc(1, sizeof *setup);
    struct error error = {0};
    struct timeval patience = {.tv_sec = DRIVER_PATIENCE_S};
    snprintf(setup->path, sizeof setup->path, "/tmp/nidus-test-console-%d", getpid());
    setup->console = console_open(&(struct console_config){.socket = setup->path}, &error);
    if (!setup->console)
        fail_msg("%s", error.text);
    driver_init(&setup->driver);
    struct virtio_console_config config = {.console = setup->console};
    driver_attach(&setup->driver, virtio_console_create(setup->driver.memory, &config, &error));
    driver_messages_on(&setup->driver);
    driver_begin(&setup->driver, UINT64_MAX);
    assert_int_equal(console_start(setup->console, &error), 0);
    setup->client = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, setup->path, strlen(setup->path));
    assert_int_equal(connect(setup->client, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(setup->client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    *state = setup;
    return 0;
}

static int destroy(void **state)
{
    struct setup *setup = *state;
    driver_destroy(&setup->driver);
    console_close(setup->console);
    close(setup->client);
    free(setup);
    return 0;
}

static void expect_text(struct setup *setup, const char *text)
{
    char got[256] = "";
    size_t wanted = strlen(text), done = 0;
    while (done < wanted) {
        ssize_t part = read(setup->client, got + done, wanted - done);
        assert_true(part > 0);
        done += (size_t)part;
    }
    assert_memory_equal(got, text, wanted);
}

static void output(struct setup *setup, const char *text)
{
    struct driver *driver = &setup->driver;
    u32 half = (u32)strlen(text) / 2, rest = (u32)strlen(text) - half;
    struct driver_buffer buffers[] = {{OUTPUT, half, false}, {OUTPUT + 0x100, rest, false}};
    driver_put(driver, OUTPUT, text, half);
    driver_put(driver, OUTPUT + 0x100, text + half, rest);
    driver_add(driver, QUEUE_OUT, buffers, 2);
    driver_kick(driver, QUEUE_OUT);
    driver_wait_used(driver, QUEUE_OUT);
}

static void add_input_buffer(struct setup *setup, u32 bytes)
{
    struct driver *driver = &setup->driver;
    struct driver_buffer buffer = {INPUT + driver->queues[QUEUE_IN].next_descriptor * 0x100u, bytes, true};
    driver_add(driver, QUEUE_IN, &buffer, 1);
    driver_kick(driver, QUEUE_IN);
}

static void test_output(void **state)
{
    struct setup *setup = *state;
    output(setup, "login: ");
    output(setup, "Password: ");
    expect_text(setup, "login: Password: ");
}

static void test_input(void **state)
{
    struct setup *setup = *state;
    char text[4];
    add_input_buffer(setup, 64);
    assert_int_equal(write(setup->client, "root", 4), 4);
    assert_int_equal(driver_wait_used(&setup->driver, QUEUE_IN).bytes, 4);
    memory_read(setup->driver.memory, INPUT, text, 4);
    assert_memory_equal(text, "root", 4);
}

static void test_input_before_buffers(void **state)
{
    struct setup *setup = *state;
    char text[3];
    assert_int_equal(write(setup->client, "abcdefgh", 8), 8);
    output(setup, "?"); // the console's thread has run
    expect_text(setup, "?");
    for (unsigned i = 0; i < 3; i++)
        add_input_buffer(setup, 3);
    u32 total = 0;
    for (unsigned i = 0; i < 3 && total < 8; i++) {
        u32 bytes = driver_wait_used(&setup->driver, QUEUE_IN).bytes;
        memory_read(setup->driver.memory, INPUT + i * 0x100, text, bytes);
        assert_memory_equal(text, &"abcdefgh"[total], bytes);
        total += bytes;
    }
    assert_int_equal(total, 8);
}

enum { CHUNK = 200000, CHUNKS = 8 };

static void output_chunks(struct driver *driver)
{
    for (u32 i = 0; i < CHUNKS; i++) {
        memory_fill(driver->memory, OUTPUT + i * 0x40000ul, (u8)('a' + i), CHUNK);
        struct driver_buffer buffer = {OUTPUT + i * 0x40000ul, CHUNK, false};
        driver_add(driver, QUEUE_OUT, &buffer, 1);
    }
    driver_kick(driver, QUEUE_OUT);
    for (u32 i = 0; i < CHUNKS; i++)
        driver_wait_used(driver, QUEUE_OUT);
}

// A pipe whose reader is slow: the guest's buffers stay with the device, and nothing is lost.
static void test_output_waits_for_the_reader(void **state)
{
    (void)state;
    struct error error = {0};
    struct driver driver;
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]), close(ends[1]);
        struct console *console = console_open(&(struct console_config){0}, &error);
        struct virtio_console_config config = {.console = console};
        driver_init(&driver);
        driver_attach(&driver, virtio_console_create(driver.memory, &config, &error));
        driver_messages_on(&driver);
        driver_begin(&driver, UINT64_MAX);
        if (console_start(console, &error))
            _exit(1);
        output_chunks(&driver);
        driver_destroy(&driver);
        console_close(console);
        _exit(0);
    }
    close(ends[1]);
    for (u32 i = 0; i < CHUNKS * CHUNK;) {
        char got[4096];
        ssize_t count = read(ends[0], got, sizeof got);
        assert_true(count > 0);
        for (ssize_t j = 0; j < count; j++, i++)
            if (got[j] != (char)('a' + i / CHUNK))
                fail_msg("byte %u is %d", i, got[j]);
    }
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// A viewer that does not read holds nobody up, and is told what it missed.
static void test_output_waits_for_no_viewer(void **state)
{
    struct setup *setup = *state;
    output(setup, "connected");
    expect_text(setup, "connected");
    output_chunks(&setup->driver);
    u32 last = 0;
    bool told = false;
    while (last < CHUNK / 2) { // what is remembered ends with the last chunk
        char got[4096];
        ssize_t count = read(setup->client, got, sizeof got);
        assert_true(count > 0);
        told |= memmem(got, (size_t)count, "nidus: ", 7) != NULL;
        for (ssize_t j = 0; j < count; j++)
            last = got[j] == 'a' + CHUNKS - 1 ? last + 1 : 0;
    }
    assert_true(told);
}

static void test_client_comes_back(void **state)
{
    struct setup *setup = *state;
    output(setup, "first");
    expect_text(setup, "first");
    close(setup->client);
    setup->client = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, setup->path, strlen(setup->path));
    assert_int_equal(connect(setup->client, (struct sockaddr *)&address, sizeof address), 0);
    output(setup, "second");
    expect_text(setup, "firstsecond"); // who comes late sees what was said
}

// A second device, as the serial port is one.
struct other {
    struct console_port port;
    pthread_mutex_t lock;
    pthread_cond_t got;
    char text[64];
    size_t count;
};

static size_t other_receive(void *context, const u8 *bytes, size_t count)
{
    struct other *other = context;
    pthread_mutex_lock(&other->lock);
    memcpy(other->text + other->count, bytes, count);
    other->count += count;
    pthread_cond_broadcast(&other->got);
    pthread_mutex_unlock(&other->lock);
    return count;
}

static void test_input_goes_to_who_spoke_last(void **state)
{
    struct setup *setup = *state;
    struct other other = {.port = {.context = &other, .receive = other_receive}};
    struct error error;
    pthread_mutex_init(&other.lock, NULL);
    pthread_cond_init(&other.got, NULL);
    assert_int_equal(console_attach(setup->console, &other.port, &error), 0);
    console_put(&other.port, (const u8 *)"serial", 6);
    expect_text(setup, "serial");
    assert_int_equal(write(setup->client, "to serial", 9), 9);
    struct timespec until = driver_deadline();
    pthread_mutex_lock(&other.lock);
    while (other.count < 9)
        assert_int_equal(pthread_cond_timedwait(&other.got, &other.lock, &until), 0);
    pthread_mutex_unlock(&other.lock);
    output(setup, "virtio");
    expect_text(setup, "virtio");
    add_input_buffer(setup, 64);
    assert_int_equal(write(setup->client, "to virtio", 9), 9);
    assert_int_equal(driver_wait_used(&setup->driver, QUEUE_IN).bytes, 9);
    assert_int_equal(other.count, 9);
    console_detach(&other.port);
}

static void test_no_size(void **state)
{
    struct setup *setup = *state;
    // A socket has no size, so there is none to offer and no change of it.
    assert_int_equal(driver_offered(&setup->driver) & 1, 0);
    console_resized(setup->console);
    assert_int_equal(setup->driver.messages[2], 0);
}

// On a terminal there is one, and the guest hears of changes.
static void test_terminal_size(void **state)
{
    (void)state;
    struct error error = {0};
    struct driver driver;
    struct winsize size = {.ws_col = 132, .ws_row = 43};
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        int slave = open(ptsname(master), O_RDWR); // becomes the controlling terminal
        dup2(slave, 0), dup2(slave, 1);
        ioctl(slave, TIOCSWINSZ, &size);
        struct console *console = console_open(&(struct console_config){0}, &error);
        struct virtio_console_config config = {.console = console};
        driver_init(&driver);
        driver_attach(&driver, virtio_console_create(driver.memory, &config, &error));
        driver_messages_on(&driver);
        driver_begin(&driver, UINT64_MAX);
        bool right = driver_read(&driver, VIRTIO_PCI_CONFIG, 4) == (132 | 43 << 16);
        size.ws_col = 80;
        ioctl(slave, TIOCSWINSZ, &size);
        console_resized(console);
        DRIVER_WAIT(&driver, driver.messages[2] == 1);
        _exit(right && driver_read(&driver, VIRTIO_PCI_CONFIG, 4) == (80 | 43 << 16) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(master);
}

#define CONSOLE_TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONSOLE_TEST(test_output),
        CONSOLE_TEST(test_input),
        CONSOLE_TEST(test_input_before_buffers),
        cmocka_unit_test(test_output_waits_for_the_reader),
        CONSOLE_TEST(test_output_waits_for_no_viewer),
        CONSOLE_TEST(test_client_comes_back),
        CONSOLE_TEST(test_input_goes_to_who_spoke_last),
        CONSOLE_TEST(test_no_size),
        cmocka_unit_test(test_terminal_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
