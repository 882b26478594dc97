/* Sockets: what all families of protocols share.
 *
 * A family (AF_UNIX, ...) makes sockets and brings a table of operations for each type of them; it
 * embeds `struct socket` in an object of its own. The calls of socket(2) and its relatives end in
 * these operations, and so do read, write, poll and close of the file that each socket is.
 *
 * A socket holds the references of a file: descriptors hold it through its open file, whose end is
 * the operation `close`; families may hold further ones (`socket_get`), and the object lives until
 * the last is gone, which is the operation `release`.
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <file/open_file.h>
#include <file/poll.h>
#include <net/message.h>
#include <uapi/socket.h>

struct socket;

/* What is absent fails with EOPNOTSUPP. `waits` is false for sockets with O_NONBLOCK. */
struct socket_operations {
	int (*bind)(struct socket *socket, const struct socket_address *address);
	int (*listen)(struct socket *socket, unsigned backlog);
	int (*connect)(struct socket *socket, const struct socket_address *address, bool waits);
	int (*accept)(struct socket *socket, bool waits, struct socket **accepted);
	int (*name)(struct socket *socket, bool of_peer, struct socket_address *address);
	int (*shutdown)(struct socket *socket, int how);

	/* Transfer one message, or part of a stream. The number of bytes, or an error, with which
	 * message->io is as it was. */
	int64_t (*send)(struct socket *socket, struct message *message);
	int64_t (*receive)(struct socket *socket, struct message *message);

	/* POLL* events that hold now. */
	unsigned (*poll)(struct socket *socket);

	/* What the ioctls FIONREAD and TIOCOUTQ tell: bytes to be read, bytes not yet taken by the
	 * peer; or an error. */
	int64_t (*bytes_in)(struct socket *socket);
	int64_t (*bytes_out)(struct socket *socket);

	/* The ioctls of the family; -ENOTTY for those that are none. */
	int64_t (*control)(struct socket *socket, unsigned request, user_t argument);

	/* Options of other levels than SOL_SOCKET; of a `length` that is not negative. */
	int (*get_option)(struct socket *socket, int level, int option, user_t value, int *length);
	int (*set_option)(struct socket *socket, int level, int option, user_t value, int length);

	/* The last descriptor is gone: nobody makes a call on the socket any more. */
	void (*close)(struct socket *socket);

	/* The last reference is gone: free the object. */
	void (*release)(struct socket *socket);
};

struct socket_family {
	int number; /* AF_* */

	/* A socket with one reference. -ESOCKTNOSUPPORT, -EPROTONOSUPPORT, -ENOMEM. */
	int (*create)(int type, int protocol, struct socket **made);

	/* Connect two new ones of the family with each other. NULL: -EOPNOTSUPP. */
	void (*pair)(struct socket *first, struct socket *second);
};

enum socket_flag {
	SOCKET_DEBUG = 1u << 0, /* one for each option that is on or off */
	SOCKET_REUSE_ADDRESS = 1u << 1,
	SOCKET_DONT_ROUTE = 1u << 2,
	SOCKET_BROADCAST = 1u << 3,
	SOCKET_KEEP_ALIVE = 1u << 4,
	SOCKET_OOB_INLINE = 1u << 5,
	SOCKET_PASS_CREDENTIALS = 1u << 6,
};

struct socket {
	struct file file;
	struct poll_state poll_state;
	const struct socket_operations *operations;
	int family;
	int type;
	bool is_open; /* by its own open file, of which there is one */
	bool listens;
	unsigned flags; /* SOCKET_* */
	int error;	/* errno value that the next call is to tell, or 0 */
	unsigned send_buffer; /* bytes, as Linux counts them */
	unsigned receive_buffer;
	unsigned low_water;
	int priority;
	struct linger linger;
	uint64_t send_timeout; /* ns; TIME_FOREVER: none */
	uint64_t receive_timeout;
	struct ucred peer; /* who the peer was when the connection was made */
};

/* Fill in a new socket, whose file gets its first reference. */
void socket_initialize(struct socket *socket, const struct socket_operations *operations,
		       int family, int type);

/* A socket of a family: 0; -EAFNOSUPPORT, -EINVAL for a type that no family has, or what the
 * family says. */
int socket_create(int family, int type, int protocol, struct socket **made);

/* Two that are connected with each other. */
int socket_create_pair(int family, int type, int protocol, struct socket *made[2]);

/* The socket that an open file is, or NULL. */
struct socket *socket_of(const struct open_file *open);

static inline struct socket *socket_get(struct socket *socket)
{
	file_get(&socket->file);
	return socket;
}

static inline void socket_put(struct socket *socket)
{
	if (socket != NULL)
		file_put(&socket->file);
}

/* Take the pending error: negative, or 0. */
int socket_take_error(struct socket *socket);

/* When a call with this timeout gives up: 0 for one that does not wait. */
uint64_t socket_deadline(uint64_t timeout, bool waits);

/* Wait until `state` tells one of these events: 0; -EAGAIN when time is up; -ERESTARTSYS or -EINTR
 * for a signal. */
int socket_wait(struct poll_state *state, unsigned events, uint64_t deadline);

/* Options. `length` is in and out; -ENOPROTOOPT for those that are not there. */
int socket_get_option(struct socket *socket, int level, int option, user_t value, int *length);
int socket_set_option(struct socket *socket, int level, int option, user_t value, int length);

#endif
