/* pipe(2). */
#include <file/pipe.h>
#include <process/calls/at.h>

static int64_t make_pipe(user_t address, unsigned flags)
{
	struct descriptor_table *table = &file_context()->descriptors;
	bool close_on_exec = (flags & O_CLOEXEC) != 0;
	struct open_file *reader = NULL, *writer;
	int32_t numbers[2];
	if ((flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) != 0)
		return -EINVAL;
	int error = pipe_make(flags, &reader, &writer);
	if (error != 0)
		return error;
	numbers[0] = descriptor_add(table, reader, 0, close_on_exec);
	if (numbers[0] < 0) {
		open_file_put(writer);
		return numbers[0];
	}
	numbers[1] = descriptor_add(table, writer, 0, close_on_exec);
	error = numbers[1] < 0 ? numbers[1] : user_put(address, &numbers);
	if (error != 0) {
		descriptor_close(table, numbers[0]);
		descriptor_close(table, numbers[1]);
	}
	return error;
}

SYSCALL2(pipe2, user_t, numbers, unsigned, flags)
{
	return make_pipe(numbers, flags);
}

SYSCALL1(pipe, user_t, numbers)
{
	return make_pipe(numbers, 0);
}
