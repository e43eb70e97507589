// See store.h. WAL, so that readers of the file (backups, the curious) do not stand in the way, and synchronous=FULL,
// so that what a cmdlet reported done is there after a power cut.
#include "service/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmdlet/value.h"
#include "service/log.h"
#include "service/schema.h"

struct store {
    sqlite3 *database;
    char *path;
    pthread_mutex_t lock; // recursive: a transaction runs statements
};

enum { STORE_SQL = 8192, STORE_BUSY_MS = 5000 };

// SQLite's own words, and what to do about it where that is known.
static int store_error(struct store *store, struct error *error)
{
    const int code = sqlite3_errcode(store->database);
    const char *advice = "";
    switch (code & 0xff) {
    case SQLITE_FULL:
        advice = "; make room on that file system";
        break;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        advice = "; see who owns the file and its folder, and whether the file system is mounted read-only";
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        advice = "; another program holds it open for writing: end that";
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        advice = "; put a backup in its place";
        break;
    case SQLITE_IOERR:
        advice = "; see the system's log about that disk";
        break;
    }
    return error_set(error, "database '%s': %s%s; nothing was changed", store->path, sqlite3_errmsg(store->database),
                     advice);
}

static int store_execute(struct store *store, const char *sql, struct error *error)
{
    return sqlite3_exec(store->database, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_error(store, error);
}

s64 store_column_int(sqlite3_stmt *statement, int column) { return sqlite3_column_int64(statement, column); }

const char *store_column_text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

s64 store_last_row(struct store *store) { return sqlite3_last_insert_rowid(store->database); }

static int store_bind(sqlite3_stmt *statement, const char *types, va_list parameters)
{
    int result = SQLITE_OK;
    for (int i = 0; types[i] && result == SQLITE_OK; i++)
        result = types[i] == 'i' ? sqlite3_bind_int64(statement, i + 1, va_arg(parameters, s64))
                                 : sqlite3_bind_text(statement, i + 1, va_arg(parameters, const char *), -1,
                                                     SQLITE_TRANSIENT);
    return result;
}

static int store_steps(struct store *store, sqlite3_stmt *statement, struct error *error,
                       void (*row)(void *context, sqlite3_stmt *statement), void *context)
{
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        if (row)
            row(context, statement);
    return result == SQLITE_DONE ? 0 : store_error(store, error);
}

int store_run(struct store *store, struct error *error, void (*row)(void *context, sqlite3_stmt *statement),
              void *context, const char *sql, const char *types, ...)
{
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&store->lock);
    int result = -1;
    if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK) {
        store_error(store, error);
    } else {
        va_list parameters;
        va_start(parameters, types);
        const int bound = store_bind(statement, types, parameters);
        va_end(parameters);
        result = bound == SQLITE_OK ? store_steps(store, statement, error, row, context) : store_error(store, error);
    }
    sqlite3_finalize(statement);
    pthread_mutex_unlock(&store->lock);
    return result;
}

int store_begin(struct store *store, struct error *error)
{
    pthread_mutex_lock(&store->lock);
    if (store_execute(store, "BEGIN IMMEDIATE", error) == 0)
        return 0;
    pthread_mutex_unlock(&store->lock);
    return -1;
}

void store_rollback(struct store *store)
{
    if (!sqlite3_get_autocommit(store->database)) // some errors have rolled back by themselves
        store_execute(store, "ROLLBACK", NULL);
    pthread_mutex_unlock(&store->lock);
}

int store_commit(struct store *store, struct error *error)
{
    if (store_execute(store, "COMMIT", error) == 0) {
        pthread_mutex_unlock(&store->lock);
        return 0;
    }
    store_rollback(store);
    return -1;
}

// --- Opening ---------------------------------------------------------------------------------------------------------
static void store_number(void *context, sqlite3_stmt *statement) { *(s64 *)context = store_column_int(statement, 0); }

