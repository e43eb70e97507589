// `nidus switch` itself, in a process of its own with its jail, told over its control channel what it has, with hostile
// ends on some of its wires: whatever one port does, the others go on.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control/message.h"
#include "control/switch.h"
#include "net/switch.h"
#include "net/wire.h"
#include "switch/switch_main.h"

enum { PATIENCE_MS = 20000, PORTS = 4, FRAME = 60, HEAD = 0 /* in the shared page, for the switch's ring at 128 */ };

struct fixture {
    char directory[64];
    pid_t pid;
    bool network; // whether it may have sockets
    int service;
    s64 last;
    struct wire *wires[PORTS];
    u8 *memory[PORTS]; // of the wires, for who lies in it
};

// --- The service's end -----------------------------------------------------------------------------------------------

static void put_descriptor(int from, int to)
{
    if (dup2(from, to) < 0)
        _exit(126);
}

static void child(const struct fixture *fixture, int service)
{
    char path[128];
    const struct control_switch config = {
        .id = (char *)(uintptr_t)"id", .name = (char *)(uintptr_t)"lab",
        .directory = (char *)(uintptr_t)fixture->directory, .network = fixture->network};
    char *text = control_switch_write(&config);
    char *words[] = {(char *)(uintptr_t)"switch", NULL};
    const int memory = memfd_create("config", 0);
    snprintf(path, sizeof path, "%s/lock", fixture->directory);
    const int lock = open(path, O_RDWR | O_CREAT, 0600);
    if (write(memory, text, strlen(text)) < 0 || flock(lock, LOCK_EX) < 0)
        _exit(126);
    put_descriptor(memory, 103);
    put_descriptor(lock, 104);
    put_descriptor(service, 105);
    for (int i = 3; i <= 5; i++)
        put_descriptor(100 + i, i);
    close_range(6, ~0u, 0);
    _exit(switch_main(1, words));
}

// The answer to a command, or the next event if `command` is NULL. The caller's.
static json_t *hear(struct fixture *fixture, s64 id)
{
    static struct message_reader reader;
    for (;;) {
        json_t *message;
        while (!message_next(&reader, &message, NULL) && message) {
            const json_t *number = json_object_get(message, "id");
            if (id ? json_integer_value(number) == id : !number)
                return message;
            json_decref(message);
        }
        struct pollfd ready = {.fd = fixture->service, .events = POLLIN};
        if (poll(&ready, 1, PATIENCE_MS) != 1 || message_fill(&reader, fixture->service) <= 0) {
            message_reset(&reader);
            return NULL;
        }
    }
}

static json_t *ask(struct fixture *fixture, json_t *message, const int *fds, unsigned fd_count)
{
    size_t bytes;
    const s64 id = ++fixture->last;
    json_object_set_new(message, "id", json_integer(id));
    if (fd_count)
        json_object_set_new(message, "descriptors", json_integer(fd_count));
    char *line = message_line(message, &bytes);
    assert_int_equal(message_send(fixture->service, line, bytes, fds, fd_count), bytes);
    free(line);
    json_t *answer = hear(fixture, id);
    assert_non_null(answer);
    return answer;
}

static void tell(struct fixture *fixture, json_t *message, const int *fds, unsigned fd_count)
{
    json_t *answer = ask(fixture, message, fds, fd_count);
    if (!json_object_get(answer, "result"))
        fail_msg("%s", json_string_value(json_object_get(answer, "error")));
    json_decref(answer);
}

static json_t *port_message(unsigned number, bool spoofing)
{
    char mac[18], id[8];
    snprintf(id, sizeof id, "port%u", number);
    snprintf(mac, sizeof mac, "02:00:00:00:00:%02x", number);
    return json_pack("{s:s,s:s,s:s,s:b}", "command", "port", "port", id, "mac", mac, "spoofing", spoofing);
}

static void plug(struct fixture *fixture, unsigned number, bool spoofing)
{
    struct wire_descriptors wire;
    struct error error;
    assert_int_equal(wire_create(&wire, &error), 0);
    const int fds[] = {wire.memory, wire.bell[WIRE_SWITCH]};
    tell(fixture, port_message(number, spoofing), fds, 2);
    fixture->memory[number] = mmap(NULL, WIRE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, wire.memory, 0);
    fixture->wires[number] = wire_open(wire.memory, wire.bell[WIRE_ADAPTER], WIRE_ADAPTER, &error);
    assert_non_null(fixture->wires[number]);
    close(wire.bell[WIRE_SWITCH]);
}

