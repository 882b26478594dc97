/* Control messages (cmsg): what sendmsg and recvmsg move beside the data. */
#include <calypso/lib.h>
#include <process/calls/socket.h>

/* Linux's net.core.optmem_max: longer control data is refused. */
#define CONTROL_MAX (128 * 1024)

/* ---- Sending ---- */

static int add_rights(const int32_t *numbers, uint64_t count, struct ancillary *ancillary)
{
	unsigned before = ancillary->rights == NULL ? 0 : ancillary->rights->count;
	if (count == 0)
		return 0;
	if (before + count > SCM_MAX_FD)
		return -EINVAL;
	struct rights *rights = rights_extend(ancillary->rights, (unsigned)count);
	if (rights == NULL)
		return -ENOMEM;
	ancillary->rights = rights;
	for (uint64_t i = 0; i < count; i++) {
		struct open_file *open =
			descriptor_find(&file_context()->descriptors, numbers[i]);
		if (open == NULL)
			return -EBADF;
		rights->files[rights->count++] = open_file_get(open);
	}
	return 0;
}

/* Whether they are the caller's own, in one of the ways in which it has any. */
static bool are_own(const struct ucred *given)
{
	const struct credentials *self = credentials();
	bool user = given->uid == self->real_user || given->uid == self->effective_user ||
		    given->uid == self->saved_user;
	bool group = given->gid == self->real_group || given->gid == self->effective_group ||
		     given->gid == self->saved_group;
	return given->pid == PROCESS_ID && user && group;
}

/* The superuser may call itself anybody, but only processes that exist can send. */
static int set_credentials(const struct ucred *given, struct ancillary *ancillary)
{
	if (!is_superuser() && !are_own(given))
		return -EPERM;
	if (given->uid == NOBODY || given->gid == NOBODY)
		return -EINVAL;
	if (given->pid != PROCESS_ID)
		return -ESRCH;
	ancillary->has_credentials = true;
	ancillary->credentials = *given;
	return 0;
}

static int read_one(const struct cmsghdr *header, int family, struct ancillary *ancillary)
{
	const void *data = header + 1;
	uint64_t length = header->cmsg_len - sizeof(*header);
	if (header->cmsg_level != SOL_SOCKET)
		return 0;
	if (header->cmsg_type == SCM_RIGHTS && family == AF_UNIX)
		return add_rights(data, length / sizeof(int32_t), ancillary);
	if (header->cmsg_type == SCM_CREDENTIALS && length == sizeof(struct ucred))
		return set_credentials(data, ancillary);
	return -EINVAL;
}

static int read_all(const uint8_t *control, uint64_t length, int family,
		    struct ancillary *ancillary)
{
	uint64_t at = 0;
	while (at + sizeof(struct cmsghdr) <= length) {
		const struct cmsghdr *header = (const void *)(control + at);
		if (header->cmsg_len < sizeof(*header) || header->cmsg_len > length - at)
			return -EINVAL;
		int error = read_one(header, family, ancillary);
		if (error != 0)
			return error;
		at += CMSG_ALIGN(header->cmsg_len);
	}
	return 0;
}

int control_read(user_t control, uint64_t length, int family, struct ancillary *ancillary)
{
	if (length == 0)
		return 0;
	if (length > CONTROL_MAX)
		return -ENOBUFS;
	uint8_t *copy = kmalloc(length);
	if (copy == NULL)
		return -ENOMEM;
	int error = user_copy_in(copy, control, length);
	if (error == 0)
		error = read_all(copy, length, family, ancillary);
	kfree(copy);
	return error;
}

/* ---- Receiving ---- */

static void advance(struct control_room *room, uint64_t length)
{
	if (length > room->left)
		length = room->left;
	room->at += length;
	room->left -= length;
}

static void put_credentials(struct control_room *room, const struct ucred *credentials)
{
	struct {
		struct cmsghdr header;
		struct ucred credentials;
	} message = {
		{CMSG_LEN(sizeof(*credentials)), SOL_SOCKET, SCM_CREDENTIALS},
		*credentials,
	};
	if (room->left < sizeof(message.header)) {
		room->is_cut = true;
		return;
	}
	if (room->left < message.header.cmsg_len) {
		room->is_cut = true;
		message.header.cmsg_len = room->left;
	}
	if (user_copy_out(room->at, &message, message.header.cmsg_len) == 0)
		advance(room, CMSG_SPACE(sizeof(*credentials)));
}

/* Give an open file a descriptor and store that at `to`. */
static int install(struct open_file *open, bool close_on_exec, user_t to)
{
	struct descriptor_table *table = &file_context()->descriptors;
	int32_t number = descriptor_add(table, open_file_get(open), 0, close_on_exec);
	if (number < 0)
		return number;
	int error = user_put(to, &number);
	if (error != 0)
		descriptor_close(table, number);
	return error;
}

static void put_rights(struct control_room *room, const struct rights *rights)
{
	struct cmsghdr header = {0, SOL_SOCKET, SCM_RIGHTS};
	uint64_t fits = 0;
	unsigned done = 0;
	int error = 0;
	if (room->left > sizeof(header))
		fits = (room->left - sizeof(header)) / sizeof(int32_t);
	while (done < rights->count && done < fits && error == 0) {
		user_t to = room->at + sizeof(header) + done * sizeof(int32_t);
		error = install(rights->files[done], room->close_on_exec, to);
		done += error == 0;
	}
	if (done < rights->count)
		room->is_cut = true;
	header.cmsg_len = CMSG_LEN(done * sizeof(int32_t));
	if (done > 0 && user_put(room->at, &header) == 0)
		advance(room, CMSG_SPACE(done * sizeof(int32_t)));
}

void control_write(struct control_room *room, const struct socket *socket,
		   const struct ancillary *ancillary)
{
	if ((socket->flags & SOCKET_PASS_CREDENTIALS) != 0 && ancillary->has_credentials)
		put_credentials(room, &ancillary->credentials);
	if (ancillary->rights != NULL)
		put_rights(room, ancillary->rights);
}
