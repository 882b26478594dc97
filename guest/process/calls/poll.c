/* poll(2) and select(2). */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <file/poll.h>
#include <process/calls/at.h>
#include <process/calls/wait.h>

#define ALWAYS_REPORTED (POLLERR | POLLHUP | POLLNVAL)

/* Set revents of one entry; whether there is something to report. */
static bool look(struct pollfd *entry)
{
	entry->revents = 0;
	if (entry->fd < 0)
		return false;
	struct open_file *open = descriptor_find(&file_context()->descriptors, entry->fd);
	unsigned wanted = (uint16_t)entry->events | ALWAYS_REPORTED;
	unsigned events = open == NULL ? POLLNVAL : open_file_poll(open);
	entry->revents = (int16_t)(events & wanted);
	return entry->revents != 0;
}

static int64_t look_at_all(struct pollfd *entries, unsigned count)
{
	int64_t found = 0;
	for (unsigned i = 0; i < count; i++)
		found += look(&entries[i]);
	return found;
}

/* A listener at an open file, which stays as long, also when its descriptor is closed. */
struct watch {
	struct poll_waiter waiter;
	struct open_file *open;
};

static void begin_watch(struct watch *watch, const struct pollfd *entry, struct poll_wait *wait)
{
	struct open_file *open = NULL;
	if (entry->fd >= 0)
		open = descriptor_find(&file_context()->descriptors, entry->fd);
	if (open == NULL || open->file->poll_state == NULL)
		return;
	watch->open = open_file_get(open);
	poll_wait_add(wait, open->file->poll_state, &watch->waiter, (uint16_t)entry->events);
}

static void end_watch(struct watch *watch)
{
	if (watch->open == NULL)
		return;
	poll_unlisten(&watch->waiter.listener);
	open_file_put(watch->open);
}

