// A port's rules, from the service's words to the switch core's structs.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/vlan.h"
#include "switch/exchange.h"

static_assert((int)CONTROL_UNTAGGED == SWITCH_UNTAGGED && (int)CONTROL_ACCESS == SWITCH_ACCESS &&
              (int)CONTROL_TRUNK == SWITCH_TRUNK && (int)CONTROL_MIRROR_NONE == SWITCH_MIRROR_NONE &&
              (int)CONTROL_MIRROR_SOURCE == SWITCH_MIRROR_SOURCE &&
              (int)CONTROL_MIRROR_DESTINATION == SWITCH_MIRROR_DESTINATION, "one meaning, two words");

static int match_word(const char *word, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (!strcmp(word, words[i]))
            return i;
    return -1;
}

// "00155D012345"
static bool match_mac(struct switch_match *match, const char *text)
{
    if (strlen(text) != 2 * FRAME_MAC || strspn(text, "0123456789abcdefABCDEF") != 2 * FRAME_MAC)
        return false;
    const unsigned long long mac = strtoull(text, NULL, 16);
    match->kind = SWITCH_MAC;
    for (unsigned i = 0; i < FRAME_MAC; i++)
        match->address[i] = (u8)(mac >> (8 * (FRAME_MAC - 1 - i)));
    return true;
}

// "10.0.0.0/8", "fe80::1"
static bool match_prefix(struct switch_match *match, const char *text)
{
    char address[INET6_ADDRSTRLEN];
    const bool ipv6 = strchr(text, ':');
    const size_t length = strcspn(text, "/");
    const long most = ipv6 ? 128 : 32, bits = text[length] ? strtol(text + length + 1, NULL, 10) : most;
    if (length >= sizeof address || bits < 0 || bits > most)
        return false;
    memcpy(address, text, length);
    address[length] = 0;
    match->kind = ipv6 ? SWITCH_IPV6 : SWITCH_IPV4;
    match->prefix = (u8)bits;
    return inet_pton(ipv6 ? AF_INET6 : AF_INET, address, match->address) == 1;
}

static bool match_read(struct switch_match *match, const char *text)
{
    *match = (struct switch_match){.kind = SWITCH_ANY};
    return !strcmp(text, "ANY") || match_mac(match, text) || match_prefix(match, text);
}

static bool acl_read_line(struct switch_acl *acl, const char *line)
{
    static const char *const actions[] = {[SWITCH_ALLOW] = "Allow", [SWITCH_DENY] = "Deny", [SWITCH_METER] = "Meter",
                                          NULL};
    static const char *const directions[] = {[SWITCH_INBOUND] = "Inbound", [SWITCH_OUTBOUND] = "Outbound",
                                             [SWITCH_BOTH] = "Both", NULL};
    char action[8], direction[12], local[64], remote[64];
    if (sscanf(line, "%7s %11s %63s %63s", action, direction, local, remote) != 4)
        return false;
    const int what = match_word(action, actions), where = match_word(direction, directions);
    *acl = (struct switch_acl){.action = (enum switch_action)what, .direction = (enum switch_direction)where};
    return what >= 0 && where >= 0 && match_read(&acl->local, local) && match_read(&acl->remote, remote);
}

// A rule that cannot be read is an error: what it was to forbid must not pass.
static int acls_read(struct switch_rules *rules, const char *text, struct error *error)
{
    for (const char *line = text; line && *line;) {
        if (rules->acl_count == SWITCH_ACLS)
            return error_set(error, "more than %d access rules", SWITCH_ACLS);
        if (!acl_read_line(&rules->acls[rules->acl_count], line))
            return error_set(error, "'%.*s' is no access rule", (int)strcspn(line, "\n"), line);
        rules->acl_count++;
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return 0;
}

int rules_read(struct switch_rules *rules, const struct control_port *config, struct error *error)
{
    *rules = (struct switch_rules){
        .spoofing = config->spoofing,
        .dhcp_guard = config->dhcp_guard,
        .router_guard = config->router_guard,
        .priority_tags = config->priority_tags,
        .mirror = (enum switch_mirror)config->mirror,
        .storm_limit = config->storm_limit,
        .bits_per_second = config->bits_per_second,
        .vlan_mode = (enum switch_vlan)config->vlan_mode,
        .vlan = (u16)config->vlan,
    };
    memcpy(rules->mac, config->mac, FRAME_MAC);
    if (rules->vlan_mode == SWITCH_TRUNK && !(config->trunk && vlan_list_read(config->trunk, rules->trunk)))
        return error_set(error, "'%.64s' is no list of VLANs", config->trunk ? config->trunk : "");
    return acls_read(rules, config->acl, error);
}
