/* The console: the doorbell's streams, or with `console=serial` the board's serial port. */
#ifndef CALYPSO_CONSOLE_H
#define CALYPSO_CONSOLE_H

#include <calypso/types.h>

enum console_stream { CONSOLE_OUTPUT = 1, CONSOLE_ERROR = 2, CONSOLE_LOG = 3 };

struct console_status {
	bool input_is_terminal;
	bool output_is_terminal;
	bool error_is_terminal;
	unsigned rows;	  /* 0: unknown */
	unsigned columns; /* 0: unknown */
};

/* Write all of a kernel buffer. Bytes written, or -errno. */
int64_t console_write(enum console_stream stream, const void *buffer, size_t length);

/* Read what is there: bytes read; 0 at the end of input; -EAGAIN where nothing is there yet
 * (then `time_idle` waits for it). */
int64_t console_read(void *buffer, size_t length);

struct console_status console_status(void);
/* The same, mostly without asking the host. */
struct console_status console_status_at_entry(void);

#endif
