/* Messages of AF_UNIX and the queues that they wait in. */
#include <calypso/lib.h>
#include <net/unix/unix.h>

/* ---- What a message counts, as on Linux ----
 *
 * Linux keeps a message in a block from an allocator that rounds up to powers of two, with its own
 * record at the end; the part of a large one that such a block does not hold lies in whole pages.
 */
#define BLOCK_MIN 512
#define RECORD_SIZE 320 /* in the block, behind the data */
#define HEADER_SIZE 256 /* apart from it */
#define CACHE_LINE 64
#define STREAM_BLOCK_DATA (PAGE_SIZE - RECORD_SIZE)	  /* with more, pages are taken */
#define DATAGRAM_BLOCK_DATA (4 * PAGE_SIZE - RECORD_SIZE) /* for what is beyond this */

static uint32_t charge_of(uint32_t length, bool is_stream)
{
	uint32_t block_data = is_stream ? STREAM_BLOCK_DATA : DATAGRAM_BLOCK_DATA;
	uint32_t in_pages = 0;
	if (length > block_data)
		in_pages = (uint32_t)ALIGN_UP(length - block_data, PAGE_SIZE);
	uint32_t in_block = in_pages < length ? length - in_pages : 0;
	uint32_t block = BLOCK_MIN;
	while (block < ALIGN_UP(in_block, CACHE_LINE) + RECORD_SIZE)
		block *= 2;
	return HEADER_SIZE + block + in_pages;
}

bool unix_is_writable(const struct unix_socket *socket)
{
	return socket->state != UNIX_LISTENING &&
	       (uint64_t)socket->charged * 4 <= socket->socket.send_buffer;
}

bool unix_is_full(const struct unix_socket *socket)
{
	return socket->queue.count + socket->pending_count > socket->backlog;
}

/* ---- Messages ---- */

int unix_make_message(struct unix_socket *sender, struct io *io, uint32_t length,
		      struct ancillary *ancillary, struct unix_message **made)
{
	if (ancillary->rights != NULL && unix_garbage_is_due())
		unix_collect_garbage();
	struct unix_message *message = kmalloc(sizeof(*message) + length);
	if (message == NULL)
		return -ENOBUFS;
	/* Before the data, which may begin in the padding of the structure. */
	*message = (struct unix_message){
		.sender = sender,
		.rights = ancillary->rights,
		.has_credentials = ancillary->has_credentials,
		.credentials = ancillary->credentials,
		.charge = charge_of(length, sender->socket.type == SOCK_STREAM),
		.length = length,
	};
	struct io before = *io;
	if (io_take(io, message->data, length) != 0) {
		*io = before;
		kfree(message);
		return -EFAULT;
	}
	socket_get(&sender->socket);
	ancillary->rights = NULL;
	sender->charged += message->charge;
	*made = message;
	return 0;
}

void unix_free_message(struct unix_message *message)
{
	struct unix_socket *sender = message->sender;
	sender->charged -= message->charge;
	if (unix_is_writable(sender))
		poll_notify(&sender->socket.poll_state, POLLOUT | POLLWRNORM | POLLWRBAND);
	socket_put(&sender->socket);
	rights_free(message->rights);
	kfree(message);
}

/* ---- Queues ---- */

/* Whether the receiver of a message is to learn who sent it, though the sender did not say. */
static bool wants_credentials(const struct unix_socket *sender, const struct unix_socket *target)
{
	return ((sender->socket.flags | target->socket.flags) & SOCKET_PASS_CREDENTIALS) != 0 ||
	       target->is_pending;
}

void unix_append(struct unix_socket *target, struct unix_message *message)
{
	if (!message->has_credentials && wants_credentials(message->sender, target)) {
		message->has_credentials = true;
		message->credentials = unix_sender_credentials();
	}
	if (message->rights != NULL)
		unix_rights_queued(message->rights);
	message->next = NULL;
	if (target->queue.last != NULL)
		target->queue.last->next = message;
	else
		target->queue.first = message;
	target->queue.last = message;
	target->queue.count++;
	poll_notify(&target->socket.poll_state, POLLIN | POLLRDNORM);
}

/* Those who have `target` as where their datagrams go may send again. */
static void tell_senders(struct unix_socket *target)
{
	poll_notify(&target->room, POLLOUT);
	for (struct unix_socket *socket = unix_sockets; socket != NULL; socket = socket->next) {
		if (socket->peer == target && target->peer != socket)
			poll_notify(&socket->socket.poll_state, POLLOUT | POLLWRNORM | POLLWRBAND);
	}
}

struct unix_message *unix_take_first(struct unix_socket *socket)
{
	struct unix_message *message = socket->queue.first;
	if (message == NULL)
		return NULL;
	bool was_full = unix_is_full(socket);
	socket->queue.first = message->next;
	if (socket->queue.first == NULL)
		socket->queue.last = NULL;
	socket->queue.count--;
	if (message->rights != NULL)
		unix_rights_taken(message->rights);
	if (was_full && socket->socket.type == SOCK_DGRAM && !unix_is_full(socket))
		tell_senders(socket);
	return message;
}

struct rights *unix_take_rights(struct unix_message *message)
{
	struct rights *rights = message->rights;
	if (rights != NULL)
		unix_rights_taken(rights);
	message->rights = NULL;
	return rights;
}
