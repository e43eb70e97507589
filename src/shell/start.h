// Starts the service for a cmdlet that found none.
#pragma once

#include "base/error.h"

enum start_result {
    START_FAILED,
    START_DONE,    // its socket answers
    START_RACED,   // somebody else does it at this moment; its socket may not be there yet
    START_SESSION, // done, and it lives in a login session (start_session_words)
};

enum { START_MS = 20000 }; // the most it takes

enum start_result start_service(const char *socket, struct error *error);

// What whoever started it there should know.
const char *start_session_words(void);
