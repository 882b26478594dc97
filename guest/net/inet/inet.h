/* AF_INET: IPv4 with UDP, ICMP and raw sockets, over the network interfaces. No TCP.
 *
 *   formats.h   what is on the wire
 *   ip.c        packets: where they go, which are for this machine
 *   arp.c       who has an address on an Ethernet
 *   icmp.c      echoes, and errors that others report
 *   udp.c       datagrams
 *   address.c   the machine's own addresses: ip= on the kernel's command line, ioctls
 *   deliver.c   sockets, their ports, and what waits for them
 *   options.c   the options of IPPROTO_IP
 *   socket.c    the family and its calls
 *
 * Addresses and ports are big-endian numbers throughout, as they are on the wire and in programs.
 */
#ifndef NET_INET_INET_H
#define NET_INET_INET_H

#include <net/inet/formats.h>
#include <net/interface/interface.h>
#include <net/socket.h>
#include <uapi/in.h>

#define IP_ANY 0u
#define IP_EVERYBODY UINT32_MAX

static inline uint32_t htonl(uint32_t value) { return __builtin_bswap32(value); }

/* 127.0.0.0/8 */
static inline bool ip_is_loopback(uint32_t address) { return (address & 0xff) == 127; }
static inline bool ip_is_multicast(uint32_t address) { return (address & 0xf0) == 0xe0; }

/* ---- Packets to be sent ---- */

struct ip_packet {
	struct ip_packet *next;
	size_t length; /* of the payload */
	struct {
		struct ethhdr ethernet;
		struct ip_header ip;
		uint8_t payload[];
	} __attribute__((packed)) frame;
};

/* What the sender of a packet says of it. */
struct ip_way {
	uint32_t source; /* IP_ANY: that of the interface */
	uint32_t target;
	uint8_t protocol;
	uint8_t service;
	uint8_t time_to_live;
};

#define IP_TIME_TO_LIVE 64

/* A packet with room for so much payload, or NULL. */
struct ip_packet *ip_make(size_t length);

/* The interface by which a target is reached; NULL: there is no way to it. */
struct interface *ip_route(uint32_t target);

/* Whether a target is that of a broadcast. */
bool ip_is_broadcast(uint32_t target);

/* The address that packets to a target come from, or IP_ANY. */
uint32_t ip_source_for(uint32_t target);

/* Send a packet, which is given away: 0; -ENETUNREACH, -ENETDOWN, -EMSGSIZE, or what the interface
 * says. */
int ip_send(struct ip_packet *packet, const struct ip_way *way);

/* Fill in who gets the frame, and send it. */
int ip_send_frame(struct interface *interface, struct ip_packet *packet,
		  const uint8_t target[ETH_ALEN]);

/* A frame of one of the protocols of this family has come. */
void inet_receive(struct interface *interface, const uint8_t *frame, size_t length);

/* ---- ARP ---- */

/* Send a packet to a neighbour, now or when it has said where it is. */
int arp_send(struct interface *interface, uint32_t neighbour, struct ip_packet *packet);
void arp_receive(struct interface *interface, const uint8_t *content, size_t length);

/* ---- Addresses ---- */

/* Whether a packet to this address is for this machine. */
bool inet_is_own(uint32_t address);

/* The gateway by which all other networks are reached, or IP_ANY. */
uint32_t inet_gateway(void);

/* Configure the first card as ip= says, if it does. */
void inet_start(void);

int64_t inet_control(struct socket *socket, unsigned request, user_t argument);

/* ---- Sockets ---- */

struct inet_end {
	uint32_t address;
	uint16_t port;
};

/* Something that waits to be received. */
struct inet_message {
	struct inet_message *next;
	struct inet_end from;
	uint32_t length;
	uint8_t data[];
};

struct inet_socket {
	struct socket socket;
	struct inet_socket *next; /* of all */
	uint8_t protocol;
	bool is_bound;	   /* to an address or a port */
	bool is_connected; /* only the peer's messages are received */
	bool wants_errors; /* IP_RECVERR: also without a connection */
	bool no_receiving; /* shut down */
	bool no_sending;
	uint8_t service;
	uint8_t time_to_live;
	uint8_t discovery; /* IP_MTU_DISCOVER */
	struct inet_end local, peer;
	struct inet_message *first, *last;
	uint64_t queued; /* bytes of memory */
};

extern const struct socket_family inet_family;
extern const struct socket_operations inet_operations;

static inline struct inet_socket *inet_of(struct socket *socket)
{
	return container_of(socket, struct inet_socket, socket);
}

struct inet_socket *inet_make(int type, uint8_t protocol);
void inet_free(struct inet_socket *socket);
struct inet_message *inet_take_first(struct inet_socket *socket);

/* Give a socket of UDP a port: 0; -EADDRINUSE. Port 0: one that is free. */
int inet_bind_port(struct inet_socket *socket, struct inet_end local);

/* Give a datagram to the socket that it is for, all of them for a broadcast. Whether there is any. */
bool udp_deliver(struct inet_end from, struct inet_end to, bool broadcast, const uint8_t *data,
		 size_t length);

/* Give a whole packet to the raw sockets of its protocol. */
void raw_deliver(const struct ip_header *header, size_t length);

/* Tell the UDP socket that has sent something from `local` to `peer` of an error. A `hard` one is
 * the end of what it tried. */
void udp_report(struct inet_end local, struct inet_end peer, int error, bool hard);

/* ---- Protocols above IP; the content of a packet, and its header ---- */

void icmp_receive(const struct ip_header *header, const uint8_t *content, size_t length);
void udp_receive(const struct ip_header *header, const uint8_t *content, size_t length);

/* Tell the sender of a packet that nobody has its port. */
void icmp_port_unreachable(const struct ip_header *header);

/* A datagram's header, into a packet whose payload is behind it. */
void udp_fill(struct ip_packet *packet, uint16_t source, uint16_t target, const struct ip_way *way);

/* The options of IPPROTO_IP. */
int inet_get_option(struct socket *socket, int level, int option, user_t value, int *length);
int inet_set_option(struct socket *socket, int level, int option, user_t value, int length);

#endif