/* Nothing is there yet: wait with a listener at each file. */
static int64_t wait_for_files(struct pollfd *entries, unsigned count, uint64_t deadline)
{
	struct poll_wait wait = poll_wait_begin();
	struct watch *watches = kcalloc(count + 1, sizeof(*watches));
	if (watches == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		begin_watch(&watches[i], &entries[i], &wait);
	int64_t found = 0;
	int result = 0;
	while (found == 0 && result == 0) {
		result = poll_wait_any(&wait, deadline);
		found = look_at_all(entries, count);
	}
	for (unsigned i = 0; i < count; i++)
		end_watch(&watches[i]);
	kfree(watches);
	return found == 0 && result == -EINTR ? -ERESTARTNOHAND : found;
}

/* Look until something is there or the time is up: how many entries have something, or
 * -ERESTARTNOHAND. */
static int64_t wait(struct pollfd *entries, unsigned count, uint64_t deadline)
{
	poll_look_outside();
	int64_t found = look_at_all(entries, count);
	if (found > 0 || (deadline != TIME_FOREVER && time_monotonic() >= deadline))
		return found;
	return wait_for_files(entries, count, deadline);
}

/* ---- poll ---- */

static int64_t poll_entries(user_t address, uint64_t count, uint64_t deadline)
{
	if (count > file_context()->descriptors.limit)
		return -EINVAL;
	struct pollfd *entries = kmalloc(count * sizeof(*entries) + 1);
	if (entries == NULL)
		return -ENOMEM;
	int64_t found = -EFAULT;
	if (user_copy_in(entries, address, count * sizeof(*entries)) == 0) {
		found = wait(entries, (unsigned)count, deadline);
		if (user_copy_out(address, entries, count * sizeof(*entries)) != 0)
			found = -EFAULT;
	}
	kfree(entries);
	return found;
}

SYSCALL3(poll, user_t, entries, uint32_t, count, int, milliseconds)
{
	return poll_entries(entries, count, wait_milliseconds(milliseconds));
}

SYSCALL5(ppoll, user_t, entries, uint32_t, count, user_t, time, user_t, mask, uint64_t, mask_size)
{
	uint64_t deadline;
	int error = wait_deadline(time, &deadline);
	if (error == 0)
		error = wait_with_mask(mask, mask_size);
	return error != 0 ? error : poll_entries(entries, count, deadline);
}

/* ---- select: three sets of bits, each an event ---- */

enum set { SET_READ, SET_WRITE, SET_EXCEPT, SET_COUNT };

static const struct {
	unsigned asks;	  /* events to poll for */
	unsigned answers; /* events that set the bit */
} set_events[SET_COUNT] = {
	[SET_READ] = {POLLIN, POLLIN | POLLHUP | POLLERR},
	[SET_WRITE] = {POLLOUT, POLLOUT | POLLERR},
	[SET_EXCEPT] = {POLLPRI, POLLPRI},
};

struct selection {
	user_t addresses[SET_COUNT];
	uint64_t bits[SET_COUNT][FD_SETSIZE / 64];
	unsigned words; /* of each set that count */
};

static bool is_set(const uint64_t *bits, unsigned number)
{
	return bits[number / 64] >> number % 64 & 1;
}

static int read_sets(struct selection *selection, const user_t addresses[SET_COUNT])
{
	for (unsigned set = 0; set < SET_COUNT; set++) {
		selection->addresses[set] = addresses[set];
		size_t size = selection->words * sizeof(uint64_t);
		if (addresses[set] != 0 &&
		    user_copy_in(selection->bits[set], addresses[set], size) != 0)
			return -EFAULT;
	}
	return 0;
}

/* One pollfd for each number that is in a set. -EBADF where one is not open. */
static int make_entries(const struct selection *selection, unsigned count, struct pollfd *entries)
{
	int used = 0;
	for (unsigned number = 0; number < count; number++) {
		unsigned events = 0;
		for (unsigned set = 0; set < SET_COUNT; set++)
			events |= is_set(selection->bits[set], number) ? set_events[set].asks : 0;
		if (events == 0)
			continue;
		if (descriptor_find(&file_context()->descriptors, (int)number) == NULL)
			return -EBADF;
		entries[used++] = (struct pollfd){.fd = (int32_t)number, .events = (int16_t)events};
	}
	return used;
}

static int64_t write_sets(struct selection *selection, const struct pollfd *entries, int used)
{
	int64_t found = 0;
	for (unsigned set = 0; set < SET_COUNT; set++) {
		uint64_t ready[FD_SETSIZE / 64] = {0};
		for (int i = 0; i < used; i++) {
			unsigned number = (unsigned)entries[i].fd;
			if (!is_set(selection->bits[set], number) ||
			    ((unsigned)entries[i].revents & set_events[set].answers) == 0)
				continue;
			ready[number / 64] |= 1ull << number % 64;
			found++;
		}
		user_t address = selection->addresses[set];
		if (address != 0 &&
		    user_copy_out(address, ready, selection->words * sizeof(uint64_t)) != 0)
			return -EFAULT;
	}
	return found;
}

static int64_t select_sets(int count, const user_t addresses[SET_COUNT], uint64_t deadline)
{
	struct selection selection = {.words = 0};
	if (count < 0)
		return -EINVAL;
	if (count > FD_SETSIZE)
		count = FD_SETSIZE;
	selection.words = ((unsigned)count + 63) / 64;
	int error = read_sets(&selection, addresses);
	if (error != 0)
		return error;
	struct pollfd *entries = kmalloc((size_t)count * sizeof(*entries) + 1);
	if (entries == NULL)
		return -ENOMEM;
	int64_t result = make_entries(&selection, (unsigned)count, entries);
	if (result >= 0) {
		int used = (int)result;
		result = wait(entries, (unsigned)used, deadline);
		if (result >= 0)
			result = write_sets(&selection, entries, used);
	}
	kfree(entries);
	return result;
}

SYSCALL5(select, int, count, user_t, read, user_t, write, user_t, except, user_t, address)
{
	const user_t addresses[SET_COUNT] = {read, write, except};
	uint64_t deadline = TIME_FOREVER;
	if (address != 0) {
		struct timeval time;
		if (user_get(&time, address) != 0)
			return -EFAULT;
		struct timespec precise = {
			time.tv_sec + time.tv_usec / 1000000,
			time.tv_usec % 1000000 * NANOSECONDS_PER_MICROSECOND,
		};
		uint64_t duration;
		if (wait_duration(&precise, &duration) != 0)
			return -EINVAL;
		deadline = duration == 0 ? 0 : time_monotonic() + duration;
	}
	return select_sets(count, addresses, deadline);
}

SYSCALL6(pselect6, int, count, user_t, read, user_t, write, user_t, except, user_t, time, user_t,
	 mask)
{
	const user_t addresses[SET_COUNT] = {read, write, except};
	struct {
		user_t address;
		uint64_t size;
	} given = {0};
	uint64_t deadline;
	int error = wait_deadline(time, &deadline);
	if (error == 0 && mask != 0 && user_get(&given, mask) != 0)
		error = -EFAULT;
	if (error == 0)
		error = wait_with_mask(given.address, given.size);
	return error != 0 ? error : select_sets(count, addresses, deadline);
}
