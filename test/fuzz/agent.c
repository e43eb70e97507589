// What a guest's agent says to the host, and what a host says to the agent: bytes to lines, lines to answers. The
// first byte picks the side and the question.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"
#include "host/agent_reply.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes);

// Everything that is kept of a reply is text of one line, within its place.
static void check_text(const char *text, size_t bytes)
{
    size_t length = strnlen(text, bytes);
    assert(length < bytes);
    for (size_t i = 0; i < length; i++)
        assert((u8)text[i] >= ' ' && text[i] != 0x7F);
}

static void check(const struct agent_status *status)
{
    check_text(status->version, sizeof status->version);
    check_text(status->system, sizeof status->system);
    check_text(status->kernel, sizeof status->kernel);
    check_text(status->host_name, sizeof status->host_name);
    check_text(status->addresses, sizeof status->addresses);
}

// Commands that would act on this machine are not for a fuzzer.
static bool harmless(const char *line, size_t bytes)
{
    return !memmem(line, bytes, "shutdown", 8) && !memmem(line, bytes, "set-time", 8) && !memchr(line, '\\', bytes);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes)
{
    static struct agent_lines lines;
    struct agent_status status = {0};
    if (!bytes)
        return 0;
    memset(&lines, 0, offsetof(struct agent_lines, text));
    enum agent_question question = data[0] % (AGENT_ASK_SET_TIME + 1);
    for (size_t i = 1; i < bytes; i++) {
        if (!agent_lines_add(&lines, data[i]))
            continue;
        if (data[0] < 128)
            agent_reply(lines.text, lines.used, question, 1, &status);
        else if (harmless(lines.text, lines.used))
            free(command_answer(lines.text, lines.used));
    }
    check(&status);
    return 0;
}
