/* AF_PACKET sockets: packet(7), <linux/if_packet.h>. */
#ifndef UAPI_IF_PACKET_H
#define UAPI_IF_PACKET_H

#include <uapi/types.h>

#define AF_PACKET 17
#define SOL_PACKET 263

struct sockaddr_ll {
	uint16_t sll_family;
	uint16_t sll_protocol; /* big-endian */
	int32_t sll_ifindex;
	uint16_t sll_hatype;
	uint8_t sll_pkttype;
	uint8_t sll_halen;
	uint8_t sll_addr[8];
};
static_assert(sizeof(struct sockaddr_ll) == 20, "Linux");

/* sll_pkttype */
#define PACKET_HOST 0
#define PACKET_BROADCAST 1
#define PACKET_MULTICAST 2
#define PACKET_OTHERHOST 3
#define PACKET_OUTGOING 4

/* Options of SOL_PACKET */
#define PACKET_ADD_MEMBERSHIP 1
#define PACKET_DROP_MEMBERSHIP 2
#define PACKET_STATISTICS 6

#define PACKET_MR_MULTICAST 0
#define PACKET_MR_UNICAST 3

struct packet_mreq {
	int32_t mr_ifindex;
	uint16_t mr_type;
	uint16_t mr_alen;
	uint8_t mr_address[8];
};
static_assert(sizeof(struct packet_mreq) == 16, "Linux");

struct tpacket_stats {
	uint32_t tp_packets;
	uint32_t tp_drops;
};

#endif
