// See uplink.h.
#include "service/uplink.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmdlet/value.h"
#include "service/forwarding.h"
#include "service/link.h"
#include "service/log.h"
#include "service/mac.h"

enum { SOCKETS_MOST = 4096 }; // of a switch's process: it looks at each of them in each round

struct uplinks {
    pthread_mutex_t lock; // one change of the kernel's network at a time
    enum { KERNEL_UNKNOWN, KERNEL_YES, KERNEL_NO } kernel;
};

struct uplinks *uplinks_create(void)
{
    struct uplinks *uplinks = calloc(1, sizeof *uplinks);
    if (uplinks)
        pthread_mutex_init(&uplinks->lock, NULL);
    return uplinks;
}

void uplinks_destroy(struct uplinks *uplinks)
{
    if (uplinks)
        pthread_mutex_destroy(&uplinks->lock);
    free(uplinks);
}

// --- Which way -------------------------------------------------------------------------------------------------------

// Asked once a service, when somebody first wants to know: it takes a program of the host's to find out.
static bool uplink_kernel_can(struct service *service)
{
    struct uplinks *uplinks = service_uplinks(service);
    struct error error;
    pthread_mutex_lock(&uplinks->lock);
    if (uplinks->kernel == KERNEL_UNKNOWN) {
        uplinks->kernel = forwarding_possible(&error) ? KERNEL_YES : KERNEL_NO;
        if (uplinks->kernel == KERNEL_NO)
            log_write(LOG_INFO, "network-backend", "backend", "User", "reason", error.text, NULL);
    }
    const bool can = uplinks->kernel == KERNEL_YES;
    pthread_mutex_unlock(&uplinks->lock);
    return can;
}

bool uplink_is_kernel(struct service *service)
{
    struct host_record host;
    service_host(service, &host);
    const bool allowed = !host.network_backend || strcasecmp(host.network_backend, "User");
    record_host_free(&host);
    return allowed && uplink_kernel_can(service);
}

const char *uplink_backend(struct service *service, const struct network_switch *network)
{
    if (!strcmp(network->type, "Private"))
        return "None";
    return !strcmp(network->type, "External") || uplink_is_kernel(service) ? "Kernel" : "User";
}

bool uplink_has_host(struct service *service, const struct network_switch *network)
{
    return network->host_mac && (!strcmp(network->type, "Internal") ||
                                 (!strcmp(network->type, "External") && uplink_is_kernel(service)));
}

bool uplink_host_uses(const char *adapter, char text[PREFIX_TEXT])
{
    struct link_address *addresses;
    const int count = link_addresses(&addresses, NULL);
    const unsigned index = if_nametoindex(adapter);
    bool found = false;
    for (int i = 0; i < count && !found; i++) {
        const struct prefix *address = &addresses[i].address;
        const bool local = address->ipv6 && address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
        found = addresses[i].index == index && !local;
        if (found)
            prefix_write(address, text);
    }
    free(addresses);
    return found;
}

static u32 uplink_hash(const char *first, const char *second)
{
    u32 hash = 2166136261u;
    for (; *first; first++)
        hash = (hash ^ (u8)*first) * 16777619u;
    for (; *second; second++)
        hash = (hash ^ (u8)*second) * 16777619u;
    return hash;
}

// The same for a switch as long as it lives, so that it is found again without having been written down.
void uplink_interface(struct service *service, const char *switch_id, char name[CONTROL_INTERFACE + 1])
{
    snprintf(name, CONTROL_INTERFACE + 1, "nidus%08x", uplink_hash(service_state_directory(service), switch_id));
}

bool uplink_is_default(const struct network_switch *network)
{
    return !strcmp(network->id, UPLINK_DEFAULT_SWITCH);
}

// --- Records ---------------------------------------------------------------------------------------------------------

// All that is behind the switches, read at one time.
struct records {
    struct network_switch *switches;
    struct network_address *addresses;
    struct network_nat *nats;
    struct network_mapping *mappings;
    struct network_dns *servers;
    size_t switch_count, address_count, nat_count, mapping_count, server_count;
};

