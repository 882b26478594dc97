/* What the calls on sockets share: from the program's arguments to sockets and addresses. */
#ifndef PROCESS_CALLS_SOCKET_H
#define PROCESS_CALLS_SOCKET_H

#include <net/socket.h>
#include <process/syscall.h>

/* The socket of a descriptor for the time of a call. */
struct socket_call {
	struct open_file *open; /* a reference: another thread may close the descriptor */
	struct socket *socket;
	bool waits; /* it has no O_NONBLOCK */
};

/* 0, -EBADF or -ENOTSOCK; socket_call_end is due after success. */
int socket_call_begin(struct socket_call *call, int number);
void socket_call_end(struct socket_call *call);

/* Copy an address of the program: 0, -EINVAL for a length that none has, or -EFAULT. */
int socket_copy_address(user_t from, int length, struct socket_address *address);

/* Give the program an address, cut to the length that the int at `length` tells, and store there
 * how long it is. 0, -EINVAL or -EFAULT. */
int socket_put_address(const struct socket_address *address, user_t to, user_t length);

/* Copy the control messages of sendmsg: 0; -EINVAL, -EBADF, -EPERM or -ESRCH for what they hold;
 * -ENOBUFS, -ENOMEM or -EFAULT. */
int control_read(user_t control, uint64_t length, int family, struct ancillary *ancillary);

/* The room that recvmsg has for control messages. */
struct control_room {
	user_t at;	    /* where the next one goes */
	uint64_t left;	    /* bytes */
	bool close_on_exec; /* MSG_CMSG_CLOEXEC */
	bool is_cut;	    /* something did not fit: MSG_CTRUNC */
};

/* Store what came with a message, with a descriptor for each of its open files. */
void control_write(struct control_room *room, const struct socket *socket,
		   const struct ancillary *ancillary);

#endif