static struct control_counters counters_of(struct fixture *fixture, unsigned number)
{
    struct control_counters counters = {.connected = false};
    struct error error;
    json_t *answer = ask(fixture, json_pack("{s:s,s:i}", "command", "counters", "first", number), NULL, 0);
    assert_int_equal(control_counters_read(&counters, json_array_get(json_object_get(json_object_get(answer, "result"),
                                                                                     "ports"), 0), &error), 0);
    json_decref(answer);
    return counters;
}

// Until the switch has dealt with all that a port has sent, and has thrown away what everybody got of it: whoever did
// not read it has a full ring, and loses what comes for it alone.
static void settle(struct fixture *fixture, unsigned number, u64 given)
{
    const u8 *record;
    u64 dealt_with = 0;
    for (const time_t until = time(NULL) + PATIENCE_MS / 1000; dealt_with < given && time(NULL) < until;) {
        const struct control_counters counters = counters_of(fixture, number);
        dealt_with = counters.frames_sent;
        for (unsigned i = 0; i < SWITCH_DROP_FULL; i++)
            dealt_with += counters.dropped[i];
    }
    assert_int_equal(dealt_with, given);
    for (unsigned i = 0; i < PORTS; i++) {
        while (wire_receive(fixture->wires[i], &record))
            wire_done(fixture->wires[i]);
        wire_flush(fixture->wires[i]);
    }
}

static int setup_with(void **state, bool network)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    int pair[2];
    fixture->network = network;
    snprintf(fixture->directory, sizeof fixture->directory, "/tmp/nidus-test-switch-XXXXXX");
    if (!mkdtemp(fixture->directory) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return -1;
    fixture->pid = fork();
    if (fixture->pid == 0)
        child(fixture, pair[1]);
    close(pair[1]);
    fixture->service = pair[0];
    *state = fixture;
    json_t *event = hear(fixture, 0);
    const bool up = !strcmp(json_string_value(json_object_get(event, "event")), "state");
    json_decref(event);
    for (unsigned i = 0; i < PORTS && up; i++)
        plug(fixture, i, false);
    return up ? 0 : -1;
}

static int setup(void **state) { return setup_with(state, false); }
static int setup_network(void **state) { return setup_with(state, true); }

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    int status;
    tell(fixture, json_pack("{s:s}", "command", "end"), NULL, 0);
    waitpid(fixture->pid, &status, 0);
    close(fixture->service);
    for (unsigned i = 0; i < PORTS; i++) {
        wire_close(fixture->wires[i]);
        munmap(fixture->memory[i], WIRE_BYTES);
    }
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", fixture->directory, i ? "lock" : "control");
        unlink(path);
    }
    rmdir(fixture->directory);
    free(fixture);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

// --- The VMs' ends ---------------------------------------------------------------------------------------------------

static bool give(struct wire *wire, unsigned from, unsigned to, u32 word)
{
    static const struct network_header header;
    u8 frame[FRAME] = {2, 0, 0, 0, 0, (u8)to, 2, 0, 0, 0, 0, (u8)from, 0x88, 0xb5};
    memcpy(frame + 14, &word, sizeof word);
    const struct iovec part = {frame, sizeof frame};
    const bool given = wire_send(wire, &header, &part, 1);
    wire_flush(wire);
    return given;
}

// The next record, until wire_done; 0: none came in time.
static size_t next_record(struct wire *wire, const u8 **record, int milliseconds)
{
    size_t bytes;
    while (!(bytes = wire_receive(wire, record))) {
        struct pollfd bell = {.fd = wire_bell(wire), .events = POLLIN};
        if (!wire_sleep(wire))
            continue;
        if (poll(&bell, 1, milliseconds) != 1)
            return 0;
        wire_wake(wire);
    }
    return bytes;
}