#define RECORDS_COLLECT(name, of, list, count)                                                  \
    static void name(void *context, const struct of *record)                                    \
    {                                                                                           \
        struct records *records = context;                                                      \
        records->list = value_reallocate(records->list, (records->count + 1) * sizeof *record); \
        of##_copy(&records->list[records->count++], record);                                    \
    }

RECORDS_COLLECT(records_switch, network_switch, switches, switch_count)
RECORDS_COLLECT(records_address, network_address, addresses, address_count)
RECORDS_COLLECT(records_nat, network_nat, nats, nat_count)
RECORDS_COLLECT(records_mapping, network_mapping, mappings, mapping_count)
RECORDS_COLLECT(records_dns, network_dns, servers, server_count)

static void records_free(struct records *records)
{
    for (size_t i = 0; i < records->switch_count; i++)
        network_switch_free(&records->switches[i]);
    for (size_t i = 0; i < records->address_count; i++)
        network_address_free(&records->addresses[i]);
    for (size_t i = 0; i < records->nat_count; i++)
        network_nat_free(&records->nats[i]);
    for (size_t i = 0; i < records->mapping_count; i++)
        network_mapping_free(&records->mappings[i]);
    for (size_t i = 0; i < records->server_count; i++)
        network_dns_free(&records->servers[i]);
    free(records->switches);
    free(records->addresses);
    free(records->nats);
    free(records->mappings);
    free(records->servers);
}

static int records_read(struct service *service, struct records *records, struct error *error)
{
    *records = (struct records){0};
    if (network_switches(service, records_switch, records, error) == 0 &&
        network_addresses(service, records_address, records, error) == 0 &&
        network_nats(service, records_nat, records, error) == 0 &&
        network_mappings(service, records_mapping, records, error) == 0 &&
        network_dns_servers(service, records_dns, records, error) == 0)
        return 0;
    records_free(records);
    return -1;
}

// The host's first IPv4 address on a switch; NULL: none.
static const struct network_address *records_address_of(const struct records *records, const char *switch_id)
{
    for (size_t i = 0; i < records->address_count; i++)
        if (!strcmp(records->addresses[i].switch_id, switch_id) && !strchr(records->addresses[i].address, ':'))
            return &records->addresses[i];
    return NULL;
}

static void address_network(const struct network_address *address, struct prefix *network)
{
    if (prefix_read(network, address->address, NULL) == 0)
        prefix_cut(network, (u8)address->prefix);
}

// The NAT an address is behind; NULL: none.
static const struct network_nat *records_nat_of(const struct records *records, const struct network_address *address)
{
    struct prefix one, internal;
    for (size_t i = 0; i < records->nat_count; i++)
        if (records->nats[i].internal_prefix && prefix_read(&one, address->address, NULL) == 0 &&
            prefix_read(&internal, records->nats[i].internal_prefix, NULL) == 0 && prefix_contains(&internal, &one))
            return &records->nats[i];
    return NULL;
}

static bool records_translates(const struct records *records, const struct network_switch *network,
                               const struct network_address *address)
{
    return address && (uplink_is_default(network) || records_nat_of(records, address));
}

// --- What a switch's process is told ---------------------------------------------------------------------------------

bool uplink_external(const struct prefix *prefix, char address[CONTROL_ADDRESS + 1])
{
    struct link_address *addresses;
    const int count = link_addresses(&addresses, NULL);
    bool found = false;
    for (int i = 0; i < count && !found; i++) {
        found = !addresses[i].address.ipv6 && prefix_contains(prefix, &addresses[i].address);
        if (found)
            snprintf(address, CONTROL_ADDRESS + 1, "%u.%u.%u.%u", addresses[i].address.bytes[0],
                     addresses[i].address.bytes[1], addresses[i].address.bytes[2], addresses[i].address.bytes[3]);
    }
    free(addresses);
    return found;
}

