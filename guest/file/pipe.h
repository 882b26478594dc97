/* Pipes, with and without a name.
 *
 * What was written lies in slots, each a page at most. A write goes on in the last slot where it
 * fits there whole, so a write of up to PIPE_BUF bytes is never torn apart; one in packet mode
 * (O_DIRECT) takes slots of its own, and a read takes no more than one of these.
 */
#ifndef FILE_PIPE_H
#define FILE_PIPE_H

#include <file/open_file.h>
#include <file/poll.h>

struct pipe_slot {
	uint8_t *page;
	uint32_t start; /* of the bytes not yet read */
	uint32_t length;
	bool is_packet; /* ends a read, and nothing is added to it */
	bool is_copy;	/* of what a file or another pipe has: nothing is added to it */
};

struct pipe {
	struct file file;
	struct poll_state poll_state;
	uint32_t readers; /* open files */
	uint32_t writers;
	uint32_t opened_to_read; /* how often ever; tells those who wait in open */
	uint32_t opened_to_write;
	bool had_writer; /* since the first of the present readers came */
	uint32_t first;	 /* of the slots in use; they are a ring */
	uint32_t used;
	uint32_t capacity;
	uint32_t borrowed; /* slots taken out, or reserved, for a splice; there is room for them */
	struct pipe_slot *slots; /* NULL while nobody has it open */
	void *spare;		 /* a page for what is written next, or NULL */
};

extern const struct file_operations pipe_operations;

/* Fill in what a new pipe has besides its file, which is initialized. */
void pipe_initialize(struct pipe *pipe);

/* Make a pipe without a name: its two ends, with O_NONBLOCK and O_DIRECT of `flags`. 0 or
 * -ENOMEM. */
int pipe_make(unsigned flags, struct open_file **reader, struct open_file **writer);

/* The pipe that a file is, or NULL. */
struct pipe *pipe_of_file(struct file *file);

/* ---- For splice(2) ---- */

/* Take the first slot out, waiting for one where `waits`: 1; 0 at the end; or an error. pipe_return
 * puts what is left of it back, or frees it. */
int pipe_take(struct pipe *pipe, bool waits, struct pipe_slot *slot);
void pipe_return(struct pipe *pipe, struct pipe_slot *slot);

/* Move the first slot of `from`, or as much of it as `length`, into another pipe: bytes, 0 at the end,
 * or an error (also -EPIPE with its signal). While this waits, where `waits`, for data and for room,
 * others can read what is to be moved. It stays the packet that it was, or none. */
int64_t pipe_move(struct pipe *from, struct pipe *to, uint64_t length, bool waits);

/* A new slot for as long as it takes to fill it, waiting for room where `waits`: 0 or an error
 * (also -EPIPE with its signal). pipe_append adds it, or frees it while it is empty. */
int pipe_reserve(struct pipe *pipe, bool waits, struct pipe_slot *slot);
void pipe_append(struct pipe *pipe, struct pipe_slot *slot);

/* Copy what is in one pipe into another (tee): bytes, or an error. */
int64_t pipe_copy(struct pipe *from, struct pipe *to, uint64_t length, bool waits);

/* F_GETPIPE_SZ and F_SETPIPE_SZ: the capacity in bytes; -EBADF where it is no pipe, -EINVAL,
 * -EBUSY, -ENOMEM. */
int64_t pipe_capacity(const struct file *file);
int64_t pipe_set_capacity(struct file *file, uint64_t bytes);

/* ---- Inside pipes ---- */

/* A slot by its place behind the first one. */
static inline struct pipe_slot *pipe_slot_at(const struct pipe *pipe, uint32_t place)
{
	return &pipe->slots[(pipe->first + place) % pipe->capacity];
}

static inline bool pipe_is_full(const struct pipe *pipe)
{
	return pipe->used + pipe->borrowed == pipe->capacity;
}

/* Bytes that can be written without waiting, in slots of their own. */
static inline uint64_t pipe_room(const struct pipe *pipe)
{
	return (uint64_t)(pipe->capacity - pipe->used - pipe->borrowed) * PAGE_SIZE;
}

/* 0 with data or at the end; -EAGAIN where it may not wait; -ERESTARTSYS. */
int pipe_wait_for_data(struct pipe *pipe, bool waits);

/* Nobody will read: SIGPIPE and -EPIPE. */
int pipe_broken(void);

#endif
