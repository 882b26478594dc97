/* Sockets as files, and the families there are. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <calypso/user.h>
#include <file/permission.h>
#include <net/inet/inet.h>
#include <net/interface/interface.h>
#include <net/netlink/netlink.h>
#include <net/packet/packet.h>
#include <net/socket.h>
#include <net/unix/unix.h>
#include <net/vsock/vsock.h>
#include <process/signal.h>
#include <uapi/termios.h>

/* Linux's net.core.wmem_default and rmem_default. */
#define BUFFER_DEFAULT 212992

static const struct socket_family *const families[] = {
	&unix_family,
	&inet_family,
	&netlink_family,
	&packet_family,
	&vsock_family,
};

static struct socket *of_file(struct file *file) { return container_of(file, struct socket, file); }

/* ---- The file ---- */

static int transferred(int64_t result) { return result < 0 ? (int)result : 0; }

static unsigned wait_flag(unsigned flags) { return (flags & O_NONBLOCK) != 0 ? MSG_DONTWAIT : 0; }

static int file_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)offset;
	struct socket *socket = of_file(file);
	struct message message = {.io = io, .flags = wait_flag(flags)};
	if (io->remaining == 0)
		return 0;
	if (socket->operations->receive == NULL)
		return -EOPNOTSUPP;
	int64_t result = socket->operations->receive(socket, &message);
	rights_free(message.ancillary.rights);
	return transferred(result);
}

static int file_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)offset;
	struct socket *socket = of_file(file);
	struct message message = {.io = io, .flags = wait_flag(flags)};
	if (socket->operations->send == NULL)
		return -EOPNOTSUPP;
	return transferred(socket->operations->send(socket, &message));
}

static unsigned file_poll(struct file *file, unsigned flags)
{
	(void)flags;
	return of_file(file)->operations->poll(of_file(file));
}

/* What neither the family nor the interfaces know is -ENOTTY. */
static int64_t other_control(struct socket *socket, unsigned request, user_t argument)
{
	int64_t result = -ENOTTY;
	if (socket->operations->control != NULL)
		result = socket->operations->control(socket, request, argument);
	return result != -ENOTTY ? result : interface_control(request, argument);
}

static int64_t file_control(struct file *file, unsigned request, user_t argument)
{
	struct socket *socket = of_file(file);
	int64_t (*count)(struct socket *socket) = NULL;
	if (request == FIONREAD)
		count = socket->operations->bytes_in;
	else if (request == TIOCOUTQ)
		count = socket->operations->bytes_out;
	if (count == NULL)
		return other_control(socket, request, argument);
	int64_t bytes = count(socket);
	int32_t value = (int32_t)bytes;
	return bytes < 0 ? bytes : user_put(argument, &value);
}

/* By its name in /proc a socket cannot be opened once more. */
static int file_open(struct file *file, unsigned flags)
{
	(void)flags;
	struct socket *socket = of_file(file);
	if (socket->is_open)
		return -ENXIO;
	socket->is_open = true;
	return 0;
}

static void file_close(struct file *file, unsigned flags)
{
	(void)flags;
	of_file(file)->operations->close(of_file(file));
}

static const struct file_operations socket_file_operations = {
	.read = file_read,
	.write = file_write,
	.poll = file_poll,
	.control = file_control,
	.open = file_open,
	.close = file_close,
};

static void file_release(struct file *file)
{
	of_file(file)->operations->release(of_file(file));
}

static const struct file_system sockets = {
	.name = "sockfs",
	.label = "socket",
	.device = 5,
	.magic = SOCKFS_MAGIC,
	.release = file_release,
};

struct socket *socket_of(const struct open_file *open)
{
	struct file *file = open->file;
	return file->operations == &socket_file_operations ? of_file(file) : NULL;
}

/* ---- Making ---- */

void socket_initialize(struct socket *socket, const struct socket_operations *operations,
		       int family, int type)
{
	static uint64_t last_number;
	*socket = (struct socket){
		.operations = operations,
		.family = family,
		.type = type,
		.send_buffer = BUFFER_DEFAULT,
		.receive_buffer = BUFFER_DEFAULT,
		.low_water = 1,
		.send_timeout = TIME_FOREVER,
		.receive_timeout = TIME_FOREVER,
		.peer = {.uid = UINT32_MAX, .gid = UINT32_MAX},
	};
	file_initialize(&socket->file, &sockets, &socket_file_operations, S_IFSOCK | 0777,
			file_now());
	permission_own(&socket->file);
	socket->file.number = ++last_number;
	socket->file.poll_state = &socket->poll_state;
}

static int find_family(int number, int type, const struct socket_family **found)
{
	if (number < 0 || number >= AF_MAX)
		return -EAFNOSUPPORT;
	if (type < 0 || type >= SOCK_MAX)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		*found = families[i];
		if (families[i]->number == number)
			return 0;
	}
	return -EAFNOSUPPORT;
}

int socket_create(int family, int type, int protocol, struct socket **made)
{
	const struct socket_family *found;
	int error = find_family(family, type, &found);
	return error != 0 ? error : found->create(type, protocol, made);
}

int socket_create_pair(int family, int type, int protocol, struct socket *made[2])
{
	const struct socket_family *found;
	int error = find_family(family, type, &found);
	if (error == 0 && found->pair == NULL)
		error = -EOPNOTSUPP;
	if (error == 0)
		error = found->create(type, protocol, &made[0]);
	if (error != 0)
		return error;
	error = found->create(type, protocol, &made[1]);
	if (error != 0) {
		socket_put(made[0]);
		return error;
	}
	found->pair(made[0], made[1]);
	return 0;
}

/* ---- What the families share ---- */

int socket_take_error(struct socket *socket)
{
	int error = -socket->error;
	socket->error = 0;
	return error;
}

uint64_t socket_deadline(uint64_t timeout, bool waits)
{
	if (!waits || timeout == 0)
		return 0;
	return timeout == TIME_FOREVER ? TIME_FOREVER : time_monotonic() + timeout;
}

int socket_wait(struct poll_state *state, unsigned events, uint64_t deadline)
{
	if (deadline == 0)
		return -EAGAIN;
	int error = poll_wait_for(state, events, deadline);
	/* A call that began again would wait for the whole time again. */
	return error == -ERESTARTSYS && deadline != TIME_FOREVER ? -EINTR : error;
}
