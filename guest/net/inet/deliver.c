/* Sockets of AF_INET, their ports, and what waits for them. */
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <net/inet/inet.h>

/* Where ports that nobody has asked for come from, as Linux has them. */
#define PORT_FIRST 32768
#define PORT_LAST 60999

static struct inet_socket *all;

/* ---- Sockets ---- */

struct inet_socket *inet_make(int type, uint8_t protocol)
{
	struct inet_socket *made = kcalloc(1, sizeof(*made));
	if (made == NULL)
		return NULL;
	socket_initialize(&made->socket, &inet_operations, AF_INET, type);
	made->protocol = protocol;
	made->time_to_live = IP_TIME_TO_LIVE;
	made->next = all;
	all = made;
	return made;
}

void inet_free(struct inet_socket *socket)
{
	struct inet_socket **link = &all;
	while (*link != socket)
		link = &(*link)->next;
	*link = socket->next;
	while (socket->first != NULL)
		kfree(inet_take_first(socket));
	kfree(socket);
}

/* ---- Ports ---- */

static bool is_reusable(const struct inet_socket *socket)
{
	return (socket->socket.flags & SOCKET_REUSE_ADDRESS) != 0;
}

static bool is_taken(const struct inet_socket *wanting, struct inet_end local)
{
	for (const struct inet_socket *other = all; other != NULL; other = other->next) {
		bool same = other->local.address == local.address ||
			    other->local.address == IP_ANY || local.address == IP_ANY;
		if (other != wanting && other->socket.type == SOCK_DGRAM &&
		    other->local.port == local.port && same &&
		    !(is_reusable(wanting) && is_reusable(other)))
			return true;
	}
	return false;
}

int inet_bind_port(struct inet_socket *socket, struct inet_end local)
{
	static uint16_t last = PORT_FIRST;
	unsigned tries = PORT_LAST - PORT_FIRST + 1;
	if (local.port != 0 && is_taken(socket, local))
		return -EADDRINUSE;
	while (local.port == 0 && tries-- > 0) {
		last = last == PORT_LAST ? PORT_FIRST : (uint16_t)(last + 1);
		struct inet_end candidate = {local.address, htons(last)};
		if (!is_taken(socket, candidate))
			local.port = candidate.port;
	}
	if (local.port == 0)
		return -EADDRINUSE;
	socket->local = local;
	return 0;
}

/* ---- Queues ---- */

static uint64_t size_of(const struct inet_message *message)
{
	return sizeof(*message) + message->length;
}

struct inet_message *inet_take_first(struct inet_socket *socket)
{
	struct inet_message *first = socket->first;
	socket->first = first->next;
	if (socket->first == NULL)
		socket->last = NULL;
	socket->queued -= size_of(first);
	return first;
}

/* Give a socket a copy, if it has room for one more. */
static void append(struct inet_socket *socket, struct inet_end from, const void *data, size_t length)
{
	struct inet_message *message = NULL;
	if (socket->queued < socket->socket.receive_buffer && !socket->no_receiving)
		message = kmalloc(sizeof(*message) + length);
	if (message == NULL)
		return;
	*message = (struct inet_message){.from = from, .length = (uint32_t)length};
	memcpy(message->data, data, length);
	if (socket->last != NULL)
		socket->last->next = message;
	else
		socket->first = message;
	socket->last = message;
	socket->queued += size_of(message);
	poll_notify(&socket->socket.poll_state, POLLIN | POLLRDNORM);
}

/* ---- Which socket ---- */

static bool is_end(struct inet_end one, struct inet_end other)
{
	return one.address == other.address && one.port == other.port;
}

/* How well a socket suits a datagram; 0: not at all. */
static unsigned suits(const struct inet_socket *socket, struct inet_end local, struct inet_end peer)
{
	if (socket->socket.type != SOCK_DGRAM || socket->local.port != local.port ||
	    local.port == 0)
		return 0;
	if (socket->local.address != IP_ANY && socket->local.address != local.address)
		return 0;
	if (socket->is_connected && !is_end(socket->peer, peer))
		return 0;
	return 1 + (socket->local.address != IP_ANY) + 2 * socket->is_connected;
}

static struct inet_socket *find(struct inet_end local, struct inet_end peer)
{
	struct inet_socket *found = NULL;
	unsigned best = 0;
	for (struct inet_socket *each = all; each != NULL; each = each->next) {
		unsigned suitability = suits(each, local, peer);
		if (suitability > best) {
			best = suitability;
			found = each;
		}
	}
	return found;
}

bool udp_deliver(struct inet_end from, struct inet_end to, bool broadcast, const uint8_t *data,
		 size_t length)
{
	if (!broadcast) {
		struct inet_socket *found = find(to, from);
		if (found != NULL)
			append(found, from, data, length);
		return found != NULL;
	}
	for (struct inet_socket *each = all; each != NULL; each = each->next) {
		if (suits(each, to, from) > 0)
			append(each, from, data, length);
	}
	return true;
}

void raw_deliver(const struct ip_header *header, size_t length)
{
	struct inet_end from = {header->source, 0};
	for (struct inet_socket *each = all; each != NULL; each = each->next) {
		bool is_own = each->local.address == IP_ANY || each->local.address == header->target;
		bool is_peers = !each->is_connected || each->peer.address == header->source;
		if (each->socket.type == SOCK_RAW && each->protocol == header->protocol && is_own &&
		    is_peers)
			append(each, from, header, length);
	}
}

void udp_report(struct inet_end local, struct inet_end peer, int error, bool hard)
{
	struct inet_socket *found = find(local, peer);
	if (found == NULL || !(found->wants_errors || (hard && found->is_connected)))
		return;
	found->socket.error = error;
	poll_notify(&found->socket.poll_state, POLLERR | POLLIN | POLLOUT);
}
