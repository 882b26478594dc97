/* Inotify. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <calypso/user.h>
#include <file/anonymous.h>
#include <file/inotify.h>
#include <file/io.h>
#include <file/path.h>
#include <file/ramfs/ramfs.h>
#include <uapi/termios.h>

/* What waits to be read, at most; Linux's fs.inotify.max_queued_events. */
#define EVENTS_MAX 16384

struct event {
	struct event *next;
	struct inotify_event told;
	char name[]; /* told.len bytes with their NULs */
};

struct inotify_watch {
	struct inotify *inotify;
	struct file *file; /* ends this watch when it ends */
	struct inotify_watch *next_of_file, *next;
	int number;
	uint32_t mask;
};

struct inotify {
	struct file file;
	struct poll_state poll_state;
	struct inotify_watch *watches;
	int last_number;
	struct event *first, *last;
	unsigned event_count;
};

unsigned inotify_watches;

static const struct file_operations operations;

struct inotify *inotify_of(struct file *file)
{
	return file->operations == &operations ? container_of(file, struct inotify, file) : NULL;
}

/* ---- The queue ---- */

static bool is_repeated(const struct event *last, const struct event *event)
{
	return last != NULL && memcmp(&last->told, &event->told, sizeof(event->told)) == 0 &&
	       memcmp(last->name, event->name, event->told.len) == 0;
}

static void append(struct inotify *inotify, struct event *event)
{
	/* What just happened need not be told twice. */
	if (is_repeated(inotify->last, event)) {
		kfree(event);
		return;
	}
	event->next = NULL;
	if (inotify->last != NULL)
		inotify->last->next = event;
	else
		inotify->first = event;
	inotify->last = event;
	inotify->event_count++;
	poll_notify(&inotify->poll_state, POLLIN | POLLRDNORM);
}

static void queue(struct inotify *inotify, int number, uint32_t mask, uint32_t cookie,
		  struct name name)
{
	size_t unit = sizeof(struct inotify_event);
	if (inotify->event_count >= EVENTS_MAX) {
		number = -1;
		mask = IN_Q_OVERFLOW;
		cookie = 0;
		name.length = 0;
	}
	size_t room = name.length == 0 ? 0 : ALIGN_UP(name.length + 1, unit);
	struct event *event = kcalloc(1, sizeof(*event) + room);
	if (event == NULL)
		return;
	event->told = (struct inotify_event){number, mask, cookie, (uint32_t)room};
	memcpy(event->name, name.bytes, name.length);
	append(inotify, event);
}

static struct event *drop_first(struct inotify *inotify)
{
	struct event *event = inotify->first;
	inotify->first = event->next;
	if (inotify->first == NULL)
		inotify->last = NULL;
	inotify->event_count--;
	return event;
}

/* ---- Watches ---- */

/* In memory a file is there as long as its name. Elsewhere it may go while it still has one: then
 * the watch keeps it, and does not see its end. */
static bool is_held(const struct file *file) { return file->system != &ramfs; }

static void remove(struct inotify_watch *watch)
{
	struct inotify_watch **of_file = &watch->file->watches;
	while (*of_file != watch)
		of_file = &(*of_file)->next_of_file;
	*of_file = watch->next_of_file;
	struct inotify_watch **link = &watch->inotify->watches;
	while (*link != watch)
		link = &(*link)->next;
	*link = watch->next;
	inotify_watches--;
	if (is_held(watch->file))
		file_put(watch->file);
	kfree(watch);
}

/* The watch ends, and its instance hears of it. */
static void end(struct inotify_watch *watch)
{
	queue(watch->inotify, watch->number, IN_IGNORED, 0, (struct name){"", 0});
	remove(watch);
}

static struct inotify_watch *find_of_file(const struct inotify *inotify, const struct file *file)
{
	struct inotify_watch *watch = file->watches;
	while (watch != NULL && watch->inotify != inotify)
		watch = watch->next_of_file;
	return watch;
}

int inotify_add(struct inotify *inotify, struct file *file, uint32_t mask)
{
	const uint32_t kept = IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT;
	struct inotify_watch *watch = find_of_file(inotify, file);
	if (watch != NULL) {
		if ((mask & IN_MASK_CREATE) != 0)
			return -EEXIST;
		watch->mask = (mask & kept) | ((mask & IN_MASK_ADD) != 0 ? watch->mask : 0);
		return watch->number;
	}
	watch = kcalloc(1, sizeof(*watch));
	if (watch == NULL)
		return -ENOMEM;
	watch->inotify = inotify;
	watch->file = file;
	watch->number = ++inotify->last_number;
	watch->mask = mask & kept;
	watch->next_of_file = file->watches;
	file->watches = watch;
	watch->next = inotify->watches;
	inotify->watches = watch;
	inotify_watches++;
	if (is_held(file))
		file_get(file);
	return watch->number;
}

