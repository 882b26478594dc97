/* Calls on sockets, except those that transfer messages. */
#include <process/calls/at.h>
#include <process/calls/socket.h>

/* ---- Arguments ---- */

int socket_call_begin(struct socket_call *call, int number)
{
	struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	call->socket = socket_of(open);
	if (call->socket == NULL)
		return -ENOTSOCK;
	call->open = open_file_get(open);
	call->waits = (open->flags & O_NONBLOCK) == 0;
	return 0;
}

void socket_call_end(struct socket_call *call) { open_file_put(call->open); }

int socket_copy_address(user_t from, int length, struct socket_address *address)
{
	if (length < 0 || length > SOCKADDR_STORAGE_SIZE)
		return -EINVAL;
	*address = (struct socket_address){.length = (uint32_t)length};
	return user_copy_in(address->bytes, from, (size_t)length);
}

int socket_put_address(const struct socket_address *address, user_t to, user_t length)
{
	int32_t room, full = (int32_t)address->length;
	if (user_get(&room, length) != 0)
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	size_t part = (size_t)(room < full ? room : full);
	if (user_copy_out(to, address->bytes, part) != 0)
		return -EFAULT;
	return user_put(length, &full);
}

/* ---- Making ---- */

static bool are_flags(int flags) { return (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == 0; }

/* Give a new socket a descriptor. SOCK_NONBLOCK and SOCK_CLOEXEC are the flags of open. */
static int add(struct socket *socket, int flags)
{
	static_assert(SOCK_NONBLOCK == O_NONBLOCK && SOCK_CLOEXEC == O_CLOEXEC, "Linux");
	return descriptor_add_file(&file_context()->descriptors, &socket->file,
				   O_RDWR | (unsigned)flags);
}

SYSCALL3(socket, int, family, int, type, int, protocol)
{
	struct socket *socket;
	int flags = type & ~SOCK_TYPE_MASK;
	if (!are_flags(flags))
		return -EINVAL;
	int error = socket_create(family, type & SOCK_TYPE_MASK, protocol, &socket);
	return error != 0 ? error : add(socket, flags);
}

static int add_pair(struct socket *sockets[2], int flags, user_t address)
{
	struct descriptor_table *table = &file_context()->descriptors;
	int32_t numbers[2];
	numbers[0] = add(sockets[0], flags);
	numbers[1] = add(sockets[1], flags);
	int error = 0;
	if (numbers[0] < 0 || numbers[1] < 0)
		error = numbers[0] < 0 ? numbers[0] : numbers[1];
	else
		error = user_put(address, &numbers);
	for (unsigned i = 0; error != 0 && i < 2; i++)
		descriptor_close(table, numbers[i]);
	return error;
}

SYSCALL4(socketpair, int, family, int, type, int, protocol, user_t, address)
{
	struct socket *sockets[2];
	int flags = type & ~SOCK_TYPE_MASK;
	if (!are_flags(flags))
		return -EINVAL;
	int error = socket_create_pair(family, type & SOCK_TYPE_MASK, protocol, sockets);
	return error != 0 ? error : add_pair(sockets, flags, address);
}

/* ---- Names ---- */

/* Begin a call that has an address. */
static int begin_with_address(struct socket_call *call, int number, user_t from, int length,
			      struct socket_address *address)
{
	int error = socket_call_begin(call, number);
	if (error != 0)
		return error;
	error = socket_copy_address(from, length, address);
	if (error != 0)
		socket_call_end(call);
	return error;
}

SYSCALL3(bind, int, number, user_t, from, int, length)
{
	struct socket_call call;
	struct socket_address address;
	int error = begin_with_address(&call, number, from, length, &address);
	if (error != 0)
		return error;
	error = call.socket->operations->bind == NULL
			? -EOPNOTSUPP
			: call.socket->operations->bind(call.socket, &address);
	socket_call_end(&call);
	return error;
}

static int get_name(struct socket *socket, bool of_peer, struct socket_address *address)
{
	*address = (struct socket_address){.length = 0};
	if (socket->operations->name == NULL)
		return -EOPNOTSUPP;
	return socket->operations->name(socket, of_peer, address);
}

static int64_t tell_name(int number, bool of_peer, user_t to, user_t length)
{
	struct socket_call call;
	struct socket_address address;
	int error = socket_call_begin(&call, number);
	if (error != 0)
		return error;
	error = get_name(call.socket, of_peer, &address);
	socket_call_end(&call);
	return error != 0 ? error : socket_put_address(&address, to, length);
}

SYSCALL3(getsockname, int, number, user_t, to, user_t, length)
{
	return tell_name(number, false, to, length);
}

SYSCALL3(getpeername, int, number, user_t, to, user_t, length)
{
	return tell_name(number, true, to, length);
}

/* ---- Connections ---- */

SYSCALL2(listen, int, number, unsigned, backlog)
{
	struct socket_call call;
	int error = socket_call_begin(&call, number);
	if (error != 0)
		return error;
	if (backlog > SOMAXCONN)
		backlog = SOMAXCONN;
	error = call.socket->operations->listen == NULL
			? -EOPNOTSUPP
			: call.socket->operations->listen(call.socket, backlog);
	socket_call_end(&call);
	return error;
}

SYSCALL3(connect, int, number, user_t, from, int, length)
{
	struct socket_call call;
	struct socket_address address;
	int error = begin_with_address(&call, number, from, length, &address);
	if (error != 0)
		return error;
	error = call.socket->operations->connect == NULL
			? -EOPNOTSUPP
			: call.socket->operations->connect(call.socket, &address, call.waits);
	socket_call_end(&call);
	return error;
}

/* Accept, and store the peer's address where there is a place for it: the new descriptor. */
static int accept_from(const struct socket_call *call, user_t to, user_t length, int flags)
{
	struct socket_address address;
	struct socket *accepted;
	if (call->socket->operations->accept == NULL)
		return -EOPNOTSUPP;
	int error = call->socket->operations->accept(call->socket, call->waits, &accepted);
	if (error != 0)
		return error;
	if (to != 0)
		error = get_name(accepted, true, &address);
	int number = add(accepted, flags);
	if (number < 0 || to == 0)
		return number;
	error = error != 0 ? -ECONNABORTED : socket_put_address(&address, to, length);
	if (error == 0)
		return number;
	descriptor_close(&file_context()->descriptors, number);
	return error;
}

static int64_t accept_connection(int number, user_t to, user_t length, int flags)
{
	struct socket_call call;
	if (!are_flags(flags))
		return -EINVAL;
	int error = socket_call_begin(&call, number);
	if (error != 0)
		return error;
	int result = descriptor_check_room(&file_context()->descriptors);
	if (result == 0)
		result = accept_from(&call, to, length, flags);
	socket_call_end(&call);
	return result;
}

SYSCALL4(accept4, int, number, user_t, to, user_t, length, int, flags)
{
	return accept_connection(number, to, length, flags);
}

SYSCALL3(accept, int, number, user_t, to, user_t, length)
{
	return accept_connection(number, to, length, 0);
}

SYSCALL2(shutdown, int, number, int, how)
{
	struct socket_call call;
	int error = socket_call_begin(&call, number);
	if (error != 0)
		return error;
	error = call.socket->operations->shutdown == NULL
			? -EOPNOTSUPP
			: call.socket->operations->shutdown(call.socket, how);
	socket_call_end(&call);
	return error;
}

/* ---- Options ---- */

SYSCALL5(setsockopt, int, number, int, level, int, option, user_t, value, int, length)
{
	struct socket_call call;
	int error = socket_call_begin(&call, number);
	if (error != 0)
		return error;
	error = socket_set_option(call.socket, level, option, value, length);
	socket_call_end(&call);
	return error;
}

static int get_option(struct socket *socket, int level, int option, user_t value,
		      user_t length_address)
{
	int32_t length;
	if (user_get(&length, length_address) != 0)
		return -EFAULT;
	int error = socket_get_option(socket, level, option, value, &length);
	return error != 0 ? error : user_put(length_address, &length);
}

SYSCALL5(getsockopt, int, number, int, level, int, option, user_t, value, user_t, length)
{
	struct socket_call call;
	int error = socket_call_begin(&call, number);
	if (error != 0)
		return error;
	error = get_option(call.socket, level, option, value, length);
	socket_call_end(&call);
	return error;
}
