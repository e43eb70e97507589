// The guest agent's two ends: what the host's believes of what a guest says, and what the guest's answers; then both
// together over a channel.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "agent/command.h"
#include "host/agent_reply.h"
#include "host/channel.h"

static enum agent_answer reads(const char *line, enum agent_question question, struct agent_status *status)
{
    return agent_reply(line, strlen(line), question, 7, status);
}

static void test_replies(void **state)
{
    (void)state;
    struct agent_status status = {0};
    assert_int_equal(reads("{\"return\": 7}", AGENT_ASK_SYNC, &status), AGENT_ANSWER_YES);
    assert_int_equal(reads("{\"return\": 8}", AGENT_ASK_SYNC, &status), AGENT_ANSWER_NONE);
    assert_int_equal(reads("{\"return\": {}}", AGENT_ASK_PING, &status), AGENT_ANSWER_YES);
    assert_int_equal(reads("{\"error\": {\"class\": \"x\"}}", AGENT_ASK_PING, &status), AGENT_ANSWER_ERROR);
    assert_int_equal(reads("{\"error\": 1}", AGENT_ASK_PING, &status), AGENT_ANSWER_NONE);
    assert_int_equal(reads("[[[[", AGENT_ASK_PING, &status), AGENT_ANSWER_NONE);
    assert_int_equal(reads("", AGENT_ASK_PING, &status), AGENT_ANSWER_NONE);
    const char *system = "{\"return\": {\"pretty-name\": \"A\\u0007B\", \"kernel-release\": 5}}";
    assert_int_equal(reads(system, AGENT_ASK_SYSTEM, &status), AGENT_ANSWER_YES);
    assert_string_equal(status.system, "A?B");
    assert_string_equal(status.kernel, "");
    char line[512], name[300];
    memset(name, 'x', sizeof name);
    memcpy(name + 62, "\xC3\xA4", 2); // a character across the end of the place
    name[299] = 0;
    snprintf(line, sizeof line, "{\"return\": {\"host-name\": \"%s\"}}", name);
    assert_int_equal(reads(line, AGENT_ASK_HOST_NAME, &status), AGENT_ANSWER_YES);
    assert_int_equal(strlen(status.host_name), 62);
}

static void test_addresses(void **state)
{
    (void)state;
    struct agent_status status = {0};
    const char *line = "{\"return\": [{\"name\": \"lo\", \"ip-addresses\": [{\"ip-address\": \"127.0.0.1\"}]}, 5, {},"
                       "{\"name\": \"eth0\", \"ip-addresses\": [{\"ip-address\": \"10.0.2.15\"},"
                       "{\"ip-address\": \"; rm\"},"
                       "{\"ip-address\": \"fe80::1\"}]}]}";
    assert_int_equal(reads(line, AGENT_ASK_INTERFACES, &status), AGENT_ANSWER_YES);
    assert_string_equal(status.addresses, "10.0.2.15 fe80::1");
}

static bool feed(struct agent_lines *lines, const char *text)
{
    bool complete = false;
    for (; *text; text++)
        complete = agent_lines_add(lines, (u8)*text);
    return complete;
}

static void test_lines(void **state)
{
    (void)state;
    struct agent_lines *lines = calloc(1, sizeof *lines);
    assert_true(feed(lines, "one\n"));
    assert_int_equal(lines->used, 4);
    assert_false(feed(lines, "\n"));
    assert_true(feed(lines, "junk\xFF" "two\n"));
    assert_memory_equal(lines->text, "two\n", 4);
    for (unsigned i = 0; i < AGENT_LINE + 10; i++)
        assert_false(agent_lines_add(lines, 'x'));
    assert_false(feed(lines, "end\n")); // the end of what was too long
    assert_true(feed(lines, "three\n"));
    assert_memory_equal(lines->text, "three\n", 6);
    for (unsigned i = 0; i < AGENT_LINE - 1; i++)
        agent_lines_add(lines, 'y');
    assert_true(agent_lines_add(lines, '\n')); // just fits
    assert_int_equal(lines->used, AGENT_LINE);
    assert_true(feed(lines, "four\n"));
    free(lines);
}

static void answers(const char *line, const char *wanted)
{
    char *answer = command_answer(line, strlen(line));
    assert_non_null(answer);
    if (!strstr(answer, wanted))
        fail_msg("%s: %s", line, answer);
    free(answer);
}

static void test_commands(void **state)
{
    (void)state;
    answers("{\"execute\":\"guest-ping\"}", "{\"return\":{}}");
    answers("{\"execute\":\"guest-sync\",\"arguments\":{\"id\":12}}", "{\"return\":12}");
    answers("{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":12}}", "\xFF{\"return\":12}");
    answers("{\"execute\":\"guest-sync\"}", "GenericError");
    answers("{\"execute\":\"guest-nothing\"}", "CommandNotFound");
    answers("{\"execute\":5}", "GenericError");
    answers("nonsense", "GenericError");
    answers("{\"execute\":\"guest-info\"}", "guest-shutdown");
    answers("{\"execute\":\"guest-get-osinfo\"}", "kernel-release");
    answers("{\"execute\":\"guest-get-host-name\"}", "host-name");
    answers("{\"execute\":\"guest-network-get-interfaces\"}", "\"lo\"");
    answers("{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":\"sideways\"}}", "GenericError");
    answers("{\"execute\":\"guest-set-time\",\"arguments\":{\"time\":-1}}", "GenericError");
}

