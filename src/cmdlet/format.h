// Objects to text: what PowerShell's Out-Default does with what falls out of a pipeline. Consecutive objects of one
// class share a table (or a list, if their class has no table and they have more than four properties); strings and
// numbers are lines; views that Format-Table and its kind made are printed as they are.
//
// Pure: text goes where `write` takes it.
#pragma once

#include "cmdlet/format_view.h"
#include "cmdlet/value.h"

struct format;

struct format *format_create(const struct view_style *style,
                             void (*write)(void *context, const char *text, size_t bytes), void *context);
void format_destroy(struct format *format); // NULL is allowed; what was not ended is dropped
void format_style(struct format *format, const struct view_style *style); // the terminal has another size now
// Objects wait until one of another kind comes or the pipeline ends, because a table is sized by its rows.
void format_put(struct format *format, struct value *object);
void format_end(struct format *format);

char *format_objects(struct value *const *objects, size_t count, const struct view_style *style); // the caller frees

// The views objects of one shape get by default, or as a table or a list with all properties.
struct view *format_default(struct value *const *objects, size_t count);
struct view *format_table(struct value *const *objects, size_t count);
struct view *format_list(struct value *const *objects, size_t count);
// Whether two objects can stand in one view.
bool format_alike(const struct value *left, const struct value *right);
// The names of the properties that match, in the class's order and then the object's own: an array of strings, the
// caller's.
struct value *format_names(const struct value *object, const char *pattern);
