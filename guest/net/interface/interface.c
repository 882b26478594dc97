/* Network interfaces and the frames that go through them. */
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <net/interface/interface.h>
#include <net/packet/packet.h>

#define CARDS_MAX 10 /* a digit in the name */

/* What programs can change. */
#define FLAGS_SETTABLE (IFF_UP | IFF_DEBUG | IFF_NOARP | IFF_PROMISC | IFF_ALLMULTI | IFF_MULTICAST)

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
}

int interface_send(struct interface *interface, const void *frame, size_t length)
{
	int error = virtio_net_send(interface->card, frame, length);
	if (error != 0) {
		interface->sent.dropped++;
		return error;
	}
	interface->sent.frames++;
	interface->sent.bytes += length;
	return 0;
}

void interface_look(void)
{
	for (struct interface *each = interface_first(); each != NULL; each = each->next) {
		if ((each->flags & IFF_UP) != 0)
			virtio_net_look(each->card);
	}
}

/* ---- What there is ---- */

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
	made->index = (int)number + 1;
	made->flags = IFF_BROADCAST | IFF_MULTICAST;
	made->mtu = ETH_DATA_LEN;
	virtio_net_address(made->card, made->address);
	*link = made;
	return 0;
}

struct interface *interface_first(void)
{
	static struct interface *first;
	static bool looked;
	struct interface **link = &first;
	for (unsigned i = 0; !looked && i < CARDS_MAX && add(i, link) == 0; i++)
		link = &(*link)->next;
	looked = true;
	return first;
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
	int error = is_up && !was_up ? virtio_net_start_receiving(interface->card) : 0;
	if (error != 0)
		return error;
	interface->flags = (interface->flags & ~FLAGS_SETTABLE) | (flags & FLAGS_SETTABLE);
	if (was_up && !is_up)
		packet_interface_down(interface);
	return 0;
}

bool interface_is_running(struct interface *interface)
{
	return (interface->flags & IFF_UP) != 0 && virtio_net_has_link(interface->card);
}