// The same of a NAT's record; "": whatever address the host takes.
static void nat_external(const struct network_nat *nat, char address[CONTROL_ADDRESS + 1])
{
    struct prefix prefix;
    address[0] = 0;
    if (nat && nat->external_prefix && prefix_read(&prefix, nat->external_prefix, NULL) == 0)
        uplink_external(&prefix, address);
}

static u32 address_number(const char *text)
{
    struct prefix prefix;
    if (prefix_read(&prefix, text, NULL) < 0)
        return 0;
    return (u32)prefix.bytes[0] << 24 | (u32)prefix.bytes[1] << 16 | (u32)prefix.bytes[2] << 8 | prefix.bytes[3];
}

static void address_text(u32 number, char text[CONTROL_ADDRESS + 1])
{
    snprintf(text, CONTROL_ADDRESS + 1, "%u.%u.%u.%u", number >> 24, number >> 16 & 255, number >> 8 & 255,
             number & 255);
}

// Who set name servers for the switch's adapter gets them; otherwise those of this machine.
static void plan_servers(struct control_uplink *config, const struct records *records, const char *switch_id)
{
    for (size_t i = 0; i < records->server_count; i++)
        if (!strcmp(records->servers[i].switch_id, switch_id) && records->servers[i].servers) {
            snprintf(config->dhcp_servers, sizeof config->dhcp_servers, "%s", records->servers[i].servers);
            return;
        }
    if (config->kind == CONTROL_UPLINK_USER) {
        snprintf(config->dhcp_servers, sizeof config->dhcp_servers, "%s", config->nat ? config->name_server : "");
        return;
    }
    char *servers = config->nat ? link_dns_upstream() : NULL;
    snprintf(config->dhcp_servers, sizeof config->dhcp_servers, "%s", servers ? servers : "");
    free(servers);
}

// The upper half of the network, so that addresses can be given by hand in the lower one; its last one is the name
// server's where there is none to be reached otherwise.
static void plan_dhcp(struct control_uplink *config, const struct records *records,
                      const struct network_switch *network)
{
    const u32 size = config->bits < 32 ? (u32)(1ull << (32 - config->bits)) : 1;
    const u32 base = address_number(config->address) & ~(size - 1);
    if (size < 8)
        return;
    if (config->kind == CONTROL_UPLINK_USER)
        address_text(base + size - 2, config->name_server);
    address_text(base + size / 2, config->dhcp_first);
    address_text(base + size - 3, config->dhcp_last);
    plan_servers(config, records, network->id);
}

static void plan_mappings(struct control_uplink *config, const struct records *records, const struct network_nat *nat)
{
    config->mappings = calloc(records->mapping_count + 1, sizeof *config->mappings);
    const size_t most = config->mappings ? records->mapping_count : 0;
    for (size_t i = 0; i < most && config->mapping_count < CONTROL_MAPPINGS; i++) {
        const struct network_mapping *from = &records->mappings[i];
        if (value_name_compare(from->nat, nat->name))
            continue;
        struct control_mapping *to = &config->mappings[config->mapping_count++];
        to->protocol = !strcasecmp(from->protocol, "UDP") ? CONTROL_UDP : CONTROL_TCP;
        to->external_port = (unsigned)from->external_port;
        to->internal_port = (unsigned)from->internal_port;
        snprintf(to->external, sizeof to->external, "%s", from->external_address);
        snprintf(to->internal, sizeof to->internal, "%s", from->internal_address);
    }
}

// Half of what a process of ours may have open: the other half is for the switch's ports.
static unsigned plan_sockets(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 2 > SOCKETS_MOST)
        return SOCKETS_MOST;
    return (unsigned)(limit.rlim_cur / 2);
}

