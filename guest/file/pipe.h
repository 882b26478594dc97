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
	struct pipe_slot *slots; /* NULL while nobody has it open */
};

extern const struct file_operations pipe_operations;

/* Fill in what a new pipe has besides its file, which is initialized. */
void pipe_initialize(struct pipe *pipe);

/* Make a pipe without a name: its two ends, with O_NONBLOCK and O_DIRECT of `flags`. 0 or
 * -ENOMEM. */
int pipe_make(unsigned flags, struct open_file **reader, struct open_file **writer);

/* F_GETPIPE_SZ and F_SETPIPE_SZ: the capacity in bytes; -EBADF where it is no pipe, -EINVAL,
 * -EBUSY, -ENOMEM. */
int64_t pipe_capacity(const struct file *file);
int64_t pipe_set_capacity(struct file *file, uint64_t bytes);

#endif
