// What a port lets through: the rules of one port against one frame.
#pragma once

#include "net/switch.h"

// Tokens that come back with time: so many a second, saved up for at most a second. A plain count and no timer.
struct bucket {
    u64 tokens; // in units of 1/2^20, so that slow rates lose nothing
    u64 filled; // ns
};

bool bucket_take(struct bucket *bucket, u64 rate, u64 amount, u64 now); // rate 0: always

// Which VLAN a frame that comes in at the port belongs to; -1: it may not pass.
int rule_vlan_in(const struct switch_rules *rules, const struct frame *frame);

// Whether a frame of the VLAN goes out at the port, and with a tag or without.
enum rule_out { RULE_NOT_HERE, RULE_PLAIN, RULE_TAGGED };
enum rule_out rule_vlan_out(const struct switch_rules *rules, u16 vlan);

// False if an access rule denies it. Counts for meters. Hyper-V's order: the most specific rule decides; of equal ones
// the first.
bool rule_acl(struct switch_rules *rules, const struct frame *frame, enum switch_direction direction);