static void plan_internal(struct service *service, const struct network_switch *network,
                          const struct records *records, struct control_uplink *config)
{
    const struct network_address *address = records_address_of(records, network->id);
    if (address) {
        snprintf(config->address, sizeof config->address, "%s", address->address);
        config->bits = (unsigned)address->prefix;
        config->nat = records_translates(records, network, address);
    }
    if (uplink_is_kernel(service)) {
        config->kind = CONTROL_UPLINK_HOST;
        uplink_interface(service, network->id, config->interface);
    } else if (address) {
        const struct network_nat *nat = records_nat_of(records, address);
        config->kind = CONTROL_UPLINK_USER;
        config->sockets = plan_sockets();
        nat_external(nat, config->external);
        if (nat)
            plan_mappings(config, records, nat);
    }
    if (address && network->dhcp)
        plan_dhcp(config, records, network);
}

static void plan_fill(struct service *service, const struct network_switch *network, const struct records *records,
                      struct control_uplink *config)
{
    if (network->host_mac)
        mac_read(network->host_mac, config->mac);
    if (!strcmp(network->type, "External")) {
        config->kind = CONTROL_UPLINK_PHYSICAL;
        snprintf(config->interface, sizeof config->interface, "%s", network->net_adapter);
        if (uplink_has_host(service, network))
            uplink_interface(service, network->id, config->host);
    } else if (!strcmp(network->type, "Internal") && network->host_mac) {
        plan_internal(service, network, records, config);
    }
}

// Before the host has an interface on it, its network is still to be chosen: since it was, somebody else may have come
// to be in it, and be that another service's Default Switch.
static int default_settle(struct service *service, struct error *error)
{
    char name[CONTROL_INTERFACE + 1];
    uplink_interface(service, UPLINK_DEFAULT_SWITCH, name);
    return if_nametoindex(name) || !uplink_is_kernel(service) ? 0 : uplink_default_switch(service, error);
}

int uplink_plan(struct service *service, const struct network_switch *network, struct uplink_plan *plan,
                struct error *error)
{
    struct control_uplink config = {.kind = CONTROL_UPLINK_NONE};
    struct records records;
    *plan = (struct uplink_plan){0};
    if ((uplink_is_default(network) && default_settle(service, error) < 0) ||
        records_read(service, &records, error) < 0)
        return -1;
    plan_fill(service, network, &records, &config);
    plan->config = control_uplink_write(&config);
    // Which sockets it may have is decided when a process is started; what it will be told may change later.
    plan->network = !strcmp(network->type, "Internal") && !uplink_is_kernel(service);
    if (plan->config)
        plan->kind = json_string_value(json_object_get(plan->config, "kind"));
    records_free(&records);
    control_uplink_free(&config);
    return plan->config ? 0 : error_set(error, "out of memory");
}

void uplink_plan_free(struct uplink_plan *plan)
{
    json_decref(plan->config);
    *plan = (struct uplink_plan){0};
}

// --- The kernel's side -----------------------------------------------------------------------------------------------

static bool switch_is_used(struct service *service, const char *name)
{
    struct vm **vms;
    bool used = false;
    const size_t count = service_vms(service, &vms);
    for (size_t i = 0; i < count; i++) {
        struct vm_view view;
        vm_look(vms[i], &view);
        for (size_t j = 0; j < view.record.adapter_count; j++)
            used = used || (view.record.adapters[j].switch_name &&
                            !value_name_compare(view.record.adapters[j].switch_name, name));
        vm_view_free(&view);
        vm_unref(vms[i]);
    }
    free(vms);
    return used;
}

// Whether the host has an interface on it. The Default Switch gets its when somebody uses it: who never does finds his
// host as it was.
static bool switch_is_real(struct service *service, const struct network_switch *network)
{
    return strcmp(network->type, "Private") && network->host_mac &&
           (!uplink_is_default(network) || switch_is_used(service, network->name));
}

static bool address_is_there(const struct link_address *addresses, int count, unsigned index,
                             const struct prefix *wanted, s64 bits)
{
    for (int i = 0; i < count; i++)
        if (addresses[i].index == index && addresses[i].bits == bits && addresses[i].address.ipv6 == wanted->ipv6 &&
            !memcmp(addresses[i].address.bytes, wanted->bytes, sizeof wanted->bytes))
            return true;
    return false;
}

