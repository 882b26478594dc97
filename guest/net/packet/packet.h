/* AF_PACKET: Ethernet frames as they come and go, as in packet(7).
 *
 *   frames.c  frames: which sockets get a copy
 *   socket.c  the family and its calls
 */
#ifndef NET_PACKET_PACKET_H
#define NET_PACKET_PACKET_H

#include <net/interface/interface.h>
#include <net/socket.h>
#include <uapi/if_packet.h>

/* A frame that waits to be received, without its header for sockets of type SOCK_DGRAM. */
struct packet {
	struct packet *next;
	struct sockaddr_ll from;
	uint32_t length;
	uint8_t data[];
};

struct packet_socket {
	struct socket socket;
	struct packet_socket *next; /* of all */
	struct interface *interface; /* that it is bound to; NULL: all of them */
	uint16_t protocol; /* of the frames that it gets: ETH_P_*; 0: none */

	struct packet *first, *last;
	uint64_t queued;	     /* bytes of memory */
	struct tpacket_stats counts; /* since somebody asked */
};

extern const struct socket_family packet_family;
extern const struct socket_operations packet_operations;

static inline struct packet_socket *packet_of(struct socket *socket)
{
	return container_of(socket, struct packet_socket, socket);
}

/* A new socket, which gets copies of frames until it is freed; NULL without memory. */
struct packet_socket *packet_make(int type);
void packet_free(struct packet_socket *socket);

/* Take the first frame from a socket's queue; there is one. */
struct packet *packet_take_first(struct packet_socket *socket);

/* Send a frame for a socket, or for nobody (NULL): others that look at all frames see it as well. */
int packet_send(struct packet_socket *sender, struct interface *interface, const uint8_t *frame,
		size_t length);

/* A frame of at least a header has come. */
void packet_receive(struct interface *interface, const uint8_t *frame, size_t length);

/* Sockets that are bound to an interface learn that it was switched off. */
void packet_interface_down(const struct interface *interface);

#endif
