/* Sleeping until a device is done. */
#include <calypso/errno.h>
#include <file/device/request.h>
#include <uapi/types.h>

static void wake(struct virtio_request *request)
{
	struct sleeping_request *sleeping = container_of(request, struct sleeping_request, request);
	while (sleeping->threads.first != NULL)
		thread_wake(sleeping->threads.first, 0);
}

static int submit(struct virtqueue *queue, struct virtio_request *request,
		  const struct virtio_buffer *buffers, unsigned readable, unsigned writable)
{
	int error;
	while ((error = virtqueue_submit(queue, request, buffers, readable, writable)) == -ENOSPC) {
		uint64_t soon = time_monotonic() + NANOSECONDS_PER_MILLISECOND;
		if (thread_sleep(soon) == -EINTR)
			return -ERESTARTSYS;
	}
	return error;
}

int request_execute(struct virtqueue *queue, struct sleeping_request *sleeping,
		    const struct virtio_buffer *buffers, unsigned readable, unsigned writable)
{
	struct virtio_request *request = &sleeping->request;
	request->complete = wake;
	int error = submit(queue, request, buffers, readable, writable);
	if (error != 0)
		return error;
	virtqueue_kick(queue);
	virtqueue_collect(queue);
	while (!request->done && virtqueue_device(queue)->interrupts) {
		/* A signal cannot take the buffers from the device. */
		if (virtqueue_want_interrupt(queue) &&
		    thread_wait(&sleeping->threads, TIME_FOREVER) == -EINTR)
			break;
		virtqueue_collect(queue);
	}
	return virtqueue_wait(queue, request);
}
