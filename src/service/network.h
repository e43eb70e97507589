// What is kept of the network besides adapters: switches, the host's addresses on them, NATs and their port mappings,
// name servers.
//
// All functions: any thread. What they fill in is a copy; texts are owned by it.
#pragma once

#include "base/error.h"
#include "service/service.h"

struct network_switch {
    char *id; // GUID
    char *name, *notes;
    char *type;        // "Internal", "Private", "External"
    char *net_adapter; // External: the host's adapter
    char *host_mac;    // of the host's own adapter on it; NULL: it has none
    bool allow_management_os;
    char *bandwidth_mode; // "Absolute", "Weight", "None"
    s64 flow_absolute, flow_weight;
    bool dhcp; // whether its NAT answers DHCP
};

// An IP address of one of the host's adapters on a switch.
struct network_address {
    char *id; // "SWITCH-ID ADDRESS"
    char *switch_id, *address, *gateway; // gateway may be NULL
    s64 prefix;
    bool skip_as_source;
};

struct network_nat {
    char *name;
    char *internal_prefix, *external_prefix; // either may be NULL
    s64 icmp_timeout, tcp_established_timeout, tcp_transient_timeout, udp_timeout; // seconds
    char *tcp_filtering, *udp_filtering;
    bool udp_refresh;
};

struct network_mapping {
    s64 number;
    char *nat, *protocol, *external_address, *internal_address, *remote_prefix;
    s64 external_port, internal_port;
};

struct network_dns {
    char *switch_id;
    char *servers; // with blanks between
};

void network_switch_copy(struct network_switch *to, const struct network_switch *from);
void network_switch_free(struct network_switch *network);
void network_address_copy(struct network_address *to, const struct network_address *from);
void network_address_free(struct network_address *address);
void network_nat_copy(struct network_nat *to, const struct network_nat *from);
void network_nat_free(struct network_nat *nat);
void network_mapping_copy(struct network_mapping *to, const struct network_mapping *from);
void network_mapping_free(struct network_mapping *mapping);
void network_dns_copy(struct network_dns *to, const struct network_dns *from);
void network_dns_free(struct network_dns *dns);

// Each one that is kept; those that the callee wants, it copies.
int network_switches(struct service *service, void (*each)(void *context, const struct network_switch *network),
                     void *context, struct error *error);
int network_addresses(struct service *service, void (*each)(void *context, const struct network_address *address),
                      void *context, struct error *error);
int network_nats(struct service *service, void (*each)(void *context, const struct network_nat *nat), void *context,
                 struct error *error);
int network_mappings(struct service *service, void (*each)(void *context, const struct network_mapping *mapping),
                     void *context, struct error *error);
int network_dns_servers(struct service *service, void (*each)(void *context, const struct network_dns *dns),
                        void *context, struct error *error);

int network_switch_save(struct service *service, const struct network_switch *network, struct error *error);
int network_address_save(struct service *service, const struct network_address *address, struct error *error);
int network_nat_save(struct service *service, const struct network_nat *nat, struct error *error);
int network_mapping_save(struct service *service, const struct network_mapping *mapping, struct error *error);
int network_dns_save(struct service *service, const struct network_dns *dns, struct error *error);

int network_switch_remove(struct service *service, const char *id, struct error *error); // its addresses go along
int network_address_remove(struct service *service, const char *id, struct error *error);
int network_nat_remove(struct service *service, const char *name, struct error *error); // its mappings go along
int network_mapping_remove(struct service *service, s64 number, struct error *error);

// By name, without regard to case.
bool network_switch_find(struct service *service, const char *name, struct network_switch *network);
// Renames or removes (`to` NULL) a switch where adapters name it.
int network_switch_renamed(struct service *service, const char *from, const char *to, struct error *error);

// Whether another adapter than `except` (an id, or NULL) has this address; `owner` gets its description.
bool network_mac_owner(struct service *service, const char *mac, const char *except, char *owner, size_t bytes);
// Whether one of the host's own adapters on switches has it.
bool network_host_has_mac(struct service *service, const char *mac);
