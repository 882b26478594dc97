/* The virtio console device: queues and control messages. */
#include <calypso/lib.h>
#include <calypso/log.h>
#include <calypso/time.h>
#include <file/device/console.h>

/* 5.3.2; those of the other ports follow the two for control messages. */
enum { RECEIVE, TRANSMIT, CONTROL_RECEIVE, CONTROL_TRANSMIT, FURTHER };

/* 5.3.3 */
#define FEATURE_SIZE (1ull << 0)
#define FEATURE_MULTIPORT (1ull << 1)

/* struct virtio_console_config: columns and rows, the number of ports. */
#define CONFIG_SIZE 0
#define CONFIG_PORTS 4

/* 5.3.6.2 */
enum event {
	DEVICE_READY,
	PORT_ADD,
	PORT_REMOVE,
	PORT_READY,
	CONSOLE_PORT,
	RESIZE,
	PORT_OPEN,
	PORT_NAME,
};

struct message {
	uint32_t port;
	uint16_t event;
	uint16_t value;
	union {
		char name[PORT_NAME_MAX]; /* PORT_NAME; not terminated */
		struct {
			uint16_t columns;
			uint16_t rows;
		} size; /* RESIZE */
	};
};
#define MESSAGE_SIZE offsetof(struct message, name) /* at least, and of those that are sent */

#define MESSAGES 16

/* How long a device may take to tell of its first port. */
#define PATIENCE (20 * NANOSECONDS_PER_MILLISECOND)

struct received {
	struct virtio_request request;
	struct message *message;
};

struct sent {
	struct virtio_request request;
	struct message message;
};

static struct virtio_device *device;
static struct console_port ports[CONSOLE_PORTS_MAX];
static struct received messages[MESSAGES];
static uint16_t columns, rows; /* as messages said */

static bool has_many(void) { return (device->features & FEATURE_MULTIPORT) != 0; }

/* ---- Messages to the device ---- */

static void forget(struct virtio_request *request)
{
	kfree(container_of(request, struct sent, request));
}

static void tell(unsigned port, enum event event, unsigned value)
{
	struct virtqueue *queue = device->queues[CONTROL_TRANSMIT];
	struct sent *sent = kcalloc(1, sizeof(*sent));
	int error = sent == NULL ? -ENOMEM : 0;
	if (error == 0) {
		sent->request.complete = forget;
		sent->message.port = port;
		sent->message.event = (uint16_t)event;
		sent->message.value = (uint16_t)value;
		struct virtio_buffer buffer = {virt_to_phys(&sent->message), MESSAGE_SIZE};
		error = virtqueue_submit(queue, &sent->request, &buffer, 1, 0);
		if (error != 0)
			kfree(sent);
	}
	if (error != 0)
		log_warning("virtio console: message %u of port %u is lost: error %d", event, port,
			    -error);
	virtqueue_kick(queue);
	virtqueue_collect(queue);
}

void console_tell_open(const struct console_port *port, bool is_open)
{
	if (has_many())
		tell(port->number, PORT_OPEN, is_open);
}

/* ---- Messages from it ---- */

static void add_port(struct console_port *port)
{
	port->number = (unsigned)(port - ports);
	port->exists = true;
	tell(port->number, PORT_READY, 1);
}

static void remove_port(struct console_port *port)
{
	port->is_connected = false;
	port->exists = false;
}

static void take_name(struct console_port *port, const struct message *message, size_t length)
{
	size_t size = length - MESSAGE_SIZE;
	memcpy(port->name, message->name, size);
	port->name[size] = '\0';
}

static void handle(const struct message *message, size_t length)
{
	if (length < MESSAGE_SIZE || message->port >= ARRAY_SIZE(ports))
		return;
	struct console_port *port = &ports[message->port];
	if (!port->exists && message->event != PORT_ADD)
		return;
	switch (message->event) {
	case PORT_ADD:
		add_port(port);
		break;
	case PORT_REMOVE:
		remove_port(port);
		break;
	case PORT_NAME:
		take_name(port, message, length);
		break;
	case PORT_OPEN:
		port->is_connected = message->value != 0;
		break;
	case RESIZE:
		if (length >= MESSAGE_SIZE + sizeof(message->size)) {
			columns = message->size.columns;
			rows = message->size.rows;
		}
		break;
	default:
		break;
	}
	poll_notify(&port->poll, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLHUP);
}

