/* The family AF_INET: sockets for UDP, and raw ones for other protocols. */
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <calypso/user.h>
#include <file/credentials.h>
#include <net/inet/inet.h>

#define UDP_DATA_MAX (UINT16_MAX - sizeof(struct ip_header) - sizeof(struct udp_header))

#define FIRST_PORT_OF_USERS 1024

static bool is_udp(const struct inet_socket *self) { return self->socket.type == SOCK_DGRAM; }

/* ---- Names ---- */

/* An address of this family, of which `unspecified` also passes. */
static int read_name(const struct socket_address *address, struct sockaddr_in *name,
		     bool unspecified)
{
	*name = (struct sockaddr_in){.sin_family = AF_UNSPEC};
	if (address->length < sizeof(name->sin_family))
		return -EINVAL;
	if (unspecified && address->family == AF_UNSPEC)
		return 0;
	if (address->length < sizeof(*name))
		return -EINVAL;
	memcpy(name, address->bytes, sizeof(*name));
	return name->sin_family == AF_INET ? 0 : -EAFNOSUPPORT;
}

static int bind(struct socket *socket, const struct socket_address *address)
{
	struct inet_socket *self = inet_of(socket);
	struct sockaddr_in name;
	int error = read_name(address, &name, false);
	if (error != 0)
		return error;
	if (name.sin_addr != IP_ANY && !inet_is_own(name.sin_addr) &&
	    !ip_is_broadcast(name.sin_addr))
		return -EADDRNOTAVAIL;
	struct inet_end local = {name.sin_addr, name.sin_port};
	if (is_udp(self)) {
		if (local.port != 0 && ntohs(local.port) < FIRST_PORT_OF_USERS && !is_superuser())
			return -EACCES;
		if (self->local.port != 0)
			return -EINVAL;
		error = inet_bind_port(self, local);
	} else {
		self->local.address = local.address;
	}
	self->is_bound = error == 0;
	return error;
}

static void put_name(struct socket_address *address, struct inet_end end)
{
	struct sockaddr_in name = {
		.sin_family = AF_INET,
		.sin_port = end.port,
		.sin_addr = end.address,
	};
	memcpy(address->bytes, &name, sizeof(name));
	address->length = sizeof(name);
}

static int get_name(struct socket *socket, bool of_peer, struct socket_address *address)
{
	const struct inet_socket *self = inet_of(socket);
	if (of_peer && !self->is_connected)
		return -ENOTCONN;
	struct inet_end local = self->local;
	if (!is_udp(self))
		local.port = htons(self->protocol);
	put_name(address, of_peer ? self->peer : local);
	return 0;
}

static int give_port(struct inet_socket *self)
{
	if (!is_udp(self) || self->local.port != 0)
		return 0;
	return inet_bind_port(self, self->local);
}

static void disconnect(struct inet_socket *self)
{
	self->is_connected = false;
	self->peer = (struct inet_end){0};
	if (!self->is_bound)
		self->local = (struct inet_end){0};
}

static int connect(struct socket *socket, const struct socket_address *address, bool waits)
{
	struct inet_socket *self = inet_of(socket);
	struct sockaddr_in name;
	(void)waits;
	int error = read_name(address, &name, true);
	if (error != 0)
		return error;
	if (name.sin_family == AF_UNSPEC) {
		disconnect(self);
		return 0;
	}
	/* The unspecified address is this machine's, as on Linux. */
	uint32_t target = name.sin_addr != IP_ANY ? name.sin_addr : htonl(0x7f000001);
	uint32_t source = ip_source_for(target);
	if (source == IP_ANY)
		return -ENETUNREACH;
	if (ip_is_broadcast(target) && (socket->flags & SOCKET_BROADCAST) == 0)
		return -EACCES;
	error = give_port(self);
	if (error != 0)
		return error;
	if (self->local.address == IP_ANY)
		self->local.address = source;
	self->peer = (struct inet_end){target, name.sin_port};
	self->is_connected = true;
	return 0;
}

static int shut_down(struct socket *socket, int how)
{
	struct inet_socket *self = inet_of(socket);
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (!self->is_connected)
		return -ENOTCONN;
	self->no_receiving |= how != SHUT_WR;
	self->no_sending |= how != SHUT_RD;
	poll_notify(&socket->poll_state, POLLIN | POLLRDHUP | POLLHUP | POLLOUT);
	return 0;
}

/* ---- Sending ---- */

static int find_target(const struct inet_socket *self, const struct socket_address *address,
		       struct inet_end *target)
{
	struct sockaddr_in name;
	*target = self->peer;
	if (address == NULL)
		return self->is_connected ? 0 : -EDESTADDRREQ;
	int error = read_name(address, &name, true);
	if (error != 0)
		return error;
	/* Linux takes a name of no family for one of this. */
	if (name.sin_family == AF_UNSPEC && address->length < sizeof(name))
		return -EINVAL;
	memcpy(&name, address->bytes, sizeof(name));
	*target = (struct inet_end){name.sin_addr, name.sin_port};
	if (target->address == IP_ANY)
		target->address = htonl(0x7f000001);
	return is_udp(self) && target->port == 0 ? -EINVAL : 0;
}

static int send_to(struct inet_socket *self, struct message *message, struct inet_end target)
{
	size_t header = is_udp(self) ? sizeof(struct udp_header) : 0;
	size_t length = message->io->remaining;
	struct ip_way way = {
		.source = self->local.address != IP_ANY ? self->local.address
							: ip_source_for(target.address),
		.target = target.address,
		.protocol = self->protocol,
		.service = self->service,
		.time_to_live = self->time_to_live,
	};
	if (way.source == IP_ANY)
		return -ENETUNREACH;
	if (ip_is_broadcast(target.address) && (self->socket.flags & SOCKET_BROADCAST) == 0)
		return -EACCES;
	struct ip_packet *packet = ip_make(header + length);
	if (packet == NULL)
		return -ENOBUFS;
	int error = io_take(message->io, packet->frame.payload + header, length);
	if (error != 0) {
		kfree(packet);
		return error;
	}
	if (is_udp(self))
		udp_fill(packet, self->local.port, target.port, &way);
	return ip_send(packet, &way);
}

