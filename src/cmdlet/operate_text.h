// Operators on text: regular expressions, -split, -join, -f. See operate_text.c.
#pragma once

#include "cmdlet/session_room.h"

// -match sets $Matches. -1: the pattern is wrong, and flow says so.
int text_match(struct session *session, const struct node *node, const char *text, const char *pattern, bool sensitive);
struct value *text_replace(struct session *session, const struct node *node, const char *text, const char *pattern,
                           const char *with, bool sensitive);
struct value *text_split(struct session *session, const struct node *node, const char *text, const char *pattern,
                         s64 most, bool sensitive);
struct value *text_join(struct value *list, const char *between);
struct value *text_format(struct session *session, const struct node *node, const char *format,
                          struct value *arguments);
// One value in a .NET format: "N2", "X", "00". The caller frees.
char *text_format_one(const struct value *value, const char *format);
