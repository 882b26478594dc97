/* Network interfaces: <linux/if.h>, <linux/if_arp.h>, <linux/if_ether.h>, <linux/sockios.h>. */
#ifndef UAPI_IF_H
#define UAPI_IF_H

#include <uapi/types.h>

#define IFNAMSIZ 16

#define IFF_UP 0x1
#define IFF_BROADCAST 0x2
#define IFF_DEBUG 0x4
#define IFF_LOOPBACK 0x8
#define IFF_RUNNING 0x40
#define IFF_NOARP 0x80
#define IFF_PROMISC 0x100
#define IFF_ALLMULTI 0x200
#define IFF_MULTICAST 0x1000
#define IFF_LOWER_UP 0x10000

#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772

#define ETH_ALEN 6
#define ETH_HLEN 14
#define ETH_DATA_LEN 1500
#define VLAN_HLEN 4

/* What an interface has instead of a type where that is the length of an IEEE 802.3 frame. */
#define ETH_P_802_3_MIN 0x0600
#define ETH_P_802_3 0x0001
#define ETH_P_ALL 0x0003
#define ETH_P_802_2 0x0004
#define ETH_P_8021Q 0x8100

struct ethhdr {
	uint8_t h_dest[ETH_ALEN];
	uint8_t h_source[ETH_ALEN];
	uint16_t h_proto; /* big-endian */
};
static_assert(sizeof(struct ethhdr) == ETH_HLEN, "Ethernet");

struct ifreq {
	char ifr_name[IFNAMSIZ];
	union {
		struct {
			uint16_t sa_family;
			uint8_t sa_data[14];
		} ifr_hwaddr;
		int16_t ifr_flags;
		int32_t ifr_ifindex;
		int32_t ifr_metric;
		int32_t ifr_mtu;
		int32_t ifr_qlen;
		uint8_t bytes[24];
	};
};
static_assert(sizeof(struct ifreq) == 40, "Linux");

#define SIOCGIFNAME 0x8910
#define SIOCGIFFLAGS 0x8913
#define SIOCSIFFLAGS 0x8914
#define SIOCGIFMETRIC 0x891d
#define SIOCGIFMTU 0x8921
#define SIOCGIFHWADDR 0x8927
#define SIOCGIFINDEX 0x8933
#define SIOCGIFTXQLEN 0x8942

static inline uint16_t htons(uint16_t value) { return __builtin_bswap16(value); }
static inline uint16_t ntohs(uint16_t value) { return __builtin_bswap16(value); }

#endif
