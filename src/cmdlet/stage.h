// A stage from the inside: what pipeline.c, which strings stages together, and stage.c, which runs one, share.
#pragma once

#include "cmdlet/session_room.h"

struct stage {
    struct session *session;
    struct stage *next;       // NULL: output goes to the sink
    const struct sink *sink;
    u32 start, end;           // where the command stands
    bool piped;               // objects come from a stage before it
    bool failed;              // could not be made ready: nothing runs

    const struct cmdlet *cmdlet;
    const struct local_cmdlet *local;
    struct bound base, now;   // `now`: with the object at hand, where the pipeline binds parameters
    void *data;

    struct syntax *syntax;    // a function or a block
    const struct node *block;
    struct value *input;      // an array: what it will see as $input
    struct argument *arguments;
    size_t argument_count;
    struct value *splats;     // an array: what arguments' names borrow from

    struct value *file;       // > here; VALUE_NULL: nowhere
    bool append;
    struct value *filed;      // an array: what goes there
    struct value *error_file; // 2> here
    bool merge;               // 2>&1
    struct value *outputs, *errors, *warnings; // -OutVariable, -ErrorVariable, -WarningVariable: arrays
};

// Makes the stage ready for objects. False: it could not be, and flow says why.
bool stage_prepare(struct stage *stage, const char *name);
void stage_begin(struct stage *stage);
void stage_feed(struct stage *stage, struct value *object); // takes it over; NULL: the one turn of a first command
void stage_end(struct stage *stage);
void stage_finish(struct stage *stage); // after the end, whatever happened: variables, files
void stage_release(struct stage *stage);
// An error of the stage: shown, kept, or thrown, as -ErrorAction says. Takes the record over.
void stage_record(struct stage *stage, struct value *record);
