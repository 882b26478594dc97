/* Character devices and the content of /dev. */
#include <calypso/hwrng.h>
#include <calypso/lib.h>
#include <calypso/time.h>
#include <file/device/block.h>
#include <file/device/device.h>
#include <file/device/console.h>
#include <file/io.h>
#include <file/device/tty.h>
#include <process/random.h>
#include <process/thread.h>
#include <uapi/fcntl.h>

#define MEMORY_MAJOR 1 /* as in Linux's list of devices */
#define TERMINAL_MAJOR 5
#define MISC_MAJOR 10

static int read_nothing(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)io, (void)offset, (void)flags;
	return 0;
}

static int read_zeros(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset, (void)flags;
	return io_clear(io, io->remaining);
}

static int write_away(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset, (void)flags;
	io->remaining = 0;
	return 0;
}

static int write_full(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)io, (void)offset, (void)flags;
	return -ENOSPC;
}

static int read_random(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset, (void)flags;
	return random_read(io);
}

/* Only numbers that nobody else can know. */
static int read_trusted_random(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset, (void)flags;
	return random_is_trusted() ? random_read(io) : -EIO;
}

/* The hardware's own, which has some soon. */
static int read_hardware(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)file, (void)offset;
	while (io->remaining > 0) {
		uint64_t value;
		int error = hwrng_read(&value);
		if (error == -EAGAIN && (flags & O_NONBLOCK) == 0) {
			uint64_t soon = time_monotonic() + NANOSECONDS_PER_MILLISECOND;
			error = thread_sleep(soon) == -EINTR ? -ERESTARTSYS : 0;
		} else if (error == 0) {
			uint64_t left = io->remaining;
			error = io_put(io, &value, left < sizeof(value) ? left : sizeof(value));
		}
		if (error != 0)
			return error;
	}
	return 0;
}

static const struct file_operations null_operations = {.read = read_nothing, .write = write_away};
static const struct file_operations zero_operations = {.read = read_zeros, .write = write_away};
static const struct file_operations full_operations = {.read = read_zeros, .write = write_full};
static const struct file_operations random_operations = {.read = read_trusted_random,
							 .write = write_away};
static const struct file_operations urandom_operations = {.read = read_random, .write = write_away};
static const struct file_operations hardware_operations = {.read = read_hardware};

static int open_nothing(struct file *file, unsigned flags)
{
	(void)file, (void)flags;
	return -ENXIO;
}

static const struct file_operations absent_operations = {.open = open_nothing};

static const struct device {
	const char *name;
	uint16_t major;
	uint16_t minor;
	uint16_t permissions;
	const struct file_operations *operations;
} devices[] = {
	{"null", MEMORY_MAJOR, 3, 0666, &null_operations},
	{"zero", MEMORY_MAJOR, 5, 0666, &zero_operations},
	{"full", MEMORY_MAJOR, 7, 0666, &full_operations},
	{"random", MEMORY_MAJOR, 8, 0666, &random_operations},
	{"urandom", MEMORY_MAJOR, 9, 0666, &urandom_operations},
	{"hwrng", MISC_MAJOR, 183, 0600, &hardware_operations},
	{"tty", TERMINAL_MAJOR, 0, 0666, &tty_operations},
	{NULL, HVC_MAJOR, 0, 0600, &hvc_operations}, /* add_ports */
	{NULL, TERMINAL_MAJOR, 1, 0600, &tty_operations}, /* tty_console() */
};

const struct file_operations *device_operations(uint32_t mode, uint64_t device)
{
	if (S_ISBLK(mode) && device_major(device) == BLOCK_MAJOR)
		return &block_operations;
	if (S_ISCHR(mode) && device_major(device) == PORT_MAJOR)
		return &port_operations;
	for (size_t i = 0; S_ISCHR(mode) && i < ARRAY_SIZE(devices); i++) {
		if (device == device_number(devices[i].major, devices[i].minor))
			return devices[i].operations;
	}
	return &absent_operations;
}

static void add_node(struct file *directory, const char *text, const struct creation *what)
{
	struct name name = {text, strlen(text)};
	struct file *file;
	if (directory->operations->lookup(directory, name, &file) == 0 ||
	    directory->operations->create(directory, name, what, &file) == 0)
		file_put(file);
}

static void add_console(struct file *directory)
{
	struct name name = {"console", 7};
	struct file *file;
	if (directory->operations->lookup(directory, name, &file) == 0)
		file_put(file);
	else if (tty_console() != NULL)
		directory->operations->link(directory, name, tty_console());
}

static void add_link(struct file *directory, const char *text, const char *target)
{
	struct creation what = {
		.mode = S_IFLNK | 0777,
		.target = target,
		.target_length = strlen(target),
	};
	add_node(directory, text, &what);
}

static void add_port(struct file *directory, struct file *names, const struct console_port *port)
{
	struct creation what = {
		.mode = S_IFCHR | 0600,
		.device = device_number(PORT_MAJOR, port->number),
	};
	char name[sizeof("../vport0p4294967295")];
	snprintf(name, sizeof(name), "../vport0p%u", port->number);
	add_node(directory, name + 3, &what);
	if (port->name[0] != '\0')
		add_link(names, port->name, name);
}

/* The console, and ports with links by their names as udev makes them. */
static void add_ports(struct file *directory)
{
	struct creation hvc = {.mode = S_IFCHR | 0600, .device = device_number(HVC_MAJOR, 0)};
	struct name links = {"virtio-ports", 12};
	struct file *names = NULL;
	console_look_for_ports();
	if (console_exists())
		add_node(directory, "hvc0", &hvc);
	for (unsigned i = 1; i < CONSOLE_PORTS_MAX; i++) {
		const struct console_port *port = console_port(i);
		if (!port->exists)
			continue;
		if (names == NULL) {
			add_node(directory, links.bytes, &(struct creation){.mode = S_IFDIR | 0755});
			if (directory->operations->lookup(directory, links, &names) != 0)
				return;
		}
		add_port(directory, names, port);
	}
	file_put(names);
}

static void add_disks(struct file *directory)
{
	char name[] = "vda";
	for (unsigned i = 0; i < BLOCK_DEVICES_MAX && block_exists(i); i++, name[2]++) {
		struct creation what = {
			.mode = S_IFBLK | 0660,
			.device = device_number(BLOCK_MAJOR, i * BLOCK_MINORS),
		};
		add_node(directory, name, &what);
	}
}

void device_populate(struct file *directory)
{
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		const struct device *device = &devices[i];
		if (device->name == NULL)
			continue;
		struct creation what = {
			.mode = S_IFCHR | device->permissions,
			.device = device_number(device->major, device->minor),
		};
		add_node(directory, device->name, &what);
	}
	add_console(directory);
	add_ports(directory);
	add_disks(directory);
	/* Where shm_open(3) makes its files. */
	add_node(directory, "shm", &(struct creation){.mode = S_IFDIR | S_ISVTX | 0777});
	add_link(directory, "fd", "/proc/self/fd");
	add_link(directory, "stdin", "/proc/self/fd/0");
	add_link(directory, "stdout", "/proc/self/fd/1");
	add_link(directory, "stderr", "/proc/self/fd/2");
}
