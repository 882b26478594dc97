/* The terminal: a line discipline between the program and a host terminal that passes everything
 * through (raw mode). There is one, the controlling terminal of the one process.
 *
 *   tty.c       the file: reading, writing, ioctl
 *   tty_line.c  what happens to each byte that comes in: editing, echo, signals
 */
#ifndef FILE_DEVICE_TTY_H
#define FILE_DEVICE_TTY_H

#include <calypso/console.h>
#include <file/open_file.h>
#include <uapi/termios.h>

/* Of /dev/console and /dev/tty; opening the latter needs a terminal on the host's side. */
extern const struct file_operations tty_operations;

/* The file of /dev/console, the same under that name and behind open descriptors; NULL without
 * memory. The reference stays here. */
struct file *tty_console(void);

/* Open the terminal for reading and writing. */
int tty_open(const struct console_status *status, struct open_file **made);

/* Whether signals may come from the terminal. */
bool tty_makes_signals(void);

/* Nobody reads, but the host has sent something: there may be a signal in it. */
void tty_input_arrived(void);

/* ---- Inside the terminal ---- */

#define TTY_BUFFER 4096 /* bytes of input that wait to be read; Linux's N_TTY_BUF_SIZE */

/* A byte of input with what it means besides. */
#define TTY_BYTE 0xff
#define TTY_LINE_END 0x100    /* reading a line stops behind it */
#define TTY_END_OF_FILE 0x200 /* reading a line stops before it, and it is not delivered */

struct tty {
	struct termios termios;
	uint16_t input[TTY_BUFFER]; /* a ring; the counters below run freely */
	uint32_t head;		    /* bytes that ever came in */
	uint32_t committed;	    /* of these, in complete lines */
	uint32_t tail;		    /* of these, read */
	uint32_t column;	    /* of the cursor, as far as output tells */
	uint32_t line_column;	    /* where the echo of the unfinished line started */
	bool literal;		    /* the next byte has no special meaning (VLNEXT) */
};

/* A byte of a UTF-8 sequence but not its first: it takes no column, and goes with its character. */
static inline bool tty_is_continuation(const struct tty *tty, uint8_t byte)
{
	return (tty->termios.c_iflag & IUTF8) != 0 && (byte & 0xc0) == 0x80;
}

static inline bool tty_is_control(uint8_t byte) { return byte < 0x20 || byte == 0x7f; }

/* Take what the host has and put it through the line discipline. */
void tty_receive(struct tty *tty);

/* Send bytes of the kernel, or of the program, to the terminal; newlines as c_oflag says. */
void tty_send(struct tty *tty, const uint8_t *bytes, size_t length);

/* Forget the input. */
void tty_flush_input(struct tty *tty);

#endif
