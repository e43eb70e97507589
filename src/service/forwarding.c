// See forwarding.h.
#include "service/forwarding.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "service/tool.h"

static int nft(const char *word, const char *script, struct error *error)
{
    const char *const words[] = {"nft", word, script, NULL};
    const struct tool tool = {.words = words, .package = "nftables"};
    char *answer = tool_run(&tool, error);
    free(answer);
    return answer ? 0 : -1;
}

// --- Whether it can be done ------------------------------------------------------------------------------------------

// The interface that is made for the question is gone with its descriptor.
static int tap_possible(struct error *error)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "'/dev/net/tun': %s", strerror(errno));
    const int result = ioctl(fd, TUNSETIFF, &request);
    const int reason = errno;
    close(fd);
    return result < 0 ? error_set(error, "tap interfaces: %s", strerror(reason)) : 0;
}

// The check loads what the kernel has in modules.
bool forwarding_possible(struct error *error)
{
    return tap_possible(error) == 0 &&
           nft("-c",
               "table ip nidus_question { chain out { type nat hook postrouting priority srcnat; masquerade; }\n"
               "chain in { type nat hook prerouting priority dstnat; fib daddr type local tcp dport 1 dnat to "
               "10.0.0.1:1; ct state established accept; }; }",
               error) == 0;
}

// --- The table -------------------------------------------------------------------------------------------------------

static void write_mapping(FILE *file, const struct forwarding_mapping *mapping, bool local)
{
    fprintf(file, "    ");
    if (!strcmp(mapping->external, "0.0.0.0"))
        fprintf(file, "fib daddr type local ");
    else
        fprintf(file, "ip daddr %s ", mapping->external);
    if (*mapping->remote && !local)
        fprintf(file, "ip saddr %s ", mapping->remote);
    fprintf(file, "%s dport %u dnat to %s:%u\n", mapping->udp ? "udp" : "tcp", mapping->external_port,
            mapping->internal, mapping->internal_port);
}

static void write_mappings(FILE *file, const struct forwarding *forwarding, const char *chain, const char *hook)
{
    fprintf(file, "  chain %s {\n    type nat hook %s priority -100;\n", chain, hook);
    for (size_t i = 0; i < forwarding->mapping_count; i++)
        write_mapping(file, &forwarding->mappings[i], !strcmp(hook, "output"));
    fprintf(file, "  }\n");
}

// What leaves a network for elsewhere gets an address from there. A guest that uses a mapped port of its own network's,
// and the host that uses one by its loopback address, get the host's, so that the answer comes back this way.
static void write_sources(FILE *file, const struct forwarding *forwarding)
{
    fprintf(file, "  chain sources {\n    type nat hook postrouting priority srcnat;\n");
    for (size_t i = 0; i < forwarding->network_count; i++) {
        const struct forwarding_network *network = &forwarding->networks[i];
        if (!network->nat)
            continue;
        fprintf(file, "    oifname \"%s\" ip saddr 127.0.0.0/8 masquerade\n", network->interface);
        fprintf(file, "    oifname \"%s\" ip saddr %s ct status dnat masquerade\n", network->interface,
                network->prefix);
        if (*network->external)
            fprintf(file, "    oifname != \"%s\" ip saddr %s snat to %s\n", network->interface, network->prefix,
                    network->external);
        else
            fprintf(file, "    oifname != \"%s\" ip saddr %s masquerade\n", network->interface, network->prefix);
    }
    fprintf(file, "  }\n");
}

// Out of a network go what is of it; into it, what belongs to a connection from there or to a mapped port.
static void write_passage(FILE *file, const struct forwarding *forwarding)
{
    fprintf(file, "  chain passage {\n    type filter hook forward priority filter;\n");
    for (size_t i = 0; i < forwarding->network_count; i++) {
        const struct forwarding_network *network = &forwarding->networks[i];
        if (network->nat)
            fprintf(file, "    iifname \"%s\" ip saddr != %s drop\n", network->interface, network->prefix);
        else
            fprintf(file, "    iifname \"%s\" drop\n", network->interface);
        fprintf(file, "    oifname \"%s\" ct state established,related accept\n", network->interface);
        fprintf(file, "    oifname \"%s\" ct status dnat accept\n", network->interface);
        fprintf(file, "    oifname \"%s\" drop\n", network->interface);
    }
    fprintf(file, "  }\n");
}

