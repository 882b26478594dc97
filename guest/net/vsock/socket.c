/* The family AF_VSOCK. */
#include <calypso/lib.h>
#include <net/vsock/vsock.h>
#include <process/signal.h>

/* The peer is told of room when this much of it is new. */
#define ROOM_TOLD (VSOCK_BUFFER / 4)

/* ---- Addresses ---- */

static int read_address(const struct socket_address *address, struct sockaddr_vm *result)
{
	if (address->length < sizeof(*result))
		return -EINVAL;
	memcpy(result, address->bytes, sizeof(*result));
	return result->svm_family == AF_VSOCK ? 0 : -EAFNOSUPPORT;
}

static int bind(struct socket *socket, const struct socket_address *address)
{
	struct vsock_socket *self = vsock_of(socket);
	struct sockaddr_vm wanted;
	int error = read_address(address, &wanted);
	if (error != 0)
		return error;
	if (self->port != 0)
		return -EINVAL;
	if (wanted.svm_cid != VSOCK_ANY && wanted.svm_cid != vsock_own_cid())
		return -EADDRNOTAVAIL;
	return vsock_bind_port(self, wanted.svm_port);
}

static int get_name(struct socket *socket, bool of_peer, struct socket_address *address)
{
	const struct vsock_socket *self = vsock_of(socket);
	if (of_peer && self->state != VSOCK_CONNECTED)
		return -ENOTCONN;
	struct sockaddr_vm name = {
		.svm_family = AF_VSOCK,
		.svm_port = of_peer ? self->peer_port : self->port != 0 ? self->port : VSOCK_ANY,
		.svm_cid = of_peer ? self->peer_cid
			   : self->state == VSOCK_CONNECTED ? vsock_own_cid()
							    : VSOCK_ANY,
	};
	memcpy(address->bytes, &name, sizeof(name));
	address->length = sizeof(name);
	return 0;
}

/* ---- Connections ---- */

static int listen(struct socket *socket, unsigned backlog)
{
	struct vsock_socket *self = vsock_of(socket);
	if (self->port == 0 || (self->state != VSOCK_UNCONNECTED && self->state != VSOCK_LISTENING))
		return -EINVAL;
	self->backlog = backlog;
	self->state = VSOCK_LISTENING;
	socket->listens = true;
	return 0;
}

static int check_connect(const struct vsock_socket *self)
{
	switch (self->state) {
	case VSOCK_UNCONNECTED:
		return 0;
	case VSOCK_CONNECTING:
		return -EALREADY;
	case VSOCK_CONNECTED:
		return -EISCONN;
	default:
		return -EINVAL;
	}
}

/* Wait until the peer has said what it makes of the request. */
static int wait_for_answer(struct vsock_socket *self, uint64_t deadline)
{
	int error = 0;
	while (error == 0 && self->state == VSOCK_CONNECTING) {
		error = vsock_look() ? 0 : -EIO;
		if (error == 0 && self->state == VSOCK_CONNECTING)
			error = socket_wait(&self->socket.poll_state, POLLOUT, deadline);
	}
	return error;
}

/* Let the request be as if it had not been made. */
static void give_up(struct vsock_socket *self)
{
	vsock_tell(self, VSOCK_RESET, 0, NULL, 0);
	self->state = VSOCK_UNCONNECTED;
}

static int connect(struct socket *socket, const struct socket_address *address, bool waits)
{
	struct vsock_socket *self = vsock_of(socket);
	uint64_t deadline = socket_deadline(socket->send_timeout, waits);
	struct sockaddr_vm peer;
	int error = read_address(address, &peer);
	if (error == 0)
		error = check_connect(self);
	if (error == 0 && self->port == 0)
		error = vsock_bind_port(self, VSOCK_ANY);
	if (error != 0)
		return error;
	self->peer_cid = peer.svm_cid;
	self->peer_port = peer.svm_port;
	self->state = VSOCK_CONNECTING;
	error = vsock_tell(self, VSOCK_REQUEST, 0, NULL, 0);
	if (error == 0)
		error = wait_for_answer(self, deadline);
	if (error == -EAGAIN && !waits)
		return -EINPROGRESS;
	if (error != 0) {
		give_up(self);
		return error == -EAGAIN ? -ETIMEDOUT : error;
	}
	return socket_take_error(socket);
}

static struct vsock_socket *take_pending(struct vsock_socket *listener)
{
	struct vsock_socket *pending = listener->pending_first;
	if (pending == NULL)
		return NULL;
	listener->pending_first = pending->next_pending;
	if (listener->pending_first == NULL)
		listener->pending_last = NULL;
	listener->pending_count--;
	return pending;
}

