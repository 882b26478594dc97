/* The virtio console as a file. The device is started when it is first opened: from then on the
 * host's input goes there and nowhere else.
 *
 * Input comes into buffers that the device has; the one that was filled first is read first, and
 * goes back when it is empty.
 */
#include <calypso/lib.h>
#include <file/device/hvc.h>
#include <file/io.h>
#include <file/poll.h>
#include <file/device/request.h>
#include <uapi/fcntl.h>

enum { RECEIVE, TRANSMIT, QUEUES };

#define BUFFERS 4
#define BUFFER_SIZE 1024

struct input {
	struct virtio_request request;
	struct input *next; /* filled later */
	uint8_t *bytes;
	uint32_t taken;
};

static struct {
	struct virtio_device *device;
	struct input inputs[BUFFERS];
	struct input *first, *last; /* filled and not read */
	struct poll_state poll;
} console;

bool hvc_exists(void) { return virtio_find(VIRTIO_CONSOLE, 0) != NULL; }

static struct virtqueue *queue(unsigned index) { return console.device->queues[index]; }

/* ---- Input ---- */

static void filled(struct virtio_request *request)
{
	struct input *input = container_of(request, struct input, request);
	input->next = NULL;
	input->taken = 0;
	if (request->error == 0 && request->written > 0) {
		if (console.last != NULL)
			console.last->next = input;
		else
			console.first = input;
		console.last = input;
	}
	poll_notify(&console.poll, POLLIN | POLLRDNORM);
}

static int offer(struct input *input)
{
	struct virtio_buffer buffer = {virt_to_phys(input->bytes), BUFFER_SIZE};
	input->request.complete = filled;
	int error = virtqueue_submit(queue(RECEIVE), &input->request, &buffer, 0, 1);
	virtqueue_kick(queue(RECEIVE));
	return error;
}

/* Whether there is input; if not, an interrupt will tell. */
static bool has_input(void)
{
	do
		virtqueue_collect(queue(RECEIVE));
	while (console.first == NULL && !virtqueue_want_interrupt(queue(RECEIVE)));
	return console.first != NULL;
}

static int take_input(struct io *io)
{
	struct input *input = console.first;
	uint32_t left = input->request.written - input->taken;
	uint64_t before = io->remaining;
	int error = io_put(io, input->bytes + input->taken, before < left ? before : left);
	input->taken += (uint32_t)(before - io->remaining);
	if (input->taken < input->request.written)
		return error;
	console.first = input->next;
	if (console.first == NULL)
		console.last = NULL;
	offer(input);
	return error;
}

static int start(void)
{
	struct virtio_device *device = virtio_find(VIRTIO_CONSOLE, 0);
	int error = device == NULL ? -ENXIO : virtio_start(device, 0, QUEUES);
	if (error != 0)
		return error;
	console.device = device;
	virtio_take_interrupts(device);
	for (unsigned i = 0; i < BUFFERS && error == 0; i++) {
		struct input *input = &console.inputs[i];
		input->bytes = kmalloc(BUFFER_SIZE);
		error = input->bytes == NULL ? -ENOMEM : offer(input);
	}
	return error;
}

/* ---- The file ---- */

static int hvc_open(struct file *file, unsigned flags)
{
	(void)flags;
	file->poll_state = &console.poll;
	return console.device == NULL ? start() : console.device->broken ? -EIO : 0;
}

static int hvc_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset;
	while (io->remaining > 0 && !has_input()) {
		if (!virtio_is_alive(console.device))
			return -EIO;
		if ((flags & O_NONBLOCK) != 0)
			return -EAGAIN;
		int error = poll_wait_for(&console.poll, POLLIN, TIME_FOREVER);
		if (error != 0)
			return error;
	}
	return io->remaining > 0 ? take_input(io) : 0;
}

static int hvc_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset, (void)flags;
	physical_t frame = frame_allocate(0, 0);
	int error = frame == FRAME_NONE ? -ENOMEM : 0;
	while (io->remaining > 0 && error == 0) {
		struct sleeping_request request = {0};
		uint64_t part = io->remaining < PAGE_SIZE ? io->remaining : PAGE_SIZE;
		struct virtio_buffer buffer = {frame, (uint32_t)part};
		error = io_take(io, phys_to_virt(frame), part);
		if (error == 0)
			error = request_execute(queue(TRANSMIT), &request, &buffer, 1, 0);
	}
	if (frame != FRAME_NONE)
		frame_free(frame, 0);
	return error;
}

static unsigned hvc_poll(struct file *file, unsigned flags)
{
	(void)file, (void)flags;
	if (!virtio_is_alive(console.device))
		return POLLERR | POLLHUP;
	return POLLOUT | POLLWRNORM | (has_input() ? POLLIN | POLLRDNORM : 0);
}

const struct file_operations hvc_operations = {
	.read = hvc_read,
	.write = hvc_write,
	.poll = hvc_poll,
	.open = hvc_open,
};
