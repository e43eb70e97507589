// MAC addresses as texts: "00155D012345" in records and tables, "00-15-5D-01-23-45" where Windows shows an adapter.
#pragma once

#include "base/types.h"

enum { MAC_BYTES = 6, MAC_TEXT = 13 };

// Twelve digits, with or without - : . between. False: no address, or one that no adapter can have (of a group, or
// zeros).
bool mac_read(const char *text, u8 mac[MAC_BYTES]);
void mac_write(const u8 mac[MAC_BYTES], char text[MAC_TEXT]);
void mac_write_dashes(const u8 mac[MAC_BYTES], char text[18]);