// The interface has the addresses of the records. What others gave it is theirs.
static int kernel_addresses(const struct records *records, const char *switch_id, unsigned index, struct error *error)
{
    struct link_address *there;
    const int count = link_addresses(&there, error);
    int result = count < 0 ? -1 : 0;
    for (size_t i = 0; i < records->address_count && result == 0; i++) {
        const struct network_address *address = &records->addresses[i];
        struct prefix wanted;
        if (strcmp(address->switch_id, switch_id) || prefix_read(&wanted, address->address, NULL) < 0 ||
            address_is_there(there, count, index, &wanted, address->prefix))
            continue;
        result = link_address_add(index, &wanted, (u8)address->prefix, error);
    }
    free(there);
    return result;
}

static int kernel_tap(struct service *service, const struct network_switch *network, struct error *error)
{
    char name[CONTROL_INTERFACE + 1], *title = value_text("vEthernet (%s)", network->name);
    u8 mac[MAC_BYTES] = {0};
    mac_read(network->host_mac, mac);
    uplink_interface(service, network->id, name);
    const int fd = link_tap(name, title, mac, !strcmp(network->type, "External"), error);
    free(title);
    return fd;
}

static int kernel_switch(struct service *service, const struct records *records, const struct network_switch *network,
                         struct error *error)
{
    char name[CONTROL_INTERFACE + 1];
    const int fd = kernel_tap(service, network, error);
    if (fd == -1)
        return -1;
    if (fd >= 0)
        close(fd); // the interface stays
    uplink_interface(service, network->id, name);
    return kernel_addresses(records, network->id, if_nametoindex(name), error);
}

static void kernel_network(struct service *service, const struct records *records,
                           const struct network_switch *network, struct forwarding_network *to)
{
    const struct network_address *address = records_address_of(records, network->id);
    struct prefix prefix = {0};
    *to = (struct forwarding_network){.nat = records_translates(records, network, address)};
    uplink_interface(service, network->id, to->interface);
    if (!address)
        return;
    nat_external(records_nat_of(records, address), to->external);
    address_network(address, &prefix);
    prefix_write(&prefix, to->prefix);
}

static size_t kernel_mappings(const struct records *records, struct forwarding_mapping *to)
{
    for (size_t i = 0; i < records->mapping_count; i++) {
        const struct network_mapping *from = &records->mappings[i];
        to[i] = (struct forwarding_mapping){.udp = !strcasecmp(from->protocol, "UDP"),
                                            .external_port = (unsigned)from->external_port,
                                            .internal_port = (unsigned)from->internal_port};
        snprintf(to[i].external, sizeof to[i].external, "%s", from->external_address);
        snprintf(to[i].internal, sizeof to[i].internal, "%s", from->internal_address);
        if (from->remote_prefix && strcmp(from->remote_prefix, "0.0.0.0/0"))
            snprintf(to[i].remote, sizeof to[i].remote, "%s", from->remote_prefix);
    }
    return records->mapping_count;
}

static int kernel_apply(struct service *service, const struct records *records, struct error *error)
{
    char table[32];
    struct forwarding_network *networks = calloc(records->switch_count + 1, sizeof *networks);
    struct forwarding_mapping *mappings = calloc(records->mapping_count + 1, sizeof *mappings);
    struct forwarding forwarding = {.table = table,
                                    .directory = service_runtime_directory(service),
                                    .networks = networks,
                                    .mappings = mappings};
    int result = networks && mappings ? 0 : error_set(error, "out of memory");
    snprintf(table, sizeof table, "nidus_%08x", uplink_hash(service_state_directory(service), ""));
    for (size_t i = 0; i < records->switch_count && result == 0; i++) {
        const struct network_switch *network = &records->switches[i];
        if (!switch_is_real(service, network)) {
            uplink_remove(service, network->id); // the Default Switch's, once nobody uses it
            continue;
        }
        result = kernel_switch(service, records, network, error);
        if (!strcmp(network->type, "Internal"))
            kernel_network(service, records, network, &networks[forwarding.network_count++]);
    }
    if (result == 0) {
        forwarding.mapping_count = kernel_mappings(records, mappings);
        result = forwarding_apply(&forwarding, error);
    }
    free(networks);
    free(mappings);
    return result;
}

