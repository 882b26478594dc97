/* The family AF_PACKET. */
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <calypso/user.h>
#include <file/credentials.h>
#include <net/packet/packet.h>

/* Where the address begins; what is before it every name has. */
#define ADDRESS_START offsetof(struct sockaddr_ll, sll_addr)

/* ---- Names ---- */

static int bind(struct socket *socket, const struct socket_address *address)
{
	struct packet_socket *self = packet_of(socket);
	struct sockaddr_ll wanted;
	struct interface *interface = NULL;
	if (address->length < sizeof(wanted))
		return -EINVAL;
	memcpy(&wanted, address->bytes, sizeof(wanted));
	if (wanted.sll_family != AF_PACKET)
		return -EINVAL;
	if (wanted.sll_ifindex != 0) {
		interface = interface_find(wanted.sll_ifindex);
		if (interface == NULL)
			return -ENODEV;
	}
	self->interface = interface;
	if (wanted.sll_protocol != 0)
		self->protocol = ntohs(wanted.sll_protocol);
	if (self->protocol != 0 && interface != NULL && (interface->flags & IFF_UP) == 0)
		socket->error = ENETDOWN;
	return 0;
}

static int get_name(struct socket *socket, bool of_peer, struct socket_address *address)
{
	const struct packet_socket *self = packet_of(socket);
	const struct interface *interface = self->interface;
	if (of_peer)
		return -EOPNOTSUPP;
	struct sockaddr_ll name = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(self->protocol),
	};
	if (interface != NULL) {
		name.sll_ifindex = interface->index;
		name.sll_hatype = interface->hardware_type;
		name.sll_halen = ETH_ALEN;
		memcpy(name.sll_addr, interface->address, ETH_ALEN);
	}
	memcpy(address->bytes, &name, sizeof(name));
	address->length = (uint32_t)ADDRESS_START + name.sll_halen;
	return 0;
}

/* ---- Sending ---- */

/* Where a message goes, and with which header where the socket makes it. */
struct target {
	struct interface *interface;
	uint16_t protocol; /* big-endian */
	bool has_address;
	uint8_t address[ETH_ALEN];
};

static int read_target(struct packet_socket *self, const struct socket_address *address,
		       struct target *target)
{
	struct sockaddr_ll to;
	*target = (struct target){.interface = self->interface, .protocol = htons(self->protocol)};
	if (address == NULL)
		return target->interface == NULL ? -ENXIO : 0;
	if (address->length < sizeof(to))
		return -EINVAL;
	memcpy(&to, address->bytes, sizeof(to));
	if (address->length < ADDRESS_START + to.sll_halen)
		return -EINVAL;
	target->interface = interface_find(to.sll_ifindex);
	target->protocol = to.sll_protocol;
	target->has_address = true;
	memcpy(target->address, to.sll_addr, ETH_ALEN);
	return target->interface == NULL ? -ENXIO : 0;
}

/* Only a frame with a tag of IEEE 802.1Q may be as much longer as that is. */
static int check_length(const struct interface *interface, const uint8_t *frame, size_t length)
{
	const struct ethhdr *header = (const void *)frame;
	if (length < ETH_HLEN)
		return -EINVAL;
	size_t most = ETH_HLEN + interface->mtu;
	if (length > most && ntohs(header->h_proto) == ETH_P_8021Q)
		most += VLAN_HLEN;
	return length > most ? -EMSGSIZE : 0;
}

static int fill_frame(const struct packet_socket *self, const struct target *target,
		      struct io *io, uint8_t *frame, size_t length)
{
	size_t made = 0;
	if (self->socket.type == SOCK_DGRAM) {
		struct ethhdr header = {.h_proto = target->protocol};
		if (!target->has_address)
			return -EINVAL;
		memcpy(header.h_dest, target->address, ETH_ALEN);
		memcpy(header.h_source, target->interface->address, ETH_ALEN);
		memcpy(frame, &header, sizeof(header));
		made = sizeof(header);
	}
	int error = io_take(io, frame + made, length - made);
	return error != 0 ? error : check_length(target->interface, frame, length);
}

static int64_t send(struct socket *socket, struct message *message)
{
	struct packet_socket *self = packet_of(socket);
	struct io before = *message->io;
	size_t length = message->io->remaining, header = 0;
	struct target target;
	int error = read_target(self, message->address, &target);
	if (error == 0 && (target.interface->flags & IFF_UP) == 0)
		error = -ENETDOWN;
	if (error != 0)
		return error;
	if (socket->type == SOCK_DGRAM)
		header = ETH_HLEN;
	if (length + header > ETH_HLEN + target.interface->mtu + VLAN_HLEN)
		return -EMSGSIZE;
	uint8_t *frame = kmalloc(header + length);
	if (frame == NULL)
		return -ENOBUFS;
	error = fill_frame(self, &target, message->io, frame, header + length);
	if (error == 0)
		error = packet_send(self, target.interface, frame, header + length);
	kfree(frame);
	if (error != 0)
		*message->io = before;
	return error != 0 ? error : (int64_t)length;
}

