/* AF_PACKET sockets and the interface below them, against what responder.py answers; with an
 * argument only ARP, which others answer too. */
#include "../programs/show.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netpacket/packet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define EXPERIMENT 0x88b5

static unsigned char own[6], frame[70000];
static const unsigned char peer[6] = {2, 0, 0, 0, 0, 1};
static int eth0;

static int control(int fd, unsigned long request, struct ifreq *ifreq, const char *name)
{
	strncpy(ifreq->ifr_name, name, IFNAMSIZ);
	return ioctl(fd, request, ifreq);
}

static void show_interface(int fd)
{
	struct ifreq ifreq = {0};
	SHOW(control(fd, SIOCGIFFLAGS, &ifreq, "eth0"));
	printf("flags %x\n", ifreq.ifr_flags);
	SHOW(control(fd, SIOCGIFMTU, &ifreq, "eth0"));
	printf("mtu %d\n", ifreq.ifr_mtu);
	SHOW(control(fd, SIOCGIFHWADDR, &ifreq, "eth0"));
	printf("address of type %d\n", ifreq.ifr_hwaddr.sa_family);
	memcpy(own, ifreq.ifr_hwaddr.sa_data, 6);
	SHOW(control(fd, SIOCGIFTXQLEN, &ifreq, "eth0"));
	SHOW(control(fd, SIOCGIFMETRIC, &ifreq, "eth0"));
	SHOW(ifreq.ifr_metric);
	SHOW(control(fd, SIOCGIFMTU, &ifreq, "eth7"));
	SHOW(control(fd, SIOCGIFFLAGS, &ifreq, "an interface with"));
	SHOW(ioctl(fd, SIOCGIFMTU, (void *)8));
}

static struct sockaddr_ll address(int protocol, const unsigned char *target)
{
	struct sockaddr_ll result = {.sll_family = AF_PACKET,
				     .sll_protocol = htons(protocol),
				     .sll_ifindex = eth0,
				     .sll_halen = 6};
	if (target != NULL)
		memcpy(result.sll_addr, target, 6);
	return result;
}

/* The name of a frame's sender, without what differs between machines. */
static void show_sender(const struct sockaddr_ll *from, socklen_t length)
{
	bool is_own = from->sll_halen == 6 && memcmp(from->sll_addr, own, 6) == 0;
	printf("  length %u, family %d, protocol %04x, eth0 %d, type %d, kind %d, address %d %s%02x\n",
	       length, from->sll_family, ntohs(from->sll_protocol), from->sll_ifindex == eth0,
	       from->sll_hatype, from->sll_pkttype, from->sll_halen, is_own ? "own " : "",
	       is_own ? 0 : from->sll_addr[5]);
}

static int receive(int fd, int flags)
{
	struct sockaddr_ll from = {0};
	socklen_t length = sizeof(from);
	ssize_t got = recvfrom(fd, frame, sizeof(frame), flags, (void *)&from, &length);
	if (got >= 0)
		show_sender(&from, length);
	return got;
}

static int open_bound(int type, int protocol)
{
	struct sockaddr_ll name = address(protocol, NULL);
	int fd = socket(AF_PACKET, type, htons(protocol));
	bind(fd, (void *)&name, sizeof(name));
	return fd;
}

static int ask(int fd, const char *what, size_t length)
{
	struct sockaddr_ll to = address(EXPERIMENT, peer);
	return sendto(fd, what, length, 0, (void *)&to, sizeof(to));
}

static void sockets_and_names(void)
{
	struct sockaddr_ll name = address(EXPERIMENT, NULL), found = {0};
	socklen_t length = sizeof(found);
	SHOW(socket(AF_PACKET, SOCK_STREAM, 0) < 0);
	SHOW(socket(AF_PACKET, SOCK_SEQPACKET, htons(ETH_P_ALL)) < 0);
	int fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	SHOW(getsockname(fd, (void *)&found, &length));
	show_sender(&found, length);
	SHOW(bind(fd, (void *)&name, sizeof(name) - 1));
	name.sll_ifindex = 4711;
	SHOW(bind(fd, (void *)&name, sizeof(name)));
	name.sll_family = AF_UNIX;
	SHOW(bind(fd, (void *)&name, sizeof(name)));
	name = address(EXPERIMENT, NULL);
	SHOW(bind(fd, (void *)&name, sizeof(name)));
	length = sizeof(found);
	SHOW(getsockname(fd, (void *)&found, &length));
	show_sender(&found, length);
	length = sizeof(found);
	SHOW(getpeername(fd, (void *)&found, &length));
	SHOW(connect(fd, (void *)&name, sizeof(name)));
	SHOW(listen(fd, 1));
	SHOW(shutdown(fd, SHUT_RD));
	/* Of the interface that is down. */
	SHOW(events(fd));
	SHOW(receive(fd, MSG_DONTWAIT));
	SHOW(events(fd));
	SHOW(receive(fd, MSG_DONTWAIT));
	SHOW(ask(fd, "e", 1));
	close(fd);
}

