// See record.h. The column tables below are the only place where a member and its column meet: loading, saving, copying
// and freeing all go by them.
#include "service/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cmdlet/value.h"
#include "control/control.h"
#include "service/version.h"

#define TEXT(type, member) {#member, RECORD_TEXT, offsetof(struct type, member)}
#define INT(type, member) {#member, RECORD_INT, offsetof(struct type, member)}
#define BOOL(type, member) {#member, RECORD_BOOL, offsetof(struct type, member)}

const struct record_column record_vm_columns[] = {
    TEXT(vm_record, id),
    TEXT(vm_record, name),
    TEXT(vm_record, version),
    INT(vm_record, generation),
    TEXT(vm_record, notes),
    TEXT(vm_record, path),
    INT(vm_record, created),
    TEXT(vm_record, state),
    TEXT(vm_record, saved_path),
    TEXT(vm_record, last_words),
    BOOL(vm_record, was_running),
    INT(vm_record, user),
    INT(vm_record, processor_count),
    BOOL(vm_record, expose_virtualization_extensions),
    TEXT(vm_record, vendor),
    TEXT(vm_record, engine),
    BOOL(vm_record, compatibility_for_migration),
    BOOL(vm_record, compatibility_for_older_systems),
    BOOL(vm_record, host_resource_protection),
    INT(vm_record, hw_thread_count_per_core),
    INT(vm_record, processor_maximum),
    INT(vm_record, processor_reserve),
    INT(vm_record, processor_weight),
    INT(vm_record, maximum_count_per_numa_node),
    INT(vm_record, maximum_count_per_numa_socket),
    INT(vm_record, memory_startup),
    INT(vm_record, memory_minimum),
    INT(vm_record, memory_maximum),
    INT(vm_record, memory_per_numa_node),
    BOOL(vm_record, memory_dynamic),
    INT(vm_record, memory_buffer),
    INT(vm_record, memory_priority),
    TEXT(vm_record, kernel_path),
    TEXT(vm_record, initrd_path),
    TEXT(vm_record, kernel_command_line),
    TEXT(vm_record, boot_order),
    BOOL(vm_record, secure_boot),
    BOOL(vm_record, vbs_opt_out),
    BOOL(vm_record, vbs_enabled),
    BOOL(vm_record, encrypt_state),
    TEXT(vm_record, start_action),
    TEXT(vm_record, stop_action),
    TEXT(vm_record, critical_error_action),
    INT(vm_record, start_delay),
    INT(vm_record, start_due),
    INT(vm_record, critical_error_timeout),
    TEXT(vm_record, checkpoint_type),
    BOOL(vm_record, automatic_checkpoints),
    TEXT(vm_record, com1_path),
    TEXT(vm_record, com2_path),
    BOOL(vm_record, com1_debugger),
    BOOL(vm_record, com2_debugger),
    BOOL(vm_record, service_shutdown),
    BOOL(vm_record, service_heartbeat),
    {0},
};

const struct record_column record_drive_columns[] = {
    INT(vm_drive, row),
    TEXT(vm_drive, controller_type),
    INT(vm_drive, controller_number),
    INT(vm_drive, controller_location),
    TEXT(vm_drive, path),
    BOOL(vm_drive, dvd),
    BOOL(vm_drive, read_only),
    {0},
};

