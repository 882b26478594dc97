/* The virtio console device (virtio 1.2, section 5.3): /dev/hvc0, bytes to and from the host as they
 * are, and ports with names, /dev/vport0p1 and so on, which /dev/virtio-ports/NAME leads to.
 *
 *   console_device.c  the device: its queues, control messages
 *   console_port.c    ports as files
 *
 * A device that has nothing but a console is started when that is first opened: from then on the
 * host's input goes there and nowhere else. One with several ports is started when /dev is made.
 */
#ifndef FILE_DEVICE_CONSOLE_H
#define FILE_DEVICE_CONSOLE_H

#include <calypso/virtqueue.h>
#include <file/file.h>
#include <file/poll.h>

/* As Linux numbers it; ports have numbers that it gives out as they come. */
#define HVC_MAJOR 229
#define PORT_MAJOR 242

#define CONSOLE_PORTS_MAX ((VIRTIO_QUEUES_MAX - 2) / 2)
#define PORT_NAME_MAX 63

/* Buffers for a port's input. */
#define PORT_INPUTS 4

struct port_input {
	struct virtio_request request;
	struct console_port *port;
	struct port_input *next; /* filled later */
	uint8_t *bytes;
	uint32_t taken;
};

struct console_port {
	unsigned number;
	bool exists;	   /* the device has told of it, and has not removed it */
	bool is_connected; /* somebody of the host is there */
	unsigned opened;   /* by so many open files */
	char name[PORT_NAME_MAX + 1];
	struct poll_state poll;

	/* Buffers that the device fills; the one that was filled first is read first, and goes back
	 * when it is empty. */
	struct port_input inputs[PORT_INPUTS];
	struct port_input *first, *last; /* filled and not read */

	/* A page of output. */
	struct virtio_request output;
	physical_t page;
	bool is_sending; /* the device has it */
};

/* Whether there is a console. */
bool console_exists(void);

/* Where the device has several ports: start it, and let it tell of them. */
void console_look_for_ports(void);

/* A port by its number, also where there is none now; NULL where there cannot be one. */
struct console_port *console_port(unsigned number);

extern const struct file_operations hvc_operations;
extern const struct file_operations port_operations;

/* ---- Inside ---- */

/* Have the device work: 0, -ENXIO where there is none, -EIO, -ENOMEM. */
int console_start(void);

/* Whether it still does; looks at its status. */
bool console_is_alive(void);

/* Take messages that have come. */
void console_look(void);

struct virtqueue *console_receive_queue(const struct console_port *port);
struct virtqueue *console_transmit_queue(const struct console_port *port);

/* Tell the device that a port was opened or closed. */
void console_tell_open(const struct console_port *port, bool is_open);

/* The console's size in characters; zeros: unknown. */
void console_size(uint16_t *columns, uint16_t *rows);

#endif