static int store_migrate(struct store *store, struct error *error)
{
    s64 version = 0, steps = 0;
    while (schema_steps[steps])
        steps++;
    if (store_run(store, error, store_number, &version, "PRAGMA user_version", "") < 0)
        return -1;
    if (version < 0)
        return error_set(error, "database '%s' is damaged: put a backup in its place", store->path);
    if (version > steps)
        return error_set(error, "database '%s' is of version %lld, made by a newer nidus; this one knows %lld: use the "
                         "newer one", store->path, (long long)version, (long long)steps);
    for (; version < steps; version++) {
        char pragma[64];
        snprintf(pragma, sizeof pragma, "PRAGMA user_version = %lld", (long long)version + 1);
        if (store_begin(store, error) < 0)
            return -1;
        if (store_execute(store, schema_steps[version], error) < 0 || store_execute(store, pragma, error) < 0) {
            store_rollback(store);
            return -1;
        }
        if (store_commit(store, error) < 0)
            return -1;
    }
    return 0;
}

struct store *store_open(const char *path, struct error *error)
{
    struct store *store = value_allocate(sizeof *store);
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&store->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    store->path = value_text_copy(path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); // ours alone, whatever the umask
    if (fd < 0) {
        error_set(error, "database '%s': %s", path, strerror(errno));
        store_close(store);
        return NULL;
    }
    close(fd);
    if (sqlite3_open_v2(path, &store->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK) {
        store_error(store, error);
        store_close(store);
        return NULL;
    }
    sqlite3_extended_result_codes(store->database, 1);
    sqlite3_busy_timeout(store->database, STORE_BUSY_MS);
    if (store_execute(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
                             "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON", error) < 0 ||
        store_migrate(store, error) < 0) {
        store_close(store);
        return NULL;
    }
    return store;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    sqlite3_close(store->database);
    pthread_mutex_destroy(&store->lock);
    free(store->path);
    free(store);
}

// --- Records by their column tables ----------------------------------------------------------------------------------
static void *member(const void *record, const struct record_column *column) { return (char *)record + column->offset; }

static void record_bind(sqlite3_stmt *statement, const struct record_column *columns, const void *record)
{
    for (int i = 0; columns[i].name; i++)
        switch (columns[i].type) {
        case RECORD_TEXT:
            sqlite3_bind_text(statement, i + 1, *(char **)member(record, &columns[i]), -1, SQLITE_TRANSIENT);
            break;
        case RECORD_INT:
            sqlite3_bind_int64(statement, i + 1, *(s64 *)member(record, &columns[i]));
            break;
        case RECORD_BOOL:
            sqlite3_bind_int64(statement, i + 1, *(bool *)member(record, &columns[i]));
            break;
        }
}

static void record_fetch(sqlite3_stmt *statement, const struct record_column *columns, void *record)
{
    for (int i = 0; columns[i].name; i++)
        switch (columns[i].type) {
        case RECORD_TEXT:
            record_text_set(member(record, &columns[i]), store_column_text(statement, i));
            break;
        case RECORD_INT:
            *(s64 *)member(record, &columns[i]) = store_column_int(statement, i);
            break;
        case RECORD_BOOL:
            *(bool *)member(record, &columns[i]) = store_column_int(statement, i);
            break;
        }
}

// "a, b, c" of the columns; `last`, which may be NULL, comes behind them.
static void record_names(char *text, size_t room, const struct record_column *columns, const char *last)
{
    size_t at = 0;
    for (; columns->name; columns++)
        at += (size_t)snprintf(text + at, room - at, "%s%s", at ? ", " : "", columns->name);
    if (last)
        snprintf(text + at, room - at, ", %s", last);
}

// INSERT ... ON CONFLICT (key) DO UPDATE SET ...: a replace would take the children along.
static int record_upsert(struct store *store, const char *table, const struct record_column *columns, const char *key,
                         const void *record, const char *parent, const char *parent_id, struct error *error)
{
    char sql[STORE_SQL], names[STORE_SQL / 4];
    record_names(names, sizeof names, columns, parent);
    int count = 0;
    size_t at = (size_t)snprintf(sql, sizeof sql, "INSERT INTO %s (%s) VALUES (", table, names);
    for (const struct record_column *column = columns; column->name; column++)
        at += (size_t)snprintf(sql + at, sizeof sql - at, "%s?%d", count ? ", " : "", count + 1), count++;
    if (parent)
        at += (size_t)snprintf(sql + at, sizeof sql - at, ", ?%d", ++count);
    at += (size_t)snprintf(sql + at, sizeof sql - at, ") ON CONFLICT (%s) DO UPDATE SET ", key);
    for (const struct record_column *column = columns; column->name; column++)
        at += (size_t)snprintf(sql + at, sizeof sql - at, "%s%s = excluded.%s", column == columns ? "" : ", ",
                               column->name, column->name);
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK)
        return store_error(store, error);
    record_bind(statement, columns, record);
    if (parent && parent_id)
        sqlite3_bind_text(statement, count, parent_id, -1, SQLITE_TRANSIENT);
    else if (parent)
        sqlite3_bind_int64(statement, count, 1);
    if (!strcmp(columns[0].name, "row") && !*(s64 *)member(record, &columns[0]))
        sqlite3_bind_null(statement, 1); // a new row: SQLite numbers it
    const int result = store_steps(store, statement, error, NULL, NULL);
    sqlite3_finalize(statement);
    return result;
}

