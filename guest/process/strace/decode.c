/* Arguments as text. Letters in capitals and those of numbers with names are in names.c:
 *
 *	d u x o   a number: an int, in decimal, hexadecimal, octal
 *	p f g     a pointer, a directory's descriptor, a signal
 *	e y	  the mode of a file to be created, the operand of fcntl, where there is one
 *	s b       a string; bytes, as many as the next argument or the result says
 *	n	  the address of a socket, as long as the next argument says
 *	v a       buffers of readv and writev, as many as the next argument says; strings up to NULL
 *	t m k     a time, a set of signals, a signal's action
 *	l 2 S     descriptors of poll, the two of a pipe, a file's attributes
 *
 * Memory of the program that cannot be read is shown as a pointer.
 */
#include <process/strace/decode.h>

#include <arch/uapi.h>
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <calypso/user.h>
#include <process/signal.h>
#include <process/strace/names.h>
#include <process/strace/structures.h>
#include <uapi/fcntl.h>
#include <uapi/poll.h>
#include <uapi/socket.h>
#include <uapi/types.h>

/* What is shown of bytes, of strings (paths are worth more), and of arrays. */
#define BYTES_SHOWN 32
#define STRING_SHOWN 256
#define ELEMENTS_SHOWN 8

static void add_pointer(struct text *text, uint64_t value)
{
	text_add(text, value == 0 ? "NULL" : "%#lx", value);
}

static bool is_digit(char byte) { return byte >= '0' && byte <= '7'; }

/* Bytes in C's notation; an octal escape is as short as what follows allows. */
static void add_quoted(struct text *text, const char *bytes, size_t length, bool cut)
{
	static const char escapes[] = {
		['\n'] = 'n', ['\t'] = 't', ['\r'] = 'r', ['\v'] = 'v', ['\f'] = 'f',
		['"'] = '"',  ['\\'] = '\\'};
	text_add(text, "\"");
	for (size_t i = 0; i < length; i++) {
		uint8_t byte = (uint8_t)bytes[i];
		bool long_form = i + 1 < length && is_digit(bytes[i + 1]);
		if (byte < sizeof(escapes) && escapes[byte] != '\0')
			text_add(text, "\\%c", escapes[byte]);
		else if (byte >= ' ' && byte < 0x7f)
			text_add(text, "%c", byte);
		else
			text_add(text, long_form ? "\\%03o" : "\\%o", byte);
	}
	text_add(text, cut ? "\"..." : "\"");
}

static void add_bytes(struct text *text, user_t address, uint64_t length)
{
	char bytes[BYTES_SHOWN];
	size_t shown = length < sizeof(bytes) ? length : sizeof(bytes);
	if (address == 0 || user_copy_in(bytes, address, shown) != 0)
		add_pointer(text, address);
	else
		add_quoted(text, bytes, shown, shown < length);
}

static void add_string(struct text *text, user_t address)
{
	char string[STRING_SHOWN];
	int64_t length = address == 0 ? -EFAULT : user_string(string, address, sizeof(string));
	if (length == -EFAULT)
		add_pointer(text, address);
	else if (length < 0)
		add_quoted(text, string, sizeof(string), true);
	else
		add_quoted(text, string, (size_t)length, false);
}

/* The address of a socket. A name begins with NUL where it is in no file system; that is shown as @. */
static void add_socket_address(struct text *text, user_t address, uint64_t length)
{
	struct sockaddr_un name = {.sun_family = AF_UNSPEC};
	size_t size = length < sizeof(name) ? length : sizeof(name);
	const size_t start = offsetof(struct sockaddr_un, sun_path);
	if (address == 0 || size < start || user_copy_in(&name, address, size) != 0) {
		add_pointer(text, address);
		return;
	}
	text_add(text, "{sa_family=");
	strace_add_names(text, 'B', name.sun_family);
	if (name.sun_family == AF_UNIX && size > start) {
		bool abstract = name.sun_path[0] == '\0';
		const char *path = name.sun_path + abstract;
		size_t room = size - start - abstract;
		text_add(text, ", sun_path=%s", abstract ? "@" : "");
		add_quoted(text, path, abstract ? room : strnlen(path, room), false);
	} else if (size > start) {
		text_add(text, ", sa_data=");
		add_quoted(text, name.sun_path, size - start, false);
	}
	text_add(text, "}");
}

/* ---- Arrays ---- */

/* Add element `i` at `address`. False where it cannot be read, or is the end. */
typedef bool add_element(struct text *text, user_t address, uint64_t *context);

static void add_array(struct text *text, user_t address, uint64_t count, size_t size,
		      add_element *add, uint64_t context)
{
	size_t start = text->length;
	text_add(text, "[");
	for (uint64_t i = 0; i < count; i++) {
		size_t before = text->length;
		if (i > 0)
			text_add(text, ", ");
		if (i == ELEMENTS_SHOWN) {
			text_add(text, "...");
			break;
		}
		if (address != 0 && add(text, address + i * size, &context))
			continue;
		text->length = before;
		break;
	}
	text_add(text, "]");
	if (address != 0)
		return;
	text->length = start;
	text_add(text, "NULL");
}

