/* UDP, raw sockets and addresses of AF_INET, against what responder.py answers. With arguments ADDRESS
 * PORT one datagram; with a third one, until that comes back. */
#include "../programs/show.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define RESPONDER "192.0.2.1"
#define OWN "192.0.2.2"

static char buffer[70000];

static struct sockaddr_in name_of(const char *address, int port)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
	inet_pton(AF_INET, address, &name.sin_addr);
	return name;
}

static int set_address(int fd, unsigned long request, const char *interface, const char *address)
{
	struct ifreq ifreq = {0};
	struct sockaddr_in name = name_of(address, 0);
	strcpy(ifreq.ifr_name, interface);
	memcpy(&ifreq.ifr_addr, &name, sizeof(name));
	return ioctl(fd, request, &ifreq);
}

static int show_address(int fd, unsigned long request, const char *interface)
{
	struct ifreq ifreq = {0};
	strcpy(ifreq.ifr_name, interface);
	int result = ioctl(fd, request, &ifreq);
	struct sockaddr_in *name = (void *)&ifreq.ifr_addr;
	if (result == 0)
		printf("%s ", inet_ntoa(name->sin_addr));
	return result;
}

static int set_flags(int fd, const char *interface, int flags)
{
	struct ifreq ifreq = {0};
	strcpy(ifreq.ifr_name, interface);
	ioctl(fd, SIOCGIFFLAGS, &ifreq);
	ifreq.ifr_flags |= flags;
	return ioctl(fd, SIOCSIFFLAGS, &ifreq);
}

static int list(int fd, int room)
{
	struct ifreq entries[25];
	struct ifconf conf = {.ifc_len = room, .ifc_req = room == 0 ? NULL : entries};
	int result = ioctl(fd, SIOCGIFCONF, &conf);
	for (int i = 0; room != 0 && i < conf.ifc_len / (int)sizeof(*entries); i++)
		printf("%s %s, ", entries[i].ifr_name,
		       inet_ntoa(((struct sockaddr_in *)&entries[i].ifr_addr)->sin_addr));
	printf("%d bytes: ", conf.ifc_len);
	return result;
}

static int make(int type, int protocol)
{
	int fd = socket(AF_INET, type, protocol);
	struct timeval patience = {30, 0};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static int bind_to(int fd, const char *address, int port)
{
	struct sockaddr_in name = name_of(address, port);
	return bind(fd, (void *)&name, sizeof(name));
}

static int connect_to(int fd, const char *address, int port)
{
	struct sockaddr_in name = name_of(address, port);
	return connect(fd, (void *)&name, sizeof(name));
}

static int send_to(int fd, const char *address, int port, const void *data, size_t length)
{
	struct sockaddr_in name = name_of(address, port);
	return sendto(fd, data, length, 0, (void *)&name, sizeof(name));
}

/* The length of what is received; it is shown with its sender. */
static int receive(int fd, int flags)
{
	struct sockaddr_in from = {0};
	socklen_t size = sizeof(from);
	int length = recvfrom(fd, buffer, sizeof(buffer), flags, (void *)&from, &size);
	if (length >= 0)
		printf("%.*s from %s port %d, family %d, %u: ", length < 20 ? length : 20, buffer,
		       inet_ntoa(from.sin_addr), ntohs(from.sin_port), from.sin_family, size);
	return length;
}

static int show_name(int fd, int (*get)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_in name = {0};
	socklen_t size = sizeof(name);
	int result = get(fd, (void *)&name, &size), port = ntohs(name.sin_port);
	if (result == 0)
		printf("%s port %s, %u: ", inet_ntoa(name.sin_addr),
		       port >= 32768 ? "any" : port == 0 ? "none" : "known", size);
	return result;
}

static void addresses(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	SHOW(connect_to(fd, RESPONDER, 7));
	SHOW(send_to(fd, RESPONDER, 7, "x", 1));
	SHOW(set_flags(fd, "lo", IFF_UP));
	SHOW(show_address(fd, SIOCGIFADDR, "eth0"));
	SHOW(set_address(fd, SIOCSIFNETMASK, "eth0", "255.255.255.0"));
	SHOW(set_address(fd, SIOCSIFADDR, "eth0", OWN));
	SHOW(show_address(fd, SIOCGIFNETMASK, "eth0"));
	SHOW(set_address(fd, SIOCSIFNETMASK, "eth0", "255.0.255.0"));
	SHOW(set_flags(fd, "eth0", IFF_UP));
	SHOW(show_address(fd, SIOCGIFADDR, "eth0"));
	SHOW(show_address(fd, SIOCGIFNETMASK, "eth0"));
	SHOW(show_address(fd, SIOCGIFADDR, "lo"));
	SHOW(show_address(fd, SIOCGIFNETMASK, "lo"));
	SHOW(show_address(fd, SIOCGIFADDR, "eth7"));
	SHOW(list(fd, 1000));
	SHOW(list(fd, 79));
	SHOW(list(fd, 0));
	SHOW(if_nametoindex("lo"));
	SHOW(if_nametoindex("eth0"));
	SHOW(connect_to(fd, "198.51.100.1", 7));
	SHOW(send_to(fd, "198.51.100.1", 7, "x", 1));
	close(fd);
}

static void show_interface(const struct ifaddrs *each)
{
	printf("%s flags %x ", each->ifa_name, each->ifa_flags);
	if (each->ifa_addr->sa_family == AF_PACKET) {
		struct sockaddr_ll *link = (void *)each->ifa_addr;
		printf("index %d, type %d, %d bytes\n", link->sll_ifindex, link->sll_hatype,
		       link->sll_halen);
	} else {
		printf("%s ", inet_ntoa(((struct sockaddr_in *)each->ifa_addr)->sin_addr));
		printf("mask %s\n", inet_ntoa(((struct sockaddr_in *)each->ifa_netmask)->sin_addr));
	}
}

static int ask(int fd, int type, int flags, uint32_t port)
{
	struct {
		struct nlmsghdr header;
		struct rtgenmsg content;
	} request = {{sizeof(request), type, flags, 5, 0}, {AF_UNSPEC}};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_pid = port};
	return sendto(fd, &request, sizeof(request), 0, (void *)&kernel, sizeof(kernel));
}

