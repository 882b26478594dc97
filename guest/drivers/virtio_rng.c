/* The virtio entropy device (virtio 1.2, section 5.4): one queue of buffers to be filled. */
#include <calypso/errno.h>
#include <calypso/hwrng.h>
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <calypso/virtqueue.h>

/* Numbers that one request asks for. */
#define NUMBERS 8

static struct {
	struct virtio_device *device;
	uint64_t *numbers; /* what the device filled */
	unsigned left;	   /* of these, not given out */
	int error;	   /* 0 once the device has been started */
} rng = {.error = -EAGAIN};

static int start(void)
{
	rng.device = virtio_find(VIRTIO_ENTROPY, 0);
	if (rng.device == NULL)
		return -ENODEV;
	rng.numbers = kmalloc(NUMBERS * sizeof(uint64_t));
	return rng.numbers == NULL ? -ENOMEM : virtio_start(rng.device, 0, 1);
}

/* The device may give less than there is room for (5.4.6.2). */
static int fill(void)
{
	struct virtqueue *queue = rng.device->queues[0];
	struct virtio_buffer buffer = {virt_to_phys(rng.numbers), NUMBERS * sizeof(uint64_t)};
	struct virtio_request request = {0};
	int error = virtqueue_submit(queue, &request, &buffer, 0, 1);
	if (error != 0)
		return error;
	virtqueue_kick(queue);
	error = virtqueue_wait(queue, &request);
	rng.left = request.written / sizeof(uint64_t);
	return error != 0 ? error : rng.left == 0 ? -EAGAIN : 0;
}

int virtio_rng_read(uint64_t *value)
{
	if (rng.error == -EAGAIN)
		rng.error = start();
	int error = rng.error;
	if (error == 0 && rng.left == 0)
		error = fill();
	if (error != 0)
		return error;
	*value = rng.numbers[--rng.left];
	/* Nobody is to find it here afterwards. */
	rng.numbers[rng.left] = 0;
	return 0;
}
