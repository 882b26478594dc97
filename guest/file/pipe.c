/* Pipes. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <calypso/user.h>
#include <file/permission.h>
#include <file/pipe.h>
#include <process/signal.h>
#include <uapi/termios.h>

#define SLOTS_AT_FIRST 16
#define CAPACITY_MAX (1ull << 31)
#define CAPACITY_OF_USERS_MAX (1u << 20) /* fs.pipe-max-size, which the superuser may pass */

static struct pipe *pipe_of(struct file *file) { return container_of(file, struct pipe, file); }

/* ---- Pages ---- */

/* A page, or NULL. Where what is written is soon read, it is always the same one. */
static void *take_page(struct pipe *pipe)
{
	void *page = pipe->spare;
	pipe->spare = NULL;
	if (page != NULL)
		return page;
	physical_t frame = frame_allocate(0, 0);
	return frame == FRAME_NONE ? NULL : phys_to_virt(frame);
}

static void put_page(struct pipe *pipe, void *page)
{
	if (pipe->spare == NULL)
		pipe->spare = page;
	else
		frame_free(virt_to_phys(page), 0);
}

static void drop_first(struct pipe *pipe)
{
	put_page(pipe, pipe_slot_at(pipe, 0)->page);
	pipe->first = (pipe->first + 1) % pipe->capacity;
	pipe->used--;
}

/* ---- Reading ---- */

/* Take what there is, at most one packet: 0 or -EFAULT. */
static int take(struct pipe *pipe, struct io *io)
{
	while (pipe->used > 0 && io->remaining > 0) {
		struct pipe_slot *slot = pipe_slot_at(pipe, 0);
		uint64_t part = slot->length < io->remaining ? slot->length : io->remaining;
		struct io before = *io;
		int error = io_put(io, slot->page + slot->start, part);
		if (error != 0) {
			*io = before;
			return error;
		}
		bool was_packet = slot->is_packet;
		slot->start += (uint32_t)part;
		slot->length -= (uint32_t)part;
		if (slot->length == 0 || was_packet)
			drop_first(pipe);
		if (was_packet)
			break;
	}
	return 0;
}

int pipe_wait_for_data(struct pipe *pipe, bool waits)
{
	while (pipe->used == 0 && pipe->writers > 0) {
		if (!waits)
			return -EAGAIN;
		int error = poll_wait_for(&pipe->poll_state, POLLIN, TIME_FOREVER);
		if (error != 0)
			return error;
	}
	return 0;
}

static int pipe_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)offset;
	struct pipe *pipe = pipe_of(file);
	if (io->remaining == 0)
		return 0;
	int error = pipe_wait_for_data(pipe, (flags & O_NONBLOCK) == 0);
	if (error != 0)
		return error;
	bool was_full = pipe_is_full(pipe);
	error = take(pipe, io);
	if (was_full && !pipe_is_full(pipe))
		poll_notify(&pipe->poll_state, POLLOUT | POLLWRNORM);
	return error;
}

/* ---- Writing ---- */

/* The part that does not fill a page goes into the last slot where there is room for all of it. */
static int append_to_last(struct pipe *pipe, struct io *io)
{
	uint32_t part = io->remaining & PAGE_MASK;
	if (part == 0 || pipe->used == 0)
		return 0;
	struct pipe_slot *last = pipe_slot_at(pipe, pipe->used - 1);
	uint32_t end = last->start + last->length;
	if (last->is_packet || last->is_copy || end + part > PAGE_SIZE)
		return 0;
	struct io before = *io;
	if (io_take(io, last->page + end, part) != 0) {
		*io = before;
		return -EFAULT;
	}
	last->length += part;
	return 0;
}

static int append_slot(struct pipe *pipe, struct io *io, bool is_packet)
{
	void *page = take_page(pipe);
	if (page == NULL)
		return -ENOMEM;
	uint32_t part = (uint32_t)(io->remaining < PAGE_SIZE ? io->remaining : PAGE_SIZE);
	struct io before = *io;
	if (io_take(io, page, part) != 0) {
		*io = before;
		put_page(pipe, page);
		return -EFAULT;
	}
	*pipe_slot_at(pipe, pipe->used++) = (struct pipe_slot){
		.page = page,
		.length = part,
		.is_packet = is_packet,
	};
	return 0;
}

