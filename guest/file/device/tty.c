/* The terminal as a file. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <calypso/user.h>
#include <file/ramfs/ramfs.h>
#include <file/stream.h>
#include <file/device/tty.h>
#include <process/signal.h>

#define TENTH_OF_SECOND (NANOSECONDS_PER_SECOND / 10)

static struct tty terminal = {
	.termios = {
		.c_iflag = ICRNL | IXON | IUTF8,
		.c_oflag = OPOST | ONLCR,
		.c_cflag = B38400 | CS8 | CREAD,
		.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
		.c_cc = {
			[VINTR] = 'C' & 0x1f,
			[VQUIT] = '\\' & 0x1f,
			[VERASE] = 0x7f,
			[VKILL] = 'U' & 0x1f,
			[VEOF] = 'D' & 0x1f,
			[VMIN] = 1,
			[VSTART] = 'Q' & 0x1f,
			[VSTOP] = 'S' & 0x1f,
			[VSUSP] = 'Z' & 0x1f,
			[VREPRINT] = 'R' & 0x1f,
			[VDISCARD] = 'O' & 0x1f,
			[VWERASE] = 'W' & 0x1f,
			[VLNEXT] = 'V' & 0x1f,
		},
	},
};

/* What the host told last; nothing is a terminal until it has. */
static struct console_status host;
static bool host_known;

/* A window size that the program set, which then stands instead of the host's. */
static struct winsize window;

/* The foreground process group, which has no effect: there is one process. */
static int32_t foreground = 1;

static const struct console_status *host_status(void)
{
	if (!host_known)
		host = console_status();
	host_known = true;
	return &host;
}

/* ---- Output ---- */

static void track_column(struct tty *tty, uint8_t byte)
{
	if (byte == '\r' || (byte == '\n' && (tty->termios.c_oflag & ONLCR) != 0))
		tty->column = 0;
	else if (byte == '\b')
		tty->column -= tty->column > 0;
	else if (byte == '\t')
		tty->column += 8 - tty->column % 8;
	else if (!tty_is_control(byte) && !tty_is_continuation(tty, byte))
		tty->column++;
	/* What is typed from here on starts here, also in the middle of a line. */
	if (byte == '\r' || byte == '\n')
		tty->line_column = tty->column;
}

static enum console_stream output_stream(void)
{
	const struct console_status *status = host_status();
	return !status->output_is_terminal && status->error_is_terminal ? CONSOLE_ERROR
									: CONSOLE_OUTPUT;
}

void tty_send(struct tty *tty, const uint8_t *bytes, size_t length)
{
	static uint8_t out[256]; /* the host reads the image, not stacks */
	size_t count = 0;
	uint32_t flags = tty->termios.c_oflag;
	bool adds_return = (flags & (OPOST | ONLCR)) == (OPOST | ONLCR);
	for (size_t i = 0; i < length; i++) {
		if (count + 2 > sizeof(out)) {
			console_write(output_stream(), out, count);
			count = 0;
		}
		if (bytes[i] == '\n' && adds_return)
			out[count++] = '\r';
		out[count++] = bytes[i];
		track_column(tty, bytes[i]);
	}
	console_write(output_stream(), out, count);
}

static int tty_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset, (void)flags;
	uint8_t bytes[256];
	while (io->remaining > 0) {
		uint64_t before = io->remaining;
		int error = io_take(io, bytes, before < sizeof(bytes) ? before : sizeof(bytes));
		tty_send(&terminal, bytes, before - io->remaining);
		if (error != 0)
			return error;
	}
	return 0;
}

/* ---- Input ---- */

static bool is_canonical(const struct tty *tty) { return (tty->termios.c_lflag & ICANON) != 0; }

/* Bytes that a read may take now. */
static uint32_t available(const struct tty *tty)
{
	return (is_canonical(tty) ? tty->committed : tty->head) - tty->tail;
}

/* Deliver at most one line (canonical), or what there is. */
static int deliver(struct tty *tty, struct io *io)
{
	uint32_t left = available(tty);
	while (left-- > 0 && io->remaining > 0) {
		uint16_t cell = tty->input[tty->tail % TTY_BUFFER];
		uint8_t byte = cell & TTY_BYTE;
		bool marks_end = is_canonical(tty) && (cell & TTY_END_OF_FILE) != 0;
		int error = marks_end ? 0 : io_put(io, &byte, 1);
		if (error != 0)
			return error;
		tty->tail++;
		if (marks_end || (is_canonical(tty) && (cell & TTY_LINE_END) != 0))
			break;
	}
	return 0;
}

/* How long a non-canonical read that has nothing yet waits: VMIN and VTIME of termios(3). */
static uint64_t read_deadline(const struct tty *tty, bool started)
{
	const uint8_t *cc = tty->termios.c_cc;
	if (is_canonical(tty))
		return TIME_FOREVER;
	if (cc[VTIME] != 0 && (cc[VMIN] == 0 || started))
		return time_monotonic() + cc[VTIME] * TENTH_OF_SECOND;
	return cc[VMIN] == 0 ? 0 : TIME_FOREVER;
}