/* Lists by netlink(7). */
static void interfaces(void)
{
	struct if_nameindex *names = if_nameindex();
	struct ifaddrs *addresses;
	for (int i = 0; names[i].if_index != 0; i++) {
		if (names[i].if_index <= 2)
			printf("%d: %s\n", names[i].if_index, names[i].if_name);
	}
	SHOW(getifaddrs(&addresses));
	for (struct ifaddrs *each = addresses; each != NULL; each = each->ifa_next) {
		bool known = strcmp(each->ifa_name, "lo") == 0 || strcmp(each->ifa_name, "eth0") == 0;
		if (known && each->ifa_addr->sa_family != AF_INET6)
			show_interface(each);
	}
	SHOW(socket(AF_NETLINK, SOCK_STREAM, 0) < 0);
	SHOW(socket(AF_NETLINK, SOCK_RAW, 31) < 0);
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	struct sockaddr_nl name = {.nl_family = AF_NETLINK}, found = {0};
	socklen_t size = sizeof(found);
	SHOW(recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT));
	SHOW(bind(fd, (void *)&name, sizeof(name)));
	SHOW(getsockname(fd, (void *)&found, &size));
	printf("%u, family %d, own %d\n", size, found.nl_family, found.nl_pid == getpid());
	SHOW(ask(fd, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 0));
	SHOW(events(fd));
	SHOW(recvfrom(fd, buffer, 20, MSG_PEEK | MSG_TRUNC, (void *)&found, &size) > 100);
	struct nlmsghdr *header = (void *)buffer;
	struct ifaddrmsg *address = (void *)(header + 1);
	printf("from %u, type %d, flags %x, number %d, own %d, family %d\n", found.nl_pid,
	       header->nlmsg_type, header->nlmsg_flags & NLM_F_MULTI, header->nlmsg_seq,
	       header->nlmsg_pid == getpid(), address->ifa_family);
	SHOW(close(fd));
}

