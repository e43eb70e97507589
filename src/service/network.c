// See network.h. The records of the network: which tables, which columns; and what goes across several of them.
#include "service/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmdlet/value.h"
#include "service/store.h"
#include "service/switchboard.h"

#define COLUMN(of, member, kind)                   \
    {                                              \
#member, kind, offsetof(struct of, member) \
    }

static const struct record_column switch_columns[] = {
    COLUMN(network_switch, id, RECORD_TEXT),
    COLUMN(network_switch, name, RECORD_TEXT),
    COLUMN(network_switch, notes, RECORD_TEXT),
    COLUMN(network_switch, type, RECORD_TEXT),
    COLUMN(network_switch, net_adapter, RECORD_TEXT),
    COLUMN(network_switch, host_mac, RECORD_TEXT),
    COLUMN(network_switch, allow_management_os, RECORD_BOOL),
    COLUMN(network_switch, bandwidth_mode, RECORD_TEXT),
    COLUMN(network_switch, flow_absolute, RECORD_INT),
    COLUMN(network_switch, flow_weight, RECORD_INT),
    COLUMN(network_switch, dhcp, RECORD_BOOL),
    {0},
};

static const struct record_column address_columns[] = {
    COLUMN(network_address, id, RECORD_TEXT),
    COLUMN(network_address, switch_id, RECORD_TEXT),
    COLUMN(network_address, address, RECORD_TEXT),
    COLUMN(network_address, gateway, RECORD_TEXT),
    COLUMN(network_address, prefix, RECORD_INT),
    COLUMN(network_address, skip_as_source, RECORD_BOOL),
    {0},
};

static const struct record_column nat_columns[] = {
    COLUMN(network_nat, name, RECORD_TEXT),
    COLUMN(network_nat, internal_prefix, RECORD_TEXT),
    COLUMN(network_nat, external_prefix, RECORD_TEXT),
    COLUMN(network_nat, icmp_timeout, RECORD_INT),
    COLUMN(network_nat, tcp_established_timeout, RECORD_INT),
    COLUMN(network_nat, tcp_transient_timeout, RECORD_INT),
    COLUMN(network_nat, udp_timeout, RECORD_INT),
    COLUMN(network_nat, tcp_filtering, RECORD_TEXT),
    COLUMN(network_nat, udp_filtering, RECORD_TEXT),
    COLUMN(network_nat, udp_refresh, RECORD_BOOL),
    {0},
};

static const struct record_column mapping_columns[] = {
    COLUMN(network_mapping, number, RECORD_INT),
    COLUMN(network_mapping, nat, RECORD_TEXT),
    COLUMN(network_mapping, protocol, RECORD_TEXT),
    COLUMN(network_mapping, external_address, RECORD_TEXT),
    COLUMN(network_mapping, internal_address, RECORD_TEXT),
    COLUMN(network_mapping, remote_prefix, RECORD_TEXT),
    COLUMN(network_mapping, external_port, RECORD_INT),
    COLUMN(network_mapping, internal_port, RECORD_INT),
    {0},
};

static const struct record_column dns_columns[] = {
    COLUMN(network_dns, switch_id, RECORD_TEXT),
    COLUMN(network_dns, servers, RECORD_TEXT),
    {0},
};

void network_switch_copy(struct network_switch *to, const struct network_switch *from)
{
    *to = (struct network_switch){0};
    record_columns_copy(to, from, switch_columns);
}

void network_switch_free(struct network_switch *network)
{
    record_columns_free(network, switch_columns);
}
void network_address_copy(struct network_address *to, const struct network_address *from)
{
    record_columns_copy(to, from, address_columns);
}
void network_address_free(struct network_address *address)
{
    record_columns_free(address, address_columns);
}
void network_nat_copy(struct network_nat *to, const struct network_nat *from)
{
    *to = (struct network_nat){0};
    record_columns_copy(to, from, nat_columns);
}

void network_nat_free(struct network_nat *nat)
{
    record_columns_free(nat, nat_columns);
}
void network_mapping_copy(struct network_mapping *to, const struct network_mapping *from)
{
    record_columns_copy(to, from, mapping_columns);
}
void network_mapping_free(struct network_mapping *mapping)
{
    record_columns_free(mapping, mapping_columns);
}
void network_dns_copy(struct network_dns *to, const struct network_dns *from)
{
    record_columns_copy(to, from, dns_columns);
}
void network_dns_free(struct network_dns *dns)
{
    record_columns_free(dns, dns_columns);
}

// --- One table each --------------------------------------------------------------------------------------------------

