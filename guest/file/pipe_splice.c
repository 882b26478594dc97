/* Pipes: slots that are taken out and put in whole. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <file/pipe.h>

int pipe_take(struct pipe *pipe, bool waits, struct pipe_slot *slot)
{
	int error = pipe_wait_for_data(pipe, waits);
	if (error != 0 || pipe->used == 0)
		return error;
	*slot = *pipe_slot_at(pipe, 0);
	pipe->first = (pipe->first + 1) % pipe->capacity;
	pipe->used--;
	pipe->borrowed++;
	return 1;
}

void pipe_return(struct pipe *pipe, struct pipe_slot *slot)
{
	bool was_full = pipe_is_full(pipe);
	pipe->borrowed--;
	if (slot->length > 0) {
		pipe->first = (pipe->first + pipe->capacity - 1) % pipe->capacity;
		pipe->used++;
		*pipe_slot_at(pipe, 0) = *slot;
		poll_notify(&pipe->poll_state, POLLIN | POLLRDNORM);
		return;
	}
	frame_free(virt_to_phys(slot->page), 0);
	if (was_full)
		poll_notify(&pipe->poll_state, POLLOUT | POLLWRNORM);
}

/* 0 where `from` has data or has come to its end, and `to` has room; or an error. */
static int wait_for_both(struct pipe *from, struct pipe *to, bool waits)
{
	for (;;) {
		int error = pipe_wait_for_data(from, waits);
		if (error != 0)
			return error;
		/* That nobody will read counts more than that nobody has written. */
		if (to->readers == 0)
			return pipe_broken();
		if (!pipe_is_full(to))
			return 0;
		if (!waits)
			return -EAGAIN;
		error = poll_wait_for(&to->poll_state, POLLOUT, TIME_FOREVER);
		if (error != 0)
			return error;
	}
}

int pipe_reserve(struct pipe *pipe, bool waits, struct pipe_slot *slot)
{
	for (;;) {
		if (pipe->readers == 0)
			return pipe_broken();
		if (!pipe_is_full(pipe))
			break;
		if (!waits)
			return -EAGAIN;
		int error = poll_wait_for(&pipe->poll_state, POLLOUT, TIME_FOREVER);
		if (error != 0)
			return error;
	}
	physical_t frame = frame_allocate(0, 0);
	if (frame == FRAME_NONE)
		return -ENOMEM;
	*slot = (struct pipe_slot){.page = phys_to_virt(frame), .is_copy = true};
	pipe->borrowed++;
	return 0;
}

void pipe_append(struct pipe *pipe, struct pipe_slot *slot)
{
	pipe->borrowed--;
	if (slot->length == 0) {
		frame_free(virt_to_phys(slot->page), 0);
		return;
	}
	*pipe_slot_at(pipe, pipe->used++) = *slot;
	poll_notify(&pipe->poll_state, POLLIN | POLLRDNORM);
}

int64_t pipe_move(struct pipe *from, struct pipe *to, uint64_t length, bool waits)
{
	struct pipe_slot slot, moved;
	int error = wait_for_both(from, to, waits);
	if (error != 0 || from->used == 0)
		return error;
	error = pipe_reserve(to, false, &moved);
	if (error == 0)
		error = pipe_take(from, false, &slot);
	if (error <= 0)
		return error;
	bool whole = slot.length <= length;
	uint32_t part = whole ? slot.length : (uint32_t)length;
	memcpy(moved.page, slot.page + slot.start, part);
	moved.length = part;
	moved.is_packet = slot.is_packet;
	moved.is_copy = slot.is_copy || !whole;
	slot.start += part;
	slot.length -= part;
	pipe_append(to, &moved);
	pipe_return(from, &slot);
	return part;
}

int64_t pipe_copy(struct pipe *from, struct pipe *to, uint64_t length, bool waits)
{
	uint64_t done = 0;
	int error = pipe_wait_for_data(from, waits);
	for (uint32_t i = 0; error == 0 && i < from->used && done < length; i++) {
		struct pipe_slot copy;
		error = pipe_reserve(to, waits && done == 0, &copy);
		if (error != 0)
			break;
		/* While it waited, somebody may have read. */
		const struct pipe_slot *slot = i < from->used ? pipe_slot_at(from, i) : NULL;
		if (slot != NULL) {
			uint64_t part = slot->length < length - done ? slot->length : length - done;
			memcpy(copy.page, slot->page + slot->start, part);
			copy.length = (uint32_t)part;
			copy.is_packet = slot->is_packet;
			done += part;
		}
		pipe_append(to, &copy);
	}
	return done > 0 ? (int64_t)done : error;
}
