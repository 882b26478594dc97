/* What programs are told of network interfaces. */
#include <calypso/lib.h>
#include <calypso/user.h>
#include <file/credentials.h>
#include <file/procfs/procfs.h>
#include <net/interface/interface.h>

/* ---- netdevice(7) ---- */

static int get_name(struct ifreq *request)
{
	const struct interface *interface = interface_find(request->ifr_ifindex);
	if (interface == NULL)
		return -ENODEV;
	memcpy(request->ifr_name, interface->name, IFNAMSIZ);
	return 0;
}

static void get_address(const struct interface *interface, struct ifreq *request)
{
	memset(&request->ifr_hwaddr, 0, sizeof(request->ifr_hwaddr));
	request->ifr_hwaddr.sa_family = interface->hardware_type;
	memcpy(request->ifr_hwaddr.sa_data, interface->address, ETH_ALEN);
}

static int act(struct interface *interface, unsigned number, struct ifreq *request)
{
	switch (number) {
	case SIOCGIFFLAGS:
		request->ifr_flags = (int16_t)interface->flags;
		if (interface_is_running(interface))
			request->ifr_flags |= IFF_RUNNING;
		return 0;
	case SIOCSIFFLAGS:
		return interface_set_flags(interface, (uint16_t)request->ifr_flags);
	case SIOCGIFINDEX:
		request->ifr_ifindex = interface->index;
		return 0;
	case SIOCGIFMETRIC:
		request->ifr_metric = 0;
		return 0;
	case SIOCGIFMTU:
		request->ifr_mtu = (int32_t)interface->mtu;
		return 0;
	case SIOCGIFTXQLEN:
		request->ifr_qlen = INTERFACE_QUEUE_LENGTH;
		return 0;
	default: /* SIOCGIFHWADDR */
		get_address(interface, request);
		return 0;
	}
}

int64_t interface_control(unsigned number, user_t argument)
{
	static const uint16_t by_name[] = {
		SIOCGIFFLAGS, SIOCSIFFLAGS,  SIOCGIFMETRIC, SIOCGIFMTU,
		SIOCGIFINDEX, SIOCGIFHWADDR, SIOCGIFTXQLEN,
	};
	bool known = number == SIOCGIFNAME;
	for (size_t i = 0; i < ARRAY_SIZE(by_name); i++)
		known |= by_name[i] == number;
	if (!known)
		return -ENOTTY;
	struct ifreq request;
	if (user_get(&request, argument) != 0)
		return -EFAULT;
	if (number == SIOCSIFFLAGS && !is_superuser())
		return -EPERM;
	request.ifr_name[IFNAMSIZ - 1] = '\0';
	int error;
	if (number == SIOCGIFNAME) {
		error = get_name(&request);
	} else {
		struct interface *interface = interface_find_name(request.ifr_name);
		error = interface == NULL ? -ENODEV : act(interface, number, &request);
	}
	return error != 0 ? error : user_put(argument, &request);
}

/* ---- /proc/net/dev ---- */

int procfs_show_interfaces(struct text *text)
{
	text_add(text, "Inter-|   Receive                                                |  Transmit\n"
		       " face |bytes    packets errs drop fifo frame compressed multicast|"
		       "bytes    packets errs drop fifo colls carrier compressed\n");
	for (const struct interface *each = interface_first(); each != NULL; each = each->next) {
		const struct interface_count *in = &each->received, *out = &each->sent;
		text_add(text, "%6s: %7lu %7lu %4u %4lu %4u %5u %10u %9u ", each->name, in->bytes,
			 in->frames, 0, in->dropped, 0, 0, 0, 0);
		text_add(text, "%8lu %7lu %4u %4lu %4u %5u %7u %10u\n", out->bytes, out->frames, 0,
			 out->dropped, 0, 0, 0, 0);
	}
	return 0;
}
