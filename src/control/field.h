// Structs as JSON objects, by a table: what a field is called, where it lies, and what is allowed in it stands in one
// row, and reading, writing and freeing follow from it.
#pragma once

#include "base/error.h"
#include "base/types.h"

struct json_t;

enum field_kind {
    FIELD_STRING,   // char *, owned; NULL: the field is absent
    FIELD_TEXT,     // char[most + 1]
    FIELD_UNSIGNED, // unsigned
    FIELD_U64,
    FIELD_BOOL,
    FIELD_MAC,      // u8[6], "02:00:00:00:00:01"
    FIELD_ENUM,     // an enum of int's size; `words` are its names, in order
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
    u64 least, most;          // of a number, or of a string's length in bytes
    bool required;            // otherwise the struct keeps what it had
    const char *const *words; // NULL-ended; FIELD_STRING: nothing else is allowed
};

// `what` names the object in errors. FIELD_TEXT that is too long is an error, as everything out of range.
int fields_read(const struct field *fields, unsigned count, const char *what, const struct json_t *object, void *to,
                struct error *error);
// An error for each name in the object that is neither in the table nor in `others` (NULL-ended).
int fields_only(const struct field *fields, unsigned count, const char *const *others, const char *what,
                const struct json_t *object, struct error *error);
struct json_t *fields_write(const struct field *fields, unsigned count, const void *from); // NULL: out of memory
void fields_free(const struct field *fields, unsigned count, void *of);

// The index of a word in a NULL-ended list, or -1.
int field_word(const char *const *words, const char *word);
