// The store: every column of the tables in record.c is in the schema and survives a save and a load; what fails changes
// nothing and says why.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include "cmdlet/value.h"
#include "service/record_json.h"
#include "service/store.h"

struct fixture {
    char folder[64], path[80];
    struct store *store;
    struct vm_record loaded; // the last one
    unsigned count;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error;
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/nidus-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof fixture->path, "%s/nidus.db", fixture->folder);
    fixture->store = store_open(fixture->path, &error);
    assert_non_null(fixture->store);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[128];
    store_close(fixture->store);
    record_vm_free(&fixture->loaded);
    snprintf(command, sizeof command, "rm -rf %s", fixture->folder);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

static void loaded(void *context, struct vm_record *record)
{
    struct fixture *fixture = context;
    record_vm_free(&fixture->loaded);
    fixture->loaded = *record;
    fixture->count++;
    free(record);
}

static unsigned load(struct fixture *fixture)
{
    struct error error;
    fixture->count = 0;
    assert_int_equal(store_vm_load(fixture->store, loaded, fixture, &error), 0);
    return fixture->count;
}

// A value of its own for each column.
static void fill(void *record, const struct record_column *columns, int salt)
{
    for (int i = 0; columns[i].name; i++) {
        void *at = (char *)record + columns[i].offset;
        char text[64];
        snprintf(text, sizeof text, "%s-%d", columns[i].name, salt);
        if (!strcmp(columns[i].name, "row"))
            continue;
        if (columns[i].type == RECORD_TEXT)
            record_text_set(at, text);
        else if (columns[i].type == RECORD_INT)
            *(s64 *)at = 1000 * salt + i;
        else
            *(bool *)at = (i + salt) % 2;
    }
}

static void same(const void *left, const void *right, const struct record_column *columns)
{
    for (; columns->name; columns++) {
        const void *l = (const char *)left + columns->offset, *r = (const char *)right + columns->offset;
        if (columns->type == RECORD_TEXT)
            assert_string_equal(*(char *const *)l, *(char *const *)r);
        else if (columns->type == RECORD_INT)
            assert_int_equal(*(const s64 *)l, *(const s64 *)r);
        else
            assert_int_equal(*(const bool *)l, *(const bool *)r);
    }
}

static struct vm_record record_full(void)
{
    struct vm_record record = {0};
    fill(&record, record_vm_columns, 1);
    record_text_set(&record.id, "00000000-0000-4000-8000-000000000001");
    record.generation = record.processor_count = 1; // what is out of range would not come back
    record.memory_startup = record.memory_minimum = record.memory_maximum = (s64)MIB(64);
    record.memory_buffer = 20;
    record.start_delay = 30;
    record.user = RECORD_USER_FIRST + 5;
    record.critical_error_timeout = 31;
    record_text_set(&record.vendor, "Intel");
    record_text_set(&record.engine, "Soft");
    record_text_set(&record.start_action, "Start");
    record_text_set(&record.stop_action, "ShutDown");
    record_text_set(&record.critical_error_action, "None");
    record_text_set(&record.checkpoint_type, "Standard");
    fill(record_drive_add(&record), record_drive_columns, 2);
    fill(record_drive_add(&record), record_drive_columns, 3);
    fill(record_adapter_add(&record), record_adapter_columns, 4);
    record_text_set(&record.adapters[0].id, "00000000-0000-4000-8000-000000000002");
    record.adapters[0].place = 5;
    record_text_set(&record.adapters[0].mac, "00155d010203");
    record_text_set(&record.adapters[0].port_mirroring, "Source");
    record_text_set(&record.adapters[0].vlan_mode, "Trunk");
    return record;
}

static void every_column_comes_back(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    struct vm_record record = record_full();
    assert_int_equal(store_vm_save(fixture->store, &record, &error), 0);
    assert_int_equal(load(fixture), 1);
    same(&record, &fixture->loaded, record_vm_columns);
    assert_int_equal(fixture->loaded.drive_count, 2);
    same(&record.drives[1], &fixture->loaded.drives[1], record_drive_columns);
    same(&record.adapters[0], &fixture->loaded.adapters[0], record_adapter_columns);
    record_vm_free(&record);

    struct host_record host = {0}, back = {0};
    fill(&host, record_host_columns, 5);
    assert_int_equal(store_host_save(fixture->store, &host, &error), 0);
    assert_int_equal(store_host_save(fixture->store, &host, &error), 0); // one row, not two
    assert_int_equal(store_host_load(fixture->store, &back, &error), 0);
    same(&host, &back, record_host_columns);
    record_host_free(&host);
    record_host_free(&back);
}

static void every_column_comes_back_from_json(void **state)
{
    (void)state;
    struct error error;
    struct vm_record record = record_full(), back = {0};
    json_t *json = record_json_write(&record);
    assert_non_null(json);
    assert_int_equal(record_json_read(&back, json, &error), 0);
    same(&record, &back, record_vm_columns);
    assert_int_equal(back.drive_count, 2);
    same(&record.drives[1], &back.drives[1], record_drive_columns);
    same(&record.adapters[0], &back.adapters[0], record_adapter_columns);
    record_vm_free(&back);
    record_vm_free(&record);
    json_decref(json);
}

