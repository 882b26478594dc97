/* UDP datagrams between packets and sockets. */
#include <calypso/lib.h>
#include <net/inet/inet.h>

/* The sum of what a checksum covers besides the datagram itself (RFC 768). */
static uint32_t add_pseudo_header(uint32_t source, uint32_t target, uint16_t length)
{
	struct {
		uint32_t source;
		uint32_t target;
		uint8_t zero;
		uint8_t protocol;
		uint16_t length;
	} header = {source, target, 0, IPPROTO_UDP, length};
	return checksum_add(0, &header, sizeof(header));
}

void udp_fill(struct ip_packet *packet, uint16_t source, uint16_t target, const struct ip_way *way)
{
	struct udp_header *header = (void *)packet->frame.payload;
	*header = (struct udp_header){
		.source = source,
		.target = target,
		.length = htons((uint16_t)packet->length),
	};
	uint32_t sum = add_pseudo_header(way->source, way->target, header->length);
	uint16_t checksum = checksum_finish(checksum_add(sum, header, packet->length));
	/* Zero is for none. */
	header->checksum = checksum == 0 ? UINT16_MAX : checksum;
}

void udp_receive(const struct ip_header *packet, const uint8_t *content, size_t length)
{
	const struct udp_header *header = (const void *)content;
	if (length < sizeof(*header))
		return;
	size_t whole = ntohs(header->length);
	if (whole < sizeof(*header) || whole > length)
		return;
	uint32_t sum = add_pseudo_header(packet->source, packet->target, header->length);
	if (header->checksum != 0 && checksum_finish(checksum_add(sum, content, whole)) != 0)
		return;
	struct inet_end from = {packet->source, header->source};
	struct inet_end to = {packet->target, header->target};
	bool broadcast = ip_is_broadcast(packet->target);
	bool taken = udp_deliver(from, to, broadcast, content + sizeof(*header),
				 whole - sizeof(*header));
	if (!taken && !broadcast)
		icmp_port_unreachable(packet);
}
