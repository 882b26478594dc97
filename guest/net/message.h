/* Messages: what one send or receive call moves, besides the socket. */
#ifndef NET_MESSAGE_H
#define NET_MESSAGE_H

#include <file/io.h>
#include <net/rights.h>
#include <uapi/socket.h>

struct socket_address {
	uint32_t length; /* bytes of it that count */
	union {
		uint16_t family;
		struct sockaddr_un un;
		uint8_t bytes[SOCKADDR_STORAGE_SIZE];
	};
};

/* What goes beside the data: the control messages of sendmsg and recvmsg. */
struct ancillary {
	struct rights *rights; /* owned; NULL: none */
	bool has_credentials;  /* sending: the caller gave some; receiving: there are any to tell */
	struct ucred credentials;
};

struct message {
	struct io *io;
	unsigned flags;	 /* MSG_* of the call; MSG_DONTWAIT also where the socket does not wait */
	unsigned result; /* MSG_TRUNC, which recvmsg tells */

	/* Sending: to whom; NULL: to the peer. Receiving: where the sender's name goes, of length
	 * 0 where it has none; NULL: nobody asks. */
	struct socket_address *address;

	/* Sending: what to take, where it is sent. Receiving: what came along. */
	struct ancillary ancillary;
};

#endif
