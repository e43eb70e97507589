// The database: one SQLite file in the state directory. One connection, one lock: a transaction is short, and the
// disk's flush is what it waits for.
//
// Every function that can fail says what happened in the words of whoever has to mend it (disk full, read-only, locked
// by another process), and what fails changes nothing. Any thread.
#pragma once

#include "base/error.h"
#include "service/record.h"

struct store;
struct sqlite3_stmt;

struct store *store_open(const char *path, struct error *error); // creates and migrates
void store_close(struct store *store);

// Transactions. Begin takes the store's lock, commit and rollback give it back; between them only the same thread may
// use the store. A commit that fails has rolled back.
int store_begin(struct store *store, struct error *error);
int store_commit(struct store *store, struct error *error);
void store_rollback(struct store *store);

// One statement, with its parameters by `types`: i (s64), t (const char *, NULL is NULL). Inside or outside of a
// transaction. `row`, which may be NULL, gets each row.
int store_run(struct store *store, struct error *error, void (*row)(void *context, struct sqlite3_stmt *statement),
              void *context, const char *sql, const char *types, ...);
s64 store_last_row(struct store *store);
s64 store_column_int(struct sqlite3_stmt *statement, int column);
const char *store_column_text(struct sqlite3_stmt *statement, int column); // borrowed; NULL for NULL

// A record of a table by its columns, the first of which is its key. Save makes or replaces it; each gives them all, in
// the order they were made.
int store_record_save(struct store *store, const char *table, const struct record_column *columns, const void *record,
                      struct error *error);
int store_record_each(struct store *store, const char *table, const struct record_column *columns, size_t bytes,
                      void (*each)(void *context, const void *record), void *context, struct error *error);

// Whole records, each in a transaction of its own. Children that are gone are removed, new ones get their row.
int store_vm_save(struct store *store, struct vm_record *record, struct error *error); // makes or replaces
int store_vm_remove(struct store *store, const char *id, struct error *error);
int store_vm_load(struct store *store, void (*loaded)(void *context, struct vm_record *record), void *context,
                  struct error *error); // the record is the callee's
int store_host_load(struct store *store, struct host_record *record, struct error *error);
int store_host_save(struct store *store, const struct host_record *record, struct error *error);
