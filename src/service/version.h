// Configuration versions of VMs: Hyper-V's, and nidus's own above them. A VM keeps the version it was made with; what
// it can have goes by it, so that a VM of an old version behaves as the documents of its time say.
#pragma once

#include "base/types.h"

#define VERSION_DEFAULT "100.0"     // nidus's newest
#define VERSION_NESTED_VTX "8.0"    // what VT-x in a VM needs
#define VERSION_NESTED_AMDV "10.0"  // what AMD-V in a VM needs
#define VERSION_PRERELEASE "254.0"  // New-VM -Prerelease, -Experimental: made, listed, never updated from
#define VERSION_EXPERIMENTAL "255.0"

struct version_row {
    const char *version;
    const char *name; // the systems that brought it, as Get-VMHostSupportedVersion shows them
};

extern const struct version_row version_rows[]; // rising; ends with a NULL version

bool version_supported(const char *version);
// Negative, 0, positive; by number, "9.0" before "10.0".
int version_compare(const char *left, const char *right);
