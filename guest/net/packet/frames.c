/* Frames on their way to the sockets of AF_PACKET. */
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <net/packet/packet.h>

static struct packet_socket *all;

/* ---- Sockets ---- */

struct packet_socket *packet_make(int type)
{
	struct packet_socket *made = kcalloc(1, sizeof(*made));
	if (made == NULL)
		return NULL;
	socket_initialize(&made->socket, &packet_operations, AF_PACKET, type);
	made->next = all;
	all = made;
	return made;
}

void packet_free(struct packet_socket *socket)
{
	struct packet_socket **link = &all;
	while (*link != socket)
		link = &(*link)->next;
	*link = socket->next;
	while (socket->first != NULL)
		kfree(packet_take_first(socket));
	kfree(socket);
}

void packet_interface_down(const struct interface *interface)
{
	for (struct packet_socket *each = all; each != NULL; each = each->next) {
		if (each->interface != interface)
			continue;
		each->socket.error = ENETDOWN;
		poll_notify(&each->socket.poll_state, POLLERR);
	}
}

/* ---- Queues ---- */

static uint64_t size_of(const struct packet *packet) { return sizeof(*packet) + packet->length; }

struct packet *packet_take_first(struct packet_socket *socket)
{
	struct packet *first = socket->first;
	socket->first = first->next;
	if (socket->first == NULL)
		socket->last = NULL;
	socket->queued -= size_of(first);
	return first;
}

static void append(struct packet_socket *socket, struct packet *packet)
{
	if (socket->last != NULL)
		socket->last->next = packet;
	else
		socket->first = packet;
	socket->last = packet;
	socket->queued += size_of(packet);
	poll_notify(&socket->socket.poll_state, POLLIN | POLLRDNORM);
}

/* Give a socket a copy, if it has room for one more. */
static void deliver(struct packet_socket *socket, const struct sockaddr_ll *from,
		    const uint8_t *frame, size_t length)
{
	size_t skipped = socket->socket.type == SOCK_DGRAM ? ETH_HLEN : 0;
	struct packet *packet = NULL;
	socket->counts.tp_packets++;
	if (socket->queued < socket->socket.receive_buffer)
		packet = kmalloc(sizeof(*packet) + length - skipped);
	if (packet == NULL) {
		socket->counts.tp_drops++;
		return;
	}
	*packet = (struct packet){.from = *from, .length = (uint32_t)(length - skipped)};
	memcpy(packet->data, frame + skipped, packet->length);
	append(socket, packet);
}

/* ---- Frames ---- */

static uint16_t protocol_of(const uint8_t *frame, size_t length)
{
	const struct ethhdr *header = (const void *)frame;
	uint16_t type = ntohs(header->h_proto);
	if (type >= ETH_P_802_3_MIN)
		return type;
	/* Novell's packets have no header of IEEE 802.2: they begin with what would be none. */
	bool is_novell = length >= ETH_HLEN + 2 && frame[ETH_HLEN] == 0xff &&
			 frame[ETH_HLEN + 1] == 0xff;
	return is_novell ? ETH_P_802_3 : ETH_P_802_2;
}

static uint8_t kind_of(const struct interface *interface, const uint8_t *target)
{
	if (memcmp(target, ethernet_everybody, ETH_ALEN) == 0)
		return PACKET_BROADCAST;
	if ((target[0] & 1) != 0)
		return PACKET_MULTICAST;
	return memcmp(target, interface->address, ETH_ALEN) == 0 ? PACKET_HOST : PACKET_OTHERHOST;
}

static struct sockaddr_ll describe(const struct interface *interface, const uint8_t *frame,
				   size_t length)
{
	const struct ethhdr *header = (const void *)frame;
	struct sockaddr_ll from = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol_of(frame, length)),
		.sll_ifindex = interface->index,
		.sll_hatype = interface->hardware_type,
		.sll_pkttype = kind_of(interface, header->h_dest),
		.sll_halen = ETH_ALEN,
	};
	memcpy(from.sll_addr, header->h_source, ETH_ALEN);
	return from;
}

static bool looks_at(const struct packet_socket *socket, const struct interface *interface)
{
	return socket->interface == NULL || socket->interface == interface;
}

void packet_receive(struct interface *interface, const uint8_t *frame, size_t length)
{
	struct sockaddr_ll from = describe(interface, frame, length);
	for (struct packet_socket *each = all; each != NULL; each = each->next) {
		bool wanted = each->protocol == ETH_P_ALL ||
			      (each->protocol != 0 && htons(each->protocol) == from.sll_protocol);
		if (wanted && looks_at(each, interface))
			deliver(each, &from, frame, length);
	}
}

int packet_send(struct packet_socket *sender, struct interface *interface, const uint8_t *frame,
		size_t length)
{
	struct sockaddr_ll from = describe(interface, frame, length);
	from.sll_pkttype = PACKET_OUTGOING;
	for (struct packet_socket *each = all; each != NULL; each = each->next) {
		if (each != sender && each->protocol == ETH_P_ALL && looks_at(each, interface))
			deliver(each, &from, frame, length);
	}
	return interface_send(interface, frame, length);
}