static void resolve(void)
{
	static const unsigned char everybody[6] = {255, 255, 255, 255, 255, 255};
	struct __attribute__((packed)) {
		struct arphdr header;
		unsigned char sender[6], sender_ip[4], target[6], target_ip[4];
	} arp = {.header = {htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), 6, 4, htons(ARPOP_REQUEST)},
		 .sender_ip = {192, 0, 2, 2},
		 .target_ip = {192, 0, 2, 1}};
	int fd = open_bound(SOCK_DGRAM, ETHERTYPE_ARP);
	struct sockaddr_ll to = address(ETHERTYPE_ARP, everybody);
	memcpy(arp.sender, own, 6);
	SHOW(sendto(fd, &arp, sizeof(arp), 0, (void *)&to, sizeof(to)));
	SHOW(receive(fd, 0));
	memcpy(&arp, frame, sizeof(arp));
	printf("answer %d of %02x%02x to own %d\n", ntohs(arp.header.ar_op), arp.sender[0],
	       arp.sender[5], memcmp(arp.target, own, 6));
	close(fd);
}

static void messages(void)
{
	int fd = open_bound(SOCK_DGRAM, EXPERIMENT), available = -1;
	char small[4];
	SHOW(receive(fd, MSG_DONTWAIT));
	SHOW(events(fd));
	SHOW(ask(fd, "echo of this", 12));
	struct pollfd poll_fd = {fd, POLLIN, 0};
	SHOW(poll(&poll_fd, 1, -1));
	SHOW(events(fd));
	SHOW(ioctl(fd, FIONREAD, &available));
	SHOW(available);
	SHOW(receive(fd, MSG_PEEK));
	SHOW(recv(fd, small, sizeof(small), MSG_PEEK | MSG_TRUNC));
	struct iovec part = {small, sizeof(small)};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	SHOW(recvmsg(fd, &header, 0));
	printf("%.4s, flags %x\n", small, header.msg_flags);
	SHOW(recv(fd, small, 0, MSG_DONTWAIT));
	struct timeval time = {0, 20000};
	SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	SHOW(recv(fd, small, sizeof(small), 0));
	close(fd);
}

/* Whole frames, with their headers. */
static void raw(void)
{
	int fd = open_bound(SOCK_RAW, EXPERIMENT);
	memcpy(frame, peer, 6);
	memcpy(frame + 6, own, 6);
	frame[12] = EXPERIMENT >> 8;
	frame[13] = EXPERIMENT & 0xff;
	memcpy(frame + 14, "echo", 4);
	SHOW(write(fd, frame, 18));
	SHOW(receive(fd, 0));
	printf("to own %d: %.4s\n", memcmp(frame, own, 6), frame + 14);
	memcpy(frame, peer, 6);
	memcpy(frame + 6, own, 6);
	SHOW(write(fd, frame, 1514));
	SHOW(receive(fd, 0));
	SHOW(write(fd, frame, 1515));
	SHOW(write(fd, frame, 1519));
	SHOW(write(fd, frame, 13));
	frame[12] = 0x81;
	frame[13] = 0;
	SHOW(write(fd, frame, 1518));
	close(fd);
}

static void refused(void)
{
	int fd = open_bound(SOCK_DGRAM, EXPERIMENT);
	struct sockaddr_ll to = address(EXPERIMENT, peer);
	SHOW(send(fd, "e", 1, 0));
	SHOW(sendto(fd, "e", 1, 0, (void *)&to, sizeof(to) - 1));
	SHOW(sendto(fd, frame, 1501, 0, (void *)&to, sizeof(to)));
	SHOW(sendto(fd, frame, 1505, 0, (void *)&to, sizeof(to)));
	to.sll_ifindex = 4711;
	SHOW(sendto(fd, "e", 1, 0, (void *)&to, sizeof(to)));
	to.sll_halen = 9;
	SHOW(sendto(fd, "e", 1, 0, (void *)&to, sizeof(to)));
	close(fd);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	SHOW(send(fd, frame, 60, 0));
	close(fd);
}