/* Write what there is room for. */
static int append(struct pipe *pipe, struct io *io, unsigned flags)
{
	uint64_t before = io->remaining;
	int error = append_to_last(pipe, io);
	while (error == 0 && io->remaining > 0 && !pipe_is_full(pipe))
		error = append_slot(pipe, io, (flags & O_DIRECT) != 0);
	if (io->remaining < before)
		poll_notify(&pipe->poll_state, POLLIN | POLLRDNORM);
	return error;
}

int pipe_broken(void)
{
	signal_send_self(SIGPIPE);
	return -EPIPE;
}

static int pipe_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)offset;
	struct pipe *pipe = pipe_of(file);
	while (io->remaining > 0) {
		if (pipe->readers == 0)
			return pipe_broken();
		int error = append(pipe, io, flags);
		if (error == 0 && io->remaining > 0)
			error = (flags & O_NONBLOCK) != 0
					? -EAGAIN
					: poll_wait_for(&pipe->poll_state, POLLOUT, TIME_FOREVER);
		if (error != 0)
			return error;
	}
	return 0;
}

/* ---- Readiness ---- */

static unsigned pipe_poll(struct file *file, unsigned flags)
{
	const struct pipe *pipe = pipe_of(file);
	unsigned mode = flags & O_ACCMODE;
	unsigned events = 0;
	if (mode != O_WRONLY) {
		events |= pipe->used > 0 ? POLLIN | POLLRDNORM : 0;
		events |= pipe->writers == 0 && pipe->had_writer ? POLLHUP : 0;
	}
	if (mode != O_RDONLY) {
		events |= pipe_is_full(pipe) ? 0 : POLLOUT | POLLWRNORM;
		events |= pipe->readers == 0 ? POLLERR : 0;
	}
	return events;
}

static int64_t pipe_control(struct file *file, unsigned request, user_t argument)
{
	const struct pipe *pipe = pipe_of(file);
	int32_t bytes = 0;
	if (request != FIONREAD)
		return -ENOTTY;
	for (uint32_t i = 0; i < pipe->used; i++)
		bytes += (int32_t)pipe_slot_at(pipe, i)->length;
	return user_put(argument, &bytes);
}

/* ---- Opening and closing ---- */

/* Wait until `*count` changes: somebody has opened the other end. */
static int wait_for_other_end(struct pipe *pipe, const uint32_t *count)
{
	uint32_t before = *count;
	int error = 0;
	while (*count == before && error == 0)
		error = poll_wait_for(&pipe->poll_state, POLLIN | POLLOUT, TIME_FOREVER);
	return error;
}

static void pipe_close(struct file *file, unsigned flags)
{
	struct pipe *pipe = pipe_of(file);
	unsigned mode = flags & O_ACCMODE;
	pipe->readers -= mode != O_WRONLY;
	pipe->writers -= mode != O_RDONLY;
	poll_notify(&pipe->poll_state,
		    POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLERR | POLLHUP);
	if (pipe->readers + pipe->writers > 0)
		return;
	while (pipe->used > 0)
		drop_first(pipe);
	if (pipe->spare != NULL)
		frame_free(virt_to_phys(pipe->spare), 0);
	pipe->spare = NULL;
	kfree(pipe->slots);
	pipe->slots = NULL;
}

static int make_slots(struct pipe *pipe)
{
	if (pipe->slots != NULL)
		return 0;
	pipe->slots = kcalloc(SLOTS_AT_FIRST, sizeof(*pipe->slots));
	pipe->capacity = SLOTS_AT_FIRST;
	pipe->had_writer = false;
	return pipe->slots == NULL ? -ENOMEM : 0;
}