// Without the kernel, what it had of ours goes. That is nothing where it never was asked.
static int kernel_leave(struct service *service, const struct records *records, struct error *error)
{
    char table[32];
    const struct forwarding nothing = {.table = table, .directory = service_runtime_directory(service)};
    bool any = forwarding_is_there(service_runtime_directory(service));
    for (size_t i = 0; i < records->switch_count; i++) {
        char name[CONTROL_INTERFACE + 1];
        uplink_interface(service, records->switches[i].id, name);
        any = any || if_nametoindex(name);
        link_tap_remove(name);
    }
    snprintf(table, sizeof table, "nidus_%08x", uplink_hash(service_state_directory(service), ""));
    return any ? forwarding_apply(&nothing, error) : 0;
}

static bool kernel_is_needed(struct service *service, const struct records *records)
{
    bool needed = forwarding_is_there(service_runtime_directory(service));
    for (size_t i = 0; i < records->switch_count && !needed; i++)
        needed = switch_is_real(service, &records->switches[i]);
    return needed;
}

int uplink_apply(struct service *service, struct error *error)
{
    struct uplinks *uplinks = service_uplinks(service);
    struct records records;
    int result = 0;
    if (records_read(service, &records, error) < 0)
        return -1;
    if (kernel_is_needed(service, &records)) {
        const bool kernel = uplink_is_kernel(service);
        pthread_mutex_lock(&uplinks->lock);
        result = kernel ? kernel_apply(service, &records, error) : kernel_leave(service, &records, error);
        pthread_mutex_unlock(&uplinks->lock);
    }
    records_free(&records);
    return result;
}

// The physical adapter, and the host's own beside it where there is one: without that the switch still is one.
static int uplink_open_physical(struct service *service, const struct network_switch *network,
                                const struct uplink_plan *plan, int fds[static UPLINK_DESCRIPTORS],
                                struct error *error)
{
    struct error reason;
    fds[0] = link_packets(network->net_adapter, error);
    if (fds[0] < 0)
        return -1;
    if (!*json_string_value(json_object_get(plan->config, "host")))
        return 1;
    fds[1] = uplink_apply(service, &reason) < 0 ? -1 : kernel_tap(service, network, &reason);
    if (fds[1] == -1)
        log_write(LOG_ERROR, "host-adapter", "switch", network->name, "reason", reason.text, NULL);
    return fds[1] < 0 ? 1 : 2;
}

int uplink_open(struct service *service, const struct network_switch *network, const struct uplink_plan *plan,
                int fds[static UPLINK_DESCRIPTORS], struct error *error)
{
    int fd = -1;
    if (!strcmp(plan->kind, "physical")) {
        return uplink_open_physical(service, network, plan, fds, error);
    } else if (!strcmp(plan->kind, "host")) {
        fd = uplink_apply(service, error) < 0 ? -1 : kernel_tap(service, network, error);
        if (fd < -1) // a switch's process has it
            return 0;
    } else {
        return 0;
    }
    fds[0] = fd;
    return fd < 0 ? -1 : 1;
}

void uplink_remove(struct service *service, const char *switch_id)
{
    char name[CONTROL_INTERFACE + 1];
    uplink_interface(service, switch_id, name);
    link_tap_remove(name);
}

// --- The Default Switch ----------------------------------------------------------------------------------------------

