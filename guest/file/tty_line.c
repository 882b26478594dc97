/* The terminal's line discipline: what each incoming byte does. Names as in termios(3). */
#include <calypso/lib.h>
#include <file/stream.h>
#include <file/tty.h>
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

static bool is_control(uint8_t byte) { return byte < 0x20 || byte == 0x7f; }

/* The bytes of UTF-8 sequences but the first take no column. */
static bool is_continuation(uint8_t byte) { return (byte & 0xc0) == 0x80; }

/* ---- Echo ---- */

static void echo_byte(struct tty *tty, uint8_t byte)
{
	if (local(tty, ECHOCTL) && is_control(byte) && byte != '\t' && byte != '\n') {
		uint8_t caret[2] = {'^', byte ^ 0x40};
		tty_send(tty, caret, sizeof(caret));
		return;
	}
	tty_send(tty, &byte, 1);
}

static void echo(struct tty *tty, uint8_t byte)
{
	if (local(tty, ECHO) || (byte == '\n' && local(tty, ECHONL)))
		echo_byte(tty, byte);
}

/* Columns that one byte of the unfinished line takes when it starts at `column`. */
static uint32_t width_of(const struct tty *tty, uint8_t byte, uint32_t column)
{
	if (byte == '\t')
		return 8 - column % 8;
	if (is_control(byte))
		return local(tty, ECHOCTL) ? 2 : 0;
	return is_continuation(byte) ? 0 : 1;
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

static uint8_t last_byte(const struct tty *tty)
{
	return tty->input[(tty->head - 1) % TTY_BUFFER] & TTY_BYTE;
}

/* Take the last character away, from the screen too. */
static void erase_character(struct tty *tty)
{
	if (line_is_empty(tty))
		return;
	uint32_t before = line_end_column(tty);
	while (is_continuation(last_byte(tty)) && tty->head - tty->committed > 1)
		tty->head--;
	tty->head--;
	if (!local(tty, ECHO))
		return;
	if (!local(tty, ECHOE)) {
		echo_byte(tty, tty->termios.c_cc[VERASE]);
		return;
	}
	for (uint32_t column = before; column > line_end_column(tty); column--)
		tty_send(tty, (const uint8_t *)"\b \b", 3);
}

static bool is_word_byte(uint8_t byte)
{
	return (byte | 0x20) - 'a' < 26u || byte - '0' < 10u || byte == '_' || byte >= 0x80;
}

static void erase_word(struct tty *tty)
{
	while (!line_is_empty(tty) && !is_word_byte(last_byte(tty)))
		erase_character(tty);
	while (!line_is_empty(tty) && is_word_byte(last_byte(tty)))
		erase_character(tty);
}

static void erase_line(struct tty *tty)
{
	if (local(tty, ECHO | ECHOK | ECHOKE | ECHOE)) {
		while (!line_is_empty(tty))
			erase_character(tty);
		return;
	}
	tty->head = tty->committed;
	echo(tty, tty->termios.c_cc[VKILL]);
	if (local(tty, ECHO | ECHOK))
		echo_byte(tty, '\n');
}

static void reprint_line(struct tty *tty)
{
	echo(tty, tty->termios.c_cc[VREPRINT]);
	echo(tty, '\n');
	tty->line_column = tty->column;
	for (uint32_t i = tty->committed; i != tty->head; i++)
		echo(tty, tty->input[i % TTY_BUFFER] & TTY_BYTE);
}

/* ---- Bytes ---- */

/* Keep a byte; when the buffer is full it is lost. In a line one place stays free for its end. */
static bool keep(struct tty *tty, uint16_t cell)
{
	uint32_t room = TTY_BUFFER - (tty->head - tty->tail);
	bool ends = (cell & ~TTY_BYTE) != 0;
	if (room == 0 || (room == 1 && local(tty, ICANON) && !ends))
		return false;
	if (line_is_empty(tty))
		tty->line_column = tty->column;
	tty->input[tty->head++ % TTY_BUFFER] = cell;
	return true;
}

static void keep_and_echo(struct tty *tty, uint8_t byte)
{
	if (keep(tty, byte))
		echo(tty, byte);
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
		erase_character(tty);
	} else if (is_special(tty, byte, VKILL)) {
		erase_line(tty);
	} else if (extended && is_special(tty, byte, VWERASE)) {
		erase_word(tty);
	} else if (extended && is_special(tty, byte, VREPRINT)) {
		reprint_line(tty);
	} else if (is_special(tty, byte, VEOF)) {
		end_line(tty, TTY_END_OF_FILE);
	} else if (byte == '\n') {
		echo(tty, byte);
		end_line(tty, byte | TTY_LINE_END);
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
		keep_and_echo(tty, byte);
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
		return;
	}
	if (!local(tty, ICANON) || !receive_editing(tty, byte))
		keep_and_echo(tty, byte);
}

void tty_receive(struct tty *tty)
{
	while (tty->head - tty->tail < TTY_BUFFER) {
		int byte = stream_input_byte();
		if (byte < 0)
			return;
		receive_byte(tty, (uint8_t)byte);
	}
}

void tty_flush_input(struct tty *tty) { tty->head = tty->committed = tty->tail; }
