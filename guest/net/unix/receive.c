/* Receiving by AF_UNIX. */
#include <calypso/lib.h>
#include <net/unix/unix.h>

/* Who sent a message that came before anybody wanted to know: Linux's overflow ids. */
#define UNKNOWN_ID 65534

static uint64_t receive_deadline(const struct socket *socket, const struct message *message)
{
	return socket_deadline(socket->receive_timeout, (message->flags & MSG_DONTWAIT) == 0);
}

static struct ucred credentials_of(const struct unix_message *from)
{
	if (from->has_credentials)
		return from->credentials;
	return (struct ucred){.uid = UNKNOWN_ID, .gid = UNKNOWN_ID};
}

/* Tell the sender's name, where it has one. */
static void tell_sender(struct message *message, const struct unix_message *from)
{
	if (message->address != NULL && from->sender->name != NULL)
		unix_copy_name(from->sender, message->address);
}

/* Take the rights of a message, or what is like them for a look at it. */
static int receive_rights(struct message *message, struct unix_message *from)
{
	if (from->rights == NULL)
		return 0;
	if ((message->flags & MSG_PEEK) == 0)
		message->ancillary.rights = unix_take_rights(from);
	else if ((message->ancillary.rights = rights_copy(from->rights)) == NULL)
		return -ENOMEM;
	return 0;
}

/* ---- Streams ---- */

/* A receive call on a stream under way. */
struct reading {
	struct unix_socket *self;
	struct message *message;
	uint64_t deadline;
	uint64_t copied;
	uint64_t least; /* bytes to wait for */
	bool any;	/* some message was looked at */
	struct unix_message *peeked; /* the last one that was, with MSG_PEEK */
};

static struct unix_message *next_message(const struct reading *reading)
{
	return reading->peeked != NULL ? reading->peeked->next : reading->self->queue.first;
}

/* Nothing is there: 0 to look again; 1 at the end of the stream; or an error. */
static int wait_for_data(struct reading *reading)
{
	struct unix_socket *self = reading->self;
	int error = socket_take_error(&self->socket);
	if (error != 0)
		return error;
	if ((self->shutdown & UNIX_NO_RECEIVING) != 0)
		return 1;
	return socket_wait(&self->socket.poll_state, POLLIN, reading->deadline);
}

/* Messages of different writers are not received in one call where it matters. */
static bool is_of_other_writer(const struct reading *reading, const struct unix_message *from)
{
	struct ucred known = reading->message->ancillary.credentials;
	struct ucred found = credentials_of(from);
	bool matters = (reading->self->socket.flags & SOCKET_PASS_CREDENTIALS) != 0;
	return reading->any && matters &&
	       (known.pid != found.pid || known.uid != found.uid || known.gid != found.gid);
}

/* Copy from one message. Whether to go on with the next; the error is -EFAULT or -ENOMEM. */
static int read_message(struct reading *reading, struct unix_message *from, bool *go_on)
{
	struct message *message = reading->message;
	struct io *io = message->io, before = *io;
	uint32_t left = from->length - from->taken;
	uint32_t part = left < io->remaining ? left : (uint32_t)io->remaining;
	*go_on = false;
	if (!reading->any) {
		message->ancillary.credentials = credentials_of(from);
		tell_sender(message, from);
	}
	reading->any = true;
	if (io_put(io, from->data + from->taken, part) != 0) {
		*io = before;
		return -EFAULT;
	}
	reading->copied += part;
	int error = receive_rights(message, from);
	if (error != 0)
		return error;
	*go_on = part == left && message->ancillary.rights == NULL;
	if ((message->flags & MSG_PEEK) != 0) {
		reading->peeked = from;
		*go_on &= from->next != NULL;
		return 0;
	}
	from->taken += part;
	if (from->taken == from->length)
		unix_free_message(unix_take_first(reading->self));
	return 0;
}

int64_t unix_receive_stream(struct socket *socket, struct message *message)
{
	struct unix_socket *self = unix_of(socket);
	uint64_t wanted = message->io->remaining;
	if (self->state != UNIX_CONNECTED)
		return -EINVAL;
	if ((message->flags & MSG_OOB) != 0)
		return -EOPNOTSUPP;
	struct reading reading = {
		.self = self,
		.message = message,
		.deadline = receive_deadline(socket, message),
		.least = socket->low_water < wanted ? socket->low_water : wanted,
	};
	if ((message->flags & MSG_WAITALL) != 0)
		reading.least = wanted;
	if (reading.least == 0)
		reading.least = 1;

	/* The end of a stream has them too: all zero. */
	message->ancillary.has_credentials = true;
	int error = 0;
	for (bool go_on = true; go_on && error == 0;) {
		struct unix_message *from = next_message(&reading);
		if (from == NULL && reading.copied >= reading.least)
			break;
		if (from == NULL)
			error = wait_for_data(&reading);
		else if (is_of_other_writer(&reading, from))
			break;
		else
			error = read_message(&reading, from, &go_on);
		go_on &= from == NULL || message->io->remaining > 0;
	}
	if (reading.copied > 0)
		return (int64_t)reading.copied;
	return error < 0 ? error : 0;
}

/* ---- Datagrams and packets ---- */

static int wait_for_message(struct unix_socket *self, uint64_t deadline)
{
	while (true) {
		int error = socket_take_error(&self->socket);
		if (error != 0 || self->queue.first != NULL)
			return error;
		bool ended = (self->shutdown & UNIX_NO_RECEIVING) != 0;
		/* Who does not wait for datagrams does not learn of the end. */
		if (ended && (deadline != 0 || self->socket.type == SOCK_SEQPACKET))
			return 0;
		error = socket_wait(&self->socket.poll_state, POLLIN, deadline);
		if (error != 0)
			return error;
	}
}

/* Copy what fits: the bytes copied, or with MSG_TRUNC those there were. */
static int64_t copy_message(struct message *message, struct unix_message *from)
{
	struct io *io = message->io, before = *io;
	uint64_t length = from->length;
	message->ancillary.has_credentials = true;
	message->ancillary.credentials = credentials_of(from);
	tell_sender(message, from);
	if (length > io->remaining) {
		length = io->remaining;
		message->result |= MSG_TRUNC;
	}
	if (io_put(io, from->data, length) != 0) {
		*io = before;
		return -EFAULT;
	}
	int error = receive_rights(message, from);
	if (error != 0)
		return error;
	return (message->flags & MSG_TRUNC) != 0 ? from->length : (int64_t)length;
}

int64_t unix_receive_datagram(struct socket *socket, struct message *message)
{
	struct unix_socket *self = unix_of(socket);
	if ((message->flags & MSG_OOB) != 0)
		return -EOPNOTSUPP;
	int error = wait_for_message(self, receive_deadline(socket, message));
	struct unix_message *first = self->queue.first;
	if (error != 0 || first == NULL)
		return error;
	int64_t result = copy_message(message, first);
	if ((message->flags & MSG_PEEK) == 0)
		unix_free_message(unix_take_first(self));
	return result;
}

int64_t unix_receive_packet(struct socket *socket, struct message *message)
{
	if (unix_of(socket)->state != UNIX_CONNECTED)
		return -ENOTCONN;
	return unix_receive_datagram(socket, message);
}
