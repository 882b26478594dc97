/* Calls that send and receive messages. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <process/calls/socket.h>
#include <process/calls/vector.h>
#include <process/calls/wait.h>

/* Linux's UIO_MAXIOV, also of messages in one call. */
#define MESSAGES_MAX IOV_MAX

static int64_t send_message(const struct socket_call *call, struct message *message)
{
	if (call->socket->operations->send == NULL)
		return -EOPNOTSUPP;
	if (!call->waits)
		message->flags |= MSG_DONTWAIT;
	return call->socket->operations->send(call->socket, message);
}

static int64_t receive_message(const struct socket_call *call, struct message *message)
{
	if (call->socket->operations->receive == NULL)
		return -EOPNOTSUPP;
	if (!call->waits)
		message->flags |= MSG_DONTWAIT;
	return call->socket->operations->receive(call->socket, message);
}

/* ---- One buffer ---- */

static int64_t send_to(int number, struct io *io, unsigned flags, user_t to, int length)
{
	struct socket_call call;
	struct socket_address address;
	struct message message = {.io = io, .flags = flags};
	int64_t result = socket_call_begin(&call, number);
	if (result != 0)
		return result;
	if (to != 0) {
		result = socket_copy_address(to, length, &address);
		message.address = length == 0 ? NULL : &address;
	}
	if (result == 0)
		result = send_message(&call, &message);
	socket_call_end(&call);
	return result;
}

SYSCALL6(sendto, int, number, user_t, buffer, uint64_t, size, unsigned, flags, user_t, to, int,
	 length)
{
	struct io io = io_program(buffer, size);
	return send_to(number, &io, flags, to, length);
}

static int64_t receive_from(int number, struct io *io, unsigned flags, user_t from, user_t length)
{
	struct socket_call call;
	struct socket_address address = {.length = 0};
	struct message message = {.io = io, .flags = flags, .address = &address};
	int64_t result = socket_call_begin(&call, number);
	if (result != 0)
		return result;
	result = receive_message(&call, &message);
	socket_call_end(&call);
	rights_free(message.ancillary.rights);
	if (result < 0 || from == 0)
		return result;
	int error = socket_put_address(&address, from, length);
	return error != 0 ? error : result;
}

SYSCALL6(recvfrom, int, number, user_t, buffer, uint64_t, size, unsigned, flags, user_t, from,
	 user_t, length)
{
	struct io io = io_program(buffer, size);
	return receive_from(number, &io, flags, from, length);
}

/* ---- struct msghdr ---- */

/* The name's length as it counts: none without a name, and no more than an address can have. */
static int check_header(struct msghdr *header)
{
	if (header->msg_name == 0)
		header->msg_namelen = 0;
	if ((int32_t)header->msg_namelen < 0)
		return -EINVAL;
	if (header->msg_namelen > SOCKADDR_STORAGE_SIZE)
		header->msg_namelen = SOCKADDR_STORAGE_SIZE;
	return header->msg_iovlen > IOV_MAX ? -EMSGSIZE : 0;
}

static int64_t send_with_vector(const struct socket_call *call, const struct msghdr *header,
				struct message *message)
{
	struct vector vector;
	int64_t result = vector_begin(&vector, header->msg_iov, header->msg_iovlen);
	message->io = &vector.io;
	if (result == 0 && header->msg_controllen > INT32_MAX)
		result = -ENOBUFS;
	if (result == 0)
		result = control_read(header->msg_control, header->msg_controllen,
				      call->socket->family, &message->ancillary);
	if (result == 0)
		result = send_message(call, message);
	rights_free(message->ancillary.rights);
	vector_end(&vector);
	return result;
}

static int64_t send_header(const struct socket_call *call, user_t address, unsigned flags)
{
	struct msghdr header;
	struct socket_address to;
	struct message message = {.flags = flags};
	if (user_get(&header, address) != 0)
		return -EFAULT;
	int error = check_header(&header);
	if (error == 0 && header.msg_namelen > 0) {
		error = socket_copy_address(header.msg_name, (int)header.msg_namelen, &to);
		message.address = &to;
	}
	return error != 0 ? error : send_with_vector(call, &header, &message);
}

SYSCALL3(sendmsg, int, number, user_t, header, unsigned, flags)
{
	struct socket_call call;
	int64_t result = socket_call_begin(&call, number);
	if (result != 0)
		return result;
	result = send_header(&call, header, flags);
	socket_call_end(&call);
	return result;
}

static int put_name(const struct socket_address *from, const struct msghdr *header, user_t address)
{
	if (header->msg_name == 0)
		return 0;
	if (user_put(address + offsetof(struct msghdr, msg_namelen), &header->msg_namelen) != 0)
		return -EFAULT;
	return socket_put_address(from, header->msg_name,
				  address + offsetof(struct msghdr, msg_namelen));
}

