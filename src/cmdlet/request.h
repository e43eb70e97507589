// Where the command language and the service meet: a cmdlet with its bound, typed parameters, and what comes back,
// piece by piece, while it works.
#pragma once

#include "cmdlet/cmdlet.h"
#include "cmdlet/value.h"

// PowerShell's ErrorCategory, as far as cmdlets use it. CategoryInfo prints the name.
enum error_category {
    CATEGORY_NOT_SPECIFIED,
    CATEGORY_INVALID_ARGUMENT,
    CATEGORY_INVALID_OPERATION,
    CATEGORY_OBJECT_NOT_FOUND,
    CATEGORY_RESOURCE_EXISTS,
    CATEGORY_RESOURCE_BUSY,
    CATEGORY_RESOURCE_UNAVAILABLE,
    CATEGORY_PERMISSION_DENIED,
    CATEGORY_NOT_IMPLEMENTED,
    CATEGORY_NOT_INSTALLED,
    CATEGORY_OPERATION_TIMEOUT,
    CATEGORY_CONNECTION_ERROR,
    CATEGORY_WRITE_ERROR,
    CATEGORY_READ_ERROR,
    CATEGORY_PARSER_ERROR,
};

const char *error_category_name(enum error_category category); // "InvalidArgument"
enum error_category error_category_find(const char *name);

// An error as Hyper-V's module tells it. `id` and `exception` make "FullyQualifiedErrorId : InvalidState,
// Microsoft.HyperV.PowerShell.Commands.SetVMProcessor" and "CategoryInfo : InvalidOperation: (:) [Set-VMProcessor],
// VirtualizationException"; the class behind the comma is the cmdlet's and is added where the error is printed.
struct cmdlet_error {
    enum error_category category;
    const char *id;        // "InvalidState"
    const char *exception; // "VirtualizationException"
    const char *target;    // what CategoryInfo shows between the parentheses before the colon, or NULL
    const char *message;   // one or several lines: what failed, why, the way out
};

struct request {
    const struct cmdlet *cmdlet;
    struct value *parameters; // a map: the parameter's canonical name -> a value of its type (a list where it is one)
    const char *directory;    // absolute: what relative paths were made absolute against
    bool what_if;             // say what would be done
    bool verbose;
};

// Called by whoever carries a request out, on its thread, in the order things happen. Values are borrowed.
struct reply {
    void *context;
    void (*output)(void *context, struct value *object);
    void (*host)(void *context, const char *text); // a line for who watches, no part of the output; may be NULL
    void (*warning)(void *context, const char *text);
    void (*verbose)(void *context, const char *text);
    void (*progress)(void *context, const char *activity, const char *status, int percent); // -1: not known
    // `What if: Performing the operation "..." on target "..."` without the first two words.
    void (*what_if)(void *context, const char *text);
    // The request, or the part of it that concerns one object, failed. Others of its objects may still succeed.
    void (*error)(void *context, const struct cmdlet_error *error);
};
