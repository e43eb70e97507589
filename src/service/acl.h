// Access rules of an adapter's port as they are kept: one line a rule, "ACTION DIRECTION LOCAL REMOTE", where a side is
// ANY, a MAC address, an IP address or a prefix.
#pragma once

#include "base/error.h"
#include "base/types.h"

enum { ACL_RULES = 64, ACL_SIDE = 64 };

struct acl_rule {
    char action[8];    // Allow, Deny, Meter
    char direction[12]; // Inbound, Outbound, Both
    char local[ACL_SIDE], remote[ACL_SIDE];
};

// A side in its one spelling. -1 with the reason in `error`.
int acl_side(const char *text, char side[ACL_SIDE], struct error *error);

// The rules of a text (NULL: none). What does not read as a rule is left out. Returns how many there are.
unsigned acl_read(const char *text, struct acl_rule rules[ACL_RULES]);
char *acl_write(const struct acl_rule *rules, unsigned count); // allocated; NULL for none
bool acl_equal(const struct acl_rule *left, const struct acl_rule *right);
