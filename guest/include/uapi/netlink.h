/* AF_NETLINK sockets: netlink(7), rtnetlink(7). */
#ifndef UAPI_NETLINK_H
#define UAPI_NETLINK_H

#include <uapi/types.h>

#define AF_NETLINK 16
#define NETLINK_ROUTE 0

struct sockaddr_nl {
	uint16_t nl_family;
	uint16_t nl_pad;
	uint32_t nl_pid; /* 0: the kernel */
	uint32_t nl_groups;
};
static_assert(sizeof(struct sockaddr_nl) == 12, "Linux");

struct nlmsghdr {
	uint32_t nlmsg_len; /* with this header */
	uint16_t nlmsg_type;
	uint16_t nlmsg_flags;
	uint32_t nlmsg_seq;
	uint32_t nlmsg_pid;
};
static_assert(sizeof(struct nlmsghdr) == 16, "Linux");

#define NLMSG_ALIGN(length) (((length) + 3) & ~3u)

#define NLM_F_REQUEST 0x1
#define NLM_F_MULTI 0x2
#define NLM_F_ACK 0x4
#define NLM_F_DUMP 0x300

#define NLMSG_NOOP 1
#define NLMSG_ERROR 2
#define NLMSG_DONE 3
#define NLMSG_MIN_TYPE 16

#define RTM_NEWLINK 16
#define RTM_GETLINK 18
#define RTM_NEWADDR 20
#define RTM_GETADDR 22

/* What a message of type NLMSG_ERROR begins with; the request's header follows. */
struct nlmsgerr {
	int32_t error; /* negative, or 0 */
	struct nlmsghdr msg;
};

struct rtattr {
	uint16_t rta_len; /* with this header */
	uint16_t rta_type;
};

struct ifinfomsg {
	uint8_t ifi_family;
	uint8_t ifi_pad;
	uint16_t ifi_type; /* ARPHRD_* */
	int32_t ifi_index;
	uint32_t ifi_flags;
	uint32_t ifi_change;
};
static_assert(sizeof(struct ifinfomsg) == 16, "Linux");

#define IFLA_ADDRESS 1
#define IFLA_BROADCAST 2
#define IFLA_IFNAME 3
#define IFLA_MTU 4
#define IFLA_TXQLEN 13

struct ifaddrmsg {
	uint8_t ifa_family;
	uint8_t ifa_prefixlen;
	uint8_t ifa_flags;
	uint8_t ifa_scope;
	uint32_t ifa_index;
};
static_assert(sizeof(struct ifaddrmsg) == 8, "Linux");

#define IFA_ADDRESS 1
#define IFA_LOCAL 2
#define IFA_LABEL 3
#define IFA_BROADCAST 4

#define IFA_F_PERMANENT 0x80
#define RT_SCOPE_UNIVERSE 0
#define RT_SCOPE_HOST 254

#endif