static void names(void)
{
	int fd = make(SOCK_DGRAM, IPPROTO_UDP), other = make(SOCK_DGRAM, 0), one = 1;
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	struct sockaddr_in wrong = name_of(OWN, 0);
	SHOW(show_name(fd, getsockname));
	SHOW(show_name(fd, getpeername));
	/* It has a port from then on. */
	SHOW(send(other, "x", 1, 0));
	SHOW(show_name(other, getsockname));
	SHOW(bind_to(other, "0.0.0.0", 4000));
	close(other);
	other = make(SOCK_DGRAM, 0);
	SHOW(bind_to(fd, "198.51.100.1", 0));
	wrong.sin_family = AF_UNIX;
	SHOW(bind(fd, (void *)&wrong, sizeof(wrong)));
	SHOW(bind(fd, (void *)&wrong, 8));
	SHOW(bind_to(fd, OWN, 4000));
	SHOW(bind_to(fd, OWN, 4001));
	SHOW(bind_to(other, "0.0.0.0", 4000));
	SHOW(bind_to(other, OWN, 4000));
	SHOW(bind_to(other, "127.0.0.1", 4000));
	close(other);
	other = make(SOCK_DGRAM, 0);
	SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	SHOW(bind_to(other, OWN, 4000));
	SHOW(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	SHOW(bind_to(other, OWN, 4000));
	close(other);
	SHOW(show_name(fd, getsockname));
	SHOW(connect_to(fd, RESPONDER, 7));
	SHOW(show_name(fd, getpeername));
	SHOW(connect(fd, &nobody, sizeof(nobody)));
	SHOW(show_name(fd, getpeername));
	SHOW(show_name(fd, getsockname));
	close(fd);
	fd = make(SOCK_DGRAM, 0);
	SHOW(connect_to(fd, RESPONDER, 7));
	SHOW(show_name(fd, getsockname));
	SHOW(connect(fd, &nobody, sizeof(nobody)));
	SHOW(show_name(fd, getsockname));
	SHOW(listen(fd, 1));
	SHOW(accept(fd, NULL, NULL));
	SHOW(shutdown(fd, SHUT_RD));
	close(fd);
	SHOW(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
	SHOW(socket(AF_INET, SOCK_SEQPACKET, 0) < 0);
}

static void datagrams(void)
{
	int fd = make(SOCK_DGRAM, 0), available = 0;
	SHOW(events(fd));
	SHOW(receive(fd, MSG_DONTWAIT));
	SHOW(send_to(fd, RESPONDER, 7, "first", 5));
	SHOW(show_name(fd, getsockname));
	struct pollfd entry = {fd, POLLIN, 0};
	SHOW(poll(&entry, 1, 30000));
	SHOW(events(fd));
	SHOW(ioctl(fd, FIONREAD, &available));
	SHOW(available);
	SHOW(receive(fd, MSG_PEEK));
	SHOW(recv(fd, buffer, 2, MSG_TRUNC | MSG_PEEK));
	SHOW(recv(fd, buffer, 2, 0));
	SHOW(receive(fd, MSG_DONTWAIT));
	SHOW(send_to(fd, RESPONDER, 7, "", 0));
	SHOW(receive(fd, 0));
	SHOW(send_to(fd, RESPONDER, 0, "x", 1));
	memset(buffer, 'b', sizeof(buffer));
	SHOW(send_to(fd, RESPONDER, 7, buffer, 1472));
	SHOW(receive(fd, 0));
	SHOW(send_to(fd, RESPONDER, 7, buffer, 65508));
	SHOW(send_to(fd, RESPONDER, 21, "right", 5));
	SHOW(receive(fd, 0));
	SHOW(send_to(fd, RESPONDER, 22, "whole", 5));
	SHOW(receive(fd, 0));
	SHOW(send_to(fd, RESPONDER, 20, "ping me", 7));
	SHOW(receive(fd, 0));
	SHOW(receive(fd, MSG_DONTWAIT));
	SHOW(send_to(fd, "192.0.2.255", 24, "x", 1));
	close(fd);
	fd = make(SOCK_DGRAM, 0);
	SHOW(bind_to(fd, "0.0.0.0", 4000));
	SHOW(send_to(fd, RESPONDER, 23, "who am I", 8));
	SHOW(receive(fd, 0));
	SHOW(send_to(fd, RESPONDER, 24, "to all", 6));
	SHOW(receive(fd, 0));
	close(fd);
}

static void connections(void)
{
	int fd = make(SOCK_DGRAM, 0), on = 1;
	SHOW(connect_to(fd, RESPONDER, 7));
	SHOW(send(fd, "by connection", 13, 0));
	SHOW(receive(fd, 0));
	/* From another port than the peer's. */
	SHOW(send_to(fd, RESPONDER, 20, "x", 1));
	SHOW(send(fd, "later", 5, 0));
	SHOW(receive(fd, 0));
	SHOW(connect_to(fd, RESPONDER, 99));
	SHOW(send(fd, "refused", 7, 0));
	SHOW(receive(fd, 0));
	SHOW(send(fd, "again", 5, 0));
	SHOW(poll(&(struct pollfd){fd, 0, 0}, 1, 30000));
	SHOW(events(fd));
	SHOW(send(fd, "x", 1, 0));
	SHOW(send_to(fd, RESPONDER, 7, "elsewhere", 9));
	SHOW(shutdown(fd, SHUT_WR));
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	SHOW(shutdown(fd, SHUT_RD));
	SHOW(recv(fd, buffer, 10, 0));
	close(fd);
	fd = make(SOCK_DGRAM, 0);
	SHOW(send_to(fd, RESPONDER, 99, "nobody hears of it", 18));
	/* It has been refused once what was sent later has been answered. */
	SHOW(send_to(fd, RESPONDER, 7, "later", 5));
	SHOW(receive(fd, 0));
	SHOW(receive(fd, MSG_DONTWAIT));
	SHOW(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)));
	SHOW(send_to(fd, RESPONDER, 99, "refused", 7));
	SHOW(receive(fd, 0));
	SHOW(connect_to(fd, "192.0.2.255", 9));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)));
	SHOW(connect_to(fd, "192.0.2.255", 9));
	SHOW(send(fd, "x", 1, 0));
	SHOW(send_to(fd, "255.255.255.255", 9, "x", 1));
	close(fd);
}

