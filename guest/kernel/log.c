/* The log: lines with a time stamp, to the console's log stream. */
#include <calypso/console.h>
#include <calypso/log.h>
#include <calypso/text.h>
#include <calypso/time.h>

#define LINE_SIZE 200

enum log_level log_level = LOG_NONE;

/* The request passes a physical address, so the line lies in the image and not on a stack. */
static char line[LINE_SIZE + 1];

void log_write(enum log_level level, const char *format, ...)
{
	static const char *const names[] = {"", "error: ", "warning: ", "", "debug: "};
	struct text text = {line, LINE_SIZE, 0};
	uint64_t now = time_monotonic() / 1000;
	va_list arguments;

	text_add(&text, "[%5lu.%06lu] %s", now / 1000000, now % 1000000, names[level]);
	va_start(arguments, format);
	text_add_list(&text, format, arguments);
	va_end(arguments);
	line[text.length] = '\n';
	console_write(CONSOLE_LOG, line, text.length + 1);
}