// Loopback addresses are let out on these adapters (route_localnet), so that mapped ports are at 127.0.0.1, too; nobody
// shall come in that way.
static void write_guard(FILE *file, const struct forwarding *forwarding)
{
    fprintf(file, "  chain guard {\n    type filter hook prerouting priority raw;\n");
    for (size_t i = 0; i < forwarding->network_count; i++)
        fprintf(file, "    iifname \"%s\" ip daddr 127.0.0.0/8 drop\n", forwarding->networks[i].interface);
    fprintf(file, "  }\n");
}

// Whoever finds the kernel forward because another service let it, and ends last, has to put that back. It is told by a
// chain in the other's table: tables are what services see of each other, and end with the host, as the switch does.
static const char forwarding_mark[] = "forwarding_was_off";

static char *forwarding_script(const struct forwarding *forwarding, bool mark)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    if (!file)
        return NULL;
    fprintf(file, "table ip %s { }\ndelete table ip %s\n", forwarding->table, forwarding->table);
    if (forwarding->network_count) {
        fprintf(file, "table ip %s {\n", forwarding->table);
        write_guard(file, forwarding);
        write_mappings(file, forwarding, "ports", "prerouting");
        write_mappings(file, forwarding, "own_ports", "output");
        write_sources(file, forwarding);
        write_passage(file, forwarding);
        if (mark)
            fprintf(file, "  chain %s { }\n", forwarding_mark);
        fprintf(file, "}\n");
    }
    return fclose(file) == 0 ? text : NULL;
}

// --- The kernel's switches -------------------------------------------------------------------------------------------

static bool text_read(const char *path, char *text, size_t bytes)
{
    FILE *file = fopen(path, "re");
    const bool read = file && fgets(text, (int)bytes, file);
    if (file)
        fclose(file);
    return read;
}

static int text_write(const char *path, const char *text, struct error *error)
{
    FILE *file = fopen(path, "we");
    const bool written = file && fputs(text, file) >= 0;
    if (file && fclose(file) == 0 && written)
        return 0;
    return error_set(error, "'%s': %s", path, strerror(errno));
}

static const char ip_forward[] = "/proc/sys/net/ipv4/ip_forward";

// Whether another service has NAT and found the switch off.
static bool forwarding_is_shared(const char *table)
{
    static const char *const words[] = {"nft", "list", "chains", "ip", NULL};
    const struct tool tool = {.words = words, .package = "nftables"};
    char *text = tool_run(&tool, NULL), *save = NULL, own[64];
    bool other = false, shared = false;
    snprintf(own, sizeof own, "table ip %s {", table);
    for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
        if (!strncmp(line, "table ", 6))
            other = !strncmp(line, "table ip nidus_", 15) && strcmp(line, own);
        shared = shared || (other && strstr(line, forwarding_mark));
    }
    free(text);
    return shared;
}

static void forwarding_note(const char *directory, char note[4096])
{
    snprintf(note, 4096, "%s/ip_forward", directory);
}

// Whether it was off before there was a NAT, as a note of ours says, or the switch itself, or another service.
static bool forwarding_was_off(const struct forwarding *forwarding)
{
    char note[4096], now[16] = "";
    forwarding_note(forwarding->directory, note);
    return access(note, F_OK) == 0 || (text_read(ip_forward, now, sizeof now) && *now == '0') ||
           forwarding_is_shared(forwarding->table);
}

// On, with a note if it was off; or off if the note says so and nobody else needs it.
static int forwarding_turn(const struct forwarding *forwarding, bool on, bool was_off, struct error *error)
{
    char note[4096], now[16] = "";
    forwarding_note(forwarding->directory, note);
    if (!text_read(ip_forward, now, sizeof now))
        return error_set(error, "'%s': %s", ip_forward, strerror(errno));
    if (on && was_off && text_write(note, "0\n", error) < 0)
        return -1;
    if (on)
        return *now == '0' ? text_write(ip_forward, "1\n", error) : 0;
    if (unlink(note) < 0 || forwarding_is_shared(forwarding->table))
        return 0;
    return text_write(ip_forward, "0\n", error);
}

