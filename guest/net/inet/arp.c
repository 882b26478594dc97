/* ARP: where on an Ethernet an address is. A table of bounded size, and packets that wait for it. */
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <calypso/time.h>
#include <net/inet/inet.h>
#include <net/packet/packet.h>

#define NEIGHBOURS_MAX 64
#define WAITING_MAX 16

/* How long an answer is good without a question, and between two questions for one address. */
#define FRESH (60 * NANOSECONDS_PER_SECOND)
#define PAUSE (NANOSECONDS_PER_SECOND / 4)

struct neighbour {
	struct interface *interface; /* NULL: the place is free */
	uint32_t address;
	bool is_known;
	uint8_t hardware[ETH_ALEN];
	uint64_t heard; /* when it was last heard of */
	uint64_t asked;
	struct ip_packet *first, *last; /* that wait for it */
	unsigned waiting;
};

static struct neighbour neighbours[NEIGHBOURS_MAX];

static struct neighbour *find(const struct interface *interface, uint32_t address)
{
	for (size_t i = 0; i < NEIGHBOURS_MAX; i++) {
		if (neighbours[i].interface == interface && neighbours[i].address == address)
			return &neighbours[i];
	}
	return NULL;
}

static struct ip_packet *take_first(struct neighbour *neighbour)
{
	struct ip_packet *packet = neighbour->first;
	if (packet == NULL)
		return NULL;
	neighbour->first = packet->next;
	if (neighbour->first == NULL)
		neighbour->last = NULL;
	neighbour->waiting--;
	return packet;
}

/* A new one, in the place of that which was not needed for longest. */
static struct neighbour *add(struct interface *interface, uint32_t address)
{
	struct neighbour *place = &neighbours[0], *each = neighbours;
	struct ip_packet *packet;
	for (; each < neighbours + NEIGHBOURS_MAX && place->interface != NULL; each++) {
		if (each->interface == NULL || each->heard < place->heard)
			place = each;
	}
	while ((packet = take_first(place)) != NULL)
		kfree(packet);
	*place = (struct neighbour){
		.interface = interface,
		.address = address,
		.heard = time_monotonic(),
	};
	return place;
}

/* ---- Sending ---- */

static void send(struct interface *interface, uint16_t operation, const uint8_t *target,
		 uint32_t target_address)
{
	struct {
		struct ethhdr ethernet;
		struct arp_packet arp;
	} __attribute__((packed)) frame = {
		.ethernet.h_proto = htons(ETH_P_ARP),
		.arp = {
			.hardware = htons(ARPHRD_ETHER),
			.protocol = htons(ETH_P_IP),
			.hardware_length = ETH_ALEN,
			.protocol_length = sizeof(uint32_t),
			.operation = htons(operation),
			.sender_address = interface->inet_address,
			.target_address = target_address,
		},
	};
	memcpy(frame.ethernet.h_dest, target, ETH_ALEN);
	memcpy(frame.ethernet.h_source, interface->address, ETH_ALEN);
	memcpy(frame.arp.sender, interface->address, ETH_ALEN);
	if (operation == ARP_REPLY)
		memcpy(frame.arp.target, target, ETH_ALEN);
	packet_send(NULL, interface, (const uint8_t *)&frame, sizeof(frame));
}

static void ask(struct neighbour *neighbour)
{
	uint64_t now = time_monotonic();
	if (neighbour->asked != 0 && now - neighbour->asked < PAUSE)
		return;
	neighbour->asked = now;
	send(neighbour->interface, ARP_REQUEST, ethernet_everybody, neighbour->address);
}

int arp_send(struct interface *interface, uint32_t address, struct ip_packet *packet)
{
	struct neighbour *neighbour = find(interface, address);
	if (neighbour == NULL)
		neighbour = add(interface, address);
	if (neighbour->is_known) {
		if (time_monotonic() - neighbour->heard > FRESH)
			ask(neighbour);
		return ip_send_frame(interface, packet, neighbour->hardware);
	}
	if (neighbour->waiting == WAITING_MAX)
		kfree(take_first(neighbour));
	if (neighbour->last != NULL)
		neighbour->last->next = packet;
	else
		neighbour->first = packet;
	neighbour->last = packet;
	neighbour->waiting++;
	ask(neighbour);
	return 0;
}

/* ---- Receiving ---- */

static void learn(struct neighbour *neighbour, const uint8_t *hardware)
{
	struct ip_packet *packet;
	neighbour->is_known = true;
	neighbour->heard = time_monotonic();
	memcpy(neighbour->hardware, hardware, ETH_ALEN);
	while ((packet = take_first(neighbour)) != NULL)
		ip_send_frame(neighbour->interface, packet, hardware);
}

void arp_receive(struct interface *interface, const uint8_t *content, size_t length)
{
	const struct arp_packet *packet = (const void *)content;
	if (length < sizeof(*packet) || packet->hardware != htons(ARPHRD_ETHER) ||
	    packet->protocol != htons(ETH_P_IP) || packet->hardware_length != ETH_ALEN ||
	    packet->protocol_length != sizeof(uint32_t) || interface->inet_address == IP_ANY)
		return;
	bool is_for_us = packet->target_address == interface->inet_address;
	bool is_request = packet->operation == htons(ARP_REQUEST);
	struct neighbour *neighbour = find(interface, packet->sender_address);
	/* Only who wants something of this machine gets a place (RFC 826). */
	if (neighbour == NULL && is_for_us && is_request && packet->sender_address != IP_ANY)
		neighbour = add(interface, packet->sender_address);
	if (neighbour != NULL && packet->sender_address != interface->inet_address)
		learn(neighbour, packet->sender);
	if (is_for_us && is_request)
		send(interface, ARP_REPLY, packet->sender, packet->sender_address);
}
