// Names and places of what the headers of Ethernet, IP and TCP say, for all that read or write them here.
#pragma once

enum { // EtherTypes
    TYPE_IPV4 = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_VLAN = 0x8100,
    TYPE_IPV6 = 0x86dd,
    TYPE_QINQ = 0x88a8,
};

enum { // IP (RFC 791, RFC 8200)
    IPV4_BYTES = 20, // without options
    IPV6_BYTES = 40, // without extension headers
    IP_MOST = 65535, // bytes of a packet, by its length field
    PROTOCOL_ICMP = 1,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    PROTOCOL_ICMPV6 = 58,
    IPV6_HOP = 0,
    IPV6_ROUTING = 43,
    IPV6_FRAGMENT = 44,
    IPV6_OPTIONS = 60,
};

enum { // TCP (RFC 9293): offsets, and bits of TCP_FLAGS
    TCP_SEQUENCE = 4,
    TCP_ACKNOWLEDGED = 8,
    TCP_LENGTH = 12,
    TCP_FLAGS = 13,
    TCP_CHECKSUM = 16,
    TCP_BYTES = 20, // without options
    TCP_FIN = 0x01,
    TCP_PUSH = 0x08,
    TCP_ACK = 0x10,
    TCP_CWR = 0x80,
};