static int offer(struct received *received)
{
	struct virtqueue *queue = device->queues[CONTROL_RECEIVE];
	struct virtio_buffer buffer = {virt_to_phys(received->message), sizeof(struct message)};
	int error = virtqueue_submit(queue, &received->request, &buffer, 0, 1);
	virtqueue_kick(queue);
	return error;
}

static void take(struct virtio_request *request)
{
	struct received *received = container_of(request, struct received, request);
	if (request->error != 0)
		return;
	handle(received->message, request->written);
	offer(received);
}

void console_look(void)
{
	if (has_many())
		virtqueue_collect(device->queues[CONTROL_RECEIVE]);
}

/* ---- The device ---- */

static int start_messages(void)
{
	virtqueue_keep_interrupts(device->queues[CONTROL_RECEIVE]);
	for (unsigned i = 0; i < MESSAGES; i++) {
		messages[i].message = kmalloc(sizeof(struct message));
		if (messages[i].message == NULL)
			return -ENOMEM;
		messages[i].request.complete = take;
		int error = offer(&messages[i]);
		if (error != 0)
			return error;
	}
	tell(UINT32_MAX, DEVICE_READY, 1);
	return 0;
}

/* How many queues to set up. */
static unsigned queue_count(const struct virtio_device *found)
{
	if (!virtio_offers(found, FEATURE_MULTIPORT))
		return CONTROL_RECEIVE;
	uint32_t count = virtio_config32(found, CONFIG_PORTS);
	return 2 + 2 * (count < CONSOLE_PORTS_MAX ? count : CONSOLE_PORTS_MAX);
}

int console_start(void)
{
	struct virtio_device *found = virtio_find(VIRTIO_CONSOLE, 0);
	if (device != NULL)
		return device->broken ? -EIO : 0;
	if (found == NULL)
		return -ENXIO;
	int error = virtio_start(found, FEATURE_SIZE | FEATURE_MULTIPORT, queue_count(found));
	if (error != 0)
		return error;
	device = found;
	virtio_take_interrupts(device);
	if (has_many())
		return start_messages();
	ports[0].exists = ports[0].is_connected = true;
	return 0;
}

bool console_exists(void)
{
	struct virtio_device *found = virtio_find(VIRTIO_CONSOLE, 0);
	return found != NULL && (!virtio_offers(found, FEATURE_MULTIPORT) || ports[0].exists);
}

static bool knows_a_port(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
		if (ports[i].exists)
			return true;
	}
	return false;
}

void console_look_for_ports(void)
{
	struct virtio_device *found = virtio_find(VIRTIO_CONSOLE, 0);
	if (found == NULL || !virtio_offers(found, FEATURE_MULTIPORT) || console_start() != 0)
		return;
	uint64_t deadline = time_monotonic() + PATIENCE;
	do
		console_look();
	while (!knows_a_port() && console_is_alive() && time_monotonic() < deadline);
}

bool console_is_alive(void) { return virtio_is_alive(device); }

struct console_port *console_port(unsigned number)
{
	return number < ARRAY_SIZE(ports) ? &ports[number] : NULL;
}

static unsigned first_queue(const struct console_port *port)
{
	return port->number == 0 ? RECEIVE : FURTHER + 2 * (port->number - 1);
}

struct virtqueue *console_receive_queue(const struct console_port *port)
{
	return device->queues[first_queue(port)];
}

struct virtqueue *console_transmit_queue(const struct console_port *port)
{
	return device->queues[first_queue(port) + 1];
}

void console_size(uint16_t *width, uint16_t *height)
{
	*width = columns;
	*height = rows;
	if (has_many() || (device->features & FEATURE_SIZE) == 0)
		return;
	uint32_t size = virtio_config32(device, CONFIG_SIZE);
	*width = (uint16_t)size;
	*height = (uint16_t)(size >> 16);
}
