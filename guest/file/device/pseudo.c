/* Pseudo files: null and void. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <file/io.h>
#include <file/poll.h>
#include <file/device/pseudo.h>
#include <file/ramfs/ramfs.h>

static struct poll_state nobody; /* nothing ever changes */

static int void_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset;
	if (io->remaining == 0)
		return 0;
	if ((flags & O_NONBLOCK) != 0)
		return -EAGAIN;
	int error = 0;
	while (error == 0)
		error = poll_wait_for(&nobody, POLLIN, TIME_FOREVER);
	return error;
}

static int void_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset, (void)flags;
	io->remaining = 0;
	return 0;
}

static unsigned void_poll(struct file *file, unsigned flags)
{
	(void)file, (void)flags;
	return POLLOUT | POLLWRNORM;
}

static const struct file_operations void_operations = {
	.read = void_read,
	.write = void_write,
	.poll = void_poll,
};

/* It is there as long as the machine: its own reference never goes. */
static const struct file_system voids = {
	.name = "pseudo",
	.label = "void",
	.device = 6,
	.magic = PIPEFS_MAGIC,
};

static int open_void(unsigned flags, struct open_file **made)
{
	static struct file file;
	if (file.references == 0)
		file_initialize(&file, &voids, &void_operations, S_IFCHR | 0600,
				file_start_time());
	file.poll_state = &nobody;
	return open_file_make(&file, flags, made);
}

static int open_null(unsigned flags, struct open_file **made)
{
	const struct creation what = {.mode = S_IFCHR | 0666, .device = device_number(1, 3)};
	struct file *file = ramfs_make(&what, file_start_time());
	if (file == NULL)
		return -ENOMEM;
	int error = open_file_make(file, flags, made);
	file_put(file);
	return error;
}

int pseudo_open(const char *name, size_t length, unsigned flags, struct open_file **made)
{
	const struct name given = {name, length};
	if (name_is(given, "null"))
		return open_null(flags, made);
	return name_is(given, "void") ? open_void(flags, made) : -ENOENT;
}
