/* Ports of the virtio console as files. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <calypso/user.h>
#include <file/device/console.h>
#include <file/io.h>
#include <uapi/fcntl.h>
#include <uapi/termios.h>

#define INPUT_SIZE 1024

/* The port of a file that could be opened; it may have been removed since. */
static struct console_port *port_of(const struct file *file)
{
	bool is_console = device_major(file->device) == HVC_MAJOR;
	return console_port(is_console ? 0 : device_minor(file->device));
}

/* ---- Input ---- */

static void filled(struct virtio_request *request)
{
	struct port_input *input = container_of(request, struct port_input, request);
	struct console_port *port = input->port;
	input->next = NULL;
	input->taken = 0;
	if (request->error == 0 && request->written > 0) {
		if (port->last != NULL)
			port->last->next = input;
		else
			port->first = input;
		port->last = input;
	}
	poll_notify(&port->poll, POLLIN | POLLRDNORM);
}

static int offer(struct port_input *input)
{
	struct virtqueue *queue = console_receive_queue(input->port);
	struct virtio_buffer buffer = {virt_to_phys(input->bytes), INPUT_SIZE};
	input->request.complete = filled;
	int error = virtqueue_submit(queue, &input->request, &buffer, 0, 1);
	virtqueue_kick(queue);
	return error;
}

/* Whether there is input; if not, an interrupt will tell. */
static bool has_input(struct console_port *port)
{
	struct virtqueue *queue = console_receive_queue(port);
	do
		virtqueue_collect(queue);
	while (port->first == NULL && !virtqueue_want_interrupt(queue));
	return port->first != NULL;
}

static struct port_input *remove_first(struct console_port *port)
{
	struct port_input *input = port->first;
	port->first = input->next;
	if (port->first == NULL)
		port->last = NULL;
	return input;
}

static int take_input(struct console_port *port, struct io *io)
{
	struct port_input *input = port->first;
	uint32_t left = input->request.written - input->taken;
	uint64_t before = io->remaining;
	int error = io_put(io, input->bytes + input->taken, before < left ? before : left);
	input->taken += (uint32_t)(before - io->remaining);
	if (input->taken == input->request.written)
		offer(remove_first(port));
	return error;
}

/* Wait for a change of the port; -EAGAIN where the file does not. */
static int wait_for(struct console_port *port, unsigned events, unsigned flags)
{
	if (!console_is_alive())
		return -EIO;
	if ((flags & O_NONBLOCK) != 0)
		return -EAGAIN;
	return poll_wait_for(&port->poll, events | POLLHUP, TIME_FOREVER);
}

/* The end of input is where nobody of the host is connected. */
static int port_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	struct console_port *port = port_of(file);
	(void)offset;
	while (io->remaining > 0) {
		console_look();
		if (!port->exists)
			return -ENODEV;
		if (has_input(port))
			return take_input(port, io);
		if (!port->is_connected && console_is_alive())
			return 0;
		int error = wait_for(port, POLLIN, flags);
		if (error != 0)
			return error;
	}
	return 0;
}

/* ---- Output ---- */

static void sent(struct virtio_request *request)
{
	struct console_port *port = container_of(request, struct console_port, output);
	port->is_sending = false;
	poll_notify(&port->poll, POLLOUT | POLLWRNORM);
}

/* Whether a page can be sent; if not, an interrupt will tell. */
static bool has_room(struct console_port *port)
{
	struct virtqueue *queue = console_transmit_queue(port);
	do
		virtqueue_collect(queue);
	while (port->is_sending && !virtqueue_want_interrupt(queue));
	return !port->is_sending;
}