// The word in the next frame of `give`'s; false: none came in time.
static bool take(struct wire *wire, u32 *word, int milliseconds)
{
    const u8 *record;
    for (size_t bytes = 0; bytes != WIRE_HEADER + FRAME;) {
        bytes = next_record(wire, &record, milliseconds);
        if (!bytes)
            return false;
        memcpy(word, record + WIRE_HEADER + 14, sizeof *word);
        wire_done(wire);
        wire_flush(wire);
    }
    return true;
}

static void round_trips(struct fixture *fixture, unsigned from, unsigned to, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        u32 word = 0;
        assert_true(give(fixture->wires[from], from, to, i));
        do
            assert_true(take(fixture->wires[to], &word, PATIENCE_MS));
        while (word != i); // what others sent meanwhile
        assert_true(give(fixture->wires[to], to, from, i));
        do
            assert_true(take(fixture->wires[from], &word, PATIENCE_MS));
        while (word != i);
    }
}

// --- The tests -------------------------------------------------------------------------------------------------------

static void frames_cross(void **state)
{
    struct fixture *fixture = *state;
    round_trips(fixture, 0, 1, 1000);
    const struct control_counters counters = counters_of(fixture, 0);
    assert_int_equal(counters.frames_sent, 1000);
    assert_int_equal(counters.frames_received, 1000);
    assert_true(counters.connected);
}

static void foreign_addresses_are_told_of_once(void **state)
{
    struct fixture *fixture = *state;
    u32 word;
    for (u32 i = 0; i < 3; i++)
        assert_true(give(fixture->wires[2], 77, 1, i)); // 02:00:00:00:00:4d is not port 2's
    json_t *event = hear(fixture, 0);
    assert_string_equal(json_string_value(json_object_get(event, "event")), "spoofed");
    assert_string_equal(json_string_value(json_object_get(event, "port")), "port2");
    assert_string_equal(json_string_value(json_object_get(event, "address")), "02:00:00:00:00:4d");
    json_decref(event);
    assert_int_equal(counters_of(fixture, 2).dropped[1], 3);
    tell(fixture, port_message(2, true), NULL, 0);
    assert_true(give(fixture->wires[2], 77, 1, 9));
    assert_true(take(fixture->wires[1], &word, PATIENCE_MS));
    assert_int_equal(word, 9);
}

struct flood {
    struct wire *wire;
    _Atomic bool over;
    _Atomic u64 frames;
};

static void *flood(void *context)
{
    struct flood *self = context;
    for (u32 i = 0; !self->over; i++)
        self->frames += give(self->wire, 3, 1 + i % 2 * 76, i | 1u << 31); // known and unknown addresses in turn
    return NULL;
}

static void memory_is_bounded(const struct fixture *fixture)
{
    char path[64], line[256];
    unsigned long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", fixture->pid);
    FILE *file = fopen(path, "re");
    if (file && fgets(line, sizeof line, file))
        sscanf(line, "%*u %lu", &pages);
    if (file)
        fclose(file);
    assert_true(pages && pages * 4096 < 64 << 20);
}

// As fast as a processor can; others still get through, and the switch holds no more memory than the rings.
static void a_flood_leaves_room_for_others(void **state)
{
    struct fixture *fixture = *state;
    struct flood self = {.wire = fixture->wires[3]};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, flood, &self), 0);
    while (!self.frames)
        ;
    round_trips(fixture, 0, 2, 100);
    self.over = true;
    pthread_join(thread, NULL);
    assert_true(self.frames > 1000);
    memory_is_bounded(fixture);
}

static void put_stack(u8 *frame, size_t bytes)
{
    for (size_t at = 12; at + 4 <= bytes; at += 4) // tags, tags, and nothing else
        memcpy(frame + at, (const u8[]){at & 4 ? 0x88 : 0x81, at & 4 ? 0xa8 : 0x00, (u8)at, (u8)(at >> 3)}, 4);
}

