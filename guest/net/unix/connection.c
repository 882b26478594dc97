/* Connections of AF_UNIX: listen, connect, accept. */
#include <calypso/lib.h>
#include <net/unix/unix.h>

int unix_listen(struct socket *socket, unsigned backlog)
{
	struct unix_socket *self = unix_of(socket);
	if (self->name == NULL || self->state == UNIX_CONNECTED)
		return -EINVAL;
	bool has_more = backlog > self->backlog;
	self->backlog = backlog;
	self->state = UNIX_LISTENING;
	socket->listens = true;
	socket->peer = unix_own_credentials();
	if (has_more)
		poll_notify(&self->room, POLLOUT);
	return 0;
}

/* ---- Connect ---- */

/* Whether `self` can connect to `listener` now; -EAGAIN where others have to be accepted first. */
static int check_connect(const struct unix_socket *self, const struct unix_socket *listener)
{
	if (listener->state != UNIX_LISTENING || (listener->shutdown & UNIX_NO_RECEIVING) != 0)
		return -ECONNREFUSED;
	if (unix_is_full(listener))
		return -EAGAIN;
	if (self->state == UNIX_UNCONNECTED)
		return 0;
	return self->state == UNIX_CONNECTED ? -EISCONN : -EINVAL;
}

/* Put the other end of the connection into the listener's queue. */
static void enqueue(struct unix_socket *self, struct unix_socket *listener,
		    struct unix_socket *made)
{
	made->peer = unix_of(socket_get(&self->socket));
	made->state = UNIX_CONNECTED;
	made->socket.peer = unix_own_credentials();
	made->name = listener->name;
	made->name->references++;
	made->node = listener->node == NULL ? NULL : file_get(listener->node);
	made->is_pending = true;

	self->peer = unix_of(socket_get(&made->socket));
	self->state = UNIX_CONNECTED;
	self->socket.peer = listener->socket.peer;

	if (listener->pending_last != NULL)
		listener->pending_last->next_pending = made;
	else
		listener->pending_first = made;
	listener->pending_last = made;
	listener->pending_count++;
	poll_notify(&listener->socket.poll_state, POLLIN | POLLRDNORM);
}

static int connect_to(struct unix_socket *self, struct unix_socket *listener, uint64_t deadline,
		      bool *again)
{
	int error = check_connect(self, listener);
	*again = error == -EAGAIN && deadline != 0;
	if (*again)
		return socket_wait(&listener->room, POLLOUT, deadline);
	if (error != 0)
		return error;
	struct unix_socket *made = unix_make(self->socket.type);
	if (made == NULL)
		return -ENOMEM;
	enqueue(self, listener, made);
	return 0;
}

int unix_connect(struct socket *socket, const struct socket_address *address, bool waits)
{
	struct unix_socket *self = unix_of(socket);
	uint64_t deadline = socket_deadline(socket->send_timeout, waits);
	int error = unix_check_address(address);
	if (error == 0)
		error = unix_bind_for_credentials(self);
	for (bool again = true; error == 0 && again;) {
		struct unix_socket *listener;
		error = unix_find(address, socket->type, &listener);
		if (error != 0)
			break;
		error = connect_to(self, listener, deadline, &again);
		socket_put(&listener->socket);
	}
	return error;
}

/* ---- Accept ---- */

struct unix_socket *unix_take_pending(struct unix_socket *listener)
{
	struct unix_socket *pending = listener->pending_first;
	if (pending == NULL)
		return NULL;
	listener->pending_first = pending->next_pending;
	if (listener->pending_first == NULL)
		listener->pending_last = NULL;
	listener->pending_count--;
	return pending;
}

int unix_accept(struct socket *socket, bool waits, struct socket **accepted)
{
	struct unix_socket *self = unix_of(socket);
	uint64_t deadline = socket_deadline(socket->receive_timeout, waits);
	if (self->state != UNIX_LISTENING)
		return -EINVAL;
	struct unix_socket *pending;
	while ((pending = unix_take_pending(self)) == NULL) {
		int error = socket_take_error(socket);
		if (error == 0 && waits && (self->shutdown & UNIX_NO_RECEIVING) != 0)
			error = -EINVAL;
		if (error == 0)
			error = socket_wait(&socket->poll_state, POLLIN, deadline);
		if (error != 0)
			return error;
	}
	pending->is_pending = false;
	pending->socket.flags |= socket->flags & SOCKET_PASS_CREDENTIALS;
	poll_notify(&self->room, POLLOUT);
	*accepted = &pending->socket;
	return 0;
}

/* ---- Datagrams: a connection is where they go by default ---- */

void unix_lose_peer(struct unix_socket *socket, struct unix_socket *peer)
{
	struct unix_message *message;
	if (socket->queue.first == NULL)
		return;
	while ((message = unix_take_first(socket)) != NULL)
		unix_free_message(message);
	if (peer->closed || peer->peer != socket)
		return;
	peer->socket.error = ECONNRESET;
	unix_tell_all(peer);
}

static void change_peer(struct unix_socket *self, struct unix_socket *peer)
{
	struct unix_socket *old = self->peer;
	self->peer = peer;
	if (old != NULL && old != peer)
		unix_lose_peer(self, old);
	if (old != NULL)
		socket_put(&old->socket);
	poll_notify(&self->socket.poll_state, POLLOUT | POLLWRNORM | POLLWRBAND);
}

int unix_connect_datagram(struct socket *socket, const struct socket_address *address, bool waits)
{
	(void)waits;
	struct unix_socket *self = unix_of(socket), *peer;
	if (address->length < sizeof(address->family))
		return -EINVAL;
	if (address->family == AF_UNSPEC) {
		if (self->peer != NULL)
			self->state = UNIX_UNCONNECTED;
		change_peer(self, NULL);
		return 0;
	}
	int error = unix_check_address(address);
	if (error == 0)
		error = unix_bind_for_credentials(self);
	if (error == 0)
		error = unix_find(address, socket->type, &peer);
	if (error != 0)
		return error;
	if (peer->peer != NULL && peer->peer != self) {
		socket_put(&peer->socket);
		return -EPERM;
	}
	self->state = peer->state = UNIX_CONNECTED;
	change_peer(self, peer);
	return 0;
}
