/* IPv4 packets. Those that are too long for their interface are not sent: nothing is fragmented, and
 * fragments of others are dropped. */
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <net/inet/inet.h>
#include <net/packet/packet.h>

/* ---- Checksums ---- */

uint32_t checksum_add(uint32_t sum, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	for (; length > 1; length -= 2, bytes += 2)
		sum += (uint32_t)(bytes[0] | bytes[1] << 8);
	if (length > 0)
		sum += bytes[0];
	return (sum & 0xffff) + (sum >> 16);
}

uint16_t checksum_finish(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* ---- Ways ---- */

static bool is_neighbour(const struct interface *interface, uint32_t target)
{
	return interface->inet_address != IP_ANY &&
	       ((interface->inet_address ^ target) & interface->inet_mask) == 0;
}

static struct interface *find_loopback(void)
{
	struct interface *interface = interface_first();
	while (interface != NULL && (interface->flags & IFF_LOOPBACK) == 0)
		interface = interface->next;
	return interface;
}

static struct interface *find_direct(uint32_t target)
{
	for (struct interface *each = interface_first(); each != NULL; each = each->next) {
		bool has_all = target == IP_EVERYBODY || ip_is_multicast(target);
		bool is_card = (each->flags & IFF_LOOPBACK) == 0;
		if ((each->flags & IFF_UP) != 0 && each->inet_address != IP_ANY &&
		    ((has_all && is_card) || is_neighbour(each, target)))
			return each;
	}
	return NULL;
}

struct interface *ip_route(uint32_t target)
{
	if (inet_is_own(target))
		return find_loopback();
	struct interface *direct = find_direct(target);
	if (direct != NULL || inet_gateway() == IP_ANY)
		return direct;
	return find_direct(inet_gateway());
}

bool ip_is_broadcast(uint32_t target)
{
	if (target == IP_EVERYBODY)
		return true;
	for (struct interface *each = interface_first(); each != NULL; each = each->next) {
		if ((each->flags & IFF_BROADCAST) != 0 && is_neighbour(each, target) &&
		    (target | each->inet_mask) == UINT32_MAX && each->inet_mask != UINT32_MAX)
			return true;
	}
	return false;
}

uint32_t ip_source_for(uint32_t target)
{
	const struct interface *interface = ip_route(target);
	if (interface == NULL)
		return IP_ANY;
	/* What is sent to an own address comes from that. */
	return (interface->flags & IFF_LOOPBACK) != 0 ? target : interface->inet_address;
}

/* ---- Sending ---- */

struct ip_packet *ip_make(size_t length)
{
	struct ip_packet *packet = kmalloc(sizeof(*packet) + length);
	if (packet != NULL)
		*packet = (struct ip_packet){.length = length};
	return packet;
}

int ip_send_frame(struct interface *interface, struct ip_packet *packet,
		  const uint8_t target[ETH_ALEN])
{
	memcpy(packet->frame.ethernet.h_dest, target, ETH_ALEN);
	memcpy(packet->frame.ethernet.h_source, interface->address, ETH_ALEN);
	packet->frame.ethernet.h_proto = htons(ETH_P_IP);
	size_t length = sizeof(packet->frame) + packet->length;
	int error = packet_send(NULL, interface, (const uint8_t *)&packet->frame, length);
	kfree(packet);
	return error;
}

static void fill_header(struct ip_packet *packet, const struct ip_way *way,
			const struct interface *interface)
{
	static uint16_t last_identification;
	struct ip_header *header = &packet->frame.ip;
	*header = (struct ip_header){
		.version_length = IP_VERSION_LENGTH,
		.service = way->service,
		.length = htons((uint16_t)(sizeof(*header) + packet->length)),
		.identification = htons(++last_identification),
		.fragment = htons(IP_DO_NOT_FRAGMENT),
		.time_to_live = way->time_to_live,
		.protocol = way->protocol,
		.source = way->source != IP_ANY ? way->source : interface->inet_address,
		.target = way->target,
	};
	header->checksum = checksum_finish(checksum_add(0, header, sizeof(*header)));
}

static int transmit(struct interface *interface, struct ip_packet *packet, uint32_t target)
{
	const uint8_t *bytes = (const uint8_t *)&target;
	const uint8_t group[ETH_ALEN] = {0x01, 0x00, 0x5e, bytes[1] & 0x7f, bytes[2], bytes[3]};
	if ((interface->flags & IFF_LOOPBACK) != 0)
		return ip_send_frame(interface, packet, interface->address);
	if (ip_is_broadcast(target))
		return ip_send_frame(interface, packet, ethernet_everybody);
	if (ip_is_multicast(target))
		return ip_send_frame(interface, packet, group); /* RFC 1112, 6.4 */
	return arp_send(interface, is_neighbour(interface, target) ? target : inet_gateway(),
			packet);
}

int ip_send(struct ip_packet *packet, const struct ip_way *way)
{
	struct interface *interface = ip_route(way->target);
	int error = 0;
	if (interface == NULL)
		error = -ENETUNREACH;
	else if ((interface->flags & IFF_UP) == 0)
		error = -ENETDOWN;
	else if (sizeof(struct ip_header) + packet->length > interface->mtu)
		error = -EMSGSIZE;
	if (error != 0) {
		kfree(packet);
		return error;
	}
	fill_header(packet, way, interface);
	return transmit(interface, packet, way->target);
}

/* ---- Receiving ---- */

/* The length of a packet's header, if it is one without faults; else 0. */
static size_t check(const struct ip_header *header, size_t length)
{
	if (length < sizeof(*header))
		return 0;
	size_t header_length = (header->version_length & 0x0fu) * 4;
	size_t whole = ntohs(header->length);
	bool is_right = header->version_length >> 4 == 4 && header_length >= sizeof(*header) &&
			header_length <= whole && whole <= length;
	if (!is_right || checksum_finish(checksum_add(0, header, header_length)) != 0)
		return 0;
	return (header->fragment & htons(IP_IS_FRAGMENT)) == 0 ? header_length : 0;
}

static void ip_receive(struct interface *interface, const uint8_t *packet, size_t length)
{
	const struct ip_header *header = (const void *)packet;
	bool from_outside = (interface->flags & IFF_LOOPBACK) == 0;
	size_t start = check(header, length);
	if (start == 0)
		return;
	if (from_outside && (ip_is_loopback(header->source) || ip_is_loopback(header->target)))
		return;
	if (!inet_is_own(header->target) && !ip_is_broadcast(header->target))
		return;
	length = ntohs(header->length);
	raw_deliver(header, length);
	if (header->protocol == IPPROTO_ICMP)
		icmp_receive(header, packet + start, length - start);
	else if (header->protocol == IPPROTO_UDP)
		udp_receive(header, packet + start, length - start);
}

void inet_receive(struct interface *interface, const uint8_t *frame, size_t length)
{
	const struct ethhdr *header = (const void *)frame;
	bool is_own = memcmp(header->h_dest, interface->address, ETH_ALEN) == 0 ||
		      memcmp(header->h_dest, ethernet_everybody, ETH_ALEN) == 0;
	if (!is_own)
		return;
	if (header->h_proto == htons(ETH_P_IP))
		ip_receive(interface, frame + ETH_HLEN, length - ETH_HLEN);
	else if (header->h_proto == htons(ETH_P_ARP))
		arp_receive(interface, frame + ETH_HLEN, length - ETH_HLEN);
}