static int accept(struct socket *socket, bool waits, struct socket **accepted)
{
	struct vsock_socket *self = vsock_of(socket), *pending = NULL;
	uint64_t deadline = socket_deadline(socket->receive_timeout, waits);
	if (self->state != VSOCK_LISTENING)
		return -EINVAL;
	while (vsock_look() && (pending = take_pending(self)) == NULL) {
		int error = socket_wait(&socket->poll_state, POLLIN, deadline);
		if (error != 0)
			return error;
	}
	if (pending == NULL)
		return -EIO;
	*accepted = &pending->socket;
	return 0;
}

static int shut_down(struct socket *socket, int how)
{
	static const unsigned ended[] = {
		[SHUT_RD] = VSOCK_NO_RECEIVING,
		[SHUT_WR] = VSOCK_NO_SENDING,
		[SHUT_RDWR] = VSOCK_NO_RECEIVING | VSOCK_NO_SENDING,
	};
	struct vsock_socket *self = vsock_of(socket);
	if (self->state != VSOCK_CONNECTED)
		return -ENOTCONN;
	self->shutdown |= ended[how];
	return vsock_tell(self, VSOCK_SHUTDOWN, self->shutdown, NULL, 0);
}

/* What is left to be received goes with the connection. */
static void close_socket(struct socket *socket)
{
	struct vsock_socket *self = vsock_of(socket), *pending;
	const unsigned both = VSOCK_NO_RECEIVING | VSOCK_NO_SENDING;
	while ((pending = take_pending(self)) != NULL) {
		close_socket(&pending->socket);
		socket_put(&pending->socket);
	}
	if (self->state == VSOCK_CONNECTED)
		vsock_tell(self, VSOCK_SHUTDOWN, both, NULL, 0);
	else if (self->state == VSOCK_CONNECTING)
		vsock_tell(self, VSOCK_RESET, 0, NULL, 0);
	self->state = VSOCK_ENDED;
}

static void release(struct socket *socket) { vsock_free(vsock_of(socket)); }

/* ---- Data ---- */

static uint32_t credit(const struct vsock_socket *self)
{
	uint32_t in_flight = self->sent - self->peer_taken;
	return in_flight < self->peer_buffer ? self->peer_buffer - in_flight : 0;
}

static bool can_send(const struct vsock_socket *self)
{
	return self->state == VSOCK_CONNECTED && (self->shutdown & VSOCK_NO_SENDING) == 0 &&
	       (self->peer_shutdown & VSOCK_NO_RECEIVING) == 0;
}

static int broken_pipe(const struct message *message)
{
	if ((message->flags & MSG_NOSIGNAL) == 0)
		signal_send_self(SIGPIPE);
	return -EPIPE;
}

/* Wait until something can be sent. */
static int wait_for_room(struct vsock_socket *self, const struct message *message,
			 uint64_t deadline)
{
	for (;;) {
		bool alive = vsock_look();
		int error = socket_take_error(&self->socket);
		if (error == 0 && self->state == VSOCK_UNCONNECTED)
			error = -ENOTCONN;
		if (error == 0 && !can_send(self))
			error = broken_pipe(message);
		if (error == 0 && !alive)
			error = -EIO;
		if (error != 0 || credit(self) > 0)
			return error;
		error = socket_wait(&self->socket.poll_state, POLLOUT, deadline);
		if (error != 0)
			return error;
	}
}

static int64_t send(struct socket *socket, struct message *message)
{
	struct vsock_socket *self = vsock_of(socket);
	bool waits = (message->flags & MSG_DONTWAIT) == 0;
	uint64_t deadline = socket_deadline(socket->send_timeout, waits);
	uint64_t before = message->io->remaining;
	int error = message->address != NULL ? -EISCONN : 0;
	while (error == 0 && message->io->remaining > 0) {
		error = wait_for_room(self, message, deadline);
		if (error != 0)
			break;
		uint64_t length = message->io->remaining;
		if (length > VSOCK_DATA_MAX)
			length = VSOCK_DATA_MAX;
		if (length > credit(self))
			length = credit(self);
		struct io rest = *message->io;
		error = vsock_tell(self, VSOCK_DATA, 0, message->io, (uint32_t)length);
		if (error != 0)
			*message->io = rest;
		else
			self->sent += (uint32_t)length;
	}
	uint64_t done = before - message->io->remaining;
	return done > 0 ? (int64_t)done : error;
}

