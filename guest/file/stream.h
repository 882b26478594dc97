/* The host's three streams, and the files that they are where they are no terminal. */
#ifndef FILE_STREAM_H
#define FILE_STREAM_H

#include <calypso/console.h>
#include <file/descriptor.h>
#include <file/poll.h>

/* Open descriptors 0, 1 and 2 in an empty table: on the terminal each whose other side is one,
 * else on a pipe-like file; or on a pseudo file (device/pseudo.h) where the command line says so, by stdin=,
 * stdout= or stderr=. 0 or -ENOMEM. */
int stream_open_standard(struct descriptor_table *table);

/* ---- Bytes from the host, buffered ---- */

/* Told when there are bytes, or the end. */
extern struct poll_state stream_input_state;

/* Look for input without waiting: whether there are bytes, or the end. */
bool stream_input_ready(void);

/* The end was reached and all bytes before it were taken. */
bool stream_input_ended(void);

/* Look for input where none was buffered: whether some has come, or the end. */
bool stream_input_arrived(void);

/* Wait for input until `deadline` (TIME_FOREVER: none). 0: some has come, which may be taken by now;
 * -EAGAIN when time is up; -ERESTARTSYS for a signal. */
int stream_input_wait(uint64_t deadline);

/* Take the next byte of the input; -1 where none is there now. */
int stream_input_byte(void);

/* ---- Bytes to the host ---- */

/* Write what `io` has left. */
int stream_output(enum console_stream stream, struct io *io);

#endif