static bool add_string_element(struct text *text, user_t address, uint64_t *context)
{
	user_t string;
	(void)context;
	if (user_get(&string, address) != 0 || string == 0)
		return false;
	add_string(text, string);
	return true;
}

/* `left`: how many bytes the buffers hold. */
static bool add_buffer(struct text *text, user_t address, uint64_t *left)
{
	struct iovec buffer;
	if (user_get(&buffer, address) != 0)
		return false;
	uint64_t filled = buffer.iov_len < *left ? buffer.iov_len : *left;
	text_add(text, "{iov_base=");
	add_bytes(text, buffer.iov_base, filled);
	text_add(text, ", iov_len=%lu}", buffer.iov_len);
	*left -= filled;
	return true;
}

static bool add_poll(struct text *text, user_t address, uint64_t *context)
{
	static const char *const events[] = {"IN", "PRI", "OUT", "ERR", "HUP"};
	struct pollfd poll;
	const char *separator = "";
	(void)context;
	if (user_get(&poll, address) != 0)
		return false;
	text_add(text, poll.fd < 0 ? "{fd=%d}" : "{fd=%d, events=", poll.fd);
	if (poll.fd < 0)
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
		if ((poll.events >> i & 1) == 0)
			continue;
		text_add(text, "%sPOLL%s", separator, events[i]);
		separator = "|";
	}
	text_add(text, *separator == '\0' ? "0}" : "}");
	return true;
}

/* ---- One argument ---- */

/* How many bytes the call has put into its buffers, or takes from them. */
static uint64_t bytes_of(const struct shown_call *call, uint64_t limit)
{
	return call->returned ? (uint64_t)call->result : limit;
}

static void add_memory(struct text *text, char letter, const struct shown_call *call, unsigned i)
{
	user_t address = call->argument[i];
	uint64_t next = call->argument[i + 1];
	/* What a call that has failed was to fill holds nothing of interest. */
	bool is_empty = call->returned && call->result < 0;
	if (is_empty)
		add_pointer(text, address);
	else if (letter == 's')
		add_string(text, address);
	else if (letter == 'b')
		add_bytes(text, address, bytes_of(call, next));
	else if (letter == 'n')
		add_socket_address(text, address, next);
	else if (letter == 'a')
		add_array(text, address, UINT64_MAX, sizeof(user_t), add_string_element, 0);
	else if (letter == 'v')
		add_array(text, address, next, sizeof(struct iovec), add_buffer,
			  bytes_of(call, UINT64_MAX));
	else if (letter == 'l')
		add_array(text, address, next, sizeof(struct pollfd), add_poll, 0);
	else if (address == 0 || !strace_add_structure(text, letter, address))
		add_pointer(text, address);
}

static void add_operand(struct text *text, int command, uint64_t value)
{
	switch (command) {
	case F_SETFD:
		strace_add_names(text, 'G', value);
		return;
	case F_SETFL:
		strace_add_names(text, 'O', value);
		return;
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		text_add(text, "%d", (int)value);
		return;
	default:
		add_pointer(text, value);
	}
}

bool strace_has_argument(char letter, const struct shown_call *call, unsigned i)
{
	uint64_t before = i == 0 ? 0 : call->argument[i - 1];
	switch (letter) {
	case 'e':
		return (before & O_CREAT) != 0 || (before & O_TMPFILE) == O_TMPFILE;
	case 'y':
		return before != F_GETFD && before != F_GETFL;
	default:
		return true;
	}
}

void strace_add_argument(struct text *text, char letter, const struct shown_call *call, unsigned i)
{
	uint64_t value = call->argument[i];
	if (strace_add_names(text, letter, value))
		return;
	switch (letter) {
	case 'd':
		text_add(text, "%d", (int)value);
		return;
	case 'u':
		text_add(text, "%lu", value);
		return;
	case 'o':
	case 'e':
		text_add(text, "0%02o", (unsigned)value);
		return;
	case 'y':
		add_operand(text, (int)call->argument[i - 1], value);
		return;
	case 'f':
		text_add(text, (int)value == AT_FDCWD ? "AT_FDCWD" : "%d", (int)value);
		return;
	case 'g':
		strace_add_signal(text, (int)value);
		return;
	case 'p':
		add_pointer(text, value);
		return;
	case 'x':
	case '\0':
		text_add(text, "%#lx", value);
		return;
	default:
		add_memory(text, letter, call, i);
	}
}

static const char *restart_name(int64_t result)
{
	switch (-result) {
	case ERESTARTSYS:
		return "ERESTARTSYS";
	case ERESTARTNOINTR:
		return "ERESTARTNOINTR";
	default:
		return "ERESTARTNOHAND";
	}
}

void strace_add_result(struct text *text, char letter, int64_t result)
{
	const char *error = result < 0 && result >= -MAX_ERRNO ? strace_error_name((int)-result) : NULL;
	if (signal_is_restart(result))
		text_add(text, "? %s", restart_name(result));
	else if (error != NULL)
		text_add(text, "-1 %s", error);
	else if (letter == 'x')
		text_add(text, "%#lx", (uint64_t)result);
	else if (letter == 'o')
		text_add(text, "0%02o", (unsigned)result);
	else
		text_add(text, "%ld", result);
}