bool uplink_is_taken(struct service *service, const struct prefix *network, char *owner, size_t bytes)
{
    struct link *links;
    struct link_address *addresses;
    struct records records;
    const int link_count = link_list(&links, NULL), count = link_addresses(&addresses, NULL);
    bool taken = false;
    const bool known = records_read(service, &records, NULL) == 0;
    for (int i = 0; i < link_count && !taken; i++) {
        bool ours = links[i].loopback;
        for (size_t j = 0; known && j < records.switch_count; j++) {
            char name[CONTROL_INTERFACE + 1];
            uplink_interface(service, records.switches[j].id, name);
            ours = ours || !strcmp(name, links[i].name);
        }
        for (int j = 0; j < count && !ours && !taken; j++) {
            struct prefix there = addresses[j].address;
            if (addresses[j].index != links[i].index)
                continue;
            prefix_cut(&there, addresses[j].bits);
            taken = prefix_overlaps(network, &there);
        }
        if (taken)
            snprintf(owner, bytes, "%s", links[i].name);
    }
    if (known)
        records_free(&records);
    free(links);
    free(addresses);
    return taken;
}

enum { DEFAULT_BITS = 20, DEFAULT_NETWORKS = 256, DEFAULT_FIRST = 206 /* 172.28.224.0 */ };

// One of the networks of 172.16.0.0/12, the first that neither the host nor a NAT has. Windows chooses in the same
// room.
static bool default_choose(struct service *service, const struct records *records, u32 *address)
{
    for (u32 i = 0; i < DEFAULT_NETWORKS; i++) {
        const u32 network = 0xac100000u | ((DEFAULT_FIRST + i) & 255) << 12;
        char text[32], owner[64];
        struct prefix prefix, other;
        address_text(network, text);
        snprintf(text + strlen(text), 4, "/%d", DEFAULT_BITS);
        bool taken = prefix_read(&prefix, text, NULL) < 0 || uplink_is_taken(service, &prefix, owner, sizeof owner);
        for (size_t j = 0; j < records->nat_count; j++)
            taken = taken || (records->nats[j].internal_prefix &&
                              prefix_read(&other, records->nats[j].internal_prefix, NULL) == 0 &&
                              prefix_overlaps(&prefix, &other));
        *address = network + 1;
        if (!taken)
            return true;
    }
    return false;
}

static int default_give_address(struct service *service, const struct records *records, struct error *error)
{
    const struct network_address *old = records_address_of(records, UPLINK_DEFAULT_SWITCH);
    char text[CONTROL_ADDRESS + 1], id[128], owner[64];
    struct prefix prefix;
    u32 number;
    if (old) {
        address_network(old, &prefix);
        if (!uplink_is_taken(service, &prefix, owner, sizeof owner))
            return 0;
        if (network_address_remove(service, old->id, error) < 0)
            return -1;
        uplink_remove(service, UPLINK_DEFAULT_SWITCH); // and with it the address; made again when it is used
    }
    if (!default_choose(service, records, &number))
        return 0; // a switch without a network: the host has all of them
    address_text(number, text);
    snprintf(id, sizeof id, "%s %s", UPLINK_DEFAULT_SWITCH, text);
    const struct network_address address = {
        .id = id, .switch_id = (char *)UPLINK_DEFAULT_SWITCH, .address = text, .prefix = DEFAULT_BITS};
    return network_address_save(service, &address, error);
}

static int default_make(struct service *service, struct error *error)
{
    char mac[MAC_TEXT];
    if (service_mac(service, mac, error) < 0)
        return -1;
    const struct network_switch network = {.id = (char *)UPLINK_DEFAULT_SWITCH,
                                           .name = (char *)"Default Switch",
                                           .notes = (char *)"The Default Network switch automatically gives virtual "
                                                            "machines access to the computer's network using NAT "
                                                            "(network address translation).",
                                           .type = (char *)"Internal",
                                           .host_mac = mac,
                                           .allow_management_os = true,
                                           .bandwidth_mode = (char *)"Absolute",
                                           .dhcp = true};
    return network_switch_save(service, &network, error);
}

int uplink_default_switch(struct service *service, struct error *error)
{
    struct records records;
    bool there = false;
    if (records_read(service, &records, error) < 0)
        return -1;
    for (size_t i = 0; i < records.switch_count; i++)
        there = there || uplink_is_default(&records.switches[i]);
    int result = there ? 0 : default_make(service, error);
    if (result == 0)
        result = default_give_address(service, &records, error);
    records_free(&records);
    return result;
}