// What store_record_each calls knows its record's type; we hand it on as that.
#define NETWORK_EACH(function, of, columns, table)                                                                \
    struct of##_visit {                                                                                           \
        void (*each)(void *context, const struct of *record);                                                     \
        void *context;                                                                                            \
    };                                                                                                            \
    static void of##_visited(void *context, const void *record)                                                   \
    {                                                                                                             \
        const struct of##_visit *visit = context;                                                                 \
        visit->each(visit->context, record);                                                                      \
    }                                                                                                             \
    int function(struct service *service, void (*each)(void *context, const struct of *record), void *context,    \
                 struct error *error)                                                                             \
    {                                                                                                             \
        struct of##_visit visit = {each, context};                                                                \
        return store_record_each(service_store(service), table, columns, sizeof(struct of), of##_visited, &visit, \
                                 error);                                                                          \
    }                                                                                                             \
    int of##_save(struct service *service, const struct of *record, struct error *error)                          \
    {                                                                                                             \
        return store_record_save(service_store(service), table, columns, record, error);                          \
    }

NETWORK_EACH(network_switches, network_switch, switch_columns, "switch")
NETWORK_EACH(network_addresses, network_address, address_columns, "address")
NETWORK_EACH(network_nats, network_nat, nat_columns, "nat")
NETWORK_EACH(network_mappings, network_mapping, mapping_columns, "mapping")
NETWORK_EACH(network_dns_servers, network_dns, dns_columns, "dns")

int network_switch_remove(struct service *service, const char *id, struct error *error)
{
    return store_run(service_store(service), error, NULL, NULL, "DELETE FROM switch WHERE id = ?1", "t", id);
}

int network_address_remove(struct service *service, const char *id, struct error *error)
{
    return store_run(service_store(service), error, NULL, NULL, "DELETE FROM address WHERE id = ?1", "t", id);
}

int network_nat_remove(struct service *service, const char *name, struct error *error)
{
    return store_run(service_store(service), error, NULL, NULL, "DELETE FROM nat WHERE name = ?1", "t", name);
}

int network_mapping_remove(struct service *service, s64 number, struct error *error)
{
    return store_run(service_store(service), error, NULL, NULL, "DELETE FROM mapping WHERE number = ?1", "i", number);
}

// --- Across tables ---------------------------------------------------------------------------------------------------

struct switch_search {
    const char *name;
    struct network_switch *found;
    bool any;
};

static void switch_search(void *context, const struct network_switch *network)
{
    struct switch_search *search = context;
    if (search->any || strcasecmp(network->name, search->name))
        return;
    search->any = true;
    network_switch_copy(search->found, network);
}

bool network_switch_find(struct service *service, const char *name, struct network_switch *network)
{
    struct switch_search search = {name, network, false};
    return network_switches(service, switch_search, &search, NULL) == 0 && search.any;
}

// Each VM's record in a change of its own: the adapters' settings are the VM's.
int network_switch_renamed(struct service *service, const char *from, const char *to, struct error *error)
{
    struct vm **vms;
    int result = 0;
    const size_t count = service_vms(service, &vms);
    for (size_t i = 0; i < count; i++) {
        struct vm_record *draft = result ? NULL : vm_change_begin(vms[i]);
        bool changed = false;
        for (size_t j = 0; draft && j < draft->adapter_count; j++) {
            if (!draft->adapters[j].switch_name || strcasecmp(draft->adapters[j].switch_name, from))
                continue;
            record_text_set(&draft->adapters[j].switch_name, to);
            changed = true;
        }
        if (draft && changed)
            result = vm_change_commit(vms[i], draft, error) < 0 ||
                             switchboard_vm(service_switchboard(service), vms[i], error) < 0
                         ? -1
                         : 0;
        else if (draft)
            vm_change_cancel(vms[i], draft);
        vm_unref(vms[i]);
    }
    free(vms);
    return result;
}

struct mac_search {
    const char *mac;
    char *owner;
    size_t bytes;
    bool any;
};

static void mac_search_switch(void *context, const struct network_switch *network)
{
    struct mac_search *search = context;
    if (!network->host_mac || strcasecmp(network->host_mac, search->mac))
        return;
    search->any = true;
    snprintf(search->owner, search->bytes, "the host's adapter on switch '%s'", network->name);
}

bool network_host_has_mac(struct service *service, const char *mac)
{
    char owner[8];
    struct mac_search search = {mac, owner, sizeof owner, false};
    network_switches(service, mac_search_switch, &search, NULL);
    return search.any;
}

bool network_mac_owner(struct service *service, const char *mac, const char *except, char *owner, size_t bytes)
{
    struct vm **vms;
    struct mac_search search = {mac, owner, bytes, false};
    network_switches(service, mac_search_switch, &search, NULL);
    const size_t count = service_vms(service, &vms);
    for (size_t i = 0; i < count; i++) {
        struct vm_view view;
        vm_look(vms[i], &view);
        for (size_t j = 0; j < view.record.adapter_count; j++) {
            const struct vm_adapter *adapter = &view.record.adapters[j];
            if (!adapter->mac || strcasecmp(adapter->mac, mac) || (except && !strcmp(adapter->id, except)))
                continue;
            search.any = true;
            snprintf(owner, bytes, "adapter '%s' of '%s'", adapter->name, view.record.name);
        }
        vm_view_free(&view);
        vm_unref(vms[i]);
    }
    free(vms);
    return search.any;
}
