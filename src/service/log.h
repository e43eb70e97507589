// The service's log: one line an event, `level=info event=vm-state vm=lab from=Off to=Starting`, on the standard error,
// where the journal or a file picks it up. Values are quoted where they need it, so that a guest's or a user's words
// cannot make a line of their own.
#pragma once

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO };

// Pairs of key and value, ends with a NULL key. A NULL value leaves its pair out. Any thread.
__attribute__((sentinel)) void log_write(enum log_level level, const char *event, ...);
