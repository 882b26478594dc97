/* Sockets that only lie in each other's queues.
 *
 * A socket that was sent through a socket is held by the message. Where all references to a
 * socket's open file are those of messages, and these messages lie in queues of sockets of which
 * the same is true, no program can reach any of them: they hold each other for ever. Such sockets
 * are found by a walk from all that something else holds, through the messages in their queues.
 */
#include <calypso/lib.h>
#include <net/unix/unix.h>

#define IN_FLIGHT_MIN 64

/* References of messages in queues to sockets' open files; and how many there may be before garbage
 * is looked for among them: a walk is then paid for by as many messages. */
static unsigned all_in_flight;
static unsigned most_in_flight = IN_FLIGHT_MIN;

static struct unix_socket *unix_socket_of(const struct open_file *open)
{
	struct socket *socket = socket_of(open);
	return socket == NULL || socket->family != AF_UNIX ? NULL : unix_of(socket);
}

static void count(const struct rights *rights, int change)
{
	for (unsigned i = 0; i < rights->count; i++) {
		struct unix_socket *socket = unix_socket_of(rights->files[i]);
		if (socket == NULL)
			continue;
		socket->open = rights->files[i];
		socket->in_flight += (unsigned)change;
		all_in_flight += (unsigned)change;
	}
}

void unix_rights_queued(const struct rights *rights) { count(rights, 1); }

void unix_rights_taken(const struct rights *rights) { count(rights, -1); }

/* ---- The walk ---- */

static struct unix_socket *reached; /* and not yet walked through */

static void reach(struct unix_socket *socket)
{
	if (socket == NULL || socket->is_reached)
		return;
	socket->is_reached = true;
	socket->next_reached = reached;
	reached = socket;
}

static void walk_through(const struct unix_socket *socket)
{
	for (const struct unix_message *message = socket->queue.first; message != NULL;
	     message = message->next) {
		for (unsigned i = 0; message->rights != NULL && i < message->rights->count; i++)
			reach(unix_socket_of(message->rights->files[i]));
	}
	for (struct unix_socket *pending = socket->pending_first; pending != NULL;
	     pending = pending->next_pending)
		reach(pending);
}

static bool is_held(const struct unix_socket *socket)
{
	if (socket->closed || socket->is_pending)
		return false;
	return socket->in_flight == 0 || socket->open->references > socket->in_flight;
}

static void walk(void)
{
	for (struct unix_socket *socket = unix_sockets; socket != NULL; socket = socket->next)
		socket->is_reached = false;
	for (struct unix_socket *socket = unix_sockets; socket != NULL; socket = socket->next) {
		if (is_held(socket))
			reach(socket);
	}
	while (reached != NULL) {
		struct unix_socket *socket = reached;
		reached = socket->next_reached;
		walk_through(socket);
	}
}

struct unix_message *unix_find_garbage(void)
{
	struct unix_message *garbage = NULL, *message;
	if (all_in_flight == 0)
		return NULL;
	walk();
	for (struct unix_socket *socket = unix_sockets; socket != NULL; socket = socket->next) {
		while (!socket->is_reached && (message = unix_take_first(socket)) != NULL) {
			message->next = garbage;
			garbage = message;
		}
	}
	most_in_flight = 2 * all_in_flight + IN_FLIGHT_MIN;
	return garbage;
}

bool unix_garbage_is_due(void) { return all_in_flight > most_in_flight; }
