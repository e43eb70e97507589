// See mac.h.
#include "service/mac.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static int digit(char character)
{
    return isdigit((unsigned char)character) ? character - '0' : tolower((unsigned char)character) - 'a' + 10;
}

bool mac_read(const char *text, u8 mac[MAC_BYTES])
{
    unsigned digits = 0;
    u8 any = 0;
    for (; *text; text++) {
        if (strchr("-:.", *text) && digits && digits % 2 == 0)
            continue;
        if (!isxdigit((unsigned char)*text) || digits == 2 * MAC_BYTES)
            return false;
        u8 *byte = &mac[digits++ / 2];
        *byte = (u8)(*byte << 4 | digit(*text));
    }
    for (unsigned i = 0; i < MAC_BYTES; i++)
        any |= mac[i];
    return digits == 2 * MAC_BYTES && any && !(mac[0] & 1);
}

void mac_write(const u8 mac[MAC_BYTES], char text[MAC_TEXT])
{
    snprintf(text, MAC_TEXT, "%02X%02X%02X%02X%02X%02X", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

void mac_write_dashes(const u8 mac[MAC_BYTES], char text[18])
{
    snprintf(text, 18, "%02X-%02X-%02X-%02X-%02X-%02X", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}