const struct record_column record_adapter_columns[] = {
    INT(vm_adapter, row),
    TEXT(vm_adapter, id),
    TEXT(vm_adapter, name),
    TEXT(vm_adapter, switch_name),
    TEXT(vm_adapter, mac),
    BOOL(vm_adapter, dynamic_mac),
    BOOL(vm_adapter, mac_spoofing),
    BOOL(vm_adapter, dhcp_guard),
    BOOL(vm_adapter, router_guard),
    TEXT(vm_adapter, port_mirroring),
    INT(vm_adapter, storm_limit),
    INT(vm_adapter, maximum_bandwidth),
    INT(vm_adapter, minimum_bandwidth_absolute),
    INT(vm_adapter, minimum_bandwidth_weight),
    BOOL(vm_adapter, ieee_priority_tag),
    BOOL(vm_adapter, allow_teaming),
    BOOL(vm_adapter, device_naming),
    INT(vm_adapter, vmq_weight),
    INT(vm_adapter, iov_weight),
    INT(vm_adapter, virtual_subnet_id),
    TEXT(vm_adapter, vlan_mode),
    INT(vm_adapter, vlan_access),
    INT(vm_adapter, vlan_native),
    TEXT(vm_adapter, vlan_list),
    TEXT(vm_adapter, acl),
    INT(vm_adapter, place),
    {0},
};

const struct record_column record_host_columns[] = {
    TEXT(host_record, machine_path),
    TEXT(host_record, disk_path),
    TEXT(host_record, mac_minimum),
    TEXT(host_record, mac_maximum),
    INT(host_record, mac_next),
    BOOL(host_record, numa_spanning),
    BOOL(host_record, enhanced_session_mode),
    INT(host_record, maximum_storage_migrations),
    INT(host_record, maximum_vm_migrations),
    BOOL(host_record, vm_migration_enabled),
    BOOL(host_record, use_any_network_for_migration),
    TEXT(host_record, migration_authentication),
    TEXT(host_record, migration_performance),
    BOOL(host_record, device_guard_lock),
    TEXT(host_record, network_backend),
    TEXT(host_record, session),
    {0},
};

void record_text_set(char **text, const char *value)
{
    char *copy = value ? value_text_copy(value) : NULL;
    free(*text);
    *text = copy;
}

static char **record_text(const void *record, const struct record_column *column)
{
    return (char **)((char *)record + column->offset);
}

// Shallow copies become deep ones.
static void record_texts_copy(void *record, const struct record_column *columns)
{
    for (; columns->name; columns++)
        if (columns->type == RECORD_TEXT) {
            char **text = record_text(record, columns);
            *text = *text ? value_text_copy(*text) : NULL;
        }
}

static void record_texts_free(void *record, const struct record_column *columns)
{
    for (; columns->name; columns++)
        if (columns->type == RECORD_TEXT) {
            free(*record_text(record, columns));
            *record_text(record, columns) = NULL;
        }
}

void record_columns_copy(void *to, const void *from, const struct record_column *columns)
{
    static const size_t sizes[] = {[RECORD_TEXT] = sizeof(char *), [RECORD_INT] = sizeof(s64),
                                   [RECORD_BOOL] = sizeof(bool)};
    for (const struct record_column *column = columns; column->name; column++)
        memcpy((char *)to + column->offset, (const char *)from + column->offset, sizes[column->type]);
    record_texts_copy(to, columns);
}

void record_columns_free(void *record, const struct record_column *columns) { record_texts_free(record, columns); }

void record_vm_defaults(struct vm_record *record)
{
    record_text_set(&record->version, VERSION_DEFAULT);
    record->generation = 2;
    record_text_set(&record->state, "Off");
    record->processor_count = 1;
    record_text_set(&record->vendor, "Host");
    record_text_set(&record->engine, "Auto");
    record->processor_maximum = 100;
    record->processor_weight = 100;
    record->maximum_count_per_numa_socket = 1;
    record->memory_startup = record->memory_minimum = (s64)MIB(512);
    record->memory_maximum = (s64)GIB(1024);
    record->memory_buffer = 20;
    record->memory_priority = 50;
    record_text_set(&record->start_action, "StartIfRunning");
    record_text_set(&record->stop_action, "Save");
    record_text_set(&record->critical_error_action, "Pause");
    record->critical_error_timeout = 30;
    record_text_set(&record->checkpoint_type, "Production");
    record->service_shutdown = record->service_heartbeat = true;
}