/* What others get: frames of all kinds, sent and received. */
static void watching(void)
{
	int all = open_bound(SOCK_RAW, ETH_P_ALL), fd = open_bound(SOCK_DGRAM, EXPERIMENT);
	int unbound = socket(AF_PACKET, SOCK_DGRAM, htons(EXPERIMENT));
	int deaf = socket(AF_PACKET, SOCK_DGRAM, 0);
	SHOW(ask(fd, "kinds", 5));
	for (int i = 0; i < 4; i++)
		SHOW(receive(fd, 0));
	for (int i = 0; i < 5; i++)
		SHOW(receive(all, 0));
	SHOW(receive(unbound, 0));
	SHOW(receive(deaf, MSG_DONTWAIT));
	SHOW(ask(fd, "novell", 6));
	for (int i = 0; i < 3; i++)
		SHOW(receive(all, 0));
	SHOW(ask(all, "xyz", 3)); /* too short for a whole frame */
	SHOW(ask(fd, "long", 4));
	SHOW(receive(fd, 0));
	printf("%d %d\n", frame[249], frame[8999]);
	close(all);
	close(fd);
	close(unbound);
	close(deaf);
}

static void options(void)
{
	int fd = open_bound(SOCK_DGRAM, EXPERIMENT), least = 0, type = 0;
	struct packet_mreq request = {eth0, PACKET_MR_PROMISC};
	struct {
		unsigned packets, drops;
	} counts = {77, 77}, sum = {0, 0};
	socklen_t length = sizeof(counts);
	SHOW(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request)));
	SHOW(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &request, sizeof(request)));
	SHOW(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, 8));
	request.mr_ifindex = 4711;
	SHOW(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request)));
	SHOW(setsockopt(fd, SOL_PACKET, 4711, &type, sizeof(type)));
	SHOW(setsockopt(fd, 4711, 1, &type, sizeof(type)));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)));
	SHOW(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &counts, &length));
	printf("%u, %u %u\n", length, counts.packets, counts.drops);
	SHOW(ask(fd, "many", 4));
	for (int i = 0; i < 3000 && sum.packets < 200; i++) {
		usleep(10000);
		getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &counts, &length);
		sum.packets += counts.packets;
		sum.drops += counts.drops;
	}
	printf("%u packets, many drops %d\n", sum.packets, sum.drops > 100);
	SHOW(receive(fd, 0));
	SHOW(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &counts, &length));
	printf("%u %u\n", counts.packets, counts.drops);
	close(fd);
}

static void counted(void)
{
	char line[256], *at;
	FILE *file = fopen("/proc/net/dev", "r");
	while (fgets(line, sizeof(line), file) != NULL) {
		if ((at = strchr(line, ':')) == NULL)
			printf("%s", line);
		else if ((at = strstr(line, "eth0:")) != NULL)
			printf("%d %zu\n", strtoull(at + 5, NULL, 10) > 10000, strlen(line));
	}
}

static void switch_on(int fd)
{
	struct ifreq ifreq = {0};
	control(fd, SIOCGIFFLAGS, &ifreq, "eth0");
	ifreq.ifr_flags |= IFF_UP;
	SHOW(control(fd, SIOCSIFFLAGS, &ifreq, "eth0"));
}

int main(int argc, char **argv)
{
	struct ifreq ifreq = {0};
	char name[IFNAMSIZ] = "";
	int any = socket(AF_UNIX, SOCK_DGRAM, 0);
	setvbuf(stdout, NULL, _IONBF, 0);
	eth0 = if_nametoindex("eth0");
	if (argc > 1) {
		switch_on(any);
		resolve();
		return 0;
	}
	SHOW(eth0 > 0);
	SHOW(if_indextoname(eth0, name) == name);
	printf("%s\n", name);
	SHOW(if_nametoindex("eth7"));
	SHOW(if_indextoname(4711, name) == NULL);
	show_interface(any);
	sockets_and_names();
	switch_on(any);
	SHOW(control(any, SIOCGIFFLAGS, &ifreq, "eth0"));
	printf("flags %x\n", ifreq.ifr_flags);
	resolve();
	messages();
	raw();
	refused();
	watching();
	options();
	counted();
	int fd = open_bound(SOCK_DGRAM, EXPERIMENT);
	ifreq.ifr_flags &= ~IFF_UP;
	SHOW(control(any, SIOCSIFFLAGS, &ifreq, "eth0"));
	SHOW(receive(fd, 0));
	SHOW(ask(fd, "e", 1));
}