static void refused(const char *text, const char *why)
{
    struct error error = {0};
    struct vm_record record = {0};
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_int_equal(record_json_read(&record, json, &error), -1);
    assert_non_null(strstr(error.text, why));
    assert_null(record.id);
    json_decref(json);
}

#define HEAD "{\"format\": \"nidus virtual machine\", \"formatVersion\": 1, "
#define MACHINE HEAD "\"machine\": {\"id\": \"00000000-0000-4000-8000-000000000001\", \"name\": \"lab\""

static void foreign_json_is_held_to_its_ranges(void **state)
{
    (void)state;
    struct error error;
    struct vm_record record = {0};
    refused("{}", "no virtual machine that nidus exported");
    refused("[]", "no virtual machine that nidus exported");
    refused("{\"format\": \"nidus virtual machine\", \"formatVersion\": 2}", "this nidus knows 1");
    refused(HEAD "\"machine\": {}}", "no name or no id");
    refused(HEAD "\"machine\": {\"id\": \"../../etc\", \"name\": \"x\"}}", "no name or no id");
    refused(MACHINE ", \"processor_count\": \"two\"}}", "'processor_count' is of the wrong kind");
    refused(MACHINE ", \"notes\": 1}}", "'notes' is of the wrong kind");
    refused(MACHINE "}, \"drives\": {}}", "its drives are no list");
    json_t *json = json_loads(MACHINE ", \"processor_count\": 100000, \"memory_startup\": -1, \"engine\": \"rm\","
                              " \"more\": 1}, \"adapters\": [{\"id\": \"x\"}], \"drives\": [{}]}", 0, NULL);
    assert_int_equal(record_json_read(&record, json, &error), 0);
    assert_int_equal(record.processor_count, 1);
    assert_int_equal(record.memory_startup, MIB(512));
    assert_string_equal(record.engine, "Auto");
    assert_int_equal(record.adapter_count, 0); // without an id it is none
    assert_string_equal(record.drives[0].controller_type, "SCSI");
    json_t *many = json_array();
    for (int i = 0; i <= RECORD_JSON_PARTS; i++)
        json_array_append_new(many, json_object());
    json_object_set_new(json, "drives", many);
    record_vm_free(&record);
    assert_int_equal(record_json_read(&record, json, &error), -1);
    json_decref(json);
}

static void children_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    struct vm_record record = record_full();
    assert_int_equal(store_vm_save(fixture->store, &record, &error), 0);
    const s64 kept = record.drives[1].row;
    record_drive_remove(&record, 0);
    fill(record_drive_add(&record), record_drive_columns, 6);
    record_adapter_remove(&record, 0);
    assert_int_equal(store_vm_save(fixture->store, &record, &error), 0);
    assert_int_equal(load(fixture), 1);
    assert_int_equal(fixture->loaded.drive_count, 2);
    assert_int_equal(fixture->loaded.drives[0].row, kept);
    assert_string_equal(fixture->loaded.drives[1].path, "path-6");
    assert_int_equal(fixture->loaded.adapter_count, 0);
    assert_int_equal(store_vm_remove(fixture->store, record.id, &error), 0);
    assert_int_equal(load(fixture), 0);
    record_vm_free(&record);
}

static void is_there_after_a_new_open(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    struct vm_record record = record_full();
    assert_int_equal(store_vm_save(fixture->store, &record, &error), 0);
    store_close(fixture->store);
    fixture->store = store_open(fixture->path, &error);
    assert_non_null(fixture->store);
    assert_int_equal(load(fixture), 1);
    record_vm_free(&record);
}

// The file system is full, as far as this process can tell: no file may grow.
static void a_full_disk_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    struct vm_record record = record_full();
    assert_int_equal(store_vm_save(fixture->store, &record, &error), 0);
    const struct rlimit none = {0, RLIM_INFINITY};
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    record_text_set(&record.name, "other");
    fill(record_drive_add(&record), record_drive_columns, 7);
    error.text[0] = 0;
    const int result = store_vm_save(fixture->store, &record, &error);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(result, -1);
    assert_non_null(strstr(error.text, "nothing was changed"));
    assert_non_null(strstr(error.text, fixture->path));
    assert_int_equal(record.drives[2].row, 0); // may be saved again
    assert_int_equal(load(fixture), 1);
    assert_string_equal(fixture->loaded.name, "name-1");
    assert_int_equal(fixture->loaded.drive_count, 2);
    assert_int_equal(store_vm_save(fixture->store, &record, &error), 0);
    record_vm_free(&record);
}

static void a_newer_database_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    assert_int_equal(store_run(fixture->store, &error, NULL, NULL, "PRAGMA user_version = 99", ""), 0);
    assert_null(store_open(fixture->path, &error));
    assert_non_null(strstr(error.text, "newer"));
}

static void what_is_no_database_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    char path[96];
    snprintf(path, sizeof path, "%s/other", fixture->folder);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("not a database\n", file);
    fclose(file);
    assert_null(store_open(path, &error));
    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, "backup"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_column_comes_back, setup, teardown),
        cmocka_unit_test(every_column_comes_back_from_json),
        cmocka_unit_test(foreign_json_is_held_to_its_ranges),
        cmocka_unit_test_setup_teardown(children_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(is_there_after_a_new_open, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_database_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_database_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
