/* Network interfaces and the frames that go through them. */
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <net/inet/inet.h>
#include <net/interface/interface.h>
#include <net/packet/packet.h>

#define CARDS_MAX 10 /* a digit in the name */

/* What programs can change. */
#define FLAGS_SETTABLE (IFF_UP | IFF_DEBUG | IFF_NOARP | IFF_PROMISC | IFF_ALLMULTI | IFF_MULTICAST)

const uint8_t ethernet_everybody[ETH_ALEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* ---- Frames ---- */

static void receive(void *context, const uint8_t *frame, size_t length)
{
	struct interface *interface = context;
	if ((interface->flags & IFF_UP) == 0)
		return;
	if (length < ETH_HLEN) {
		interface->received.dropped++;
		return;
	}
	interface->received.frames++;
	interface->received.bytes += length;
	packet_receive(interface, frame, length);
	inet_receive(interface, frame, length);
}

int interface_send(struct interface *interface, const void *frame, size_t length)
{
	int error = 0;
	if (interface->card != NULL)
		error = virtio_net_send(interface->card, frame, length);
	if (error != 0) {
		interface->sent.dropped++;
		return error;
	}
	interface->sent.frames++;
	interface->sent.bytes += length;
	if (interface->card == NULL)
		receive(interface, frame, length);
	return 0;
}

void interface_look(void)
{
	for (struct interface *each = interface_first(); each != NULL; each = each->next) {
		if ((each->flags & IFF_UP) != 0 && each->card != NULL)
			virtio_net_look(each->card);
	}
}

/* ---- What there is ---- */

/* The machine itself; up from the beginning, as an init system would have it. */
static struct interface loopback = {
	.name = "lo",
	.index = 1,
	.flags = IFF_UP | IFF_LOOPBACK,
	.mtu = 65536,
	.hardware_type = ARPHRD_LOOPBACK,
};

static int add(unsigned number, struct interface **link)
{
	struct interface *made = kcalloc(1, sizeof(*made));
	if (made == NULL)
		return -ENOMEM;
	int error = virtio_net_open(number, receive, made, &made->card);
	if (error != 0) {
		kfree(made);
		return error;
	}
	snprintf(made->name, sizeof(made->name), "eth%u", number);
	made->index = loopback.index + 1 + (int)number;
	made->flags = IFF_BROADCAST | IFF_MULTICAST;
	made->mtu = ETH_DATA_LEN;
	made->hardware_type = ARPHRD_ETHER;
	virtio_net_address(made->card, made->address);
	*link = made;
	return 0;
}

struct interface *interface_first(void)
{
	static bool looked;
	struct interface **link = &loopback.next;
	if (!looked) {
		looked = true;
		loopback.inet_address = htonl(0x7f000001);
		loopback.inet_mask = htonl(0xff000000);
		for (unsigned i = 0; i < CARDS_MAX && add(i, link) == 0; i++)
			link = &(*link)->next;
	}
	return loopback.next != NULL ? &loopback : NULL;
}

struct interface *interface_find(int index)
{
	struct interface *interface = interface_first();
	while (interface != NULL && interface->index != index)
		interface = interface->next;
	return interface;
}

struct interface *interface_find_name(const char name[IFNAMSIZ])
{
	struct interface *interface = interface_first();
	while (interface != NULL && strncmp(interface->name, name, IFNAMSIZ) != 0)
		interface = interface->next;
	return interface;
}

/* ---- Up and down ---- */

int interface_set_flags(struct interface *interface, unsigned flags)
{
	bool was_up = (interface->flags & IFF_UP) != 0, is_up = (flags & IFF_UP) != 0;
	int error = 0;
	if (is_up && !was_up && interface->card != NULL)
		error = virtio_net_start_receiving(interface->card);
	if (error != 0)
		return error;
	interface->flags = (interface->flags & ~FLAGS_SETTABLE) | (flags & FLAGS_SETTABLE);
	if (was_up && !is_up)
		packet_interface_down(interface);
	return 0;
}

bool interface_is_running(struct interface *interface)
{
	return (interface->flags & IFF_UP) != 0 &&
	       (interface->card == NULL || virtio_net_has_link(interface->card));
}