/* Wait for data: 1; 0 at the end of the stream; or an error. */
static int wait_for_data(struct vsock_socket *self, uint64_t deadline)
{
	for (;;) {
		bool alive = vsock_look();
		if (self->first != NULL)
			return 1;
		int error = socket_take_error(&self->socket);
		if (error == 0 && (self->state == VSOCK_UNCONNECTED ||
				   self->state == VSOCK_LISTENING))
			error = -ENOTCONN;
		if (error == 0 && !alive)
			error = -EIO;
		if (error != 0)
			return error;
		if (self->state == VSOCK_ENDED || (self->shutdown & VSOCK_NO_RECEIVING) != 0 ||
		    (self->peer_shutdown & VSOCK_NO_SENDING) != 0)
			return 0;
		error = socket_wait(&self->socket.poll_state, POLLIN, deadline);
		if (error != 0)
			return error;
	}
}

/* Copy what is there; with MSG_PEEK it stays. */
static int copy(struct vsock_socket *self, struct message *message)
{
	struct vsock_piece *piece = self->first;
	while (piece != NULL && message->io->remaining > 0) {
		uint64_t before = message->io->remaining;
		uint32_t left = piece->length - piece->taken;
		int error = io_put(message->io, piece->data + piece->taken,
				   left < before ? left : before);
		uint32_t done = (uint32_t)(before - message->io->remaining);
		struct vsock_piece *next = piece->next;
		if ((message->flags & MSG_PEEK) == 0) {
			piece->taken += done;
			self->taken += done;
		}
		if (piece->taken == piece->length) {
			self->first = next;
			if (next == NULL)
				self->last = NULL;
			kfree(piece);
		}
		if (error != 0)
			return error;
		piece = next;
	}
	return 0;
}

static int64_t receive(struct socket *socket, struct message *message)
{
	struct vsock_socket *self = vsock_of(socket);
	bool waits = (message->flags & MSG_DONTWAIT) == 0;
	bool all = (message->flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL;
	uint64_t deadline = socket_deadline(socket->receive_timeout, waits);
	uint64_t before = message->io->remaining;
	int result = 1;
	while (result > 0 && message->io->remaining > 0) {
		result = wait_for_data(self, deadline);
		if (result <= 0)
			break;
		int error = copy(self, message);
		result = error != 0 ? error : all;
	}
	if (self->taken - self->told >= ROOM_TOLD)
		vsock_tell(self, VSOCK_CREDIT_UPDATE, 0, NULL, 0);
	uint64_t done = before - message->io->remaining;
	return done > 0 || result > 0 ? (int64_t)done : result;
}

/* ---- Telling ---- */

static unsigned get_events(struct socket *socket)
{
	struct vsock_socket *self = vsock_of(socket);
	unsigned events = vsock_look() ? 0 : POLLERR;
	bool peer_ended = (self->peer_shutdown & VSOCK_NO_SENDING) != 0;
	bool ended = self->state == VSOCK_ENDED;
	if (socket->error != 0)
		events |= POLLERR;
	if (self->state == VSOCK_LISTENING)
		return events | (self->pending_first != NULL ? POLLIN | POLLRDNORM : 0);
	if (ended || self->shutdown == (VSOCK_NO_RECEIVING | VSOCK_NO_SENDING))
		events |= POLLHUP;
	if (peer_ended || ended || (self->shutdown & VSOCK_NO_RECEIVING) != 0)
		events |= POLLRDHUP | POLLIN | POLLRDNORM;
	if (self->first != NULL)
		events |= POLLIN | POLLRDNORM;
	if (can_send(self) && credit(self) > 0)
		events |= POLLOUT | POLLWRNORM;
	return events;
}

static int64_t bytes_in(struct socket *socket)
{
	const struct vsock_socket *self = vsock_of(socket);
	return self->state == VSOCK_LISTENING ? -EINVAL : self->received - self->taken;
}

const struct socket_operations vsock_operations = {
	.bind = bind,
	.listen = listen,
	.connect = connect,
	.accept = accept,
	.name = get_name,
	.shutdown = shut_down,
	.send = send,
	.receive = receive,
	.poll = get_events,
	.bytes_in = bytes_in,
	.close = close_socket,
	.release = release,
};

static int create(int type, int protocol, struct socket **made)
{
	if (protocol != 0 && protocol != AF_VSOCK)
		return -EPROTONOSUPPORT;
	if (type != SOCK_STREAM)
		return -ESOCKTNOSUPPORT;
	int error = vsock_start();
	if (error != 0)
		return error;
	struct vsock_socket *socket = vsock_make();
	if (socket == NULL)
		return -ENOMEM;
	*made = &socket->socket;
	return 0;
}

const struct socket_family vsock_family = {.number = AF_VSOCK, .create = create};
