/* Lists of interfaces and addresses (rtnetlink(7)). */
#include <calypso/lib.h>
#include <net/inet/inet.h>
#include <net/interface/interface.h>
#include <net/netlink/netlink.h>

/* ---- Messages that grow ---- */

static void add(struct netlink_text *text, const void *data, uint32_t length)
{
	uint32_t padded = NLMSG_ALIGN(length);
	if (text->length + padded > NETLINK_ANSWER_MAX)
		return;
	memcpy(text->bytes + text->length, data, length);
	memset(text->bytes + text->length + length, 0, padded - length);
	text->length += padded;
}

/* Begin a message, whose length is filled in by `end`: where it is. */
static uint32_t begin(struct netlink_text *text, const struct nlmsghdr *request, uint32_t port,
		      uint16_t type, uint16_t flags)
{
	struct nlmsghdr header = {
		.nlmsg_type = type,
		.nlmsg_flags = flags,
		.nlmsg_seq = request->nlmsg_seq,
		.nlmsg_pid = port,
	};
	uint32_t start = text->length;
	add(text, &header, sizeof(header));
	return start;
}

static void end(struct netlink_text *text, uint32_t start)
{
	uint32_t length = text->length - start;
	memcpy(text->bytes + start, &length, sizeof(length));
}

static void add_attribute(struct netlink_text *text, uint16_t type, const void *data, size_t length)
{
	struct rtattr header = {(uint16_t)(sizeof(header) + length), type};
	add(text, &header, sizeof(header));
	add(text, data, (uint32_t)length);
}

/* ---- What there is ---- */

static void add_link(struct netlink_text *text, struct interface *interface)
{
	const uint32_t mtu = interface->mtu, queue = INTERFACE_QUEUE_LENGTH;
	bool is_loopback = (interface->flags & IFF_LOOPBACK) != 0;
	struct ifinfomsg link = {
		.ifi_type = interface->hardware_type,
		.ifi_index = interface->index,
		.ifi_flags = interface->flags,
	};
	if (interface_is_running(interface))
		link.ifi_flags |= IFF_RUNNING | IFF_LOWER_UP;
	add(text, &link, sizeof(link));
	add_attribute(text, IFLA_IFNAME, interface->name, strlen(interface->name) + 1);
	add_attribute(text, IFLA_TXQLEN, &queue, sizeof(queue));
	add_attribute(text, IFLA_MTU, &mtu, sizeof(mtu));
	add_attribute(text, IFLA_ADDRESS, interface->address, ETH_ALEN);
	/* That of an interface without neighbours is its own. */
	add_attribute(text, IFLA_BROADCAST, is_loopback ? interface->address : ethernet_everybody,
		      ETH_ALEN);
}

static void add_address(struct netlink_text *text, const struct interface *interface)
{
	bool is_loopback = (interface->flags & IFF_LOOPBACK) != 0;
	uint32_t broadcast = interface->inet_address | ~interface->inet_mask;
	struct ifaddrmsg address = {
		.ifa_family = AF_INET,
		.ifa_prefixlen = (uint8_t)__builtin_popcount(interface->inet_mask),
		.ifa_flags = IFA_F_PERMANENT,
		.ifa_scope = is_loopback ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE,
		.ifa_index = (uint32_t)interface->index,
	};
	add(text, &address, sizeof(address));
	add_attribute(text, IFA_ADDRESS, &interface->inet_address, sizeof(uint32_t));
	add_attribute(text, IFA_LOCAL, &interface->inet_address, sizeof(uint32_t));
	if (!is_loopback)
		add_attribute(text, IFA_BROADCAST, &broadcast, sizeof(broadcast));
	add_attribute(text, IFA_LABEL, interface->name, strlen(interface->name) + 1);
}

/* ---- Requests ---- */

static void add_error(struct netlink_text *text, const struct nlmsghdr *request, uint32_t port,
		      int error)
{
	struct nlmsgerr content = {.error = error, .msg = *request};
	uint32_t start = begin(text, request, port, NLMSG_ERROR, 0);
	add(text, &content, sizeof(content));
	end(text, start);
}

static void add_list(struct netlink_text *text, const struct nlmsghdr *request, uint32_t port)
{
	bool links = request->nlmsg_type == RTM_GETLINK;
	uint16_t type = links ? RTM_NEWLINK : RTM_NEWADDR;
	const int32_t result = 0;
	uint32_t start;
	for (struct interface *each = interface_first(); each != NULL; each = each->next) {
		if (!links && each->inet_address == IP_ANY)
			continue;
		start = begin(text, request, port, type, NLM_F_MULTI);
		if (links)
			add_link(text, each);
		else
			add_address(text, each);
		end(text, start);
	}
	start = begin(text, request, port, NLMSG_DONE, NLM_F_MULTI);
	add(text, &result, sizeof(result));
	end(text, start);
}

void route_answer(const struct nlmsghdr *request, uint32_t port, struct netlink_text *text)
{
	bool known = request->nlmsg_type == RTM_GETLINK || request->nlmsg_type == RTM_GETADDR;
	bool list = (request->nlmsg_flags & NLM_F_DUMP) != 0;
	if ((request->nlmsg_flags & NLM_F_REQUEST) == 0 || request->nlmsg_type < NLMSG_MIN_TYPE)
		return;
	if (known && list)
		add_list(text, request, port);
	else
		add_error(text, request, port, -EOPNOTSUPP);
}
