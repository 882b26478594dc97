/* AF_INET sockets: ip(7), udp(7), raw(7). */
#ifndef UAPI_IN_H
#define UAPI_IN_H

#include <uapi/types.h>

#define AF_INET 2

#define IPPROTO_IP 0
#define IPPROTO_ICMP 1
#define IPPROTO_UDP 17
#define IPPROTO_RAW 255
#define IPPROTO_MAX 256

struct sockaddr_in {
	uint16_t sin_family;
	uint16_t sin_port; /* big-endian, as the address */
	uint32_t sin_addr;
	uint8_t sin_zero[8];
};
static_assert(sizeof(struct sockaddr_in) == 16, "Linux");

/* Options of IPPROTO_IP */
#define IP_TOS 1
#define IP_TTL 2
#define IP_MTU_DISCOVER 10
#define IP_RECVERR 11

#define IP_PMTUDISC_DO 2
#define IP_PMTUDISC_OMIT 5

#define MSG_ERRQUEUE 0x2000

/* ioctls */
#define SIOCGIFCONF 0x8912
#define SIOCGIFADDR 0x8915
#define SIOCSIFADDR 0x8916
#define SIOCGIFBRDADDR 0x8919
#define SIOCGIFNETMASK 0x891b
#define SIOCSIFNETMASK 0x891c

struct ifconf {
	int32_t ifc_len; /* bytes */
	uint32_t padding;
	user_t ifc_buf; /* of struct ifreq */
};
static_assert(sizeof(struct ifconf) == 16, "Linux");

#endif
