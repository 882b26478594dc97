/* Requests of 9P2000.L, one function for each. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <file/p9/p9.h>
#include <uapi/fcntl.h>

/* getattr: all but birth time, generation and data version. */
#define GETATTR_BASIC 0x7ff

#define UNLINK_DIRECTORY 0x200

/* Fields of the replies to read, and to readdir, before their data. */
#define READ_REPLY_LENGTH (7 + 4)

uint32_t p9_new_fid(struct p9_session *session) { return ++session->last_fid; }

/* Send what has no reply but success. */
static int send_and_finish(struct p9_call *call)
{
	p9_send(call);
	return p9_finish(call);
}

static struct p9_identity take_identity(struct p9_call *call)
{
	const char *kind = p9_take_bytes(call, 1);
	p9_take32(call); /* version */
	return (struct p9_identity){kind == NULL ? 0 : (uint8_t)*kind, p9_take64(call)};
}

static int64_t take_time(struct p9_call *call)
{
	int64_t seconds = (int64_t)p9_take64(call);
	return seconds * (int64_t)NANOSECONDS_PER_SECOND + (int64_t)p9_take64(call);
}

static int complete(const struct p9_call *call) { return call->malformed ? -EIO : 0; }

static void begin_fid(struct p9_call *call, struct p9_session *session, unsigned slot,
		      enum p9_kind kind, uint32_t fid)
{
	p9_begin(call, session, slot, kind);
	p9_put32(call, fid);
}

/* ---- Walking, opening ---- */

static void send_walk(struct p9_call *call, struct p9_session *session, uint32_t from, uint32_t to,
		      const struct name *name)
{
	begin_fid(call, session, 0, P9_TWALK, from);
	p9_put32(call, to);
	p9_put16(call, name != NULL);
	if (name != NULL)
		p9_put_string(call, name->bytes, name->length);
	p9_send(call);
}

static void send_getattr(struct p9_call *call, struct p9_session *session, unsigned slot,
			 uint32_t fid)
{
	begin_fid(call, session, slot, P9_TGETATTR, fid);
	p9_put64(call, GETATTR_BASIC);
	p9_send(call);
}

static int take_attributes(struct p9_call *call, struct p9_attributes *attributes)
{
	int error = p9_finish(call);
	if (error != 0)
		return error;
	p9_take64(call); /* which of them are valid */
	attributes->identity = take_identity(call);
	attributes->mode = p9_take32(call);
	attributes->user = p9_take32(call);
	attributes->group = p9_take32(call);
	attributes->links = p9_take64(call);
	attributes->device = p9_take64(call);
	attributes->size = p9_take64(call);
	p9_take64(call); /* block size */
	attributes->blocks = p9_take64(call);
	attributes->accessed = take_time(call);
	attributes->modified = take_time(call);
	attributes->changed = take_time(call);
	return complete(call);
}

int p9_getattr(struct p9_session *session, uint32_t fid, struct p9_attributes *attributes)
{
	struct p9_call call;
	send_getattr(&call, session, 0, fid);
	return take_attributes(&call, attributes);
}

/* Both requests go together: the host answers in order, and has no fid to tell of where the name is
 * not there. */
int p9_walk(struct p9_session *session, uint32_t directory, struct name name, uint32_t *fid,
	    struct p9_attributes *attributes)
{
	struct p9_call walk, getattr;
	*fid = p9_new_fid(session);
	send_walk(&walk, session, directory, *fid, &name);
	send_getattr(&getattr, session, 1, *fid);
	int error = p9_finish(&walk);
	int attributes_error = take_attributes(&getattr, attributes);
	if (error != 0 || attributes_error == 0)
		return error;
	p9_clunk(session, *fid);
	return attributes_error;
}

