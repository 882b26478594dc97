/* Virtio devices over MMIO, layout version 2 (virtio 1.2, section 4.2), from the driver's side.
 *
 *	struct virtio_device *device = virtio_find(VIRTIO_ENTROPY, 0);
 *	if (device != NULL && virtio_start(device, 0, 1) == 0)
 *		...	// device->queues[0] takes requests: <calypso/virtqueue.h>
 *
 * A device that breaks a rule, or that says that it needs a reset, is broken for good: requests
 * fail with -EIO from then on.
 */
#ifndef CALYPSO_VIRTIO_H
#define CALYPSO_VIRTIO_H

#include <calypso/types.h>

/* Section 5. */
enum virtio_kind {
	VIRTIO_NET = 1,
	VIRTIO_BLOCK = 2,
	VIRTIO_CONSOLE = 3,
	VIRTIO_ENTROPY = 4,
	VIRTIO_BALLOON = 5,
	VIRTIO_9P = 9,
	VIRTIO_VSOCK = 19,
};

/* Feature bits of all devices (section 6). */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)

/* A console of 31 ports has so many. */
#define VIRTIO_QUEUES_MAX 64

struct virtqueue;

struct virtio_device {
	physical_t registers;
	unsigned irq;	 /* line, see <calypso/irq.h> */
	bool interrupts; /* they are taken */
	enum virtio_kind kind;
	uint64_t features; /* those that both sides have */
	bool broken;
	struct virtqueue *queues[VIRTIO_QUEUES_MAX];
	/* The device has changed its configuration; may be NULL. */
	void (*on_configuration)(struct virtio_device *device);
	struct virtio_device *next;
};

/* The `index`th device of a kind, in the order in which the board tells of them; NULL past the
 * last. The first call of all looks for devices. */
struct virtio_device *virtio_find(enum virtio_kind kind, unsigned index);

/* Whether the device has a feature; before it is started. */
bool virtio_offers(const struct virtio_device *device, uint64_t feature);

/* Reset the device, agree on `features` as far as it has them, set up its first `queues` queues,
 * and let it begin (3.1.1). 0; -ENODEV where it wants no such driver; -ENOMEM. */
int virtio_start(struct virtio_device *device, uint64_t features, unsigned queues);

/* Take its interrupts from now on, so that nobody has to wait on the spot. */
void virtio_take_interrupts(struct virtio_device *device);

/* See what devices have done whose interrupts are taken. For the end of a wait: there are hypervisors
 * that lose an interrupt which came while interrupts were masked. */
void virtio_look(void);

/* Fields of the configuration space, at their offset there. */
uint8_t virtio_config8(const struct virtio_device *device, unsigned offset);
uint32_t virtio_config32(const struct virtio_device *device, unsigned offset);
uint64_t virtio_config64(const struct virtio_device *device, unsigned offset);
void virtio_set_config32(const struct virtio_device *device, unsigned offset, uint32_t value);

/* Whether the device can go on; looks at its status. */
bool virtio_is_alive(struct virtio_device *device);

/* Tell the device that a queue has new requests. */
void virtio_notify(const struct virtio_device *device, unsigned queue);

#endif
