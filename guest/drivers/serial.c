/* What all serial ports share. */
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/errno.h>
#include <calypso/serial.h>

const struct serial_port *serial_find(void)
{
	static struct serial_port port;

	if (bootinfo.console == 0)
		return NULL;
	port = (struct serial_port){&ARCH_CONSOLE_DRIVER, bootinfo.console};
	port.driver->initialize(port.base);
	return &port;
}

static void send(const struct serial_port *port, char byte)
{
	while (!port->driver->can_send(port->base))
		arch_pause();
	port->driver->send(port->base, (uint8_t)byte);
}

void serial_write(const struct serial_port *port, const char *buffer, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (buffer[i] == '\n')
			send(port, '\r');
		send(port, buffer[i]);
	}
}

int64_t serial_read(const struct serial_port *port, char *buffer, size_t length)
{
	size_t count = 0;

	while (count < length && port->driver->can_receive(port->base))
		buffer[count++] = (char)port->driver->receive(port->base);
	return count || length == 0 ? (int64_t)count : -EAGAIN;
}
