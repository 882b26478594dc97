/* Standard input, output and error as the host gives them. */
#include <calypso/bootinfo.h>
#include <calypso/lib.h>
#include <calypso/time.h>
#include <calypso/user.h>
#include <file/device/pseudo.h>
#include <file/stream.h>
#include <file/device/tty.h>
#include <process/signal.h>

/* One exit to the host moves at most this much. */
#define STREAM_BUFFER (16 * 1024)

static struct {
	uint8_t bytes[STREAM_BUFFER];
	size_t start; /* of what was not taken yet */
	size_t end;
	bool ended; /* the host has no more */
} input;

struct poll_state stream_input_state;

static bool input_fill(void)
{
	if (input.start < input.end || input.ended)
		return true;
	int64_t count = console_read(input.bytes, sizeof(input.bytes));
	if (count == -EAGAIN)
		return false;
	input.start = 0;
	input.end = count > 0 ? (size_t)count : 0;
	input.ended = count <= 0;
	poll_notify(&stream_input_state, POLLIN | POLLRDNORM | (input.ended ? POLLHUP : 0));
	return true;
}

bool stream_input_ready(void) { return input_fill(); }

bool stream_input_arrived(void)
{
	return input.start == input.end && !input.ended && input_fill();
}

bool stream_input_ended(void) { return input.ended && input.start == input.end; }

int stream_input_wait(uint64_t deadline)
{
	if (input_fill())
		return 0;
	if (deadline != TIME_FOREVER && time_monotonic() >= deadline)
		return -EAGAIN;
	return poll_wait_for(&stream_input_state, POLLIN, deadline);
}

int stream_input_byte(void)
{
	if (!input_fill() || input.start == input.end)
		return -1;
	return input.bytes[input.start++];
}

int stream_output(enum console_stream stream, struct io *io)
{
	static uint8_t buffer[STREAM_BUFFER];
	int error;
	do {
		uint64_t before = io->remaining;
		error = io_take(io, buffer, before < sizeof(buffer) ? before : sizeof(buffer));
		size_t count = before - io->remaining;
		int64_t written = count == 0 ? 0 : console_write(stream, buffer, count);
		if (unlikely(written < 0)) {
			io->remaining = before;
			return (int)written;
		}
	} while (error == 0 && io->remaining > 0);
	return error;
}

/* ---- The files ---- */

static int input_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset;
	if (io->remaining == 0)
		return 0;
	while (!input_fill()) {
		int error = stream_input_wait((flags & O_NONBLOCK) != 0 ? 0 : TIME_FOREVER);
		if (error != 0)
			return error;
	}
	size_t there = input.end - input.start;
	size_t count = there < io->remaining ? there : io->remaining;
	uint64_t before = io->remaining;
	int error = io_put(io, input.bytes + input.start, count);
	input.start += before - io->remaining;
	return error;
}

static unsigned input_poll(struct file *file, unsigned flags)
{
	(void)file, (void)flags;
	if (!stream_input_ready())
		return 0;
	return stream_input_ended() ? POLLHUP : POLLIN | POLLRDNORM;
}

static int64_t input_control(struct file *file, unsigned request, user_t argument)
{
	(void)file;
	if (request != FIONREAD)
		return -ENOTTY;
	stream_input_ready();
	int32_t count = (int32_t)(input.end - input.start);
	return user_put(argument, &count);
}

static int output_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset, (void)flags;
	return stream_output(CONSOLE_OUTPUT, io);
}

static int error_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset, (void)flags;
	return stream_output(CONSOLE_ERROR, io);
}

static unsigned output_poll(struct file *file, unsigned flags)
{
	(void)file, (void)flags;
	return POLLOUT | POLLWRNORM;
}

static const struct file_operations input_operations = {
	.read = input_read,
	.poll = input_poll,
	.control = input_control,
};
static const struct file_operations output_operations = {.write = output_write,
							 .poll = output_poll};
static const struct file_operations error_operations = {.write = error_write, .poll = output_poll};

/* Streams are there as long as the machine: their own reference never goes. */
static const struct file_system streams = {.name = "pipefs", .label = "pipe", .device = 2,
					   .magic = PIPEFS_MAGIC};

static int open_stream(unsigned number, unsigned flags, struct open_file **made)
{
	static struct file files[3];
	static struct poll_state nobody; /* output is always possible */
	static const struct file_operations *const operations[3] = {
		&input_operations,
		&output_operations,
		&error_operations,
	};
	struct file *file = &files[number];
	file_initialize(file, &streams, operations[number], S_IFIFO | 0600, file_start_time());
	file->number = number + 1;
	file->poll_state = number == 0 ? &stream_input_state : &nobody;
	return open_file_wrap(file, flags, made);
}

/* The pseudo file that the command line names for a stream: stdin=null, stdout=void, ... */
static int open_pseudo(unsigned number, unsigned flags, struct open_file **made)
{
	static const char *const words[3] = {"stdin", "stdout", "stderr"};
	const char *name;
	int length = command_line_find(words[number], &name);
	return length < 0 ? -ENOENT : pseudo_open(name, (size_t)length, flags, made);
}

/* `*terminal` is the open terminal once there is one, which all that are on it share. */
static int open_standard(unsigned number, const struct console_status *status,
			 struct open_file **terminal, struct open_file **made)
{
	const bool is_terminal[3] = {
		status->input_is_terminal,
		status->output_is_terminal,
		status->error_is_terminal,
	};
	unsigned flags = number == 0 ? O_RDONLY : O_WRONLY;
	int error = open_pseudo(number, flags, made);
	if (error != -ENOENT)
		return error;
	if (!is_terminal[number])
		return open_stream(number, flags, made);
	if (*terminal == NULL) {
		error = tty_open(status, made);
		*terminal = *made;
		return error;
	}
	*made = open_file_get(*terminal);
	return 0;
}

int stream_open_standard(struct descriptor_table *table)
{
	struct console_status status = console_status_at_entry();
	struct open_file *terminal = NULL;
	for (unsigned number = 0; number < 3; number++) {
		struct open_file *open = NULL;
		int error = open_standard(number, &status, &terminal, &open);
		if (error == 0)
			error = descriptor_add(table, open, (int)number, false);
		if (error < 0)
			return error;
	}
	return 0;
}
