/* The virtio network card: received frames in buffers of a page, several for a long one. */
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <calypso/virtio_net.h>
#include <calypso/virtqueue.h>

enum { RECEIVE, TRANSMIT, QUEUES };

/* 5.1.3 */
#define FEATURE_MAC (1ull << 5)
#define FEATURE_MERGED_BUFFERS (1ull << 15)
#define FEATURE_STATUS (1ull << 16)

/* struct virtio_net_config (5.1.4): the address, then the status. */
#define CONFIG_MAC 0
#define CONFIG_STATUS 6

#define STATUS_LINK_UP 1

/* struct virtio_net_hdr (5.1.6), in front of each frame; all zero for one that is finished. */
struct header {
	uint8_t flags;
	uint8_t segmentation;
	uint16_t header_length;
	uint16_t segment_size;
	uint16_t checksum_start;
	uint16_t checksum_offset;
	uint16_t buffers; /* that a received frame is spread over */
};
static_assert(sizeof(struct header) == 12, "virtio");

#define BUFFERS 64

/* Buffers of the longest frame: 64 KiB of packet behind the two headers. */
#define PARTS_MAX 17

struct received {
	struct virtio_request request;
	struct virtio_net *card;
	physical_t page;
};

struct sent {
	struct virtio_request request;
	struct header header;
	uint8_t frame[];
};

struct virtio_net {
	struct virtio_device *device;
	virtio_net_receive *receive;
	void *context;
	struct received buffers[BUFFERS];
	unsigned buffer_count;
	unsigned offered; /* since the device was told of any */

	/* A frame that comes in several buffers. */
	uint8_t *whole;	  /* NULL: there was no memory for it */
	size_t collected; /* bytes */
	unsigned missing; /* buffers that are still to come */
};

/* ---- Receiving ---- */

static int offer(struct received *buffer)
{
	struct virtio_buffer room = {buffer->page, PAGE_SIZE};
	return virtqueue_submit(buffer->card->device->queues[RECEIVE], &buffer->request, &room, 0,
				1);
}

/* A device that waits for buffers has used up more than half of them, so that all come back here:
 * it is told of half of them at a time. */
static void offer_again(struct received *buffer)
{
	struct virtio_net *card = buffer->card;
	offer(buffer);
	if (++card->offered < card->buffer_count / 2)
		return;
	card->offered = 0;
	virtqueue_kick(card->device->queues[RECEIVE]);
}

/* Another part of a frame; the last one completes it. */
static void add_part(struct virtio_net *card, const uint8_t *part, size_t length)
{
	if (card->whole != NULL)
		memcpy(card->whole + card->collected, part, length);
	card->collected += length;
	if (--card->missing > 0)
		return;
	if (card->whole != NULL)
		card->receive(card->context, card->whole, card->collected);
	kfree(card->whole);
	card->whole = NULL;
}

static void begin_frame(struct virtio_net *card, const uint8_t *content, size_t length)
{
	const struct header *header = (const void *)content;
	if (length <= sizeof(*header))
		return;
	bool merged = (card->device->features & FEATURE_MERGED_BUFFERS) != 0;
	unsigned parts = merged ? header->buffers : 1;
	const uint8_t *frame = content + sizeof(*header);
	length -= sizeof(*header);
	if (parts <= 1) {
		card->receive(card->context, frame, length);
		return;
	}
	card->missing = parts;
	card->collected = 0;
	card->whole = parts <= PARTS_MAX ? kmalloc(parts * PAGE_SIZE) : NULL;
	add_part(card, frame, length);
}

static void take(struct virtio_request *request)
{
	struct received *buffer = container_of(request, struct received, request);
	const uint8_t *content = phys_to_virt(buffer->page);
	if (request->error != 0)
		return;
	if (buffer->card->missing > 0)
		add_part(buffer->card, content, request->written);
	else
		begin_frame(buffer->card, content, request->written);
	offer_again(buffer);
}

void virtio_net_look(struct virtio_net *card)
{
	virtqueue_collect(card->device->queues[RECEIVE]);
}

int virtio_net_start_receiving(struct virtio_net *card)
{
	if (card->buffer_count > 0)
		return 0;
	virtio_take_interrupts(card->device);
	virtqueue_keep_interrupts(card->device->queues[RECEIVE]);
	for (; card->buffer_count < BUFFERS; card->buffer_count++) {
		struct received *buffer = &card->buffers[card->buffer_count];
		buffer->card = card;
		buffer->request.complete = take;
		buffer->page = frame_allocate(0, 0);
		if (buffer->page == FRAME_NONE)
			break;
		offer(buffer);
	}
	virtqueue_kick(card->device->queues[RECEIVE]);
	return card->buffer_count > 0 ? 0 : -ENOMEM;
}

/* ---- Sending ---- */

static void forget(struct virtio_request *request)
{
	kfree(container_of(request, struct sent, request));
}

int virtio_net_send(struct virtio_net *card, const void *frame, size_t length)
{
	struct virtqueue *queue = card->device->queues[TRANSMIT];
	virtqueue_collect(queue);
	struct sent *sent = kmalloc(sizeof(*sent) + length);
	if (sent == NULL)
		return -ENOMEM;
	*sent = (struct sent){.request = {.complete = forget}};
	memcpy(sent->frame, frame, length);
	struct virtio_buffer buffer = {virt_to_phys(&sent->header),
				       (uint32_t)(sizeof(sent->header) + length)};
	int error = virtqueue_submit(queue, &sent->request, &buffer, 1, 0);
	if (error != 0)
		kfree(sent);
	virtqueue_kick(queue);
	virtqueue_collect(queue);
	return error == -ENOSPC ? -ENOBUFS : error;
}

/* ---- The card ---- */

int virtio_net_open(unsigned index, virtio_net_receive *receive, void *context,
		    struct virtio_net **made)
{
	struct virtio_device *device = virtio_find(VIRTIO_NET, index);
	if (device == NULL)
		return -ENODEV;
	struct virtio_net *card = kcalloc(1, sizeof(*card));
	if (card == NULL)
		return -ENOMEM;
	const uint64_t features = FEATURE_MAC | FEATURE_MERGED_BUFFERS | FEATURE_STATUS;
	int error = virtio_start(device, features, QUEUES);
	if (error != 0) {
		kfree(card);
		return error;
	}
	card->device = device;
	card->receive = receive;
	card->context = context;
	*made = card;
	return 0;
}

void virtio_net_address(const struct virtio_net *card, uint8_t address[VIRTIO_NET_ADDRESS_SIZE])
{
	/* Where the device has none, the driver chooses one of the local kind (5.1.5). */
	static const uint8_t chosen[VIRTIO_NET_ADDRESS_SIZE] = {0x02, 0, 0, 0, 0, 1};
	bool has_one = (card->device->features & FEATURE_MAC) != 0;
	for (unsigned i = 0; i < VIRTIO_NET_ADDRESS_SIZE; i++)
		address[i] = has_one ? virtio_config8(card->device, CONFIG_MAC + i) : chosen[i];
}

bool virtio_net_has_link(struct virtio_net *card)
{
	if (!virtio_is_alive(card->device))
		return false;
	/* Without a status it is always there (5.1.4). */
	return (card->device->features & FEATURE_STATUS) == 0 ||
	       (virtio_config8(card->device, CONFIG_STATUS) & STATUS_LINK_UP) != 0;
}
