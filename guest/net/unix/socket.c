/* The family AF_UNIX. */
#include <calypso/lib.h>
#include <net/unix/unix.h>
#include <process/process.h>

struct unix_socket *unix_sockets;

#define ALL_EVENTS                                                                        \
	(POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLWRBAND | POLLRDHUP | POLLHUP | POLLERR)

void unix_tell_all(struct unix_socket *socket)
{
	poll_notify(&socket->socket.poll_state, ALL_EVENTS);
}

struct ucred unix_own_credentials(void)
{
	const struct credentials *self = credentials();
	return (struct ucred){PROCESS_ID, self->effective_user, self->effective_group};
}

struct ucred unix_sender_credentials(void)
{
	const struct credentials *self = credentials();
	return (struct ucred){PROCESS_ID, self->real_user, self->real_group};
}

/* ---- Names ---- */

static int get_name(struct socket *socket, bool of_peer, struct socket_address *address)
{
	const struct unix_socket *named = of_peer ? unix_of(socket)->peer : unix_of(socket);
	if (named == NULL)
		return -ENOTCONN;
	unix_copy_name(named, address);
	return 0;
}

/* ---- Shutting down and closing ---- */

static int shut_down(struct socket *socket, int how)
{
	static const unsigned own[] = {
		[SHUT_RD] = UNIX_NO_RECEIVING,
		[SHUT_WR] = UNIX_NO_SENDING,
		[SHUT_RDWR] = UNIX_NO_RECEIVING | UNIX_NO_SENDING,
	};
	static const unsigned of_peer[] = {
		[SHUT_RD] = UNIX_NO_SENDING,
		[SHUT_WR] = UNIX_NO_RECEIVING,
		[SHUT_RDWR] = UNIX_NO_RECEIVING | UNIX_NO_SENDING,
	};
	struct unix_socket *self = unix_of(socket);
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	self->shutdown |= own[how];
	if (self->peer != NULL && unix_has_connections(self)) {
		self->peer->shutdown |= of_peer[how];
		unix_tell_all(self->peer);
	}
	unix_tell_all(self);
	return 0;
}

/* Whether something was not received. As on Linux, an empty packet at the front does not count. */
static bool has_unread(const struct unix_socket *self)
{
	const struct unix_message *first = self->queue.first;
	return first != NULL && (first->length > 0 || first->next != NULL);
}

/* Tell the other end of a connection. */
static void leave_peer(struct unix_socket *self)
{
	struct unix_socket *peer = self->peer;
	self->peer = NULL;
	if (peer != NULL && unix_has_connections(self)) {
		peer->shutdown = UNIX_NO_RECEIVING | UNIX_NO_SENDING;
		if (has_unread(self) || self->is_pending)
			peer->socket.error = ECONNRESET;
		unix_tell_all(peer);
	}
	if (peer != NULL)
		socket_put(&peer->socket);
}

static struct unix_socket *closing;

static void close_soon(struct unix_socket *self)
{
	self->next_closing = closing;
	closing = self;
}

static void close_now(struct unix_socket *self)
{
	struct unix_socket *pending;
	struct unix_message *message;
	unix_unbind(self);
	self->closed = true;
	self->shutdown = UNIX_NO_RECEIVING | UNIX_NO_SENDING;
	self->state = UNIX_UNCONNECTED;
	leave_peer(self);
	poll_notify(&self->room, POLLOUT);
	while ((pending = unix_take_pending(self)) != NULL)
		close_soon(pending);
	while ((message = unix_take_first(self)) != NULL)
		unix_free_message(message);
}

/* Messages hold open files, which may be sockets with messages in turn: to close them one after the
 * other, however deep that goes, needs no more stack than one. */
static void close_all(void)
{
	while (closing != NULL) {
		struct unix_socket *next = closing;
		closing = next->next_closing;
		close_now(next);
		socket_put(&next->socket);
	}
}

void unix_collect_garbage(void)
{
	static bool is_closing;
	if (is_closing)
		return;
	is_closing = true;
	do {
		close_all();
		for (struct unix_message *garbage = unix_find_garbage(), *next; garbage != NULL;
		     garbage = next) {
			next = garbage->next;
			unix_free_message(garbage);
		}
	} while (closing != NULL);
	is_closing = false;
}

static void close_socket(struct socket *socket)
{
	close_soon(unix_of(socket_get(socket)));
	unix_collect_garbage();
}

static void release(struct socket *socket)
{
	struct unix_socket *self = unix_of(socket);
	unix_free_name(self);
	if (self->previous != NULL)
		self->previous->next = self->next;
	else
		unix_sockets = self->next;
	if (self->next != NULL)
		self->next->previous = self->previous;
	kfree(self);
}