static int64_t send(struct socket *socket, struct message *message)
{
	struct inet_socket *self = inet_of(socket);
	struct io before = *message->io;
	size_t length = message->io->remaining;
	struct inet_end target;
	if (length > UDP_DATA_MAX)
		return -EMSGSIZE;
	if ((message->flags & MSG_OOB) != 0)
		return -EOPNOTSUPP;
	int error = give_port(self);
	if (error == 0)
		error = find_target(self, message->address, &target);
	if (error == 0)
		error = socket_take_error(socket);
	if (error == 0 && self->no_sending)
		error = -EPIPE;
	if (error == 0)
		error = send_to(self, message, target);
	if (error != 0)
		*message->io = before;
	return error != 0 ? error : (int64_t)length;
}

/* ---- Receiving ---- */

/* Wait for a message: 1; 0 where no more come; or an error. */
static int wait_for_message(struct inet_socket *self, uint64_t deadline)
{
	for (;;) {
		interface_look();
		int error = socket_take_error(&self->socket);
		if (error != 0)
			return error;
		if (self->first != NULL)
			return 1;
		if (self->no_receiving)
			return 0;
		error = socket_wait(&self->socket.poll_state, POLLIN | POLLERR, deadline);
		if (error != 0)
			return error;
	}
}

static int64_t copy(struct message *message, const struct inet_message *from)
{
	struct io before = *message->io;
	uint64_t length = from->length;
	if (length > message->io->remaining) {
		length = message->io->remaining;
		message->result |= MSG_TRUNC;
	}
	if (io_put(message->io, from->data, length) != 0) {
		*message->io = before;
		return -EFAULT;
	}
	if (message->address != NULL)
		put_name(message->address, from->from);
	return (message->flags & MSG_TRUNC) != 0 ? from->length : (int64_t)length;
}

static int64_t receive(struct socket *socket, struct message *message)
{
	struct inet_socket *self = inet_of(socket);
	bool waits = (message->flags & MSG_DONTWAIT) == 0;
	if ((message->flags & MSG_OOB) != 0)
		return -EOPNOTSUPP;
	/* Errors are told by the calls themselves, and in no queue. */
	if ((message->flags & MSG_ERRQUEUE) != 0)
		return -EAGAIN;
	int found = wait_for_message(self, socket_deadline(socket->receive_timeout, waits));
	if (found <= 0)
		return found;
	int64_t result = copy(message, self->first);
	if ((message->flags & MSG_PEEK) == 0)
		kfree(inet_take_first(self));
	return result;
}

/* ---- Telling ---- */

static unsigned get_events(struct socket *socket)
{
	const struct inet_socket *self = inet_of(socket);
	interface_look();
	unsigned events = POLLOUT | POLLWRNORM | POLLWRBAND;
	if (socket->error != 0)
		events |= POLLERR;
	if (self->first != NULL || self->no_receiving)
		events |= POLLIN | POLLRDNORM;
	if (self->no_receiving)
		events |= POLLRDHUP;
	if (self->no_receiving && self->no_sending)
		events |= POLLHUP;
	return events;
}

static int64_t bytes_in(struct socket *socket)
{
	const struct inet_socket *self = inet_of(socket);
	interface_look();
	return self->first != NULL ? self->first->length : 0;
}

/* Packets are the interface's as soon as they are sent. */
static int64_t bytes_out(struct socket *socket)
{
	(void)socket;
	return 0;
}

/* Its port is free, whoever still holds the object. */
static void close_socket(struct socket *socket)
{
	struct inet_socket *self = inet_of(socket);
	self->no_receiving = true;
	self->local.port = 0;
}

static void release(struct socket *socket) { inet_free(inet_of(socket)); }

const struct socket_operations inet_operations = {
	.bind = bind,
	.connect = connect,
	.name = get_name,
	.shutdown = shut_down,
	.send = send,
	.receive = receive,
	.poll = get_events,
	.bytes_in = bytes_in,
	.bytes_out = bytes_out,
	.control = inet_control,
	.get_option = inet_get_option,
	.set_option = inet_set_option,
	.close = close_socket,
	.release = release,
};

/* ---- Making ---- */

static int find_protocol(int type, int protocol)
{
	if (protocol < 0 || protocol >= IPPROTO_MAX)
		return -EINVAL;
	switch (type) {
	case SOCK_DGRAM:
		if (protocol != 0 && protocol != IPPROTO_UDP)
			return -EPROTONOSUPPORT;
		return IPPROTO_UDP;
	case SOCK_RAW:
		/* Only with headers by the program itself, which nobody has asked for. */
		if (protocol == 0 || protocol == IPPROTO_RAW)
			return -EPROTONOSUPPORT;
		return is_superuser() ? protocol : -EPERM;
	case SOCK_STREAM:
		return -EPROTONOSUPPORT;
	default:
		return -ESOCKTNOSUPPORT;
	}
}

static int create(int type, int protocol, struct socket **made)
{
	if (interface_first() == NULL)
		return -EAFNOSUPPORT;
	int found = find_protocol(type, protocol);
	if (found < 0)
		return found;
	struct inet_socket *socket = inet_make(type, (uint8_t)found);
	if (socket == NULL)
		return -ENOBUFS;
	*made = &socket->socket;
	return 0;
}

const struct socket_family inet_family = {.number = AF_INET, .create = create};