int p9_open(struct p9_session *session, uint32_t fid, uint32_t flags, uint32_t *opened)
{
	struct p9_call walk, open;
	*opened = p9_new_fid(session);
	send_walk(&walk, session, fid, *opened, NULL);
	begin_fid(&open, session, 1, P9_TLOPEN, *opened);
	p9_put32(&open, flags);
	p9_send(&open);
	int error = p9_finish(&walk);
	int open_error = p9_finish(&open);
	if (error != 0 || open_error == 0)
		return error;
	p9_clunk(session, *opened);
	return open_error;
}

int p9_create(struct p9_session *session, uint32_t directory, struct name name, uint32_t flags,
	      uint32_t mode, uint32_t *opened)
{
	struct p9_call walk, create;
	*opened = p9_new_fid(session);
	send_walk(&walk, session, directory, *opened, NULL);
	begin_fid(&create, session, 1, P9_TLCREATE, *opened);
	p9_put_string(&create, name.bytes, name.length);
	p9_put32(&create, flags);
	p9_put32(&create, mode);
	p9_put32(&create, 0);
	p9_send(&create);
	int error = p9_finish(&walk);
	int create_error = p9_finish(&create);
	if (error != 0 || create_error == 0)
		return error;
	p9_clunk(session, *opened);
	return create_error;
}

void p9_clunk(struct p9_session *session, uint32_t fid)
{
	struct p9_call call;
	begin_fid(&call, session, 0, P9_TCLUNK, fid);
	send_and_finish(&call);
}

/* ---- Attributes ---- */

static void put_time(struct p9_call *call, int64_t time)
{
	p9_put64(call, (uint64_t)time_seconds(time));
	p9_put64(call, (uint64_t)time_nanoseconds(time));
}

int p9_setattr(struct p9_session *session, uint32_t fid, const struct p9_change *change)
{
	struct p9_call call;
	begin_fid(&call, session, 0, P9_TSETATTR, fid);
	p9_put32(&call, change->what);
	p9_put32(&call, change->mode);
	p9_put32(&call, change->user);
	p9_put32(&call, change->group);
	p9_put64(&call, change->size);
	put_time(&call, change->accessed);
	put_time(&call, change->modified);
	return send_and_finish(&call);
}

int p9_fsync(struct p9_session *session, uint32_t fid)
{
	struct p9_call call;
	begin_fid(&call, session, 0, P9_TFSYNC, fid);
	p9_put32(&call, 0);
	return send_and_finish(&call);
}

int p9_statfs(struct p9_session *session, uint32_t fid, struct file_space *space)
{
	struct p9_call call;
	begin_fid(&call, session, 0, P9_TSTATFS, fid);
	int error = send_and_finish(&call);
	if (error != 0)
		return error;
	p9_take32(&call); /* type */
	space->block_size = p9_take32(&call);
	space->blocks = p9_take64(&call);
	space->free = p9_take64(&call);
	space->available = p9_take64(&call);
	space->files = p9_take64(&call);
	space->free_files = p9_take64(&call);
	return complete(&call);
}

int64_t p9_readlink(struct p9_session *session, uint32_t fid, char *buffer, size_t size)
{
	struct p9_call call;
	begin_fid(&call, session, 0, P9_TREADLINK, fid);
	int error = send_and_finish(&call);
	if (error != 0)
		return error;
	size_t length = p9_take16(&call);
	const char *target = p9_take_bytes(&call, length);
	if (target == NULL)
		return -EIO;
	if (length > size)
		length = size;
	memcpy(buffer, target, length);
	return (int64_t)length;
}

/* ---- Names ---- */

int p9_make(struct p9_session *session, uint32_t directory, struct name name,
	    const struct creation *what)
{
	struct p9_call call;
	bool is_link = S_ISLNK(what->mode), is_directory = S_ISDIR(what->mode);
	enum p9_kind kind = is_link ? P9_TSYMLINK : is_directory ? P9_TMKDIR : P9_TMKNOD;
	begin_fid(&call, session, 0, kind, directory);
	p9_put_string(&call, name.bytes, name.length);
	if (is_link) {
		p9_put_string(&call, what->target, what->target_length);
	} else {
		p9_put32(&call, is_directory ? what->mode & S_IALLUGO : what->mode);
	}
	if (!is_link && !is_directory) {
		p9_put32(&call, device_major(what->device));
		p9_put32(&call, device_minor(what->device));
	}
	p9_put32(&call, 0); /* group */
	return send_and_finish(&call);
}