/* ---- Readiness ---- */

static bool peer_is_full(const struct unix_socket *self)
{
	const struct unix_socket *peer = self->peer;
	return peer != NULL && peer->peer != self && unix_is_full(peer);
}

static unsigned get_events(struct socket *socket)
{
	const struct unix_socket *self = unix_of(socket);
	const unsigned both = UNIX_NO_RECEIVING | UNIX_NO_SENDING;
	bool readable = self->queue.first != NULL || self->pending_first != NULL;
	unsigned events = 0;
	if (socket->error != 0)
		events |= POLLERR;
	if (self->shutdown == both ||
	    (unix_has_connections(self) && self->state == UNIX_UNCONNECTED))
		events |= POLLHUP;
	if ((self->shutdown & UNIX_NO_RECEIVING) != 0)
		events |= POLLRDHUP | POLLIN | POLLRDNORM;
	if (readable)
		events |= POLLIN | POLLRDNORM;
	if (unix_is_writable(self) && !peer_is_full(self))
		events |= POLLOUT | POLLWRNORM | POLLWRBAND;
	return events;
}

static int64_t bytes_in(struct socket *socket)
{
	const struct unix_socket *self = unix_of(socket);
	int64_t bytes = 0;
	if (self->state == UNIX_LISTENING)
		return -EINVAL;
	for (const struct unix_message *message = self->queue.first; message != NULL;
	     message = message->next) {
		bytes += message->length - message->taken;
		if (!unix_has_connections(self))
			break;
	}
	return bytes;
}

static int64_t bytes_out(struct socket *socket)
{
	const struct unix_socket *self = unix_of(socket);
	return self->state == UNIX_LISTENING ? -EINVAL : self->charged;
}

/* ---- Making ---- */

#define OF_ALL_TYPES                                                                       \
	.bind = unix_bind, .name = get_name, .shutdown = shut_down, .poll = get_events,    \
	.bytes_in = bytes_in, .bytes_out = bytes_out, .close = close_socket, .release = release

#define OF_CONNECTIONS .listen = unix_listen, .connect = unix_connect, .accept = unix_accept

static const struct socket_operations stream_operations = {
	OF_ALL_TYPES,
	OF_CONNECTIONS,
	.send = unix_send_stream,
	.receive = unix_receive_stream,
};

static const struct socket_operations packet_operations = {
	OF_ALL_TYPES,
	OF_CONNECTIONS,
	.send = unix_send_packet,
	.receive = unix_receive_packet,
};

static const struct socket_operations datagram_operations = {
	OF_ALL_TYPES,
	.connect = unix_connect_datagram,
	.send = unix_send_datagram,
	.receive = unix_receive_datagram,
};

/* NULL: no such type. */
static const struct socket_operations *operations_of(int type)
{
	switch (type) {
	case SOCK_STREAM:
		return &stream_operations;
	case SOCK_SEQPACKET:
		return &packet_operations;
	case SOCK_DGRAM:
		return &datagram_operations;
	default:
		return NULL;
	}
}

struct unix_socket *unix_make(int type)
{
	struct unix_socket *made = kcalloc(1, sizeof(*made));
	if (made == NULL)
		return NULL;
	socket_initialize(&made->socket, operations_of(type), AF_UNIX, type);
	made->backlog = UNIX_DATAGRAM_BACKLOG;
	made->next = unix_sockets;
	if (unix_sockets != NULL)
		unix_sockets->previous = made;
	unix_sockets = made;
	return made;
}

static int create(int type, int protocol, struct socket **made)
{
	if (protocol != 0 && protocol != AF_UNIX)
		return -EPROTONOSUPPORT;
	if (type == SOCK_RAW)
		type = SOCK_DGRAM;
	if (operations_of(type) == NULL)
		return -ESOCKTNOSUPPORT;
	struct unix_socket *socket = unix_make(type);
	if (socket == NULL)
		return -ENOMEM;
	*made = &socket->socket;
	return 0;
}

static void pair(struct socket *first, struct socket *second)
{
	struct unix_socket *sockets[] = {unix_of(first), unix_of(second)};
	for (unsigned i = 0; i < ARRAY_SIZE(sockets); i++) {
		struct unix_socket *other = sockets[1 - i];
		sockets[i]->peer = unix_of(socket_get(&other->socket));
		sockets[i]->state = UNIX_CONNECTED;
		sockets[i]->socket.peer = unix_own_credentials();
	}
}

const struct socket_family unix_family = {.number = AF_UNIX, .create = create, .pair = pair};
