/* AF_UNIX: sockets within the machine, as in unix(7).
 *
 *   socket.c      the family: making, naming, shutting down, closing
 *   address.c     names: paths, abstract names, who is bound to which
 *   connection.c  listen, connect, accept
 *   message.c     messages and queues of them
 *   send.c        sending
 *   receive.c     receiving
 *   garbage.c     sockets that only lie in each other's queues
 *
 * What is sent lies in the queue of the socket that is to receive it, but counts against the send
 * buffer of its sender, as on Linux, whose numbers are used too: programs find a buffer full after
 * the same bytes.
 */
#ifndef NET_UNIX_UNIX_H
#define NET_UNIX_UNIX_H

#include <net/socket.h>

/* Linux's net.unix.max_dgram_qlen. */
#define UNIX_DATAGRAM_BACKLOG 10

enum unix_state { UNIX_UNCONNECTED, UNIX_LISTENING, UNIX_CONNECTED };

enum unix_shutdown { UNIX_NO_RECEIVING = 1, UNIX_NO_SENDING = 2 };

/* A name, shared by a listening socket and those that it accepts. */
struct unix_name {
	unsigned references;
	uint32_t length; /* of the address with its family; a path's with its NUL */
	char path[UNIX_PATH_MAX + 1];
};

struct unix_message {
	struct unix_message *next;
	struct unix_socket *sender; /* a reference */
	struct rights *rights;
	bool has_credentials;
	struct ucred credentials;
	uint32_t charge; /* what it counts against the sender's buffer */
	uint32_t length;
	uint32_t taken; /* bytes of it that were received, of a stream */
	uint8_t data[];
};

struct unix_queue {
	struct unix_message *first, *last;
	unsigned count;
};

struct unix_socket {
	struct socket socket;
	enum unix_state state;
	unsigned shutdown; /* UNIX_NO_* */
	bool closed;
	struct unix_socket *peer; /* a reference */

	/* Messages */
	struct unix_queue queue;
	unsigned charged;	/* of its own messages in queues of others */
	struct poll_state room; /* told POLLOUT when others can connect, or send, again */
	unsigned backlog;	/* connections or datagrams that may wait, and one more */

	/* Connections that nobody accepted yet, each a reference */
	struct unix_socket *pending_first, *pending_last;
	unsigned pending_count;
	struct unix_socket *next_pending;
	bool is_pending;

	/* Name */
	struct unix_name *name;	    /* NULL: none */
	struct file *node;	    /* that the name's path led to; NULL: an abstract name */
	struct unix_socket **bound; /* the bucket in which it is found by its name, or NULL */
	struct unix_socket *next_bound;

	/* All of them */
	struct unix_socket *previous, *next;
	struct unix_socket *next_closing;
	struct open_file *open; /* borrowed; known once it was in a message */
	unsigned in_flight;	/* references of messages to that */
	bool is_reached;    /* by who looks for garbage */
	struct unix_socket *next_reached;
};

extern const struct socket_family unix_family;

/* All sockets of the family. */
extern struct unix_socket *unix_sockets;

static inline struct unix_socket *unix_of(struct socket *socket)
{
	return container_of(socket, struct unix_socket, socket);
}

static inline bool unix_has_connections(const struct unix_socket *socket)
{
	return socket->socket.type != SOCK_DGRAM;
}

/* ---- Making and telling ---- */

/* A new socket, or NULL. */
struct unix_socket *unix_make(int type);

/* Who the running thread is: as the peer of a connection sees it (the effective user and group), and
 * as the receiver of a message (the real ones). */
struct ucred unix_own_credentials(void);
struct ucred unix_sender_credentials(void);

/* Everything may have changed for those who wait for this socket. */
void unix_tell_all(struct unix_socket *socket);

/* ---- Names ---- */

int unix_bind(struct socket *socket, const struct socket_address *address);
int unix_check_address(const struct socket_address *address);

/* Give it a name that nobody has, where it has none. */
int unix_bind_automatically(struct unix_socket *socket);

/* The same where its peer is to learn of credentials and could not answer otherwise. */
int unix_bind_for_credentials(struct unix_socket *socket);

/* Who is bound to an address: a reference. -ECONNREFUSED, -EPROTOTYPE, or what a walk gives. */
int unix_find(const struct socket_address *address, int type, struct unix_socket **found);

/* Copy the name; the family alone where there is none. */
void unix_copy_name(const struct unix_socket *socket, struct socket_address *address);

/* Nobody finds it by its name any more. */
void unix_unbind(struct unix_socket *socket);
void unix_free_name(struct unix_socket *socket);

/* ---- Connections ---- */

int unix_listen(struct socket *socket, unsigned backlog);
int unix_connect(struct socket *socket, const struct socket_address *address, bool waits);
int unix_connect_datagram(struct socket *socket, const struct socket_address *address, bool waits);
int unix_accept(struct socket *socket, bool waits, struct socket **accepted);
struct unix_socket *unix_take_pending(struct unix_socket *listener);

/* A datagram socket has lost `peer`, and with it what was not received yet. */
void unix_lose_peer(struct unix_socket *socket, struct unix_socket *peer);

/* ---- Messages ---- */

/* A message with `length` bytes from `io`: 0, -ENOBUFS, or -EFAULT with `io` as it was. It takes
 * the rights of `ancillary`. */
int unix_make_message(struct unix_socket *sender, struct io *io, uint32_t length,
		      struct ancillary *ancillary, struct unix_message **made);
void unix_free_message(struct unix_message *message);

void unix_append(struct unix_socket *target, struct unix_message *message);

/* Take the first one out; it no longer counts against its sender's buffer. */
struct unix_message *unix_take_first(struct unix_socket *socket);

/* Take the rights out of a message that is in a queue. */
struct rights *unix_take_rights(struct unix_message *message);

/* Whether there is room for another datagram or connection. */
bool unix_is_full(const struct unix_socket *socket);

/* Whether a sender's buffer counts as writable. */
bool unix_is_writable(const struct unix_socket *socket);

/* ---- Transfers ---- */

int64_t unix_send_stream(struct socket *socket, struct message *message);
int64_t unix_send_datagram(struct socket *socket, struct message *message);
int64_t unix_send_packet(struct socket *socket, struct message *message);
int64_t unix_receive_stream(struct socket *socket, struct message *message);
int64_t unix_receive_datagram(struct socket *socket, struct message *message);
int64_t unix_receive_packet(struct socket *socket, struct message *message);

/* ---- Garbage ---- */

/* A message with these rights gets into a queue, or out of one. */
void unix_rights_queued(const struct rights *rights);
void unix_rights_taken(const struct rights *rights);

/* Take all messages out of the queues of sockets that no descriptor can ever lead to again: they
 * are to be freed. */
struct unix_message *unix_find_garbage(void);

/* Close what is to be closed, and find and free garbage. It is looked for when any socket is closed
 * and, where garbage may be much of what is in flight, before more gets there. */
void unix_collect_garbage(void);
bool unix_garbage_is_due(void);

#endif
