/* AF_NETLINK: what getifaddrs(3) and if_nameindex(3) ask the kernel for: lists of network interfaces
 * and their addresses (NETLINK_ROUTE). Nothing can be changed by it, and no changes are told.
 *
 *   route.c   answers to requests
 *   socket.c  the family and its calls
 */
#ifndef NET_NETLINK_NETLINK_H
#define NET_NETLINK_NETLINK_H

#include <net/socket.h>
#include <uapi/netlink.h>

/* Answers of one message of the socket; a list is several messages in one of these. */
struct netlink_answer {
	struct netlink_answer *next;
	uint32_t length;
	uint8_t data[];
};

/* Longest answer: some 150 bytes for each of eleven interfaces. */
#define NETLINK_ANSWER_MAX 4096

/* Bytes that grow in a buffer of that size; what does not fit is left out. */
struct netlink_text {
	uint8_t *bytes;
	uint32_t length;
};

extern const struct socket_family netlink_family;

/* Answer one request from the socket `port`. What it says besides its header is not looked at: a list
 * is of everything. */
void route_answer(const struct nlmsghdr *request, uint32_t port, struct netlink_text *text);

#endif
