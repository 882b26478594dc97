/* Serial ports: polled output and input. */
#ifndef CALYPSO_SERIAL_H
#define CALYPSO_SERIAL_H

#include <calypso/types.h>

struct serial_port;

/* What a driver knows about its device. Ports are I/O ports or physical addresses of registers,
 * as the architecture has them. */
struct serial_driver {
	void (*initialize)(uint64_t base);
	bool (*can_send)(uint64_t base);
	void (*send)(uint64_t base, uint8_t byte);
	bool (*can_receive)(uint64_t base);
	uint8_t (*receive)(uint64_t base);
};

struct serial_port {
	const struct serial_driver *driver;
	uint64_t base;
};

extern const struct serial_driver ns16550_driver;
extern const struct serial_driver pl011_driver;

/* The board's serial console, initialized; NULL where there is none. */
const struct serial_port *serial_find(void);

/* Write all, with a carriage return before each line feed. */
void serial_write(const struct serial_port *port, const char *buffer, size_t length);

/* Read what is there: bytes read, or -EAGAIN. */
int64_t serial_read(const struct serial_port *port, char *buffer, size_t length);

#endif
