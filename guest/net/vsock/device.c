/* The virtio socket device: packets in buffers of a page. */
#include <calypso/lib.h>
#include <calypso/virtqueue.h>
#include <net/vsock/vsock.h>

enum { RECEIVE, TRANSMIT, EVENT, QUEUES };

/* struct virtio_vsock_config: the guest's address. */
#define CONFIG_CID 0

#define TYPE_STREAM 1

#define BUFFERS 16

struct packet {
	struct virtio_request request;
	physical_t frame;
};

static struct virtio_device *device;
static struct packet received[BUFFERS];

static struct vsock_header *header_of(const struct packet *packet)
{
	return phys_to_virt(packet->frame);
}

/* ---- From the device ---- */

static void offer(struct packet *packet)
{
	struct virtio_buffer buffer = {packet->frame, PAGE_SIZE};
	virtqueue_submit(device->queues[RECEIVE], &packet->request, &buffer, 0, 1);
	virtqueue_kick(device->queues[RECEIVE]);
}

static void take(struct virtio_request *request)
{
	struct packet *packet = container_of(request, struct packet, request);
	struct vsock_header *header = header_of(packet);
	uint32_t room = request->written - (uint32_t)sizeof(*header);
	if (request->error != 0)
		return;
	if (request->written >= sizeof(*header) && header->length <= room &&
	    header->type == TYPE_STREAM && header->target_cid == vsock_own_cid())
		vsock_receive(header, (const uint8_t *)(header + 1));
	offer(packet);
}

bool vsock_look(void)
{
	virtqueue_collect(device->queues[RECEIVE]);
	return !device->broken;
}

static int start(void)
{
	int error = virtio_start(device, 0, QUEUES);
	if (error != 0)
		return error;
	virtio_take_interrupts(device);
	virtqueue_keep_interrupts(device->queues[RECEIVE]);
	for (unsigned i = 0; i < BUFFERS; i++) {
		received[i].frame = frame_allocate(0, 0);
		if (received[i].frame == FRAME_NONE)
			return i == 0 ? -ENOMEM : 0;
		received[i].request.complete = take;
		offer(&received[i]);
	}
	return 0;
}

int vsock_start(void)
{
	if (device != NULL)
		return device->broken ? -ENODEV : 0;
	device = virtio_find(VIRTIO_VSOCK, 0);
	return device == NULL ? -EAFNOSUPPORT : start();
}

uint32_t vsock_own_cid(void) { return virtio_config32(device, CONFIG_CID); }

/* ---- To the device ---- */

static void forget(struct virtio_request *request)
{
	struct packet *packet = container_of(request, struct packet, request);
	frame_free(packet->frame, 0);
	kfree(packet);
}

static struct packet *make(void)
{
	struct packet *packet = kcalloc(1, sizeof(*packet));
	if (packet == NULL)
		return NULL;
	packet->request.complete = forget;
	packet->frame = frame_allocate(0, 0);
	if (packet->frame != FRAME_NONE)
		return packet;
	kfree(packet);
	return NULL;
}

int vsock_send(const struct vsock_header *header, struct io *data)
{
	struct virtqueue *queue = device->queues[TRANSMIT];
	virtqueue_collect(queue);
	struct packet *packet = make();
	if (packet == NULL)
		return -ENOMEM;
	struct virtio_buffer buffer = {packet->frame,
				       (uint32_t)sizeof(*header) + header->length};
	struct vsock_header *filled = header_of(packet);
	*filled = *header;
	filled->source_cid = vsock_own_cid();
	filled->type = TYPE_STREAM;
	int error = 0;
	if (header->length > 0)
		error = io_take(data, filled + 1, header->length);
	if (error == 0)
		error = virtqueue_submit(queue, &packet->request, &buffer, 1, 0);
	if (error != 0)
		forget(&packet->request);
	virtqueue_kick(queue);
	virtqueue_collect(queue);
	return error;
}
