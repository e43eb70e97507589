// The lists of local cmdlets; each ends with a NULL name. Their rows are in table/utility.c, script.c, format.c, help.c
// and job.c.
#pragma once

#include "cmdlet/local.h"

extern const struct local_cmdlet local_filter[];  // Where-Object, ForEach-Object
extern const struct local_cmdlet local_shape[];   // Select-, Sort-, Group-, Measure-Object
extern const struct local_cmdlet local_convert[]; // ConvertTo-Json, ConvertFrom-Json
extern const struct local_cmdlet local_csv[];     // ConvertTo-, ConvertFrom-, Export-, Import-Csv
extern const struct local_cmdlet local_script[];  // Set-StrictMode, Get-Module, New-TimeSpan, Join-Path
extern const struct local_cmdlet local_write[];   // Write-*, Out-*, Set-Content, Tee-Object
extern const struct local_cmdlet local_state[];   // Get-Variable, Get-Date, Get-Member, Start-Sleep, Test-Path
extern const struct local_cmdlet local_format[];  // Format-Table, Format-List, Format-Wide, Out-Default
extern const struct local_cmdlet local_help[];    // Get-Help, Get-Command
extern const struct local_cmdlet local_connect[]; // vmconnect
extern const struct local_cmdlet local_job[];     // Get-Job, Wait-Job, Receive-Job, Remove-Job
extern const struct local_cmdlet local_netsh[];   // netsh

// A property of an object by name, as `$object.Name` would have it. The caller's; null if there is none.
struct value *local_property(struct stage *stage, struct value *object, const char *name);
// { n = 'Name'; e = { ... } }: its name (NULL: none given) and its expression (NULL: it is no such map).
struct value *local_calculated(struct value *map, const char **name);
// The files' side of the session. Reports on failure. `path` is absolute.
void local_write_file(struct stage *stage, const char *path, const char *text, bool append);
char *local_read_file(struct stage *stage, const char *path); // the caller frees; NULL: reported
// Objects as text, as the front end would show them; the caller frees.
char *local_text(struct stage *stage, struct value *objects);