static void loopback(void)
{
	int server = make(SOCK_DGRAM, 0), fd = make(SOCK_DGRAM, 0);
	SHOW(bind_to(server, "0.0.0.0", 5000));
	SHOW(connect_to(fd, "127.0.0.1", 5000));
	SHOW(show_name(fd, getsockname));
	SHOW(send(fd, "to myself", 9, 0));
	SHOW(recv(server, buffer, 100, 0));
	SHOW(send_to(fd, OWN, 5000, "by name", 7));
	SHOW(recv(server, buffer, 100, 0));
	memset(buffer, 'l', sizeof(buffer));
	SHOW(send(fd, buffer, 60000, 0));
	SHOW(recv(server, buffer, sizeof(buffer), 0));
	close(server);
	SHOW(send(fd, "x", 1, 0));
	SHOW(recv(fd, buffer, 1, 0));
	SHOW(connect_to(fd, "0.0.0.0", 5000));
	SHOW(getpeername(fd, (void *)buffer, &(socklen_t){16}));
	printf("%s\n", inet_ntoa(((struct sockaddr_in *)buffer)->sin_addr));
	close(fd);
}

static unsigned short checksum(const unsigned char *data, int length)
{
	unsigned sum = 0;
	for (int i = 0; i < length; i++)
		sum += i % 2 ? data[i] : data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

static int ping(int fd, const char *address, int length)
{
	struct {
		struct icmphdr header;
		char data[1400];
	} request = {.header = {.type = ICMP_ECHO}};
	request.header.un.echo.id = htons(77);
	memset(request.data, 'p', sizeof(request.data));
	request.header.checksum = checksum((void *)&request, sizeof(request.header) + length);
	return send_to(fd, address, 0, &request, sizeof(request.header) + length);
}

/* Of others and of oneself; the latter's request is seen as well. */
static int pong(int fd)
{
	struct sockaddr_in from = {0};
	socklen_t size = sizeof(from);
	int length = recvfrom(fd, buffer, sizeof(buffer), 0, (void *)&from, &size);
	struct iphdr *ip = (void *)buffer;
	struct icmphdr *icmp = (void *)(buffer + sizeof(*ip));
	if (length > 0)
		printf("%s port %d: header %d, length %d, protocol %d, type %d, id %d: ",
		       inet_ntoa(from.sin_addr), from.sin_port, ip->ihl, ntohs(ip->tot_len),
		       ip->protocol, icmp->type, ntohs(icmp->un.echo.id));
	return length;
}

static void raw(void)
{
	int fd = make(SOCK_RAW, IPPROTO_ICMP), ttl = 9;
	socklen_t size = sizeof(ttl);
	SHOW(ping(fd, RESPONDER, 4));
	SHOW(pong(fd));
	SHOW(ping(fd, RESPONDER, 1000));
	SHOW(pong(fd));
	SHOW(ping(fd, "127.0.0.1", 10));
	SHOW(pong(fd));
	SHOW(pong(fd));
	SHOW(setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
	SHOW(getsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, &size));
	SHOW(ttl);
	SHOW(ping(fd, OWN, 10));
	SHOW(pong(fd));
	printf("time to live %d\n", ((struct iphdr *)buffer)->ttl);
	ttl = 256;
	SHOW(setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
	SHOW(setsockopt(fd, IPPROTO_IP, 4711, &ttl, sizeof(ttl)));
	SHOW(connect_to(fd, RESPONDER, 0));
	close(fd);
	SHOW(socket(AF_INET, SOCK_RAW, 0) < 0);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc > 3) {
		int fd = make(SOCK_DGRAM, 0), length;
		SHOW(send_to(fd, argv[1], atoi(argv[2]), argv[3], strlen(argv[3])));
		do
			length = recv(fd, buffer, sizeof(buffer), 0);
		while (length > 0 && memcmp(buffer, argv[3], length) != 0);
		SHOW(length);
		return 0;
	}
	if (argc > 1) {
		int fd = make(SOCK_DGRAM, 0), sent;
		SHOW(sent = send_to(fd, argv[1], atoi(argv[2]), "by the gateway", 14));
		if (sent > 0)
			SHOW(receive(fd, 0));
		return 0;
	}
	addresses();
	interfaces();
	names();
	datagrams();
	connections();
	loopback();
	raw();
	return 0;
}