// Rows of a VM's children that the record does not have any more.
static int children_prune(struct store *store, const char *table, const char *vm, const s64 *rows, size_t count,
                          struct error *error)
{
    char *list = value_text_copy("0");
    for (size_t i = 0; i < count; i++) {
        char *longer = value_text("%s, %lld", list, (long long)rows[i]);
        free(list);
        list = longer;
    }
    char *sql = value_text("DELETE FROM %s WHERE vm = ?1 AND row NOT IN (%s)", table, list);
    const int result = store_run(store, error, NULL, NULL, sql, "t", vm);
    free(sql);
    free(list);
    return result;
}

static int drives_save(struct store *store, struct vm_record *record, struct error *error)
{
    s64 *rows = value_allocate((record->drive_count + 1) * sizeof *rows);
    for (size_t i = 0; i < record->drive_count; i++)
        rows[i] = record->drives[i].row;
    int result = children_prune(store, "drive", record->id, rows, record->drive_count, error);
    for (size_t i = 0; i < record->drive_count && result == 0; i++) {
        result = record_upsert(store, "drive", record_drive_columns, "row", &record->drives[i], "vm", record->id,
                               error);
        if (!record->drives[i].row)
            record->drives[i].row = store_last_row(store);
    }
    free(rows);
    return result;
}

static int adapters_save(struct store *store, struct vm_record *record, struct error *error)
{
    s64 *rows = value_allocate((record->adapter_count + 1) * sizeof *rows);
    for (size_t i = 0; i < record->adapter_count; i++)
        rows[i] = record->adapters[i].row;
    int result = children_prune(store, "adapter", record->id, rows, record->adapter_count, error);
    for (size_t i = 0; i < record->adapter_count && result == 0; i++) {
        result = record_upsert(store, "adapter", record_adapter_columns, "row", &record->adapters[i], "vm", record->id,
                               error);
        if (!record->adapters[i].row)
            record->adapters[i].row = store_last_row(store);
    }
    free(rows);
    return result;
}

// New children got row numbers that were never stored: a draft may be saved again.
static void rows_forget(struct vm_record *record, const struct vm_record *before)
{
    for (size_t i = 0; i < record->drive_count; i++)
        record->drives[i].row = before->drives[i].row;
    for (size_t i = 0; i < record->adapter_count; i++)
        record->adapters[i].row = before->adapters[i].row;
}

int store_vm_save(struct store *store, struct vm_record *record, struct error *error)
{
    struct vm_record before;
    record_vm_copy(&before, record);
    int result = store_begin(store, error);
    if (result == 0) {
        if (record_upsert(store, "vm", record_vm_columns, "id", record, NULL, NULL, error) < 0 ||
            drives_save(store, record, error) < 0 || adapters_save(store, record, error) < 0) {
            store_rollback(store);
            result = -1;
        } else {
            result = store_commit(store, error);
        }
    }
    if (result < 0)
        rows_forget(record, &before);
    record_vm_free(&before);
    return result;
}