// Of every length from a bare header to the longest record, with headers, tags and segments that mean nothing. The
// sender's own frames still pass afterwards: none of this is a fault of the wire.
static void frames_of_every_kind_harm_nobody(void **state)
{
    struct fixture *fixture = *state;
    static u8 frame[WIRE_MOST - WIRE_HEADER];
    unsigned given = 0;
    srandom(1);
    for (u32 i = 0; i < 4000; i++) {
        struct network_header header = {0};
        const size_t any = (size_t)random();
        const size_t bytes = i < 200 ? 14 + i : i % 50 == 0 ? sizeof frame - any % 8 : 14 + any % 1600;
        for (size_t j = 0; j < 96; j++)
            frame[j] = (u8)random();
        for (size_t j = 0; i & 1 && j < sizeof header; j++)
            ((u8 *)&header)[j] = (u8)(random() & random());
        if (i % 3 == 0)
            put_stack(frame, bytes);
        memcpy(frame, (const u8[]){2, 0, 0, 0, 0, (u8)(i % 4), 2, 0, 0, 0, 0, 3}, 12);
        if (i % 5 == 0)
            memset(frame, 0xff, 6);
        if (i % 7 == 0)
            frame[6] |= 1; // from a group
        const struct iovec part = {frame, bytes};
        given += wire_send(fixture->wires[3], &header, &part, 1);
        wire_flush(fixture->wires[3]);
        if (i % 100 == 0)
            round_trips(fixture, 0, 1, 1);
    }
    assert_true(given > 1000);
    round_trips(fixture, 3, 0, 100);
    const struct control_counters counters = counters_of(fixture, 3);
    assert_true(counters.connected);
    assert_true(counters.dropped[SWITCH_DROP_MALFORMED] > 50 && counters.dropped[SWITCH_DROP_VLAN] > 50);
    assert_true(counters.frames_sent > 100);
    memory_is_bounded(fixture);
}

// Nobody takes what comes for port 1: its ring is full, and that is its own affair.
static void one_that_does_not_read_loses_its_own(void **state)
{
    struct fixture *fixture = *state;
    for (u32 i = 0; counters_of(fixture, 1).dropped[8] == 0; i++) {
        assert_true(i < 100);
        for (u32 j = 0; j < 1000; j++)
            give(fixture->wires[0], 0, 1, 1);
    }
    round_trips(fixture, 0, 2, 200);
}

// The indices and lengths of a wire are whatever its other end writes.
static void a_ring_that_lies_is_unplugged(void **state)
{
    struct fixture *fixture = *state;
    u32 *head = (u32 *)(void *)(fixture->memory[3] + 128 + HEAD);
    *head = 12345;
    round_trips(fixture, 0, 1, 100);
    assert_false(counters_of(fixture, 3).connected);
    wire_close(fixture->wires[3]);
    munmap(fixture->memory[3], WIRE_BYTES);
    plug(fixture, 3, false); // and a new one makes it good
    round_trips(fixture, 3, 0, 100);
}

// Noise where its indices are, and where its first records would be.
static void rings_of_noise_harm_nobody(void **state)
{
    struct fixture *fixture = *state;
    srandom(2);
    for (unsigned i = 0; i < 40; i++) {
        u32 *memory = (u32 *)(void *)fixture->memory[3];
        const size_t words = (i & 1 ? WIRE_PAGE : 256) / sizeof *memory;
        for (size_t j = 0; j < words; j++) {
            memory[WIRE_PAGE / sizeof *memory + j] = (u32)random() >> (random() & 31);
            memory[j] = (u32)random() >> (random() & 31);
        }
        give(fixture->wires[3], 3, 2, 0); // and a ring of the bell
        round_trips(fixture, 0, 1, 10);
        wire_close(fixture->wires[3]);
        munmap(fixture->memory[3], WIRE_BYTES);
        plug(fixture, 3, false);
    }
    round_trips(fixture, 3, 0, 100);
    memory_is_bounded(fixture);
}

static void what_is_no_wire_is_refused(void **state)
{
    struct fixture *fixture = *state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    const int fds[] = {memfd_create("loose", 0), pair[0]};
    assert_int_equal(ftruncate(fds[0], WIRE_BYTES), 0);
    json_t *answer = ask(fixture, port_message(0, false), fds, 2);
    assert_non_null(json_object_get(answer, "error"));
    json_decref(answer);
    answer = ask(fixture, json_pack("{s:s,s:s,s:s,s:s}", "command", "port", "port", "x", "mac", "02:00:00:00:00:09",
                                    "acl", "Deny Nowhere ANY ANY\n"), NULL, 0);
    assert_non_null(json_object_get(answer, "error")); // what it was to forbid must not pass
    json_decref(answer);
    round_trips(fixture, 0, 1, 10);
    close(fds[0]);
    close(pair[0]);
    close(pair[1]);
}