int inotify_remove(struct inotify *inotify, int number)
{
	struct inotify_watch *watch = inotify->watches;
	while (watch != NULL && watch->number != number)
		watch = watch->next;
	if (watch == NULL)
		return -EINVAL;
	end(watch);
	return 0;
}

/* ---- Telling ---- */

static void tell(struct file *watched, uint32_t event, uint32_t cookie, struct name name)
{
	for (struct inotify_watch *watch = watched->watches, *next; watch != NULL; watch = next) {
		next = watch->next_of_file;
		if ((watch->mask & event & IN_ALL_EVENTS) == 0)
			continue;
		queue(watch->inotify, watch->number, event, cookie, name);
		if ((watch->mask & IN_ONESHOT) != 0)
			end(watch);
	}
}

static uint32_t with_type(uint32_t mode, uint32_t event)
{
	return S_ISDIR(mode) ? event | IN_ISDIR : event;
}

void inotify_tell_file(struct file *file, uint32_t event)
{
	/* That it ends, or moves, says all. */
	bool plain = (event & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0;
	tell(file, plain ? event : with_type(file->mode, event), 0, (struct name){"", 0});
}

void inotify_tell_entry(struct file *directory, struct name name, uint32_t mode, uint32_t event,
			uint32_t cookie)
{
	tell(directory, with_type(mode, event), cookie, name);
}

void inotify_tell_open(struct open_file *open, uint32_t event)
{
	char name[NAME_MAX + 1];
	struct file *directory = open->directory;
	if ((open->flags & O_PATH) != 0)
		return;
	if (directory != NULL && directory->watches != NULL) {
		int length = path_name_in(directory, open->file, name);
		if (length > 0)
			inotify_tell_entry(directory, (struct name){name, (size_t)length},
					   open->file->mode, event, 0);
	}
	inotify_tell_file(open->file, event);
}

void inotify_tell_renaming(struct file *from, struct name from_name, struct file *to,
			   struct name to_name, struct file *file)
{
	static uint32_t last_cookie;
	last_cookie++;
	inotify_tell_entry(from, from_name, file->mode, IN_MOVED_FROM, last_cookie);
	inotify_tell_entry(to, to_name, file->mode, IN_MOVED_TO, last_cookie);
}

void inotify_forget(struct file *file)
{
	inotify_tell_file(file, IN_DELETE_SELF);
	while (file->watches != NULL)
		end(file->watches);
}

/* ---- The file ---- */

static uint64_t size_of(const struct event *event)
{
	return sizeof(event->told) + event->told.len;
}

static int inotify_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)offset;
	struct inotify *inotify = inotify_of(file);
	while (inotify->first == NULL) {
		if ((flags & O_NONBLOCK) != 0)
			return -EAGAIN;
		int error = poll_wait_for(&inotify->poll_state, POLLIN, TIME_FOREVER);
		if (error != 0)
			return error;
	}
	if (io->remaining < size_of(inotify->first))
		return -EINVAL;
	while (inotify->first != NULL && io->remaining >= size_of(inotify->first)) {
		struct event *event = drop_first(inotify);
		int error = io_put(io, &event->told, sizeof(event->told));
		if (error == 0)
			error = io_put(io, event->name, event->told.len);
		kfree(event);
		if (error != 0)
			return error;
	}
	return 0;
}

static unsigned inotify_poll(struct file *file, unsigned flags)
{
	(void)flags;
	return inotify_of(file)->first != NULL ? POLLIN | POLLRDNORM : 0;
}

static int64_t inotify_control(struct file *file, unsigned request, user_t argument)
{
	int32_t bytes = 0;
	if (request != FIONREAD)
		return -ENOTTY;
	for (const struct event *event = inotify_of(file)->first; event != NULL; event = event->next)
		bytes += (int32_t)size_of(event);
	return user_put(argument, &bytes);
}

static const struct file_operations operations = {
	.read = inotify_read,
	.poll = inotify_poll,
	.control = inotify_control,
};

static void release(struct file *file)
{
	struct inotify *inotify = inotify_of(file);
	while (inotify->watches != NULL)
		remove(inotify->watches);
	while (inotify->first != NULL)
		kfree(drop_first(inotify));
	kfree(inotify);
}

static const struct file_system inotifies = ANONYMOUS_FILE_SYSTEM("inotify", release);

struct file *inotify_make(void)
{
	struct inotify *inotify = kcalloc(1, sizeof(*inotify));
	if (inotify == NULL)
		return NULL;
	file_initialize(&inotify->file, &inotifies, &operations, ANONYMOUS_MODE, file_now());
	inotify->file.poll_state = &inotify->poll_state;
	return &inotify->file;
}