static int pipe_open(struct file *file, unsigned flags)
{
	struct pipe *pipe = pipe_of(file);
	unsigned mode = flags & O_ACCMODE;
	bool waits = (flags & O_NONBLOCK) == 0;
	if (mode == O_WRONLY && !waits && pipe->readers == 0)
		return -ENXIO;
	int error = make_slots(pipe);
	if (error != 0)
		return error;
	if (mode != O_WRONLY) {
		pipe->had_writer &= pipe->readers > 0 || pipe->writers > 0;
		pipe->readers++;
		pipe->opened_to_read++;
	}
	if (mode != O_RDONLY) {
		pipe->writers++;
		pipe->opened_to_write++;
		pipe->had_writer = true;
	}
	poll_notify(&pipe->poll_state, POLLIN | POLLOUT);
	if (waits && mode == O_RDONLY && pipe->writers == 0)
		error = wait_for_other_end(pipe, &pipe->opened_to_write);
	else if (waits && mode == O_WRONLY && pipe->readers == 0)
		error = wait_for_other_end(pipe, &pipe->opened_to_read);
	if (error != 0)
		pipe_close(file, flags);
	return error;
}

const struct file_operations pipe_operations = {
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.control = pipe_control,
	.open = pipe_open,
	.close = pipe_close,
};

/* ---- Pipes without a name ---- */

struct pipe *pipe_of_file(struct file *file)
{
	return file->operations == &pipe_operations ? pipe_of(file) : NULL;
}

static void pipe_release(struct file *file) { kfree(pipe_of(file)); }

static const struct file_system pipes = {
	.name = "pipefs",
	.label = "pipe",
	.device = 4,
	.magic = PIPEFS_MAGIC,
	.release = pipe_release,
};

void pipe_initialize(struct pipe *pipe) { pipe->file.poll_state = &pipe->poll_state; }

static struct pipe *make_nameless(void)
{
	static uint64_t last_number;
	struct pipe *pipe = kcalloc(1, sizeof(*pipe));
	if (pipe == NULL)
		return NULL;
	file_initialize(&pipe->file, &pipes, &pipe_operations, S_IFIFO | 0600, file_now());
	permission_own(&pipe->file);
	pipe->file.number = ++last_number;
	pipe_initialize(pipe);
	return pipe;
}

int pipe_make(unsigned flags, struct open_file **reader, struct open_file **writer)
{
	struct pipe *pipe = make_nameless();
	if (pipe == NULL)
		return -ENOMEM;
	*reader = NULL;
	flags &= O_NONBLOCK | O_DIRECT;
	int error = make_slots(pipe);
	if (error == 0)
		error = open_file_wrap(&pipe->file, O_RDONLY | (flags & O_NONBLOCK), reader);
	if (error == 0) {
		pipe->readers = 1;
		error = open_file_wrap(&pipe->file, O_WRONLY | flags, writer);
	}
	if (error != 0) {
		open_file_put(*reader);
		kfree(pipe->slots);
	} else {
		pipe->writers = 1;
		pipe->had_writer = true;
	}
	file_put(&pipe->file);
	return error;
}

/* ---- Capacity ---- */

int64_t pipe_capacity(const struct file *file)
{
	if (file->operations != &pipe_operations)
		return -EBADF;
	const struct pipe *pipe = container_of(file, struct pipe, file);
	return (int64_t)(pipe->capacity * PAGE_SIZE);
}

int64_t pipe_set_capacity(struct file *file, uint64_t bytes)
{
	if (file->operations != &pipe_operations)
		return -EBADF;
	struct pipe *pipe = pipe_of(file);
	if (bytes > CAPACITY_MAX)
		return -EINVAL;
	uint32_t capacity = 1;
	while (capacity * PAGE_SIZE < bytes)
		capacity *= 2;
	if (capacity > pipe->capacity && capacity * PAGE_SIZE > CAPACITY_OF_USERS_MAX &&
	    !is_superuser())
		return -EPERM;
	if (capacity < pipe->used + pipe->borrowed)
		return -EBUSY;
	struct pipe_slot *slots = kcalloc(capacity, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < pipe->used; i++)
		slots[i] = *pipe_slot_at(pipe, i);
	kfree(pipe->slots);
	pipe->slots = slots;
	pipe->first = 0;
	pipe->capacity = capacity;
	/* There may be room now; like Linux's, writers hear of it even if there is not. */
	unsigned news = POLLOUT | POLLWRNORM | (pipe->readers == 0 ? POLLERR : 0);
	poll_notify(&pipe->poll_state, news);
	return pipe_capacity(file);
}
