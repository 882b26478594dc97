/* The console: streams of the host, or a serial port. */
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/console.h>
#include <calypso/errno.h>
#include <calypso/host.h>
#include <calypso/serial.h>

static enum { NOT_CHOSEN, STREAMS, SERIAL } chosen;

/* The serial port, where that is chosen; it carries all streams. */
static const struct serial_port *serial;

static void choose(void)
{
	bool wanted = command_line_is("console", "serial") || !bootinfo_has(CALYPSO_FEATURE_CONSOLE);

	if (wanted && bootinfo.console != 0)
		serial = serial_find();
	chosen = serial ? SERIAL : STREAMS;
}

static const struct serial_port *serial_console(void)
{
	if (unlikely(chosen == NOT_CHOSEN))
		choose();
	return serial;
}

static __attribute__((noinline, cold)) int64_t write_chosen(enum console_stream stream,
							    const void *buffer, size_t length)
{
	const struct serial_port *port = serial_console();

	if (!port)
		return console_write(stream, buffer, length);
	serial_write(port, buffer, length);
	return (int64_t)length;
}

int64_t console_write(enum console_stream stream, const void *buffer, size_t length)
{
	const char *at = buffer, *end = at + length;

	if (unlikely(chosen != STREAMS))
		return write_chosen(stream, buffer, length);
	while (at < end) {
		int64_t result = host_console_write(stream, at, (size_t)(end - at));

		if (unlikely(result <= 0))
			return at > (const char *)buffer ? at - (const char *)buffer : result;
		at += result;
	}
	return (int64_t)length;
}

int64_t console_read(void *buffer, size_t length)
{
	const struct serial_port *port = serial_console();
	uint64_t arguments[6] = {virt_to_phys(buffer), length};

	if (port)
		return serial_read(port, buffer, length);
	return host_request(CALYPSO_CONSOLE_READ, arguments);
}

struct console_status console_status_at_entry(void)
{
	if (bootinfo_has(CALYPSO_FEATURE_NO_TERMINAL) && !serial_console())
		return (struct console_status){0};
	return console_status();
}

struct console_status console_status(void)
{
	uint64_t arguments[6] = {0};
	int64_t bits = serial_console() ? -ENOSYS : host_request(CALYPSO_CONSOLE_STATUS, arguments);

	/* A serial line has a terminal at its other end, as far as anybody can tell. */
	if (bits < 0)
		return (struct console_status){true, true, true, 0, 0};
	return (struct console_status){
		.input_is_terminal = (bits & 1) != 0,
		.output_is_terminal = (bits & 2) != 0,
		.error_is_terminal = (bits & 4) != 0,
		.rows = (unsigned)arguments[0],
		.columns = (unsigned)arguments[1],
	};
}