/* Store what recvmsg tells besides the data. */
static int put_results(const struct socket_call *call, const struct msghdr *header, user_t address,
		       const struct message *message)
{
	const unsigned shown = MSG_CMSG_CLOEXEC;
	struct control_room room = {
		.at = header->msg_control,
		.left = header->msg_control == 0 ? 0 : header->msg_controllen,
		.close_on_exec = (message->flags & MSG_CMSG_CLOEXEC) != 0,
	};
	control_write(&room, call->socket, &message->ancillary);
	unsigned flags = message->result | (message->flags & shown) | (room.is_cut ? MSG_CTRUNC : 0);
	uint64_t used = header->msg_control == 0 ? 0 : room.at - header->msg_control;
	int error = put_name(message->address, header, address);
	if (error == 0)
		error = user_put(address + offsetof(struct msghdr, msg_flags), &flags);
	if (error == 0)
		error = user_put(address + offsetof(struct msghdr, msg_controllen), &used);
	return error;
}

static int64_t receive_header(const struct socket_call *call, user_t address, unsigned flags)
{
	struct msghdr header;
	struct vector vector;
	struct socket_address from = {.length = 0};
	struct message message = {.io = &vector.io, .flags = flags, .address = &from};
	if (user_get(&header, address) != 0)
		return -EFAULT;
	int64_t result = check_header(&header);
	if (result != 0)
		return result;
	result = vector_begin(&vector, header.msg_iov, header.msg_iovlen);
	if (result == 0)
		result = receive_message(call, &message);
	vector_end(&vector);
	int error = result < 0 ? 0 : put_results(call, &header, address, &message);
	rights_free(message.ancillary.rights);
	return error != 0 ? error : result;
}

SYSCALL3(recvmsg, int, number, user_t, header, unsigned, flags)
{
	struct socket_call call;
	int64_t result = socket_call_begin(&call, number);
	if (result != 0)
		return result;
	result = receive_header(&call, header, flags);
	socket_call_end(&call);
	return result;
}

/* ---- Several messages in one call ---- */

static user_t entry_at(user_t vector, unsigned index)
{
	return vector + index * sizeof(struct mmsghdr);
}

static int put_length(user_t entry, int64_t length)
{
	uint32_t value = (uint32_t)length;
	return user_put(entry + offsetof(struct mmsghdr, msg_len), &value);
}

static int64_t send_several(const struct socket_call *call, user_t vector, unsigned count,
			    unsigned flags)
{
	int64_t result = 0;
	for (unsigned i = 0; i < count; i++) {
		user_t entry = entry_at(vector, i);
		result = send_header(call, entry, flags);
		if (result >= 0)
			result = put_length(entry, result);
		if (result < 0)
			return i > 0 ? (int64_t)i : result;
	}
	return count;
}

SYSCALL4(sendmmsg, int, number, user_t, vector, unsigned, count, unsigned, flags)
{
	struct socket_call call;
	int64_t result = socket_call_begin(&call, number);
	if (result != 0)
		return result;
	result = send_several(&call, vector, count < MESSAGES_MAX ? count : MESSAGES_MAX, flags);
	socket_call_end(&call);
	return result;
}

static int64_t receive_several(const struct socket_call *call, user_t vector, unsigned count,
			       unsigned flags, uint64_t deadline)
{
	unsigned done = 0;
	int64_t result = 0;
	while (done < count) {
		user_t entry = entry_at(vector, done);
		result = receive_header(call, entry, flags & ~(unsigned)MSG_WAITFORONE);
		if (result >= 0)
			result = put_length(entry, result);
		if (result < 0)
			break;
		done++;
		if ((flags & MSG_WAITFORONE) != 0)
			flags |= MSG_DONTWAIT;
		if (deadline != TIME_FOREVER && time_monotonic() >= deadline)
			break;
	}
	if (done == 0)
		return result;
	/* What went wrong after some messages is told by the next call. */
	if (result < 0 && result != -EAGAIN)
		call->socket->error = (int)-result;
	return done;
}

/* Linux looks at the time between messages only. What is left of it is told as for select. */
SYSCALL5(recvmmsg, int, number, user_t, vector, unsigned, count, unsigned, flags, user_t, time)
{
	struct socket_call call;
	uint64_t deadline;
	int64_t result = wait_deadline(time, &deadline);
	if (result == 0)
		result = socket_call_begin(&call, number);
	if (result != 0)
		return result;
	result = receive_several(&call, vector, count < MESSAGES_MAX ? count : MESSAGES_MAX, flags,
				 deadline);
	socket_call_end(&call);
	return result;
}