static bool guid_sound(const char *text)
{
    if (!text || strlen(text) != RECORD_GUID - 1)
        return false;
    for (int i = 0; i < RECORD_GUID - 1; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-' : !strchr("0123456789abcdef", text[i]))
            return false;
    return true;
}

static void range_sound(s64 *member, s64 least, s64 most, s64 fallback)
{
    if (*member < least || *member > most)
        *member = fallback;
}

// A text that others take for granted; NULL there would be the store's fault, not theirs.
static void text_sound(char **member, const char *fallback)
{
    if (!*member)
        record_text_set(member, fallback);
}

// One of the words with blanks between.
static void choice_sound(char **member, const char *words, const char *fallback)
{
    const size_t length = *member ? strlen(*member) : 0;
    for (const char *at = words; length && at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
        if (!strncmp(at, *member, length) && (!at[length] || at[length] == ' '))
            return;
    record_text_set(member, fallback);
}

static void adapter_sound(struct vm_adapter *adapter)
{
    text_sound(&adapter->name, "Network Adapter");
    choice_sound(&adapter->port_mirroring, "None Source Destination", "None");
    choice_sound(&adapter->vlan_mode, "Untagged Access Trunk", "Untagged");
    if (adapter->mac && (strlen(adapter->mac) != 12 || strspn(adapter->mac, "0123456789abcdefABCDEF") != 12))
        record_text_set(&adapter->mac, NULL);
}

// The first place that no adapter has; 0 if all are taken, which is refused later.
static s64 place_free(const struct vm_record *record)
{
    u32 taken = 0;
    for (size_t i = 0; i < record->adapter_count; i++)
        if (record->adapters[i].place >= 0 && record->adapters[i].place < CONTROL_ADAPTERS)
            taken |= (u32)1 << record->adapters[i].place;
    for (s64 place = 0; place < CONTROL_ADAPTERS; place++)
        if (!(taken >> place & 1))
            return place;
    return 0;
}

// Records from before there were places have none.
static void places_sound(struct vm_record *record)
{
    u32 taken = 0;
    for (size_t i = 0; i < record->adapter_count; i++) {
        s64 *place = &record->adapters[i].place;
        if (*place < 0 || *place >= CONTROL_ADAPTERS || taken >> *place & 1)
            *place = -1;
        else
            taken |= (u32)1 << *place;
    }
    for (size_t i = 0; i < record->adapter_count; i++)
        if (record->adapters[i].place < 0)
            record->adapters[i].place = place_free(record);
}

bool record_vm_sound(struct vm_record *record)
{
    struct vm_record usual = {0};
    if (!guid_sound(record->id) || !record->name || !record->name[0])
        return false;
    record_vm_defaults(&usual);
    text_sound(&record->version, usual.version);
    text_sound(&record->state, usual.state);
    choice_sound(&record->vendor, "Host Intel AMD", usual.vendor);
    choice_sound(&record->engine, "Auto Soft KVM", usual.engine);
    choice_sound(&record->start_action, "Nothing StartIfRunning Start", usual.start_action);
    choice_sound(&record->stop_action, "TurnOff Save ShutDown", usual.stop_action);
    choice_sound(&record->critical_error_action, "None Pause", usual.critical_error_action);
    choice_sound(&record->checkpoint_type, "Disabled Standard Production ProductionOnly", usual.checkpoint_type);
    range_sound(&record->user, RECORD_USER_FIRST, RECORD_USER_LAST, 0);
    range_sound(&record->generation, 1, 2, usual.generation);
    range_sound(&record->processor_count, 1, 64, 1);
    range_sound(&record->memory_startup, (s64)MIB(1), (s64)MIB(12 << 20), usual.memory_startup);
    range_sound(&record->memory_minimum, (s64)MIB(1), (s64)MIB(12 << 20), record->memory_startup);
    range_sound(&record->memory_maximum, (s64)MIB(1), (s64)MIB(12 << 20), record->memory_startup);
    range_sound(&record->memory_buffer, 5, 2000, usual.memory_buffer);
    range_sound(&record->start_delay, 0, 86400, 0);
    range_sound(&record->start_due, 0, INT32_MAX, 0);
    range_sound(&record->critical_error_timeout, 0, 86400, usual.critical_error_timeout);
    for (size_t i = 0; i < record->drive_count; i++)
        text_sound(&record->drives[i].controller_type, "SCSI");
    for (size_t i = record->adapter_count; i-- > 0;) {
        adapter_sound(&record->adapters[i]);
        if (!guid_sound(record->adapters[i].id))
            record_adapter_remove(record, i);
    }
    places_sound(record);
    record_vm_free(&usual);
    return true;
}

void record_vm_copy(struct vm_record *to, const struct vm_record *from)
{
    *to = *from;
    record_texts_copy(to, record_vm_columns);
    to->drives = value_allocate((from->drive_count + 1) * sizeof *to->drives);
    to->adapters = value_allocate((from->adapter_count + 1) * sizeof *to->adapters);
    for (size_t i = 0; i < from->drive_count; i++) {
        to->drives[i] = from->drives[i];
        record_texts_copy(&to->drives[i], record_drive_columns);
    }
    for (size_t i = 0; i < from->adapter_count; i++) {
        to->adapters[i] = from->adapters[i];
        record_texts_copy(&to->adapters[i], record_adapter_columns);
    }
}

void record_vm_free(struct vm_record *record)
{
    record_texts_free(record, record_vm_columns);
    for (size_t i = 0; i < record->drive_count; i++)
        record_texts_free(&record->drives[i], record_drive_columns);
    for (size_t i = 0; i < record->adapter_count; i++)
        record_texts_free(&record->adapters[i], record_adapter_columns);
    free(record->drives);
    free(record->adapters);
    *record = (struct vm_record){0};
}

void record_host_copy(struct host_record *to, const struct host_record *from)
{
    *to = *from;
    record_texts_copy(to, record_host_columns);
}

void record_host_free(struct host_record *record) { record_texts_free(record, record_host_columns); }

struct vm_drive *record_drive_add(struct vm_record *record)
{
    record->drives = value_reallocate(record->drives, (record->drive_count + 1) * sizeof *record->drives);
    struct vm_drive *drive = &record->drives[record->drive_count++];
    *drive = (struct vm_drive){0};
    return drive;
}

void record_drive_remove(struct vm_record *record, size_t index)
{
    record_texts_free(&record->drives[index], record_drive_columns);
    memmove(&record->drives[index], &record->drives[index + 1],
            (--record->drive_count - index) * sizeof *record->drives);
}

struct vm_adapter *record_adapter_add(struct vm_record *record)
{
    record->adapters = value_reallocate(record->adapters, (record->adapter_count + 1) * sizeof *record->adapters);
    const s64 place = place_free(record);
    struct vm_adapter *adapter = &record->adapters[record->adapter_count++];
    *adapter = (struct vm_adapter){.place = place, .dynamic_mac = true, .vmq_weight = 100};
    adapter->id = value_allocate(RECORD_GUID);
    record_guid(adapter->id);
    record_text_set(&adapter->port_mirroring, "None");
    record_text_set(&adapter->vlan_mode, "Untagged");
    return adapter;
}

void record_adapter_remove(struct vm_record *record, size_t index)
{
    record_texts_free(&record->adapters[index], record_adapter_columns);
    memmove(&record->adapters[index], &record->adapters[index + 1],
            (--record->adapter_count - index) * sizeof *record->adapters);
}

void record_guid(char text[static RECORD_GUID])
{
    u8 b[16];
    if (getrandom(b, sizeof b, 0) != sizeof b)
        abort(); // never fails for so few bytes once the host is up
    b[6] = (b[6] & 0x0f) | 0x40; // RFC 9562, section 5.4: version 4
    b[8] = (b[8] & 0x3f) | 0x80;
    snprintf(text, RECORD_GUID, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}
