// What is kept of a VM: its settings, as plain structs. One row of a column table (record.c) says where a member is
// kept in the database; adding a setting is one member, one row there, and one migration in schema.c.
//
// Texts are owned and may be NULL where that is said; a record is copied and freed whole.
#pragma once

#include "base/types.h"

enum { RECORD_GUID = 37 }; // bytes of a GUID's text
// User numbers of workers that a service of root's starts: above those that systemd gives to containers, and given to
// nobody else by it (systemd's UIDS-GIDS).
enum { RECORD_USER_FIRST = 1879048192, RECORD_USER_LAST = RECORD_USER_FIRST + 65535 };
// And behind them those of switches, by their ids: that two of them are the same is unlikely, and no harm.
enum { RECORD_USER_SWITCH_FIRST = RECORD_USER_LAST + 1, RECORD_USER_SWITCHES = 65536 };

struct vm_drive {
    s64 row; // 0: not stored yet
    char *controller_type; // "IDE", "SCSI", "PMEM"
    s64 controller_number, controller_location;
    char *path; // NULL: an empty DVD drive
    bool dvd;
    bool read_only;
};

struct vm_adapter {
    s64 row;           // 0: not stored yet
    char *id;          // GUID
    s64 place;         // on the board, no two the same (control.h): a saved state has it there
    char *name;        // "Network Adapter"
    char *switch_name; // NULL: not connected
    char *mac;         // twelve hexadecimal digits; NULL: none yet, given at first start
    bool dynamic_mac;
    bool mac_spoofing, dhcp_guard, router_guard;
    char *port_mirroring; // "None", "Source", "Destination"
    s64 storm_limit, maximum_bandwidth, minimum_bandwidth_absolute, minimum_bandwidth_weight;
    bool ieee_priority_tag, allow_teaming, device_naming;
    s64 vmq_weight, iov_weight, virtual_subnet_id;
    char *vlan_mode; // "Untagged", "Access", "Trunk"
    s64 vlan_access, vlan_native;
    char *vlan_list; // "1-100,121", or NULL
    char *acl;       // rules, in the words of object/adapter.c, or NULL
};

struct vm_record {
    char *id;   // GUID, lower case
    char *name;
    char *version; // configuration version, "8.0"
    s64 generation;
    char *notes;
    char *path;     // folder of its files
    s64 created;    // ticks since 1970
    char *state;    // what was last known for certain: "Off", "Running", "Paused", "Saved", and their Critical forms
    char *saved_path; // its saved state, or NULL
    char *last_words; // why it ended, or NULL
    bool was_running; // when the host went down
    s64 user;         // whose its worker is on this host; 0: the service's, or none yet

    // Processor
    s64 processor_count;
    bool expose_virtualization_extensions;
    char *vendor; // "Host", "Intel", "AMD"
    char *engine; // "Auto", "Soft", "KVM"
    bool compatibility_for_migration, compatibility_for_older_systems, host_resource_protection;
    s64 hw_thread_count_per_core, processor_maximum, processor_reserve, processor_weight;
    s64 maximum_count_per_numa_node, maximum_count_per_numa_socket; // 0: as many as it has

    // Memory
    s64 memory_startup, memory_minimum, memory_maximum, memory_per_numa_node; // bytes; the last may be 0: all
    bool memory_dynamic;
    s64 memory_buffer, memory_priority;

    // Boot
    char *kernel_path, *initrd_path, *kernel_command_line; // NULL: none
    char *boot_order; // words of object/firmware.c with commas between, or NULL
    bool secure_boot;

    // Security
    bool vbs_opt_out, vbs_enabled, encrypt_state;

    // Automatic actions
    char *start_action, *stop_action, *critical_error_action; // as -AutomaticStartAction spells them
    s64 start_delay, critical_error_timeout; // seconds; minutes
    s64 start_due; // seconds on CLOCK_BOOTTIME: when this run of the host is to start it; 0: not any more, or not at all
    char *checkpoint_type;
    bool automatic_checkpoints;

    // Ports and integration services
    char *com1_path, *com2_path; // NULL: none
    bool com1_debugger, com2_debugger;
    bool service_shutdown, service_heartbeat;

    struct vm_drive *drives;
    size_t drive_count;
    struct vm_adapter *adapters;
    size_t adapter_count;
};

struct host_record {
    char *machine_path, *disk_path; // default folders
    char *mac_minimum, *mac_maximum;
    s64 mac_next; // what the next dynamic address ends in, above the minimum
    bool numa_spanning, enhanced_session_mode;
    bool device_guard_lock; // no VM of this host may have virtualization extensions
    s64 maximum_storage_migrations, maximum_vm_migrations;
    bool vm_migration_enabled, use_any_network_for_migration;
    char *migration_authentication, *migration_performance;
    char *network_backend; // "Auto", "User"; NULL: Auto
    char *session; // the host's run (since it was switched on) in which the service last ran
};

struct record_column {
    const char *name;
    enum { RECORD_TEXT, RECORD_INT, RECORD_BOOL } type;
    size_t offset; // in the struct
};

// Each ends with a NULL name.
extern const struct record_column record_vm_columns[];
extern const struct record_column record_drive_columns[];
extern const struct record_column record_adapter_columns[];
extern const struct record_column record_host_columns[];

// Any struct that a column table describes.
void record_columns_copy(void *to, const void *from, const struct record_column *columns); // `to` holds nothing yet
void record_columns_free(void *record, const struct record_column *columns);               // its texts

void record_text_set(char **text, const char *value); // frees what was there; NULL is allowed
void record_vm_defaults(struct vm_record *record);    // of a zeroed one: Hyper-V's
// After loading: settings that are missing or out of range become Hyper-V's. False: not even a VM can be made out.
bool record_vm_sound(struct vm_record *record);
void record_vm_copy(struct vm_record *to, const struct vm_record *from);
void record_vm_free(struct vm_record *record); // its members
void record_host_copy(struct host_record *to, const struct host_record *from);
void record_host_free(struct host_record *record);

// Children. The pointer is good until the next call; remove frees.
struct vm_drive *record_drive_add(struct vm_record *record);
void record_drive_remove(struct vm_record *record, size_t index);
struct vm_adapter *record_adapter_add(struct vm_record *record);
void record_adapter_remove(struct vm_record *record, size_t index);

// A new random GUID, lower case.
void record_guid(char text[static RECORD_GUID]);
