// See rule.h.
#include "net/rule.h"

#include <string.h>

enum { BUCKET_SHIFT = 20, BUCKET_SECOND = 1000000000 };

bool bucket_take(struct bucket *bucket, u64 rate, u64 amount, u64 now)
{
    if (!rate)
        return true;
    u64 passed = now - bucket->filled;
    if (passed > BUCKET_SECOND)
        passed = BUCKET_SECOND;
    const u64 most = rate > UINT64_MAX >> BUCKET_SHIFT ? UINT64_MAX : rate << BUCKET_SHIFT;
    const u64 fresh = (u64)(((u128)most * passed) / BUCKET_SECOND);
    bucket->tokens = most - bucket->tokens < fresh ? most : bucket->tokens + fresh;
    bucket->filled = now;
    const u64 wanted = amount << BUCKET_SHIFT;
    // One frame may overdraw: otherwise a rate below a frame's size a second would let nothing through, ever.
    if (bucket->tokens < wanted && bucket->tokens < most)
        return false;
    bucket->tokens = bucket->tokens > wanted ? bucket->tokens - wanted : 0;
    return true;
}

static bool trunk_has(const struct switch_rules *rules, u16 vlan)
{
    return rules->trunk[vlan / 64] >> (vlan % 64) & 1;
}

int rule_vlan_in(const struct switch_rules *rules, const struct frame *frame)
{
    const bool priority_only = frame->tagged && frame->vlan == 0;
    if (rules->uplink) // the outside's tags are the switch's own
        return frame->vlan;
    // Whoever takes the outer tag off would send the inner one on, into a VLAN that its sender was not let into.
    if (priority_only && frame->stacked)
        return -1;
    switch (rules->vlan_mode) {
    case SWITCH_UNTAGGED:
        return !frame->tagged || (priority_only && rules->priority_tags) ? 0 : -1;
    case SWITCH_ACCESS:
        return !frame->tagged || (priority_only && rules->priority_tags) ? rules->vlan : -1;
    case SWITCH_TRUNK:
        if (frame->tagged && !priority_only)
            return frame->vlan < 4095 && trunk_has(rules, frame->vlan) ? frame->vlan : -1;
        return rules->vlan;
    }
    return -1;
}

enum rule_out rule_vlan_out(const struct switch_rules *rules, u16 vlan)
{
    if (rules->uplink)
        return vlan ? RULE_TAGGED : RULE_PLAIN;
    switch (rules->vlan_mode) {
    case SWITCH_UNTAGGED:
        return vlan ? RULE_NOT_HERE : RULE_PLAIN;
    case SWITCH_ACCESS:
        return vlan == rules->vlan ? RULE_PLAIN : RULE_NOT_HERE;
    case SWITCH_TRUNK:
        if (vlan == rules->vlan)
            return RULE_PLAIN;
        return vlan && trunk_has(rules, vlan) ? RULE_TAGGED : RULE_NOT_HERE;
    }
    return RULE_NOT_HERE;
}

static bool prefix_is(const u8 *address, const u8 *wanted, unsigned bits)
{
    const unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(address, wanted, whole))
        return false;
    return !rest || !((address[whole] ^ wanted[whole]) >> (8 - rest));
}

static bool match_is(const struct switch_match *match, const struct frame *frame, const u8 *mac, const u8 *ip)
{
    switch (match->kind) {
    case SWITCH_ANY:
        return true;
    case SWITCH_MAC:
        return !memcmp(match->address, mac, FRAME_MAC);
    case SWITCH_IPV4:
        return (frame->network == FRAME_IPV4 || frame->network == FRAME_ARP) &&
               prefix_is(ip, match->address, match->prefix);
    case SWITCH_IPV6:
        return frame->network == FRAME_IPV6 && prefix_is(ip, match->address, match->prefix);
    }
    return false;
}

// MAC rules before IP rules, longer prefixes before shorter ones.
static unsigned match_weight(const struct switch_match *match)
{
    return match->kind == SWITCH_ANY ? 0 : match->kind == SWITCH_MAC ? 256 : 1u + match->prefix;
}

bool rule_acl(struct switch_rules *rules, const struct frame *frame, enum switch_direction direction)
{
    const bool in = direction == SWITCH_INBOUND;
    const u8 *local_mac = in ? frame->destination : frame->source,
             *remote_mac = in ? frame->source : frame->destination;
    const u8 *local_ip = in ? frame->to : frame->from, *remote_ip = in ? frame->from : frame->to;
    unsigned best = 0;
    bool allowed = true, decided = false;
    for (unsigned i = 0; i < rules->acl_count; i++) {
        struct switch_acl *acl = &rules->acls[i];
        if ((acl->direction != direction && acl->direction != SWITCH_BOTH) ||
            !match_is(&acl->local, frame, local_mac, local_ip) || !match_is(&acl->remote, frame, remote_mac, remote_ip))
            continue;
        const unsigned weight = match_weight(&acl->local) + match_weight(&acl->remote);
        if (acl->action == SWITCH_METER) {
            acl->metered += frame->count;
        } else if (!decided || weight > best) {
            decided = true;
            best = weight;
            allowed = acl->action == SWITCH_ALLOW;
        }
    }
    return allowed;
}