int p9_link(struct p9_session *session, uint32_t directory, struct name name, uint32_t fid)
{
	struct p9_call call;
	begin_fid(&call, session, 0, P9_TLINK, directory);
	p9_put32(&call, fid);
	p9_put_string(&call, name.bytes, name.length);
	return send_and_finish(&call);
}

int p9_unlink(struct p9_session *session, uint32_t directory, struct name name, bool is_directory)
{
	struct p9_call call;
	begin_fid(&call, session, 0, P9_TUNLINKAT, directory);
	p9_put_string(&call, name.bytes, name.length);
	p9_put32(&call, is_directory ? UNLINK_DIRECTORY : 0);
	return send_and_finish(&call);
}

int p9_rename(struct p9_session *session, uint32_t from, struct name name, uint32_t to,
	      struct name to_name)
{
	struct p9_call call;
	begin_fid(&call, session, 0, P9_TRENAMEAT, from);
	p9_put_string(&call, name.bytes, name.length);
	p9_put32(&call, to);
	p9_put_string(&call, to_name.bytes, to_name.length);
	return send_and_finish(&call);
}

/* ---- Data ---- */

int64_t p9_read(struct p9_session *session, uint32_t opened, uint64_t offset,
		const struct virtio_buffer *buffers, unsigned count)
{
	struct p9_call call;
	uint32_t length = 0;
	for (unsigned i = 0; i < count; i++)
		length += buffers[i].length;
	begin_fid(&call, session, 0, P9_TREAD, opened);
	p9_put64(&call, offset);
	p9_put32(&call, length);
	p9_send_data(&call, buffers, 0, count, READ_REPLY_LENGTH);
	int error = p9_finish(&call);
	if (error != 0)
		return error;
	uint32_t done = p9_take32(&call);
	return done > length ? -EIO : done;
}

int64_t p9_write(struct p9_session *session, uint32_t opened, uint64_t offset,
		 const struct virtio_buffer *buffer)
{
	struct p9_call call;
	begin_fid(&call, session, 0, P9_TWRITE, opened);
	p9_put64(&call, offset);
	p9_put32(&call, buffer->length);
	p9_send_data(&call, buffer, 1, 0, P9_MESSAGE_ROOM);
	int error = p9_finish(&call);
	if (error != 0)
		return error;
	uint32_t done = p9_take32(&call);
	return done > buffer->length ? -EIO : done;
}

/* ---- Directories ---- */

int p9_readdir(struct p9_listing *listing, struct p9_session *session, uint32_t opened,
	       uint64_t offset)
{
	struct p9_call call;
	struct virtio_buffer buffer = {virt_to_phys(listing->buffer), listing->size};
	begin_fid(&call, session, 0, P9_TREADDIR, opened);
	p9_put64(&call, offset);
	p9_put32(&call, listing->size);
	p9_send_data(&call, &buffer, 0, 1, READ_REPLY_LENGTH);
	int error = p9_finish(&call);
	uint32_t length = error == 0 ? p9_take32(&call) : 0;
	listing->call = (struct p9_call){.reply = listing->buffer, .end = length};
	return length > listing->size ? -EIO : error;
}

bool p9_next_entry(struct p9_listing *listing, struct p9_entry *entry)
{
	struct p9_call *call = &listing->call;
	if (call->taken == call->end)
		return false;
	entry->identity = take_identity(call);
	entry->next = p9_take64(call);
	const char *type = p9_take_bytes(call, 1);
	entry->type = type == NULL ? 0 : (uint8_t)*type;
	entry->name.length = p9_take16(call);
	entry->name.bytes = p9_take_bytes(call, entry->name.length);
	return !call->malformed && entry->name.length <= NAME_MAX;
}
