/* Requests to virtio devices that threads sleep on until they are done. */
#ifndef FILE_DEVICE_REQUEST_H
#define FILE_DEVICE_REQUEST_H

#include <calypso/virtqueue.h>
#include <process/thread.h>

struct sleeping_request {
	struct virtio_request request;
	struct thread_list threads;
};

/* Submit a request, which is zero but for its own fields, and wait until it is done: 0, -EIO,
 * -ENOMEM; -ERESTARTSYS, with nothing submitted, for a signal while the queue is full. Once the
 * device has the buffers nothing interrupts the waiting. */
int request_execute(struct virtqueue *queue, struct sleeping_request *sleeping,
		    const struct virtio_buffer *buffers, unsigned readable, unsigned writable);

#endif
