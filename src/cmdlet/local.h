// Cmdlets that run in the shell because they only look at objects: Where-Object, Format-Table, Get-Help. A row of the
// table with CMDLET_LOCAL says what they take; a `struct local_cmdlet` of the same name says what they do.
//
// A stage is one command of a running pipeline. Objects come one at a time and leave one at a time, so that
// `Get-VM | Select-Object -First 1` needs no more than one.
#pragma once

#include "cmdlet/request.h"

struct session;
struct stage;

struct local_cmdlet {
    const char *name;
    size_t data; // bytes of zeroed memory of its own (stage_data)
    // Each may be NULL. `begin` runs before the first object, `end` after the last; `process` once an object, which is
    // borrowed. The first command of a pipeline has no objects: `process` runs once with NULL.
    void (*begin)(struct stage *stage);
    void (*process)(struct stage *stage, struct value *input);
    void (*end)(struct stage *stage);
    void (*release)(struct stage *stage); // what `data` refers to; always called
};

extern const struct local_cmdlet *const local_cmdlets[]; // lists, each ends with a NULL name; NULL past the last
const struct local_cmdlet *local_find(const struct session *session, const char *name); // NULL: none

struct session *stage_session(struct stage *stage);
void *stage_data(struct stage *stage);
const struct cmdlet *stage_cmdlet(const struct stage *stage);

// Parameters as bound, of the row's types. Borrowed; NULL if not given.
struct value *stage_parameter(struct stage *stage, const char *name);
bool stage_switch(struct stage *stage, const char *name);
s64 stage_int(struct stage *stage, const char *name, s64 fallback);
const char *stage_string(struct stage *stage, const char *name, const char *fallback);
const char *stage_set(struct stage *stage); // the parameter set's name, or NULL

void stage_put(struct stage *stage, struct value *object); // to the next stage; takes the reference over
void stage_warning(struct stage *stage, const char *text);
// Reports an error that ends this object's turn and not the pipeline, unless -ErrorAction says otherwise.
void stage_error(struct stage *stage, const struct cmdlet_error *error);
__attribute__((format(printf, 4, 5))) void stage_fail(struct stage *stage, enum error_category category, const char *id,
                                                      const char *format, ...);
// Whether the stage should stop working: something was thrown, Ctrl-C, or nobody wants more objects.
bool stage_stopped(const struct stage *stage);

// Nobody needs more objects from before this stage: what is under way there ends, what comes behind goes on.
void stage_enough(struct stage *stage);
// Sends a request of another cmdlet as if it had been typed here; what it puts out goes to the next stage. Borrows.
void stage_invoke(struct stage *stage, const struct cmdlet *cmdlet, struct value *parameters);

// Runs a block with $_ set to `item` (may be NULL) and puts what it gives into `output`, an array. false: stopped.
bool stage_block(struct stage *stage, struct value *block, struct value *item, struct value *output);
// What a block gives as one value: null, the one, or an array; or the named property if `what` is a string. The
// caller's; NULL: stopped.
struct value *stage_evaluate(struct stage *stage, struct value *what, struct value *item);
