/* What is on the wire: IPv4 (RFC 791), ARP (RFC 826), ICMP (RFC 792), UDP (RFC 768). All numbers
 * are big-endian. */
#ifndef NET_INET_FORMATS_H
#define NET_INET_FORMATS_H

#include <calypso/types.h>
#include <uapi/if.h>

#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806

struct ip_header {
	uint8_t version_length; /* 4, and the header's length in words of 32 bits */
	uint8_t service;
	uint16_t length;
	uint16_t identification;
	uint16_t fragment; /* flags and offset */
	uint8_t time_to_live;
	uint8_t protocol;
	uint16_t checksum;
	uint32_t source;
	uint32_t target;
} __attribute__((packed));
static_assert(sizeof(struct ip_header) == 20, "RFC 791");

#define IP_VERSION_LENGTH 0x45
#define IP_DO_NOT_FRAGMENT 0x4000
#define IP_IS_FRAGMENT 0x3fff /* more follow, or an offset */

struct arp_packet {
	uint16_t hardware;
	uint16_t protocol;
	uint8_t hardware_length;
	uint8_t protocol_length;
	uint16_t operation;
	uint8_t sender[ETH_ALEN];
	uint32_t sender_address;
	uint8_t target[ETH_ALEN];
	uint32_t target_address;
} __attribute__((packed));
static_assert(sizeof(struct arp_packet) == 28, "RFC 826");

enum { ARP_REQUEST = 1, ARP_REPLY = 2 };

struct icmp_header {
	uint8_t type;
	uint8_t code;
	uint16_t checksum;
	uint32_t rest;
} __attribute__((packed));
static_assert(sizeof(struct icmp_header) == 8, "RFC 792");

enum { ICMP_ECHO_REPLY = 0, ICMP_UNREACHABLE = 3, ICMP_ECHO = 8 };
enum { ICMP_NET, ICMP_HOST, ICMP_PROTOCOL, ICMP_PORT, ICMP_FRAGMENTATION };

struct udp_header {
	uint16_t source;
	uint16_t target;
	uint16_t length;
	uint16_t checksum;
} __attribute__((packed));
static_assert(sizeof(struct udp_header) == 8, "RFC 768");

/* The sum of 16-bit words (RFC 1071), going on from `sum`; then what goes into the packet. */
uint32_t checksum_add(uint32_t sum, const void *data, size_t length);
uint16_t checksum_finish(uint32_t sum);

#endif
