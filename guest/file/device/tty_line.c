/* The terminal's line discipline: what each incoming byte does. Names as in termios(3). */
#include <calypso/lib.h>
#include <file/stream.h>
#include <file/device/tty.h>
#include <process/signal.h>

#define DISABLED 0 /* a c_cc entry of this value stands for no character */

static bool local(const struct tty *tty, uint32_t flags)
{
	return (tty->termios.c_lflag & flags) == flags;
}

static bool is_special(const struct tty *tty, uint8_t byte, unsigned which)
{
	return tty->termios.c_cc[which] == byte && byte != DISABLED;
}

/* ---- Echo ---- */

static void send_byte(struct tty *tty, uint8_t byte) { tty_send(tty, &byte, 1); }

static void echo(struct tty *tty, uint8_t byte)
{
	if (!local(tty, ECHO))
		return;
	if (local(tty, ECHOCTL) && tty_is_control(byte) && byte != '\t') {
		send_byte(tty, '^');
		byte ^= 0x40;
	}
	send_byte(tty, byte);
}

/* Columns that one byte of the unfinished line takes when it starts at `column`. */
static uint32_t width_of(const struct tty *tty, uint8_t byte, uint32_t column)
{
	if (byte == '\t')
		return 8 - column % 8;
	if (tty_is_control(byte))
		return local(tty, ECHOCTL) ? 2 : 0;
	return tty_is_continuation(tty, byte) ? 0 : 1;
}

/* The cursor's column behind the unfinished line. */
static uint32_t line_end_column(const struct tty *tty)
{
	uint32_t column = tty->line_column;
	for (uint32_t i = tty->committed; i != tty->head; i++)
		column += width_of(tty, tty->input[i % TTY_BUFFER] & TTY_BYTE, column);
	return column;
}

/* ---- Editing the unfinished line ---- */

static bool line_is_empty(const struct tty *tty) { return tty->head == tty->committed; }

static uint8_t byte_before(const struct tty *tty, uint32_t position)
{
	return tty->input[(position - 1) % TTY_BUFFER] & TTY_BYTE;
}

/* How many bytes the last character has; 0 where the line does not hold its first one. */
static uint32_t last_character_length(const struct tty *tty)
{
	uint32_t start = tty->head;
	while (start != tty->committed) {
		uint8_t byte = byte_before(tty, start--);
		if (!tty_is_continuation(tty, byte))
			return tty->head - start;
	}
	return 0;
}

/* The first byte of the last character, of which there is one. */
static uint8_t last_character(const struct tty *tty)
{
	return byte_before(tty, tty->head - last_character_length(tty) + 1);
}

/* Take the last character away, from the screen too. */
static void erase_character(struct tty *tty, bool by_key)
{
	uint8_t byte = last_character(tty);
	uint32_t before = line_end_column(tty);
	tty->head -= last_character_length(tty);
	if (!local(tty, ECHO))
		return;
	if (by_key && !local(tty, ECHOE)) {
		echo(tty, tty->termios.c_cc[VERASE]);
		return;
	}
	for (uint32_t column = before; column > line_end_column(tty); column--) {
		if (byte == '\t')
			send_byte(tty, '\b');
		else
			tty_send(tty, (const uint8_t *)"\b \b", 3);
	}
}

/* Letters of ISO 8859-1, which the first bytes of UTF-8's letters look like, count too. */
static bool is_word_byte(uint8_t byte)
{
	const uint8_t multiplication = 0xd7, division = 0xf7;
	return (uint8_t)((byte | 0x20) - 'a') < 26 || (uint8_t)(byte - '0') < 10 || byte == '_' ||
	       (byte >= 0xc0 && byte != multiplication && byte != division);
}

static void erase_word(struct tty *tty)
{
	bool in_word = false;
	while (last_character_length(tty) > 0) {
		bool belongs = is_word_byte(last_character(tty));
		if (in_word && !belongs)
			return;
		in_word = belongs;
		erase_character(tty, false);
	}
}

static void erase_line(struct tty *tty)
{
	if (line_is_empty(tty))
		return;
	if (local(tty, ECHO | ECHOK | ECHOKE | ECHOE)) {
		while (last_character_length(tty) > 0)
			erase_character(tty, false);
		return;
	}
	tty->head = tty->committed;
	echo(tty, tty->termios.c_cc[VKILL]);
	if (local(tty, ECHO | ECHOK))
		send_byte(tty, '\n');
}

static void reprint_line(struct tty *tty)
{
	echo(tty, tty->termios.c_cc[VREPRINT]);
	send_byte(tty, '\n');
	for (uint32_t i = tty->committed; i != tty->head; i++)
		echo(tty, tty->input[i % TTY_BUFFER] & TTY_BYTE);
}

