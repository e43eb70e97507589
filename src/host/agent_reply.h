// The words of the guest agent's protocol: requests as lines, and what a guest's answers say. Pure, and the part that
// reads what a hostile guest wrote.
#pragma once

#include "host/agent.h"

enum agent_question {
    AGENT_ASK_SYNC,
    AGENT_ASK_PING,
    AGENT_ASK_INFO,
    AGENT_ASK_SYSTEM,
    AGENT_ASK_HOST_NAME,
    AGENT_ASK_INTERFACES,
    AGENT_ASK_SHUTDOWN, // answered only by an error
    AGENT_ASK_SET_TIME,
};

enum { AGENT_LINE = 64 << 10, AGENT_REQUEST = 256 };

// Bytes to lines. A line that is too long is dropped whole; a byte 0xFF, which JSON cannot hold, drops what came
// before it (guest-sync-delimited).
struct agent_lines {
    size_t used;
    bool dropping;
    char text[AGENT_LINE];
};
bool agent_lines_add(struct agent_lines *lines, u8 byte); // true: text[0..used) is a line, until the next call

// The request as a line with its end; `number` is the sync's, the shutdown's enum agent_shutdown, or the time in
// nanoseconds.
size_t agent_request(char line[AGENT_REQUEST], enum agent_question question, u64 number);

enum agent_answer {
    AGENT_ANSWER_NONE, // it answers something else, or is no answer at all
    AGENT_ANSWER_YES,
    AGENT_ANSWER_ERROR,
};

// What the line answers to the question; on YES, what it says is put into `status`.
enum agent_answer agent_reply(const char *line, size_t bytes, enum agent_question question, u64 number,
                              struct agent_status *status);
