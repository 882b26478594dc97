/* Connections of AF_VSOCK: how packets make, feed and end them. */
#include <calypso/lib.h>
#include <net/vsock/vsock.h>

/* Ports below are for those who ask for them by number. */
#define PORT_FIRST 1024

static struct vsock_socket *all;

/* ---- Making ---- */

struct vsock_socket *vsock_make(void)
{
	struct vsock_socket *made = kcalloc(1, sizeof(*made));
	if (made == NULL)
		return NULL;
	socket_initialize(&made->socket, &vsock_operations, AF_VSOCK, SOCK_STREAM);
	made->next = all;
	all = made;
	return made;
}

void vsock_free(struct vsock_socket *socket)
{
	struct vsock_socket **link = &all;
	while (*link != socket)
		link = &(*link)->next;
	*link = socket->next;
	for (struct vsock_piece *piece = socket->first, *next; piece != NULL; piece = next) {
		next = piece->next;
		kfree(piece);
	}
	kfree(socket);
}

/* Whether a socket has a port for itself: a connection shares that of its listener. */
static bool is_taken(uint32_t port)
{
	for (const struct vsock_socket *other = all; other != NULL; other = other->next) {
		if (other->port == port)
			return true;
	}
	return false;
}

int vsock_bind_port(struct vsock_socket *socket, uint32_t port)
{
	static uint32_t last = PORT_FIRST;
	if (port != VSOCK_ANY && is_taken(port))
		return -EADDRINUSE;
	while (port == VSOCK_ANY) {
		if (++last < PORT_FIRST || last == VSOCK_ANY)
			last = PORT_FIRST;
		if (!is_taken(last))
			port = last;
	}
	socket->port = port;
	return 0;
}

/* ---- Sending ---- */

int vsock_tell(struct vsock_socket *socket, enum vsock_operation operation, unsigned flags,
	       struct io *data, uint32_t length)
{
	struct vsock_header header = {
		.target_cid = socket->peer_cid,
		.source_port = socket->port,
		.target_port = socket->peer_port,
		.length = length,
		.operation = (uint16_t)operation,
		.flags = flags,
		.buffer = VSOCK_BUFFER,
		.taken = socket->taken,
	};
	socket->told = socket->taken;
	return vsock_send(&header, data);
}

/* Answer a packet that belongs to no connection. */
static void refuse(const struct vsock_header *header)
{
	struct vsock_header answer = {
		.target_cid = header->source_cid,
		.source_port = header->target_port,
		.target_port = header->source_port,
		.operation = VSOCK_RESET,
	};
	if (header->operation != VSOCK_RESET)
		vsock_send(&answer, NULL);
}

/* ---- Receiving ---- */

static void tell_all(struct vsock_socket *socket)
{
	poll_notify(&socket->socket.poll_state,
		    POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP | POLLHUP);
}

static bool is_peer(const struct vsock_socket *socket, const struct vsock_header *header)
{
	return (socket->state == VSOCK_CONNECTED || socket->state == VSOCK_CONNECTING) &&
	       socket->port == header->target_port && socket->peer_port == header->source_port &&
	       socket->peer_cid == header->source_cid;
}

static struct vsock_socket *find_connection(const struct vsock_header *header)
{
	struct vsock_socket *socket = all;
	while (socket != NULL && !is_peer(socket, header))
		socket = socket->next;
	return socket;
}

static struct vsock_socket *find_listener(uint32_t port)
{
	struct vsock_socket *socket = all;
	while (socket != NULL && (socket->state != VSOCK_LISTENING || socket->port != port))
		socket = socket->next;
	return socket;
}

static void remember_credit(struct vsock_socket *socket, const struct vsock_header *header)
{
	socket->peer_buffer = header->buffer;
	socket->peer_taken = header->taken;
}

/* Somebody wants to connect. */
static void accept_request(const struct vsock_header *header)
{
	struct vsock_socket *listener = find_listener(header->target_port);
	bool full = listener != NULL && listener->pending_count > listener->backlog;
	struct vsock_socket *made = listener == NULL || full ? NULL : vsock_make();
	if (made == NULL) {
		refuse(header);
		return;
	}
	made->state = VSOCK_CONNECTED;
	made->port = header->target_port;
	made->peer_cid = (uint32_t)header->source_cid;
	made->peer_port = header->source_port;
	remember_credit(made, header);
	if (listener->pending_last != NULL)
		listener->pending_last->next_pending = made;
	else
		listener->pending_first = made;
	listener->pending_last = made;
	listener->pending_count++;
	vsock_tell(made, VSOCK_RESPONSE, 0, NULL, 0);
	tell_all(listener);
}

/* Keep data until it is received. A peer that sends more than there was room for loses it with the
 * connection. */
static void keep(struct vsock_socket *socket, const struct vsock_header *header,
		 const uint8_t *data)
{
	bool fits = socket->received - socket->taken + header->length <= VSOCK_BUFFER;
	struct vsock_piece *piece = fits ? kmalloc(sizeof(*piece) + header->length) : NULL;
	if (piece == NULL) {
		socket->socket.error = ENOBUFS;
		socket->state = VSOCK_ENDED;
		refuse(header);
		return;
	}
	*piece = (struct vsock_piece){.length = header->length};
	memcpy(piece->data, data, header->length);
	if (socket->last != NULL)
		socket->last->next = piece;
	else
		socket->first = piece;
	socket->last = piece;
	socket->received += header->length;
}

static void end(struct vsock_socket *socket, const struct vsock_header *header)
{
	if (header->operation == VSOCK_SHUTDOWN) {
		socket->peer_shutdown |= header->flags;
		if (socket->peer_shutdown != (VSOCK_NO_RECEIVING | VSOCK_NO_SENDING))
			return;
		refuse(header);
	} else if ((socket->peer_shutdown & VSOCK_NO_SENDING) == 0) {
		/* Nobody has said that it would end: as Linux has it, also for one that was
		 * never made. */
		socket->socket.error = ECONNRESET;
	}
	socket->state = socket->state == VSOCK_CONNECTING ? VSOCK_UNCONNECTED : VSOCK_ENDED;
}

static void handle(struct vsock_socket *socket, const struct vsock_header *header,
		   const uint8_t *data)
{
	remember_credit(socket, header);
	switch (header->operation) {
	case VSOCK_RESPONSE:
		if (socket->state == VSOCK_CONNECTING)
			socket->state = VSOCK_CONNECTED;
		break;
	case VSOCK_DATA:
		if (header->length > 0)
			keep(socket, header, data);
		break;
	case VSOCK_CREDIT_UPDATE:
		break;
	case VSOCK_CREDIT_REQUEST:
		vsock_tell(socket, VSOCK_CREDIT_UPDATE, 0, NULL, 0);
		break;
	case VSOCK_SHUTDOWN:
	case VSOCK_RESET:
		end(socket, header);
		break;
	default:
		refuse(header);
	}
	tell_all(socket);
}

void vsock_receive(const struct vsock_header *header, const uint8_t *data)
{
	struct vsock_socket *socket = find_connection(header);
	if (socket != NULL)
		handle(socket, header, data);
	else if (header->operation == VSOCK_REQUEST)
		accept_request(header);
	else
		refuse(header);
}