static void forwarding_let_loopback(const struct forwarding *forwarding)
{
    for (size_t i = 0; i < forwarding->network_count; i++) {
        char path[128];
        snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/route_localnet", forwarding->networks[i].interface);
        if (forwarding->networks[i].nat)
            text_write(path, "1\n", NULL); // mapped ports are at the host's other addresses in any case
    }
}

static bool forwarding_translates(const struct forwarding *forwarding)
{
    for (size_t i = 0; i < forwarding->network_count; i++)
        if (forwarding->networks[i].nat)
            return true;
    return false;
}

bool forwarding_is_there(const char *directory)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/nat.nft", directory);
    return access(path, F_OK) == 0;
}

// From a file, because a command line has an end.
int forwarding_apply(const struct forwarding *forwarding, struct error *error)
{
    char path[4096];
    const bool on = forwarding_translates(forwarding), was_off = on && forwarding_was_off(forwarding);
    char *script = forwarding_script(forwarding, was_off);
    snprintf(path, sizeof path, "%s/nat.nft", forwarding->directory);
    int result = script ? text_write(path, script, error) : error_set(error, "out of memory");
    free(script);
    if (result == 0)
        result = nft("-f", path, error);
    if (result < 0)
        return -1;
    if (!forwarding->network_count)
        unlink(path);
    forwarding_let_loopback(forwarding);
    return forwarding_turn(forwarding, on, was_off, error);
}

// --- Sessions --------------------------------------------------------------------------------------------------------

// "src=1.2.3.4 dst=... sport=... dport=..." of one direction.
struct tuple {
    char source[FORWARDING_TEXT], destination[FORWARDING_TEXT];
    unsigned source_port, destination_port;
};

static const char *tuple_read(struct tuple *tuple, const char *at)
{
    *tuple = (struct tuple){0};
    at = strstr(at, "src=");
    if (!at || sscanf(at, "src=%63s dst=%63s sport=%u dport=%u", tuple->source, tuple->destination, &tuple->source_port,
                      &tuple->destination_port) < 2)
        return NULL;
    return at + 4;
}

// A line of nf_conntrack: "ipv4 2 tcp 6 431999 ESTABLISHED src=... src=... [ASSURED] ...". Its first direction is as
// the connection began; in the second one are the addresses it was translated to.
static bool session_read(const char *line, struct forwarding_session *session)
{
    struct tuple begun, answered;
    *session = (struct forwarding_session){0};
    if (strncmp(line, "ipv4", 4) || sscanf(line, "%*s %*u %*s %u", &session->protocol) != 1)
        return false;
    const char *at = tuple_read(&begun, line);
    if (!at || !tuple_read(&answered, at))
        return false;
    const bool source_changed = strcmp(begun.source, answered.destination) != 0;
    session->from_outside = strcmp(begun.destination, answered.source) != 0;
    if (!session->from_outside && !source_changed)
        return false;
    snprintf(session->internal, FORWARDING_TEXT, "%s", session->from_outside ? answered.source : begun.source);
    session->internal_port = session->from_outside ? answered.source_port : begun.source_port;
    snprintf(session->remote, FORWARDING_TEXT, "%s", session->from_outside ? begun.source : begun.destination);
    session->remote_port = session->from_outside ? begun.source_port : begun.destination_port;
    snprintf(session->external, FORWARDING_TEXT, "%s",
             session->from_outside ? begun.destination : answered.destination);
    session->external_port = session->from_outside ? begun.destination_port : answered.destination_port;
    return true;
}

int forwarding_sessions(void (*each)(void *context, const struct forwarding_session *session), void *context,
                        struct error *error)
{
    FILE *file = fopen("/proc/net/nf_conntrack", "re");
    struct forwarding_session session;
    char line[1024];
    if (!file)
        return error_set(error, "'/proc/net/nf_conntrack': %s", strerror(errno));
    while (fgets(line, sizeof line, file))
        if (session_read(line, &session))
            each(context, &session);
    fclose(file);
    return 0;
}
