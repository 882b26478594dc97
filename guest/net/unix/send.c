/* Sending by AF_UNIX. */
#include <calypso/lib.h>
#include <net/unix/unix.h>
#include <process/signal.h>

/* A stream is cut into messages of at most this size, and of half the send buffer. */
#define STREAM_MESSAGE_MAX (9 * PAGE_SIZE - 320)
#define STREAM_MESSAGE_OVERHEAD 64

/* What a datagram must leave free of the send buffer. */
#define DATAGRAM_OVERHEAD 32

static uint64_t send_deadline(const struct socket *socket, const struct message *message)
{
	return socket_deadline(socket->send_timeout, (message->flags & MSG_DONTWAIT) == 0);
}

/* Wait until the sender's buffer is not full. */
static int wait_for_buffer(struct unix_socket *self, uint64_t deadline)
{
	for (;;) {
		int error = socket_take_error(&self->socket);
		if (error == 0 && (self->shutdown & UNIX_NO_SENDING) != 0)
			error = -EPIPE;
		if (error != 0 || self->charged < self->socket.send_buffer)
			return error;
		error = socket_wait(&self->socket.poll_state, POLLOUT, deadline);
		if (error != 0)
			return error;
	}
}

/* ---- Streams ---- */

static int broken_pipe(const struct message *message, bool first)
{
	if (first && (message->flags & MSG_NOSIGNAL) == 0)
		signal_send_self(SIGPIPE);
	return -EPIPE;
}

static int send_part(struct unix_socket *self, struct message *message, uint64_t deadline,
		     bool first)
{
	uint64_t size = self->socket.send_buffer / 2 - STREAM_MESSAGE_OVERHEAD;
	if (size > STREAM_MESSAGE_MAX)
		size = STREAM_MESSAGE_MAX;
	if (size > message->io->remaining)
		size = message->io->remaining;
	int error = wait_for_buffer(self, deadline);
	if (error != 0)
		return error;
	struct io before = *message->io;
	struct unix_message *made;
	error = unix_make_message(self, message->io, (uint32_t)size, &message->ancillary, &made);
	if (error != 0)
		return error;
	if (self->peer->closed || (self->peer->shutdown & UNIX_NO_RECEIVING) != 0) {
		*message->io = before;
		unix_free_message(made);
		return broken_pipe(message, first);
	}
	unix_append(self->peer, made);
	return 0;
}

int64_t unix_send_stream(struct socket *socket, struct message *message)
{
	struct unix_socket *self = unix_of(socket);
	if ((message->flags & MSG_OOB) != 0)
		return -EOPNOTSUPP;
	if (message->address != NULL)
		return self->state == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
	if (self->peer == NULL)
		return -ENOTCONN;
	if ((self->shutdown & UNIX_NO_SENDING) != 0)
		return broken_pipe(message, true);

	uint64_t deadline = send_deadline(socket, message);
	uint64_t length = message->io->remaining;
	int error = 0;
	while (message->io->remaining > 0 && error == 0)
		error = send_part(self, message, deadline, message->io->remaining == length);
	uint64_t sent = length - message->io->remaining;
	return sent > 0 ? (int64_t)sent : error;
}

/* ---- Datagrams and packets ---- */

/* The default peer of a datagram socket is gone. */
static int refuse(struct unix_socket *self, struct unix_socket *target)
{
	if (self->socket.type == SOCK_SEQPACKET)
		return -EPIPE;
	if (self->peer == target) {
		self->peer = NULL;
		self->state = UNIX_UNCONNECTED;
		unix_lose_peer(self, target);
		socket_put(&target->socket);
	}
	return -ECONNREFUSED;
}

/* 0; -EAGAIN where the target's queue is full; another error. */
static int try_target(struct unix_socket *self, struct unix_socket *target)
{
	if (target->peer != NULL && target->peer != self)
		return -EPERM;
	if (target->closed)
		return refuse(self, target);
	if ((target->shutdown & UNIX_NO_RECEIVING) != 0)
		return -EPIPE;
	return target != self && target->peer != self && unix_is_full(target) ? -EAGAIN : 0;
}

/* Append the message to the queue that its address, or the peer, means. */
static int deliver(struct unix_socket *self, const struct socket_address *address,
		   struct unix_message *message, uint64_t deadline)
{
	for (;;) {
		struct unix_socket *target = self->peer;
		int error = 0;
		if (address != NULL)
			error = unix_find(address, self->socket.type, &target);
		else if (target == NULL)
			error = -ENOTCONN;
		else
			socket_get(&target->socket);
		if (error != 0)
			return error;
		error = try_target(self, target);
		bool is_full = error == -EAGAIN;
		if (error == 0)
			unix_append(target, message);
		else if (is_full)
			error = socket_wait(&target->room, POLLOUT, deadline);
		socket_put(&target->socket);
		if (!is_full || error != 0)
			return error;
	}
}

static int64_t send_whole(struct unix_socket *self, struct message *message,
			  const struct socket_address *address)
{
	uint64_t length = message->io->remaining;
	uint64_t deadline = send_deadline(&self->socket, message);
	if (length > self->socket.send_buffer - DATAGRAM_OVERHEAD)
		return -EMSGSIZE;
	int error = wait_for_buffer(self, deadline);
	if (error != 0)
		return error;
	struct io before = *message->io;
	struct unix_message *made;
	error = unix_make_message(self, message->io, (uint32_t)length, &message->ancillary, &made);
	if (error != 0)
		return error;
	error = deliver(self, address, made, deadline);
	if (error != 0) {
		unix_free_message(made);
		*message->io = before;
	}
	return error != 0 ? error : (int64_t)length;
}

int64_t unix_send_datagram(struct socket *socket, struct message *message)
{
	struct unix_socket *self = unix_of(socket);
	int error = 0;
	if ((message->flags & MSG_OOB) != 0)
		return -EOPNOTSUPP;
	if (message->address != NULL)
		error = unix_check_address(message->address);
	if (error == 0)
		error = unix_bind_for_credentials(self);
	return error != 0 ? error : send_whole(self, message, message->address);
}

int64_t unix_send_packet(struct socket *socket, struct message *message)
{
	struct unix_socket *self = unix_of(socket);
	int error = socket_take_error(socket);
	if (error != 0)
		return error;
	if (self->state != UNIX_CONNECTED)
		return -ENOTCONN;
	if ((message->flags & MSG_OOB) != 0)
		return -EOPNOTSUPP;
	error = unix_bind_for_credentials(self);
	return error != 0 ? error : send_whole(self, message, NULL);
}