// A guest: reads requests from the channel and has them answered, as long as it is asked to.
struct guest {
    struct channel *channel;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken, stop, refuses_shutdown;
    unsigned events, failures;
    pthread_t thread;
};

static void guest_wake(void *context)
{
    struct guest *guest = context;
    pthread_mutex_lock(&guest->lock);
    guest->woken = true;
    pthread_cond_broadcast(&guest->changed);
    pthread_mutex_unlock(&guest->lock);
}

static void guest_answer(struct guest *guest, const char *line, size_t bytes)
{
    static const char refusal[] = "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}";
    bool shutdown = memmem(line, bytes, "guest-shutdown", 14), time = memmem(line, bytes, "set-time", 8);
    char *answer = shutdown || time ? strdup(refusal) : command_answer(line, bytes);
    if (!answer)
        return;
    channel_from_guest(guest->channel, "noise\n", 6);
    channel_from_guest(guest->channel, answer, strlen(answer));
    channel_from_guest(guest->channel, "\n", 1);
    free(answer);
}

static void *guest_run(void *context)
{
    struct guest *guest = context;
    char text[4096];
    size_t used = 0;
    for (;;) {
        pthread_mutex_lock(&guest->lock);
        while (!guest->woken && !guest->stop)
            pthread_cond_wait(&guest->changed, &guest->lock);
        guest->woken = false;
        bool stop = guest->stop;
        pthread_mutex_unlock(&guest->lock);
        if (stop)
            return NULL;
        used += channel_to_guest(guest->channel, text + used, sizeof text - used);
        for (char *end; (end = memchr(text, '\n', used));) {
            guest_answer(guest, text, (size_t)(end - text));
            used -= (size_t)(end + 1 - text);
            memmove(text, end + 1, used);
        }
    }
}

static void on_changed(void *context)
{
    struct guest *guest = context;
    pthread_mutex_lock(&guest->lock);
    guest->events++;
    pthread_cond_broadcast(&guest->changed);
    pthread_mutex_unlock(&guest->lock);
}

static void on_failure(void *context)
{
    struct guest *guest = context;
    pthread_mutex_lock(&guest->lock);
    guest->failures++;
    pthread_cond_broadcast(&guest->changed);
    pthread_mutex_unlock(&guest->lock);
}

static void wait_for(struct guest *guest, struct agent *agent, enum agent_heartbeat heartbeat, unsigned failures,
                     bool system)
{
    struct timespec until;
    struct agent_status status;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&guest->lock);
    while (agent_get(agent, &status), status.heartbeat != heartbeat || guest->failures < failures ||
                                          (system && !*status.kernel))
        assert_int_equal(pthread_cond_timedwait(&guest->changed, &guest->lock, &until), 0);
    pthread_mutex_unlock(&guest->lock);
}

static void test_conversation(void **state)
{
    (void)state;
    struct error error;
    struct guest guest = {.channel = channel_create(&error)};
    pthread_mutex_init(&guest.lock, NULL);
    pthread_cond_init(&guest.changed, NULL);
    channel_attach(guest.channel, guest_wake, &guest);
    const struct agent_events events = {.context = &guest, .changed = on_changed, .shutdown_failed = on_failure};
    struct agent *agent = agent_create(guest.channel, &events, &error);
    assert_non_null(agent);
    assert_false(agent_shutdown(agent, AGENT_POWER_DOWN)); // nobody there
    pthread_create(&guest.thread, NULL, guest_run, &guest);
    channel_guest_open(guest.channel, true);
    wait_for(&guest, agent, AGENT_OK, 0, false);
    assert_true(agent_shutdown(agent, AGENT_POWER_DOWN));
    wait_for(&guest, agent, AGENT_OK, 1, false); // refused
    wait_for(&guest, agent, AGENT_OK, 1, true);
    channel_guest_open(guest.channel, false);
    wait_for(&guest, agent, AGENT_LOST, 1, false);
    channel_guest_open(guest.channel, true);
    wait_for(&guest, agent, AGENT_OK, 1, false);
    channel_guest_open(guest.channel, false);
    wait_for(&guest, agent, AGENT_LOST, 1, false);
    agent_forget(agent);
    wait_for(&guest, agent, AGENT_NO_CONTACT, 1, false);
    agent_destroy(agent);
    pthread_mutex_lock(&guest.lock);
    guest.stop = true;
    pthread_cond_broadcast(&guest.changed);
    pthread_mutex_unlock(&guest.lock);
    pthread_join(guest.thread, NULL);
    channel_attach(guest.channel, NULL, NULL);
    channel_destroy(guest.channel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),  cmocka_unit_test(test_addresses),    cmocka_unit_test(test_lines),
        cmocka_unit_test(test_commands), cmocka_unit_test(test_conversation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
