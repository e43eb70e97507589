// The vocabulary of saved state. A part says beside its code, in one table, which members of its struct are state; the
// same table writes them and reads them back, so that the two cannot drift apart. What is read may come from anybody:
// each integer is held to the range its table names before it is stored, and `post_load` checks what no range can say.
//
//     static const struct state_field pit_state_fields[] = {
//         STATE_BOOL(struct pit, out0),
//         STATE_RANGE(struct pit, speaker, 0, 3),
//         STATE_STRUCTS(struct pit, channel, pit_channel_fields),
//     };
//     const struct state_section pit_state = STATE_SECTION("pit", 1, pit_state_fields, .post_load = pit_loaded);
//
// A member that is derived (a pointer, a cache) is not named and is made anew by `post_load`; a member that is the
// host's (a wire, a lock) is not named and stays. On the wire an integer is little-endian and as wide as its member,
// one after the other in the table's order, without gaps.
#pragma once

#include "base/error.h"
#include "base/types.h"

struct state_field {
    const char *name;
    u32 offset; // in the object
    u32 size;   // of one element in memory; 1, 2, 4 or 8 for integers
    u32 count;  // elements, side by side
    u32 since;  // the first version of the section with this field
    u64 least, most; // of an integer, as unsigned; most 0: any
    const struct state_field *fields; // an element is a struct of these; NULL: an integer
    u32 field_count;
};

struct state_section {
    const char *name; // of what it is the state; at most STATE_NAME - 1 characters
    u32 version;      // of the table: counts up when fields are added (at the end, with `since`)
    const struct state_field *fields;
    u32 field_count;
    // Optional. Before the fields are written: brings what is not in them into them.
    void (*pre_save)(void *object);
    // Optional. After all fields were read and found in range: -1 with the reason if together they are no state the
    // object can be in, else derives the rest. The object is one that was just created and reset. After -1 nothing
    // happens to it but destruction.
    int (*post_load)(void *object, struct error *error);
};

enum { STATE_NAME = 24 };

#define STATE_MEMBER(type, member) (((type *)0)->member)
#define STATE_RANGE(type, member, low, high) \
    {.name = #member, .offset = offsetof(type, member), .size = sizeof STATE_MEMBER(type, member), .count = 1, \
     .least = (low), .most = (high)}
#define STATE_FIELD(type, member) STATE_RANGE(type, member, 0, 0) // an integer, any value
#define STATE_BOOL(type, member) STATE_RANGE(type, member, 0, 1)
#define STATE_ARRAY(type, member) /* of integers, any values */ \
    {.name = #member, .offset = offsetof(type, member), .size = sizeof STATE_MEMBER(type, member)[0], \
     .count = sizeof STATE_MEMBER(type, member) / sizeof STATE_MEMBER(type, member)[0]}
#define STATE_STRUCTS(type, member, table) /* an array of structs that `table` describes */ \
    {.name = #member, .offset = offsetof(type, member), .size = sizeof STATE_MEMBER(type, member)[0], \
     .count = sizeof STATE_MEMBER(type, member) / sizeof STATE_MEMBER(type, member)[0], \
     .fields = (table), .field_count = ARRAY_SIZE(table)}
#define STATE_STRUCT(type, member, table, table_count) /* one struct, described elsewhere */ \
    {.name = #member, .offset = offsetof(type, member), .size = sizeof STATE_MEMBER(type, member), .count = 1, \
     .fields = (table), .field_count = (table_count)}
#define STATE_SECTION(section_name, section_version, table, ...) \
    {.name = (section_name), .version = (section_version), .fields = (table), .field_count = ARRAY_SIZE(table), \
     __VA_ARGS__}

// How long the state is on the wire in a version from 1 to section->version.
size_t state_bytes(const struct state_section *section, u32 version);

// Writes state_bytes(section, section->version) bytes.
void state_save(const struct state_section *section, void *object, u8 *to);

// Reads a state of `version`. -1 if there is no such version, the length is wrong, a value is out of its range or
// post_load refuses; the object's fields may then be half read.
int state_load(const struct state_section *section, u32 version, void *object, const u8 *from, size_t bytes,
               struct error *error);
