// A VM's record as JSON, by the same column tables as in the database: what Export-VM writes and Import-VM reads. A
// file that is read is foreign: every text and number is held to its range, and there are bounds on how many.
#pragma once

#include "base/error.h"
#include "service/record.h"

struct json_t;

enum { RECORD_JSON_BYTES = 1 << 20, RECORD_JSON_PARTS = 64 };

struct json_t *record_json_write(const struct vm_record *record); // the caller's
// Into a zeroed record, which is sound afterwards (record_vm_sound). -1 with the reason; the record is empty then.
int record_json_read(struct vm_record *record, const struct json_t *json, struct error *error);
