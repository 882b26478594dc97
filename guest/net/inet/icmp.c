/* ICMP: echoes are answered, and errors told to who caused them. */
#include <calypso/lib.h>
#include <net/inet/inet.h>

/* What an error report must have of the packet that it is about (RFC 792). */
#define QUOTED 8

static void send(struct ip_packet *packet, uint32_t source, uint32_t target)
{
	struct icmp_header *header = (void *)packet->frame.payload;
	struct ip_way way = {
		.source = source,
		.target = target,
		.protocol = IPPROTO_ICMP,
		.time_to_live = IP_TIME_TO_LIVE,
	};
	header->checksum = 0;
	header->checksum = checksum_finish(checksum_add(0, header, packet->length));
	ip_send(packet, &way);
}

static void answer_echo(const struct ip_header *header, const uint8_t *content, size_t length)
{
	/* A broadcast would be answered by many (RFC 1122, 3.2.2.6). */
	if (ip_is_broadcast(header->target))
		return;
	struct ip_packet *packet = ip_make(length);
	if (packet == NULL)
		return;
	memcpy(packet->frame.payload, content, length);
	packet->frame.payload[0] = ICMP_ECHO_REPLY;
	send(packet, header->target, header->source);
}

void icmp_port_unreachable(const struct ip_header *header)
{
	size_t quoted = (header->version_length & 0x0fu) * 4 + QUOTED;
	struct ip_packet *packet = ip_make(sizeof(struct icmp_header) + quoted);
	if (packet == NULL)
		return;
	struct icmp_header *report = (void *)packet->frame.payload;
	*report = (struct icmp_header){.type = ICMP_UNREACHABLE, .code = ICMP_PORT};
	memcpy(report + 1, header, quoted);
	send(packet, header->target, header->source);
}

/* Somebody reports that a packet of ours did not arrive. */
static void take_report(uint8_t code, const uint8_t *quoted, size_t length)
{
	static const struct {
		int error;
		bool is_hard;
	} meanings[] = {
		[ICMP_NET] = {ENETUNREACH, false},
		[ICMP_HOST] = {EHOSTUNREACH, false},
		[ICMP_PROTOCOL] = {ENOPROTOOPT, true},
		[ICMP_PORT] = {ECONNREFUSED, true},
		[ICMP_FRAGMENTATION] = {EMSGSIZE, false},
	};
	const struct ip_header *header = (const void *)quoted;
	if (code >= ARRAY_SIZE(meanings) || length < sizeof(*header))
		return;
	size_t start = (header->version_length & 0x0fu) * 4;
	if (header->protocol != IPPROTO_UDP || start < sizeof(*header) || length < start + QUOTED)
		return;
	const struct udp_header *udp = (const void *)(quoted + start);
	struct inet_end local = {header->source, udp->source};
	struct inet_end peer = {header->target, udp->target};
	udp_report(local, peer, meanings[code].error, meanings[code].is_hard);
}

void icmp_receive(const struct ip_header *header, const uint8_t *content, size_t length)
{
	const struct icmp_header *icmp = (const void *)content;
	if (length < sizeof(*icmp) || checksum_finish(checksum_add(0, content, length)) != 0)
		return;
	if (icmp->type == ICMP_ECHO)
		answer_echo(header, content, length);
	else if (icmp->type == ICMP_UNREACHABLE)
		take_report(icmp->code, content + sizeof(*icmp), length - sizeof(*icmp));
}