/* ---- Receiving ---- */

static int wait_for_frame(struct packet_socket *self, uint64_t deadline)
{
	for (;;) {
		interface_look();
		int error = socket_take_error(&self->socket);
		if (error != 0 || self->first != NULL)
			return error;
		error = socket_wait(&self->socket.poll_state, POLLIN | POLLERR, deadline);
		if (error != 0)
			return error;
	}
}

static int64_t copy(struct message *message, const struct packet *packet)
{
	struct io before = *message->io;
	uint64_t length = packet->length;
	if (length > message->io->remaining) {
		length = message->io->remaining;
		message->result |= MSG_TRUNC;
	}
	if (io_put(message->io, packet->data, length) != 0) {
		*message->io = before;
		return -EFAULT;
	}
	if (message->address != NULL) {
		memcpy(message->address->bytes, &packet->from, sizeof(packet->from));
		message->address->length = sizeof(packet->from);
	}
	return (message->flags & MSG_TRUNC) != 0 ? packet->length : (int64_t)length;
}

static int64_t receive(struct socket *socket, struct message *message)
{
	struct packet_socket *self = packet_of(socket);
	bool waits = (message->flags & MSG_DONTWAIT) == 0;
	int error = wait_for_frame(self, socket_deadline(socket->receive_timeout, waits));
	if (error != 0)
		return error;
	int64_t result = copy(message, self->first);
	if ((message->flags & MSG_PEEK) == 0)
		kfree(packet_take_first(self));
	return result;
}

/* ---- Options ---- */

/* Cards give all frames that they get: there is no address to tell them. */
static int change_membership(user_t value, int length)
{
	struct packet_mreq request;
	if (length < (int)sizeof(request))
		return -EINVAL;
	if (user_get(&request, value) != 0)
		return -EFAULT;
	if (interface_find(request.mr_ifindex) == NULL)
		return -ENODEV;
	bool has_address = request.mr_type == PACKET_MR_MULTICAST ||
			   request.mr_type == PACKET_MR_UNICAST;
	return has_address && request.mr_alen != ETH_ALEN ? -EINVAL : 0;
}

static int set_option(struct socket *socket, int level, int option, user_t value, int length)
{
	(void)socket;
	if (level != SOL_PACKET)
		return -ENOPROTOOPT;
	switch (option) {
	case PACKET_ADD_MEMBERSHIP:
	case PACKET_DROP_MEMBERSHIP:
		return change_membership(value, length);
	default:
		return -ENOPROTOOPT;
	}
}

static int get_option(struct socket *socket, int level, int option, user_t value, int *length)
{
	struct packet_socket *self = packet_of(socket);
	if (level != SOL_PACKET || option != PACKET_STATISTICS)
		return -ENOPROTOOPT;
	if (*length > (int)sizeof(self->counts))
		*length = sizeof(self->counts);
	interface_look();
	struct tpacket_stats counts = self->counts;
	self->counts = (struct tpacket_stats){0};
	return user_copy_out(value, &counts, (size_t)*length);
}

/* ---- Telling ---- */

static unsigned get_events(struct socket *socket)
{
	const struct packet_socket *self = packet_of(socket);
	interface_look();
	unsigned events = POLLOUT | POLLWRNORM | POLLWRBAND;
	if (socket->error != 0)
		events |= POLLERR;
	if (self->first != NULL)
		events |= POLLIN | POLLRDNORM;
	return events;
}

static int64_t bytes_in(struct socket *socket)
{
	interface_look();
	const struct packet_socket *self = packet_of(socket);
	return self->first != NULL ? self->first->length : 0;
}

/* Frames are the card's as soon as they are sent. */
static int64_t bytes_out(struct socket *socket)
{
	(void)socket;
	return 0;
}

static void close_socket(struct socket *socket)
{
	packet_of(socket)->protocol = 0;
}

static void release(struct socket *socket) { packet_free(packet_of(socket)); }

const struct socket_operations packet_operations = {
	.bind = bind,
	.name = get_name,
	.send = send,
	.receive = receive,
	.poll = get_events,
	.bytes_in = bytes_in,
	.bytes_out = bytes_out,
	.get_option = get_option,
	.set_option = set_option,
	.close = close_socket,
	.release = release,
};

static int create(int type, int protocol, struct socket **made)
{
	if (interface_first() == NULL)
		return -EAFNOSUPPORT;
	if (!is_superuser())
		return -EPERM;
	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	struct packet_socket *socket = packet_make(type);
	if (socket == NULL)
		return -ENOBUFS;
	socket->protocol = ntohs((uint16_t)protocol);
	*made = &socket->socket;
	return 0;
}

const struct socket_family packet_family = {.number = AF_PACKET, .create = create};