static int send_part(struct console_port *port, struct io *io)
{
	struct virtqueue *queue = console_transmit_queue(port);
	uint64_t length = io->remaining < PAGE_SIZE ? io->remaining : PAGE_SIZE;
	struct virtio_buffer buffer = {port->page, (uint32_t)length};
	struct io before = *io;
	int error = io_take(io, phys_to_virt(port->page), length);
	port->output = (struct virtio_request){.complete = sent};
	if (error == 0)
		error = virtqueue_submit(queue, &port->output, &buffer, 1, 0);
	if (error != 0) {
		*io = before;
		return error;
	}
	port->is_sending = true;
	virtqueue_kick(queue);
	return 0;
}

/* Nobody has read it until the host is connected. */
static int port_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	struct console_port *port = port_of(file);
	int error = 0;
	(void)offset;
	while (io->remaining > 0 && error == 0) {
		console_look();
		if (!port->exists)
			error = -ENODEV;
		else if (port->is_connected && has_room(port))
			error = send_part(port, io);
		else
			error = wait_for(port, POLLOUT, flags);
	}
	return error;
}

/* ---- The file ---- */

static unsigned port_poll(struct file *file, unsigned flags)
{
	struct console_port *port = port_of(file);
	(void)flags;
	console_look();
	if (!port->exists || !console_is_alive())
		return POLLERR | POLLHUP;
	unsigned events = port->is_connected ? 0 : POLLHUP;
	if (has_input(port) || !port->is_connected)
		events |= POLLIN | POLLRDNORM;
	if (port->is_connected && has_room(port))
		events |= port->number == 0 ? POLLOUT | POLLWRNORM : POLLOUT;
	return events;
}

/* Give the device buffers, and the port a page, once and for all. */
static int prepare(struct console_port *port)
{
	if (port->inputs[0].bytes != NULL)
		return 0;
	port->page = frame_allocate(0, 0);
	int error = port->page == FRAME_NONE ? -ENOMEM : 0;
	for (unsigned i = 0; i < PORT_INPUTS && error == 0; i++) {
		struct port_input *input = &port->inputs[i];
		input->port = port;
		input->bytes = kmalloc(INPUT_SIZE);
		error = input->bytes == NULL ? -ENOMEM : offer(input);
	}
	return error;
}

static int open_port(struct console_port *port, struct file *file)
{
	int error = prepare(port);
	if (error != 0)
		return error;
	file->poll_state = &port->poll;
	if (port->opened++ == 0)
		console_tell_open(port, true);
	return 0;
}

/* A port has one reader, and the console is none. */
static int port_open(struct file *file, unsigned flags)
{
	struct console_port *port = port_of(file);
	(void)flags;
	if (port == NULL || !port->exists)
		return -ENXIO;
	if (port->opened > 0 || port->number == 0)
		return -EBUSY;
	return console_is_alive() ? open_port(port, file) : -EIO;
}

static void port_close(struct file *file, unsigned flags)
{
	struct console_port *port = port_of(file);
	(void)flags;
	if (--port->opened > 0)
		return;
	console_tell_open(port, false);
	/* What came meanwhile is for nobody. */
	virtqueue_collect(console_receive_queue(port));
	while (port->first != NULL)
		offer(remove_first(port));
}

const struct file_operations port_operations = {
	.read = port_read,
	.write = port_write,
	.poll = port_poll,
	.open = port_open,
	.close = port_close,
};

/* ---- /dev/hvc0 ---- */

static int hvc_open(struct file *file, unsigned flags)
{
	(void)flags;
	int error = console_start();
	struct console_port *port = console_port(0);
	if (error == 0 && !port->exists)
		error = -ENXIO;
	return error != 0 ? error : open_port(port, file);
}

static int64_t hvc_control(struct file *file, unsigned request, user_t argument)
{
	struct winsize size = {0};
	(void)file;
	if (request != TIOCGWINSZ)
		return -ENOTTY;
	console_look();
	console_size(&size.ws_col, &size.ws_row);
	return user_put(argument, &size);
}

const struct file_operations hvc_operations = {
	.read = port_read,
	.write = port_write,
	.poll = port_poll,
	.control = hvc_control,
	.open = hvc_open,
	.close = port_close,
};
