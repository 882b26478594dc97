/* Network interfaces: lo, eth0 and so on, one for each network card; none where there is no card.
 *
 *   interface.c  what they are, and frames through them
 *   control.c    what programs are told of them: ioctls, /proc/net/dev
 *
 * The cards are looked for when somebody first asks for an interface. As on Linux eth0 is down until
 * a program switches it on, or the kernel's command line gives it an address.
 */
#ifndef NET_INTERFACE_INTERFACE_H
#define NET_INTERFACE_INTERFACE_H

#include <calypso/virtio_net.h>
#include <uapi/if.h>

/* Linux's default; nothing waits here that it could limit. */
#define INTERFACE_QUEUE_LENGTH 1000

struct interface_count {
	uint64_t bytes;
	uint64_t frames;
	uint64_t dropped;
};

struct interface {
	struct interface *next;
	struct virtio_net *card; /* NULL: what is sent comes back */
	char name[IFNAMSIZ];
	int index;	/* from 1 on */
	unsigned flags; /* IFF_*, without IFF_RUNNING */
	unsigned mtu;	/* bytes of a frame behind its header */
	uint16_t hardware_type; /* ARPHRD_* */
	uint8_t address[ETH_ALEN];
	uint32_t inet_address; /* IPv4, big-endian; 0: none */
	uint32_t inet_mask;
	struct interface_count received, sent;
};

/* The address that all interfaces of an Ethernet take frames for. */
extern const uint8_t ethernet_everybody[ETH_ALEN];

/* All, from the first on; NULL where there is none. */
struct interface *interface_first(void);

/* By index or name, which may not be terminated: NULL where there is no such. */
struct interface *interface_find(int index);
struct interface *interface_find_name(const char name[IFNAMSIZ]);

/* Change flags; IFF_UP begins or ends all traffic. 0 or -ENOMEM. */
int interface_set_flags(struct interface *interface, unsigned flags);

/* Whether it is up and connected. */
bool interface_is_running(struct interface *interface);

/* Send a frame: 0, or what the card says. */
int interface_send(struct interface *interface, const void *frame, size_t length);

/* Take what has come to any interface. */
void interface_look(void);

/* The ioctls of netdevice(7): a result, or -ENOTTY for what is none. */
int64_t interface_control(unsigned request, user_t argument);

#endif
