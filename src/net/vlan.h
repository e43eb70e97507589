// Lists of VLANs as administrators write them: "1-100,121".
#pragma once

#include "base/types.h"

enum { VLAN_MOST = 4094 };

// Sets bit n of `set` for each VLAN n. False: no such list.
bool vlan_list_read(const char *text, u64 set[4096 / 64]);