int store_vm_remove(struct store *store, const char *id, struct error *error)
{
    return store_run(store, error, NULL, NULL, "DELETE FROM vm WHERE id = ?1", "t", id);
}

static int store_select(struct store *store, struct error *error, void (*row)(void *, sqlite3_stmt *), void *context,
                        const struct record_column *columns, const char *rest, const char *parameter)
{
    char names[STORE_SQL / 4];
    record_names(names, sizeof names, columns, NULL);
    char *sql = value_text("SELECT %s FROM %s", names, rest);
    const int result = parameter ? store_run(store, error, row, context, sql, "t", parameter)
                                 : store_run(store, error, row, context, sql, "");
    free(sql);
    return result;
}

int store_record_save(struct store *store, const char *table, const struct record_column *columns, const void *record,
                      struct error *error)
{
    pthread_mutex_lock(&store->lock);
    const int result = record_upsert(store, table, columns, columns[0].name, record, NULL, NULL, error);
    pthread_mutex_unlock(&store->lock);
    return result;
}

struct record_visit {
    const struct record_column *columns;
    size_t bytes;
    void (*each)(void *context, const void *record);
    void *context;
};

static void record_visit(void *context, sqlite3_stmt *statement)
{
    struct record_visit *visit = context;
    void *record = value_allocate(visit->bytes);
    record_fetch(statement, visit->columns, record);
    visit->each(visit->context, record);
    record_columns_free(record, visit->columns);
    free(record);
}

int store_record_each(struct store *store, const char *table, const struct record_column *columns, size_t bytes,
                      void (*each)(void *context, const void *record), void *context, struct error *error)
{
    struct record_visit visit = {columns, bytes, each, context};
    char rest[64];
    snprintf(rest, sizeof rest, "%s ORDER BY rowid", table);
    return store_select(store, error, record_visit, &visit, columns, rest, NULL);
}

// --- Loading ---------------------------------------------------------------------------------------------------------
struct records {
    struct vm_record **items;
    size_t count;
};

static void vm_row(void *context, sqlite3_stmt *statement)
{
    struct records *records = context;
    struct vm_record *record = value_allocate(sizeof *record);
    record_fetch(statement, record_vm_columns, record);
    records->items = value_reallocate(records->items, (records->count + 1) * sizeof *records->items);
    records->items[records->count++] = record;
}

static void drive_row(void *context, sqlite3_stmt *statement)
{
    record_fetch(statement, record_drive_columns, record_drive_add(context));
}

static void adapter_row(void *context, sqlite3_stmt *statement)
{
    record_fetch(statement, record_adapter_columns, record_adapter_add(context));
}

int store_vm_load(struct store *store, void (*loaded)(void *context, struct vm_record *record), void *context,
                  struct error *error)
{
    struct records records = {0};
    int result = store_select(store, error, vm_row, &records, record_vm_columns, "vm ORDER BY created, id", NULL);
    for (size_t i = 0; i < records.count; i++) {
        struct vm_record *record = records.items[i];
        if (result == 0)
            result = store_select(store, error, drive_row, record, record_drive_columns,
                                  "drive WHERE vm = ?1 ORDER BY row", record->id);
        if (result == 0)
            result = store_select(store, error, adapter_row, record, record_adapter_columns,
                                  "adapter WHERE vm = ?1 ORDER BY row", record->id);
        if (result == 0 && record_vm_sound(record)) {
            loaded(context, record);
        } else {
            if (result == 0)
                log_write(LOG_ERROR, "record-damaged", "id", record->id, "vm", record->name, NULL);
            record_vm_free(record);
            free(record);
        }
    }
    free(records.items);
    return result;
}

static void host_row(void *context, sqlite3_stmt *statement) { record_fetch(statement, record_host_columns, context); }

int store_host_load(struct store *store, struct host_record *record, struct error *error)
{
    return store_select(store, error, host_row, record, record_host_columns, "host", NULL);
}

int store_host_save(struct store *store, const struct host_record *record, struct error *error)
{
    return record_upsert(store, "host", record_host_columns, "only", record, "only", NULL, error);
}