/* ---- Bytes ---- */

/* A line starts where the echo of its first byte does. */
static void note_column(struct tty *tty)
{
	if (line_is_empty(tty))
		tty->line_column = tty->column;
}

/* Keep a byte; when the buffer is full it is lost. In a line one place stays free for its end. */
static bool keep(struct tty *tty, uint16_t cell)
{
	uint32_t room = TTY_BUFFER - (tty->head - tty->tail);
	bool ends = (cell & ~TTY_BYTE) != 0;
	if (room == 0 || (room == 1 && local(tty, ICANON) && !ends))
		return false;
	tty->input[tty->head++ % TTY_BUFFER] = cell;
	return true;
}

static void end_line(struct tty *tty, uint16_t cell)
{
	if (keep(tty, cell))
		tty->committed = tty->head;
}

static void interrupt(struct tty *tty, uint8_t byte, int signal)
{
	if (!local(tty, NOFLSH))
		tty_flush_input(tty);
	echo(tty, byte);
	signal_send(signal);
}

static bool receive_signal(struct tty *tty, uint8_t byte)
{
	if (is_special(tty, byte, VINTR))
		interrupt(tty, byte, SIGINT);
	else if (is_special(tty, byte, VQUIT))
		interrupt(tty, byte, SIGQUIT);
	else if (is_special(tty, byte, VSUSP))
		interrupt(tty, byte, SIGTSTP);
	else
		return false;
	return true;
}

/* What a byte does to the unfinished line; false where it is nothing special. */
static bool receive_editing(struct tty *tty, uint8_t byte)
{
	bool extended = local(tty, IEXTEN);
	if (is_special(tty, byte, VERASE)) {
		if (last_character_length(tty) > 0)
			erase_character(tty, true);
	} else if (is_special(tty, byte, VKILL)) {
		erase_line(tty);
	} else if (extended && is_special(tty, byte, VWERASE)) {
		erase_word(tty);
	} else if (extended && local(tty, ECHO) && is_special(tty, byte, VREPRINT)) {
		reprint_line(tty);
	} else if (byte == '\n') {
		if (local(tty, ECHO) || local(tty, ECHONL))
			send_byte(tty, byte);
		end_line(tty, byte | TTY_LINE_END);
	} else if (is_special(tty, byte, VEOF)) {
		end_line(tty, TTY_END_OF_FILE);
	} else if (is_special(tty, byte, VEOL) || (extended && is_special(tty, byte, VEOL2))) {
		echo(tty, byte);
		end_line(tty, byte | TTY_LINE_END);
	} else {
		return false;
	}
	return true;
}

static void receive_byte(struct tty *tty, uint8_t byte)
{
	const struct termios *termios = &tty->termios;
	if ((termios->c_iflag & ISTRIP) != 0)
		byte &= 0x7f;
	if (tty->literal) {
		tty->literal = false;
		note_column(tty);
		echo(tty, byte);
		keep(tty, byte);
		return;
	}
	/* Output is never held back, so the two that would do it mean nothing. */
	bool flow = is_special(tty, byte, VSTART) || is_special(tty, byte, VSTOP);
	if (flow && (termios->c_iflag & IXON) != 0)
		return;
	if (local(tty, ISIG) && receive_signal(tty, byte))
		return;
	if (byte == '\r' && (termios->c_iflag & IGNCR) != 0)
		return;
	if (byte == '\r' && (termios->c_iflag & ICRNL) != 0)
		byte = '\n';
	else if (byte == '\n' && (termios->c_iflag & INLCR) != 0)
		byte = '\r';
	if (local(tty, ICANON | IEXTEN) && is_special(tty, byte, VLNEXT)) {
		tty->literal = true;
		if (local(tty, ECHO | ECHOCTL))
			tty_send(tty, (const uint8_t *)"^\b", 2);
		return;
	}
	if (local(tty, ICANON) && receive_editing(tty, byte))
		return;
	note_column(tty);
	if (byte == '\n' && local(tty, ECHO))
		send_byte(tty, byte);
	else
		echo(tty, byte);
	keep(tty, byte);
}

/* Whether more input must wait for the program to read. Where no line is complete yet, what does
 * not fit is lost instead: else its end could never come. */
static bool is_full(const struct tty *tty)
{
	uint32_t readable = (local(tty, ICANON) ? tty->committed : tty->head) - tty->tail;
	return tty->head - tty->tail >= TTY_BUFFER - 1 && readable > 0;
}

void tty_receive(struct tty *tty)
{
	while (!is_full(tty)) {
		int byte = stream_input_byte();
		if (byte < 0)
			return;
		receive_byte(tty, (uint8_t)byte);
	}
}

void tty_flush_input(struct tty *tty) { tty->head = tty->committed = tty->tail; }
