// struct control_status as JSON, and the names of states and endings. A service may be newer or older than a worker it
// finds running: fields it does not know are passed over, and those that are absent stay zero. See control.h.
#include <jansson.h>
#include <stdlib.h>

#include "control/control.h"
#include "control/field.h"

static const char *const status_states[] = {
    [CONTROL_STARTING] = "starting",
    [CONTROL_RUNNING] = "running",
    [CONTROL_PAUSED] = "paused",
    [CONTROL_SAVING] = "saving",
    NULL,
};

static const char *const status_endings[] = {
    [CONTROL_ENDED_POWER_OFF] = "power-off",
    [CONTROL_ENDED_BY_COMMAND] = "command",
    [CONTROL_ENDED_SAVED] = "saved",
    [CONTROL_ENDED_TRIPLE_FAULT] = "triple-fault",
    [CONTROL_ENDED_ENGINE] = "engine",
    [CONTROL_ENDED_START] = "start",
    NULL,
};

static const char *const status_heartbeats[] = {
    [CONTROL_HEARTBEAT_NONE] = "none",
    [CONTROL_HEARTBEAT_OK] = "ok",
    [CONTROL_HEARTBEAT_LOST] = "lost",
    NULL,
};

#define STATUS(member) offsetof(struct control_status, member)
#define STATUS_TEXT(member) STATUS(member), 0, sizeof(((struct control_status *)0)->member) - 1

static const struct field status_fields[] = {
    {"state", FIELD_ENUM, STATUS(state), 1, 16, true, status_states},
    {"engine", FIELD_TEXT, STATUS_TEXT(engine), false, NULL},
    {"uptime_ns", FIELD_U64, STATUS(uptime_ns), 0, INT64_MAX, false, NULL},
    {"cpu_ns", FIELD_U64, STATUS(cpu_ns), 0, INT64_MAX, false, NULL},
    {"memory_assigned", FIELD_U64, STATUS(memory_assigned), 0, INT64_MAX, false, NULL},
    {"memory_demand", FIELD_U64, STATUS(memory_demand), 0, INT64_MAX, false, NULL},
    {"nested_extension", FIELD_TEXT, STATUS_TEXT(nested_extension), false, NULL},
    {"nested_running", FIELD_BOOL, STATUS(nested_running), 0, 0, false, NULL},
    {"nested_launched", FIELD_U64, STATUS(nested_launched), 0, INT64_MAX, false, NULL},
    {"heartbeat", FIELD_ENUM, STATUS(heartbeat), 1, 16, false, status_heartbeats},
    {"guest_system", FIELD_TEXT, STATUS_TEXT(guest_system), false, NULL},
    {"addresses", FIELD_TEXT, STATUS_TEXT(addresses), false, NULL},
    {"jail", FIELD_TEXT, STATUS_TEXT(jail), false, NULL},
};
static_assert(sizeof(enum control_state) == sizeof(int) && sizeof(enum control_heartbeat) == sizeof(int), "FIELD_ENUM");

json_t *control_status_write(const struct control_status *status)
{
    return fields_write(status_fields, ARRAY_SIZE(status_fields), status);
}

int control_status_read(struct control_status *status, const json_t *json, struct error *error)
{
    *status = (struct control_status){.state = CONTROL_STARTING};
    return fields_read(status_fields, ARRAY_SIZE(status_fields), "status", json, status, error);
}

const char *control_state_name(enum control_state state) { return status_states[state]; }

const char *control_ending_name(enum control_ending ending) { return status_endings[ending]; }

const char *control_heartbeat_name(enum control_heartbeat heartbeat) { return status_heartbeats[heartbeat]; }

bool control_state_find(const char *name, enum control_state *state)
{
    int found = field_word(status_states, name);
    if (found >= 0)
        *state = (enum control_state)found;
    return found >= 0;
}

bool control_ending_find(const char *name, enum control_ending *ending)
{
    int found = field_word(status_endings, name);
    if (found >= 0)
        *ending = (enum control_ending)found;
    return found >= 0;
}
