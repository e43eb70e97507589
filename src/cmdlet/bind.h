// From what was written to what a cmdlet takes: names to parameters, positions to parameters, pipeline objects to
// parameters, and every value to the type its row of the table says. PowerShell's rules, in its order, with its
// messages.
#pragma once

#include <stdio.h>

#include "cmdlet/request.h"

// One argument as written.
struct argument {
    const char *name;       // -Name; NULL: by position
    struct value *value;    // NULL: -Name alone, whose value may follow
    const char *spelling;   // of a number that was a bare word: "8.0"; or NULL
    u32 start, end;         // where it stands in the script
};

struct bind_context {
    const char *directory; // what relative paths start from
    const char *home;      // what ~ stands for, or NULL
};

struct bind_error {
    enum error_category category;
    const char *id;
    const char *exception;
    u32 start, end; // both 0: the whole command
    char text[700];
};

struct bound {
    const struct cmdlet *cmdlet;
    struct value *parameters; // canonical name -> value of its type
    struct value *common;     // the same for cmdlet_common_parameters
    u8 sets;                  // the parameter sets that are still possible
};

enum { BIND_SETS_ALL = 0xff, BIND_NAMES_MOST = 8 };

// Binds what was written. `piped`: objects will follow, which may bring what is missing. 0, or -1 with `error` filled;
// either way bound_release is due.
int bind_arguments(struct bound *bound, const struct cmdlet *cmdlet, const struct argument *arguments, size_t count,
                   const struct bind_context *context, bool piped, struct bind_error *error);
// The same with one object of the pipeline on top; `bound` is made anew.
int bind_object(struct bound *bound, const struct bound *base, struct value *object, const struct bind_context *context,
                struct bind_error *error);
void bound_release(struct bound *bound);
const char *bound_set(const struct bound *bound); // the parameter set's name; NULL: the cmdlet has one only

// A cmdlet's parameter by name, alias or unambiguous prefix, common ones included. NULL: none, or several, whose names
// are then in `matches` ("-Name -Namespace", NULL: not wanted).
const struct parameter *bind_find(const struct cmdlet *cmdlet, const char *name, char *matches, size_t bytes);
bool bind_is_common(const struct parameter *parameter);

// bind_convert.c. `value` as the parameter's type: a new reference, or NULL with `error` filled. `coerce` false: only
// if it is of that type already.
struct value *bind_convert(const struct parameter *parameter, struct value *value, const char *spelling,
                           const struct bind_context *context, bool coerce, struct bind_error *error);
__attribute__((format(printf, 4, 5))) int bind_fail(struct bind_error *error, enum error_category category,
                                                    const char *id, const char *format, ...);
