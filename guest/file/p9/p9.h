/* The 9P client: requests to a server of files on the host (9P2000.L, the dialect of Linux), over a
 * virtio device.
 *
 *   session.c    messages: fields, sending, errors
 *   calls.c      one function for each request that is used
 *
 * A request holds the processor until it is answered, so that nothing changes under who waits for
 * it; that may be a page fault in the middle of a copy.
 */
#ifndef FILE_P9_P9_H
#define FILE_P9_P9_H

#include <calypso/virtqueue.h>
#include <file/file.h>

#define P9_NO_FID UINT32_MAX

/* ---- Sessions ---- */

/* Requests that go to the host together. */
#define P9_SLOTS 2

/* Room for a message without the data of files: a path and a name. */
#define P9_MESSAGE_ROOM (2 * PAGE_SIZE)

struct p9_session {
	struct virtio_device *device;
	uint32_t last_fid;
	uint8_t *requests[P9_SLOTS];
	uint8_t *replies[P9_SLOTS];
};

/* A session with a device that nobody has started yet; `root` becomes the fid of its directory. */
int p9_start(struct p9_session *session, struct virtio_device *device, uint32_t *root);

/* ---- Messages ---- */

struct p9_call {
	struct p9_session *session;
	uint8_t *request;
	uint8_t *reply;
	uint32_t length; /* of the request so far */
	uint32_t taken;	 /* of the reply so far */
	uint32_t end;	 /* of the reply */
	bool malformed;	 /* more was put than there is room for, or taken than there is */
	int error;
	struct virtio_request transfer;
};

/* Kinds of requests; their replies are one higher. */
enum p9_kind {
	P9_RLERROR = 7,
	P9_TSTATFS = 8,
	P9_TLOPEN = 12,
	P9_TLCREATE = 14,
	P9_TSYMLINK = 16,
	P9_TMKNOD = 18,
	P9_TREADLINK = 22,
	P9_TGETATTR = 24,
	P9_TSETATTR = 26,
	P9_TREADDIR = 40,
	P9_TFSYNC = 50,
	P9_TLINK = 70,
	P9_TMKDIR = 72,
	P9_TRENAMEAT = 74,
	P9_TUNLINKAT = 76,
	P9_TVERSION = 100,
	P9_TATTACH = 104,
	P9_TWALK = 110,
	P9_TREAD = 116,
	P9_TWRITE = 118,
	P9_TCLUNK = 120,
};

/* Begin the request of a slot, and put its fields. */
void p9_begin(struct p9_call *call, struct p9_session *session, unsigned slot, enum p9_kind kind);
void p9_put16(struct p9_call *call, uint16_t value);
void p9_put32(struct p9_call *call, uint32_t value);
void p9_put64(struct p9_call *call, uint64_t value);
void p9_put_string(struct p9_call *call, const char *bytes, size_t length);

/* Hand the request over, with data behind its fields (readable) or behind those of the reply, which
 * are `reply_length` bytes then (writable). Errors are told by p9_finish. */
void p9_send(struct p9_call *call);
void p9_send_data(struct p9_call *call, const struct virtio_buffer *data, unsigned readable,
		  unsigned writable, uint32_t reply_length);

/* Wait for the reply: 0, or what the host or the device said. */
int p9_finish(struct p9_call *call);

/* Take the fields of the reply; zeros behind its end. */
uint16_t p9_take16(struct p9_call *call);
uint32_t p9_take32(struct p9_call *call);
uint64_t p9_take64(struct p9_call *call);

/* Bytes within the reply, or NULL where there are fewer. */
const char *p9_take_bytes(struct p9_call *call, size_t length);

/* ---- Requests ---- */

/* A file of the host's, whatever its names. */
struct p9_identity {
	uint8_t kind;
	uint64_t path;
};

/* What getattr tells. */
struct p9_attributes {
	struct p9_identity identity;
	uint32_t mode, user, group;
	uint64_t links, device, size, blocks;
	int64_t accessed, modified, changed; /* ns since 1970 */
};

/* What setattr changes. */
enum { P9_SET_MODE = 1, P9_SET_USER = 2, P9_SET_GROUP = 4, P9_SET_SIZE = 8 };
enum { P9_SET_ACCESSED = 0x90, P9_SET_MODIFIED = 0x120 };

struct p9_change {
	uint32_t what;
	uint32_t mode, user, group;
	uint64_t size;
	int64_t accessed, modified;
};

uint32_t p9_new_fid(struct p9_session *session);

/* Find `name` in a directory: `*fid` is new then. */
int p9_walk(struct p9_session *session, uint32_t directory, struct name name, uint32_t *fid,
	    struct p9_attributes *attributes);

/* Open what `fid` means, under a new one. Flags as of open(2). */
int p9_open(struct p9_session *session, uint32_t fid, uint32_t flags, uint32_t *opened);

/* Make and open a regular file: `*opened` is new. */
int p9_create(struct p9_session *session, uint32_t directory, struct name name, uint32_t flags,
	      uint32_t mode, uint32_t *opened);

void p9_clunk(struct p9_session *session, uint32_t fid);
int p9_getattr(struct p9_session *session, uint32_t fid, struct p9_attributes *attributes);
int p9_setattr(struct p9_session *session, uint32_t fid, const struct p9_change *change);
int p9_fsync(struct p9_session *session, uint32_t fid);
int p9_statfs(struct p9_session *session, uint32_t fid, struct file_space *space);
int64_t p9_readlink(struct p9_session *session, uint32_t fid, char *buffer, size_t size);

/* Make what is no regular file, as `what` says. */
int p9_make(struct p9_session *session, uint32_t directory, struct name name,
	    const struct creation *what);
int p9_link(struct p9_session *session, uint32_t directory, struct name name, uint32_t fid);
int p9_unlink(struct p9_session *session, uint32_t directory, struct name name, bool is_directory);
int p9_rename(struct p9_session *session, uint32_t from, struct name name, uint32_t to,
	      struct name to_name);

/* Transfer between an open file and frames. Bytes transferred, or an error. */
#define P9_BUFFERS_MAX 32
int64_t p9_read(struct p9_session *session, uint32_t opened, uint64_t offset,
		const struct virtio_buffer *buffers, unsigned count);
int64_t p9_write(struct p9_session *session, uint32_t opened, uint64_t offset,
		 const struct virtio_buffer *buffer);

/* Entries of an open directory from `offset` on, as many as fit into a buffer of the caller's; then
 * p9_next_entry takes one after the other. */
struct p9_entry {
	struct name name; /* in the buffer */
	struct p9_identity identity;
	uint8_t type; /* DT_* */
	uint64_t next; /* offset of the one behind it */
};
struct p9_listing {
	uint8_t *buffer;
	uint32_t size;
	struct p9_call call; /* its reply is the buffer */
};
int p9_readdir(struct p9_listing *listing, struct p9_session *session, uint32_t opened,
	       uint64_t offset);
bool p9_next_entry(struct p9_listing *listing, struct p9_entry *entry);

#endif
