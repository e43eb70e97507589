// See state.h. Tables nest one level or two, as deep as their authors nest structs; nothing read from a stream decides
// how far any loop here goes.
#include "base/state.h"

#include <inttypes.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers go to the wire as they lie in memory");

static size_t state_fields_bytes(const struct state_field *fields, u32 count, u32 version)
{
    size_t bytes = 0;
    for (u32 i = 0; i < count; i++) {
        const struct state_field *field = &fields[i];
        if (field->since > version)
            continue;
        bytes += field->count * (field->fields ? state_fields_bytes(field->fields, field->field_count, version)
                                               : field->size);
    }
    return bytes;
}

size_t state_bytes(const struct state_section *section, u32 version)
{
    return state_fields_bytes(section->fields, section->field_count, version);
}

static u8 *state_fields_save(const struct state_field *fields, u32 count, const u8 *object, u8 *to)
{
    for (u32 i = 0; i < count; i++) {
        const struct state_field *field = &fields[i];
        if (!field->fields) {
            size_t bytes = (size_t)field->count * field->size;
            memcpy(to, object + field->offset, bytes);
            to += bytes;
            continue;
        }
        for (u32 at = 0; at < field->count; at++)
            to = state_fields_save(field->fields, field->field_count, object + field->offset + (size_t)at * field->size,
                                   to);
    }
    return to;
}

void state_save(const struct state_section *section, void *object, u8 *to)
{
    if (section->pre_save)
        section->pre_save(object);
    state_fields_save(section->fields, section->field_count, object, to);
}

static int state_check(const struct state_field *field, const u8 *from, struct error *error)
{
    for (u32 i = 0; field->most && i < field->count; i++) {
        u64 value = 0;
        memcpy(&value, from + (size_t)i * field->size, field->size);
        if (value < field->least || value > field->most)
            return error_set(error, "%s is %" PRIu64 ", beyond its range of %" PRIu64 " to %" PRIu64, field->name,
                             value, field->least, field->most);
    }
    return 0;
}

// The caller has made sure that all of it is there. Returns the place behind what was read, or NULL.
static const u8 *state_fields_load(const struct state_field *fields, u32 count, u32 version, u8 *object, const u8 *from,
                                   struct error *error)
{
    for (u32 i = 0; i < count && from; i++) {
        const struct state_field *field = &fields[i];
        if (field->since > version)
            continue;
        if (!field->fields) {
            size_t bytes = (size_t)field->count * field->size;
            if (state_check(field, from, error))
                return NULL;
            memcpy(object + field->offset, from, bytes);
            from += bytes;
            continue;
        }
        for (u32 at = 0; at < field->count && from; at++)
            from = state_fields_load(field->fields, field->field_count, version,
                                     object + field->offset + (size_t)at * field->size, from, error);
    }
    return from;
}

int state_load(const struct state_section *section, u32 version, void *object, const u8 *from, size_t bytes,
               struct error *error)
{
    if (!version || version > section->version)
        return error_set(error, "the state of %s has version %u; this nidus knows those up to %u", section->name,
                         version, section->version);
    size_t wanted = state_bytes(section, version);
    if (bytes != wanted)
        return error_set(error, "the state of %s has %zu bytes, not the %zu of version %u", section->name, bytes,
                         wanted, version);
    if (!state_fields_load(section->fields, section->field_count, version, object, from, error) ||
        (section->post_load && section->post_load(object, error)))
        return error_prefix(error, "the state of %s", section->name);
    return 0;
}
