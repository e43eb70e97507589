// What the command language computes with, and what requests and replies are made of: null, truth values, numbers,
// strings, times, arrays, maps, objects with a class, script blocks.
//
// Values are reference counted. A function that returns a `struct value *` gives its caller one reference; a function
// that takes one borrows it, unless its name says `put`, `add` or `set` of a container, which take the reference over.
// Once a value is in somebody else's hands it is not changed any more: only its maker, holding the one reference, fills
// a container. Scalars therefore travel between threads; the counts are not atomic, so a value with several references
// belongs to one thread.
//
// Out of memory ends the process (value_allocate): a shell has nothing better to do, and the service, which bounds
// every request before it makes values from it, would meet it only when the host is beyond help.
#pragma once

#include "base/types.h"

enum value_kind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,      // s64; byte counts, too
    VALUE_REAL,     // double
    VALUE_STRING,   // UTF-8, zero-terminated, no zero bytes inside
    VALUE_TIMESPAN, // s64 ticks of 100 ns, as in .NET
    VALUE_DATETIME, // s64 ticks of 100 ns since 1970-01-01 UTC
    VALUE_ARRAY,
    VALUE_MAP,      // a hashtable literal: keys compare without regard to case, order is kept
    VALUE_OBJECT,   // a map with a class (class.h)
    VALUE_BLOCK,    // { script }: the parser's, opaque here
};

enum { VALUE_TICKS_SECOND = 10000000 };

struct value_pair {
    char *key;
    struct value *value;
};

struct value {
    enum value_kind kind;
    unsigned references;
    union {
        bool truth;
        s64 integer; // VALUE_INT, VALUE_TIMESPAN, VALUE_DATETIME
        double real;
        char *string;
        struct {
            struct value **items;
            size_t count, room;
        } array;
        struct {
            struct value_pair *pairs;
            size_t count, room;
            char *type; // VALUE_OBJECT: the class's short name ("VirtualMachine"); NULL for a map
        } map;
        struct {
            void *node;
            void (*release)(void *node);
        } block;
    };
};

void *value_allocate(size_t bytes); // zeroed; never NULL
void *value_reallocate(void *old, size_t bytes);
char *value_text_copy(const char *text);
__attribute__((format(printf, 1, 2))) char *value_text(const char *format, ...); // the caller frees

struct value *value_ref(struct value *value);  // NULL is allowed
void value_unref(struct value *value);         // NULL is allowed

struct value *value_null(void);
struct value *value_bool(bool truth);
struct value *value_int(s64 integer);
struct value *value_real(double real);
struct value *value_string(const char *text);
__attribute__((format(printf, 1, 2))) struct value *value_format(const char *format, ...);
struct value *value_timespan(s64 ticks);
struct value *value_datetime(s64 ticks);
struct value *value_array(void);
struct value *value_map(void);
struct value *value_object(const char *type);
struct value *value_block(void *node, void (*release)(void *node));

// Arrays. value_item borrows; out of range is NULL.
void value_add(struct value *array, struct value *item);
size_t value_count(const struct value *array); // 0 for what is no array
struct value *value_item(const struct value *array, size_t index);

// Maps and objects. value_put replaces what the key had; value_get borrows, NULL if there is none.
void value_put(struct value *map, const char *key, struct value *item);
struct value *value_get(const struct value *map, const char *key);
bool value_is_map(const struct value *value);               // a map or an object
bool value_is_a(const struct value *value, const char *type); // an object of this class, without regard to case

// A deep copy that shares nothing: what may go to another thread.
struct value *value_copy(const struct value *value);

// Readers for those who know what they want: the fallback if the value is NULL or of another kind.
bool value_as_bool(const struct value *value, bool fallback);
s64 value_as_int(const struct value *value, s64 fallback);
const char *value_as_string(const struct value *value, const char *fallback);

// PowerShell's truth: null, false, 0, "" and the empty array are false.
bool value_truth(const struct value *value);

// As it stands in "$value" and in a table's cell: True, 5, 1.5, 00:01:02, an array's items with blanks between. The
// caller frees.
char *value_to_text(const struct value *value);

// -eq: numbers by number, strings without regard to case, times by time; arrays and maps by identity.
bool value_equal(const struct value *left, const struct value *right);
// -lt and sorting: negative, 0, positive. Kinds that do not compare are ordered by their text.
int value_compare(const struct value *left, const struct value *right);

// Names are compared without regard to case everywhere, by ASCII's rules.
int value_name_compare(const char *left, const char *right);
// PowerShell's wildcards: * ? [a-z], ` escapes; without regard to case. Time is bounded by the product of the lengths.
bool value_name_like(const char *name, const char *pattern);
bool value_has_wildcard(const char *pattern);