static void many_addresses_are_its_own_share(void **state)
{
    struct fixture *fixture = *state;
    static const struct network_header header;
    u64 given = 0;
    tell(fixture, port_message(3, true), NULL, 0);
    for (u32 i = 0; i < 100000; i++) {
        u8 frame[FRAME] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, (u8)(i >> 24), (u8)(i >> 16), (u8)(i >> 8), (u8)i};
        const struct iovec part = {frame, sizeof frame};
        given += wire_send(fixture->wires[3], &header, &part, 1);
        wire_flush(fixture->wires[3]);
    }
    settle(fixture, 3, given);
    round_trips(fixture, 0, 1, 100);
}

// A client's question for an address, RFC 2131, from one address in the name of another.
static bool discover(struct wire *wire, u32 from, u32 name)
{
    static const struct network_header header;
    u8 frame[342] = {[14] = 0x45, 0, 0x01, 0x48, 0, 0, 0, 0, 64, 17};
    u8 *udp = frame + 34, *message = udp + 8;
    memset(frame, 0xff, 6);
    memcpy(frame + 6, (const u8[]){2, 0, (u8)(from >> 24), (u8)(from >> 16), (u8)(from >> 8), (u8)from, 8, 0}, 8);
    memset(frame + 30, 0xff, 4);
    memcpy(udp, (const u8[]){0, 68, 0, 67, 0x01, 0x34}, 6);
    memcpy(message, (const u8[]){1, 1, 6, 0, 1, 2, 3, 4}, 8);
    memcpy(message + 28, (const u8[]){2, 0, (u8)(name >> 24), (u8)(name >> 16), (u8)(name >> 8), (u8)name}, 6);
    memcpy(message + 236, (const u8[]){99, 130, 83, 99, 53, 1, 1, 255}, 8);
    const struct iovec part = {frame, sizeof frame};
    const bool given = wire_send(wire, &header, &part, 1);
    wire_flush(wire);
    return given;
}

// Whether a DHCP server's offer comes.
static bool is_offered(struct wire *wire, int milliseconds)
{
    const u8 *record;
    size_t bytes;
    while ((bytes = next_record(wire, &record, milliseconds))) {
        const u8 *frame = record + WIRE_HEADER;
        const bool offer = bytes > WIRE_HEADER + 42 + 243 && frame[23] == 17 && frame[35] == 67 && frame[42] == 2;
        wire_done(wire);
        wire_flush(wire);
        if (offer)
            return true;
    }
    return false;
}

// Four addresses, and a guest that asks for thousands: in its own name and in others', from its own address and from
// others'. Those who have not asked yet get theirs.
static void one_guest_gets_one_address(void **state)
{
    struct fixture *fixture = *state;
    u64 given = 0;
    tell(fixture, json_pack("{s:s,s:{s:s,s:s,s:s,s:i,s:s,s:s}}", "command", "uplink", "config", "kind", "user", "mac",
                            "02:00:00:00:01:00", "address", "192.168.77.1", "bits", 24, "dhcp_first", "192.168.77.10",
                            "dhcp_last", "192.168.77.13"), NULL, 0);
    for (u32 i = 0; i < 3000; i++) {
        given += discover(fixture->wires[3], 3, i);
        given += discover(fixture->wires[3], 0x01000000 + i, 0x01000000 + i);
        if (i % 100 == 0)
            round_trips(fixture, 1, 2, 1);
    }
    settle(fixture, 3, given);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(discover(fixture->wires[i], i, i));
        assert_true(is_offered(fixture->wires[i], PATIENCE_MS));
    }
    memory_is_bounded(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_cross, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_addresses_are_told_of_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_leaves_room_for_others, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_of_every_kind_harm_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_does_not_read_loses_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_ring_that_lies_is_unplugged, setup, teardown),
        cmocka_unit_test_setup_teardown(rings_of_noise_harm_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_wire_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(many_addresses_are_its_own_share, setup, teardown),
        cmocka_unit_test_setup_teardown(one_guest_gets_one_address, setup_network, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
