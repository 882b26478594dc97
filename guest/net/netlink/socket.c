/* The family AF_NETLINK. */
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <net/interface/interface.h>
#include <net/netlink/netlink.h>
#include <process/process.h>

#define REQUEST_MAX 4096

struct netlink_socket {
	struct socket socket;
	struct netlink_socket *next; /* of all */
	uint32_t port;		     /* its address; 0: none yet */
	struct netlink_answer *first, *last;
	uint64_t queued; /* bytes */
};

static struct netlink_socket *all;

static struct netlink_socket *of(struct socket *socket)
{
	return container_of(socket, struct netlink_socket, socket);
}

/* ---- Names ---- */

static bool is_taken(uint32_t port)
{
	const struct netlink_socket *each = all;
	while (each != NULL && each->port != port)
		each = each->next;
	return each != NULL;
}

/* The process's number for the first socket, as on Linux; then others. */
static void give_port(struct netlink_socket *self)
{
	static uint32_t last = UINT32_MAX;
	uint32_t port = PROCESS_ID;
	while (self->port == 0 && is_taken(port))
		port = last--;
	if (self->port == 0)
		self->port = port;
}

static int read_name(const struct socket_address *address, struct sockaddr_nl *name)
{
	if (address->length < sizeof(*name))
		return -EINVAL;
	memcpy(name, address->bytes, sizeof(*name));
	return name->nl_family == AF_NETLINK ? 0 : -EINVAL;
}

static int bind(struct socket *socket, const struct socket_address *address)
{
	struct netlink_socket *self = of(socket);
	struct sockaddr_nl name;
	int error = read_name(address, &name);
	if (error != 0)
		return error;
	if (self->port != 0)
		return name.nl_pid == 0 || name.nl_pid == self->port ? 0 : -EINVAL;
	if (name.nl_pid != 0 && is_taken(name.nl_pid))
		return -EADDRINUSE;
	self->port = name.nl_pid;
	give_port(self);
	return 0;
}

static void put_name(struct socket_address *address, uint32_t port)
{
	struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_pid = port};
	memcpy(address->bytes, &name, sizeof(name));
	address->length = sizeof(name);
}

/* The peer is the kernel. */
static int get_name(struct socket *socket, bool of_peer, struct socket_address *address)
{
	put_name(address, of_peer ? 0 : of(socket)->port);
	return 0;
}

/* ---- Requests ---- */

static void append(struct netlink_socket *self, struct netlink_answer *answer)
{
	if (self->last != NULL)
		self->last->next = answer;
	else
		self->first = answer;
	self->last = answer;
	self->queued += answer->length;
	poll_notify(&self->socket.poll_state, POLLIN | POLLRDNORM);
}

/* Answer the requests of one message, up to the first that is none. */
static int answer_all(struct netlink_socket *self, const uint8_t *message, size_t length)
{
	size_t at = 0;
	while (at + sizeof(struct nlmsghdr) <= length) {
		const struct nlmsghdr *request = (const void *)(message + at);
		if (request->nlmsg_len < sizeof(*request) || request->nlmsg_len > length - at)
			break;
		struct netlink_answer *answer = kmalloc(sizeof(*answer) + NETLINK_ANSWER_MAX);
		if (answer == NULL || self->queued >= self->socket.receive_buffer) {
			kfree(answer);
			return -ENOBUFS;
		}
		/* Before the data, which may begin in the padding of the structure. */
		*answer = (struct netlink_answer){.next = NULL};
		struct netlink_text text = {answer->data, 0};
		route_answer(request, self->port, &text);
		answer->length = text.length;
		if (text.length > 0)
			append(self, answer);
		else
			kfree(answer);
		at += NLMSG_ALIGN(request->nlmsg_len);
	}
	return 0;
}

static int64_t send(struct socket *socket, struct message *message)
{
	struct netlink_socket *self = of(socket);
	struct io before = *message->io;
	size_t length = message->io->remaining;
	struct sockaddr_nl name = {0};
	int error = message->address != NULL ? read_name(message->address, &name) : 0;
	if (error == 0 && name.nl_pid != 0)
		error = -ECONNREFUSED; /* nobody but the kernel answers */
	if (error == 0 && length > REQUEST_MAX)
		error = -EMSGSIZE;
	if (error != 0)
		return error;
	give_port(self);
	uint8_t *copy = kmalloc(length + 1);
	if (copy == NULL)
		return -ENOBUFS;
	error = io_take(message->io, copy, length);
	if (error == 0)
		error = answer_all(self, copy, length);
	kfree(copy);
	if (error != 0)
		*message->io = before;
	return error != 0 ? error : (int64_t)length;
}

/* ---- Answers ---- */

static void drop_first(struct netlink_socket *self)
{
	struct netlink_answer *first = self->first;
	self->first = first->next;
	if (self->first == NULL)
		self->last = NULL;
	self->queued -= first->length;
	kfree(first);
}

static int64_t receive(struct socket *socket, struct message *message)
{
	struct netlink_socket *self = of(socket);
	bool waits = (message->flags & MSG_DONTWAIT) == 0;
	uint64_t deadline = socket_deadline(socket->receive_timeout, waits);
	while (self->first == NULL) {
		int error = socket_wait(&socket->poll_state, POLLIN, deadline);
		if (error != 0)
			return error;
	}
	uint64_t whole = self->first->length, part = whole;
	if (part > message->io->remaining) {
		part = message->io->remaining;
		message->result |= MSG_TRUNC;
	}
	if (io_put(message->io, self->first->data, part) != 0)
		return -EFAULT;
	if (message->address != NULL)
		put_name(message->address, 0);
	if ((message->flags & MSG_PEEK) == 0)
		drop_first(self);
	return (int64_t)((message->flags & MSG_TRUNC) != 0 ? whole : part);
}

/* ---- The socket ---- */

static unsigned get_events(struct socket *socket)
{
	const unsigned room = POLLOUT | POLLWRNORM | POLLWRBAND;
	return of(socket)->first != NULL ? room | POLLIN | POLLRDNORM : room;
}

static void close_socket(struct socket *socket) { of(socket)->port = 0; }

static void release(struct socket *socket)
{
	struct netlink_socket *self = of(socket), **link = &all;
	while (*link != self)
		link = &(*link)->next;
	*link = self->next;
	while (self->first != NULL)
		drop_first(self);
	kfree(self);
}

static const struct socket_operations operations = {
	.bind = bind,
	.name = get_name,
	.send = send,
	.receive = receive,
	.poll = get_events,
	.close = close_socket,
	.release = release,
};

static int create(int type, int protocol, struct socket **made)
{
	if (interface_first() == NULL)
		return -EAFNOSUPPORT;
	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol != NETLINK_ROUTE)
		return -EPROTONOSUPPORT;
	struct netlink_socket *self = kcalloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	socket_initialize(&self->socket, &operations, AF_NETLINK, type);
	self->next = all;
	all = self;
	*made = &self->socket;
	return 0;
}

const struct socket_family netlink_family = {.number = AF_NETLINK, .create = create};
