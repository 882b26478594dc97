/* AF_VSOCK: streams between the machine and its host, as in vsock(7), over a virtio socket device
 * (virtio 1.2, section 5.10).
 *
 *   device.c      packets: to the device and from it
 *   connection.c  connections: what packets do to them
 *   socket.c      the family and its calls
 *
 * Packets are taken where the device is looked at: by interrupts, and by calls.
 */
#ifndef NET_VSOCK_VSOCK_H
#define NET_VSOCK_VSOCK_H

#include <net/socket.h>

#define AF_VSOCK 40
#define VSOCK_ANY UINT32_MAX /* VMADDR_CID_ANY, VMADDR_PORT_ANY */

struct sockaddr_vm {
	uint16_t svm_family;
	uint16_t svm_reserved1;
	uint32_t svm_port;
	uint32_t svm_cid;
	uint8_t svm_flags;
	uint8_t svm_zero[3];
};
static_assert(sizeof(struct sockaddr_vm) == 16, "Linux");

/* 5.10.6 */
struct vsock_header {
	uint64_t source_cid;
	uint64_t target_cid;
	uint32_t source_port;
	uint32_t target_port;
	uint32_t length;
	uint16_t type;
	uint16_t operation;
	uint32_t flags;
	uint32_t buffer; /* bytes that the sender of the packet has room for */
	uint32_t taken;	 /* of the bytes that it ever got, those that left its buffer */
} __attribute__((packed));
static_assert(sizeof(struct vsock_header) == 44, "virtio");

enum vsock_operation {
	VSOCK_REQUEST = 1,
	VSOCK_RESPONSE,
	VSOCK_RESET,
	VSOCK_SHUTDOWN,
	VSOCK_DATA,
	VSOCK_CREDIT_UPDATE,
	VSOCK_CREDIT_REQUEST,
};

enum { VSOCK_NO_RECEIVING = 1, VSOCK_NO_SENDING = 2 }; /* flags of VSOCK_SHUTDOWN */

/* Bytes of data in one packet, and of data that wait to be received. */
#define VSOCK_DATA_MAX (PAGE_SIZE - sizeof(struct vsock_header))
#define VSOCK_BUFFER (64u << 10)

enum vsock_state { VSOCK_UNCONNECTED, VSOCK_LISTENING, VSOCK_CONNECTING, VSOCK_CONNECTED, VSOCK_ENDED };

/* Data that was received. */
struct vsock_piece {
	struct vsock_piece *next;
	uint32_t length;
	uint32_t taken;
	uint8_t data[];
};

struct vsock_socket {
	struct socket socket;
	struct vsock_socket *next; /* of all */
	enum vsock_state state;
	uint32_t port; /* 0: none yet */
	uint32_t peer_cid;
	uint32_t peer_port;
	unsigned shutdown;	/* VSOCK_NO_*: what this side has ended */
	unsigned peer_shutdown; /* and what the other one */

	/* Received data */
	struct vsock_piece *first, *last;
	uint32_t received; /* bytes that ever came; counts freely, as do the next four */
	uint32_t taken;	   /* of these, given to the program */
	uint32_t told;	   /* of `taken`, what the peer knows */

	/* Sent data */
	uint32_t sent;
	uint32_t peer_taken;
	uint32_t peer_buffer;

	/* Of a listening socket: connections that nobody accepted yet, each a reference */
	struct vsock_socket *pending_first, *pending_last, *next_pending;
	unsigned pending_count;
	unsigned backlog;
};

extern const struct socket_family vsock_family;
extern const struct socket_operations vsock_operations;

static inline struct vsock_socket *vsock_of(struct socket *socket)
{
	return container_of(socket, struct vsock_socket, socket);
}

/* ---- The device ---- */

/* Have it work: 0; -EAFNOSUPPORT where there is none; or what it says. */
int vsock_start(void);

/* This machine's address. */
uint32_t vsock_own_cid(void);

/* Take what has come. Whether the device can still be reached. */
bool vsock_look(void);

/* Send a packet; addresses are filled in, `data` is the program's or NULL. 0, -EIO, -ENOMEM,
 * -EFAULT. */
int vsock_send(const struct vsock_header *header, struct io *data);

/* ---- Connections ---- */

/* A new socket that is found by its port, or NULL. */
struct vsock_socket *vsock_make(void);
void vsock_free(struct vsock_socket *socket);

/* Bind to a port, or with VSOCK_ANY to one that is free: 0, -EADDRINUSE. */
int vsock_bind_port(struct vsock_socket *socket, uint32_t port);

/* Send a packet of a connection. */
int vsock_tell(struct vsock_socket *socket, enum vsock_operation operation, unsigned flags,
	       struct io *data, uint32_t length);

/* A packet has come. */
void vsock_receive(const struct vsock_header *header, const uint8_t *data);

#endif