/* Bytes that a read waits for. */
static uint32_t wanted(const struct tty *tty, uint64_t asked)
{
	uint32_t least = tty->termios.c_cc[VMIN];
	if (is_canonical(tty) || least == 0)
		return 1;
	return asked < least ? (uint32_t)asked : least;
}

static int tty_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset;
	struct tty *tty = &terminal;
	if (io->remaining == 0)
		return 0;
	uint64_t deadline = read_deadline(tty, false);
	for (;;) {
		uint32_t before = available(tty);
		tty_receive(tty);
		uint32_t now = available(tty);
		if (now >= wanted(tty, io->remaining) || stream_input_ended())
			break;
		if ((flags & O_NONBLOCK) != 0) {
			if (now > 0)
				break;
			return -EAGAIN;
		}
		if (now > before)
			deadline = read_deadline(tty, true);
		int error = stream_input_wait(deadline);
		if (error == -ERESTARTSYS && available(tty) == 0)
			return error;
		if (error != 0)
			break;
	}
	return deliver(tty, io);
}

bool tty_makes_signals(void)
{
	return host.input_is_terminal & ((terminal.termios.c_lflag & ISIG) != 0);
}

void tty_input_arrived(void)
{
	if (tty_makes_signals())
		tty_receive(&terminal);
}

static unsigned tty_poll(struct file *file, unsigned flags)
{
	(void)file, (void)flags;
	struct tty *tty = &terminal;
	unsigned events = POLLOUT | POLLWRNORM;
	tty_receive(tty);
	if (available(tty) > 0)
		events |= POLLIN | POLLRDNORM;
	if (stream_input_ended())
		events |= POLLIN | POLLHUP;
	return events;
}

/* ---- ioctl ---- */

static void set_termios(struct tty *tty, const struct termios *termios)
{
	bool toggled = ((tty->termios.c_lflag ^ termios->c_lflag) & ICANON) != 0;
	tty->termios = *termios;
	/* What is there can be read at once, in the new mode. */
	if (toggled)
		tty->committed = tty->head;
}

static int64_t control_termios(struct tty *tty, unsigned request, user_t argument)
{
	struct termios termios;
	if (request == TCGETS)
		return user_put(argument, &tty->termios);
	if (user_get(&termios, argument) != 0)
		return -EFAULT;
	if (request == TCSETSF) {
		tty_receive(tty);
		tty_flush_input(tty);
	}
	set_termios(tty, &termios);
	return 0;
}

static int64_t get_window(user_t argument)
{
	struct winsize size = window;
	if (size.ws_row == 0 && size.ws_col == 0) {
		host_known = false; /* it may have changed */
		size.ws_row = (uint16_t)host_status()->rows;
		size.ws_col = (uint16_t)host_status()->columns;
	}
	return user_put(argument, &size);
}

static int64_t flush(struct tty *tty, user_t queue)
{
	if (queue > TCIOFLUSH)
		return -EINVAL;
	if (queue != TCOFLUSH) {
		tty_receive(tty);
		tty_flush_input(tty);
	}
	return 0;
}

static int64_t tty_control(struct file *file, unsigned request, user_t argument)
{
	(void)file;
	static const int32_t session = 1, nothing = 0;
	switch (request) {
	case TCGETS:
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return control_termios(&terminal, request, argument);
	case TIOCGWINSZ:
		return get_window(argument);
	case TIOCSWINSZ:
		return user_get(&window, argument);
	case TIOCGPGRP:
		return user_put(argument, &foreground);
	case TIOCSPGRP:
		return user_get(&foreground, argument);
	case TIOCGSID:
		return user_put(argument, &session);
	case TIOCOUTQ:
		return user_put(argument, &nothing);
	case FIONREAD: {
		tty_receive(&terminal);
		int32_t count = (int32_t)available(&terminal);
		return user_put(argument, &count);
	}
	case TCFLSH:
		return flush(&terminal, argument);
	case TCSBRK:
	case TCXONC:
	case TIOCSCTTY:
	case TIOCNOTTY:
		return 0;
	default:
		return -ENOTTY;
	}
}

struct file *tty_console(void)
{
	static struct file *console;
	struct creation what = {.mode = S_IFCHR | 0600, .device = device_number(5, 1)};

	if (console != NULL)
		return console;
	console = ramfs_make(&what, file_start_time());
	if (console != NULL)
		console->links = 0; /* /dev/console will be the first */
	return console;
}

int tty_open(const struct console_status *status, struct open_file **made)
{
	host = *status;
	host_known = true;
	struct file *console = tty_console();
	return console == NULL ? -ENOMEM : open_file_make(console, O_RDWR, made);
}

static int tty_check_open(struct file *file, unsigned flags)
{
	(void)flags;
	file->poll_state = &stream_input_state;
	const struct console_status *status = host_status();
	bool any = status->input_is_terminal || status->output_is_terminal ||
		   status->error_is_terminal;
	return any || device_minor(file->device) != 0 ? 0 : -ENXIO;
}

const struct file_operations tty_operations = {
	.read = tty_read,
	.write = tty_write,
	.poll = tty_poll,
	.control = tty_control,
	.open = tty_check_open,
};
