// See acl.h.
#include "service/acl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service/mac.h"
#include "service/prefix.h"

int acl_side(const char *text, char side[ACL_SIDE], struct error *error)
{
    u8 mac[MAC_BYTES] = {0};
    struct prefix prefix;
    if (!text || !*text || !strcasecmp(text, "ANY")) {
        snprintf(side, ACL_SIDE, "ANY");
        return 0;
    }
    if (!strpbrk(text, "./") && mac_read(text, mac)) {
        mac_write(mac, side);
        return 0;
    }
    if (prefix_read(&prefix, text, NULL) < 0)
        return error_set(error, "'%s' is neither a MAC address nor an IP address; ANY stands for all", text);
    prefix_write(&prefix, side);
    return 0;
}

unsigned acl_read(const char *text, struct acl_rule rules[ACL_RULES])
{
    unsigned count = 0;
    while (text && *text && count < ACL_RULES) {
        struct acl_rule *rule = &rules[count];
        if (sscanf(text, "%7s %11s %63s %63s", rule->action, rule->direction, rule->local, rule->remote) == 4)
            count++;
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return count;
}

char *acl_write(const struct acl_rule *rules, unsigned count)
{
    char *text = NULL;
    size_t bytes = 0;
    if (!count)
        return NULL;
    FILE *file = open_memstream(&text, &bytes);
    if (!file)
        return NULL;
    for (unsigned i = 0; i < count; i++)
        fprintf(file, "%s %s %s %s\n", rules[i].action, rules[i].direction, rules[i].local, rules[i].remote);
    fclose(file);
    return text;
}

bool acl_equal(const struct acl_rule *left, const struct acl_rule *right)
{
    return !strcmp(left->action, right->action) && !strcmp(left->direction, right->direction) &&
           !strcmp(left->local, right->local) && !strcmp(left->remote, right->remote);
}
