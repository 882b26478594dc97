/* Split virtqueues (virtio 1.2, section 2.7), from the driver's side.
 *
 *	struct virtio_buffer buffers[] = {{virt_to_phys(question), 16}, {virt_to_phys(answer), 64}};
 *	struct virtio_request request = {0};
 *	int error = virtqueue_submit(queue, &request, buffers, 1, 1);
 *	virtqueue_kick(queue);
 *	if (error == 0)
 *		error = virtqueue_wait(queue, &request);
 *
 * A request belongs to the queue until it is done; so do its buffers. Devices reach memory by
 * physical address: buffers are of the heap, of frames or of the image, never of a stack.
 */
#ifndef CALYPSO_VIRTQUEUE_H
#define CALYPSO_VIRTQUEUE_H

#include <calypso/virtio.h>

struct virtio_buffer {
	physical_t address;
	uint32_t length;
};

struct virtio_request {
	bool done;
	int error;	  /* once done: 0, or -EIO: the device is broken */
	uint32_t written; /* once done: bytes at the front of the writable buffers */
	uint32_t room;	  /* bytes of them in all */
	/* Called once it is done, from wherever that was seen; may be NULL. It may submit. */
	void (*complete)(struct virtio_request *request);
	struct virtq_descriptor *indirect; /* from the heap, while the device has it */
};

struct virtqueue;

/* A queue of up to `size_max` requests in flight, which the device does not know yet; NULL without
 * memory. */
struct virtqueue *virtqueue_create(struct virtio_device *device, unsigned index, unsigned size_max);

/* Where the device finds it. */
struct virtqueue_areas {
	unsigned size;
	physical_t descriptors;
	physical_t available;
	physical_t used;
};
struct virtqueue_areas virtqueue_areas(const struct virtqueue *queue);

/* Whose it is. */
struct virtio_device *virtqueue_device(const struct virtqueue *queue);

/* Make a request available: first `readable` buffers for the device to read, then `writable` ones
 * for it to fill. 0; -ENOSPC: try again when others are done; -ENOMEM; -EIO. */
int virtqueue_submit(struct virtqueue *queue, struct virtio_request *request,
		     const struct virtio_buffer *buffers, unsigned readable, unsigned writable);

/* Tell the device of what was submitted, if it wants to be told. */
void virtqueue_kick(struct virtqueue *queue);

/* See what the device has done. Whether that was anything. */
bool virtqueue_collect(struct virtqueue *queue);

/* Ask for an interrupt at the next request that is done; false, with nothing asked, where one is
 * done already. One that nobody asked for may come all the same. */
bool virtqueue_want_interrupt(struct virtqueue *queue);

/* Ask for interrupts at all requests that are done, from now on. */
void virtqueue_keep_interrupts(struct virtqueue *queue);

/* Wait on the spot: nothing else runs in between. Its error. */
int virtqueue_wait(struct virtqueue *queue, struct virtio_request *request);

/* The device is broken: all requests are done, with -EIO. */
void virtqueue_abandon(struct virtqueue *queue);

#endif
