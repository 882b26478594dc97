/* mremap: areas that grow, shrink and move. */
#include "mm/space.h"

#include <calypso/errno.h>

/* Move [from, from + length), one whole area by now, to `to`, where `new_length` bytes are free. */
static int64_t move(struct area *area, user_t to, uint64_t new_length)
{
	uint64_t length = area->end - area->start;
	struct area *moved = kmalloc(sizeof(*moved));

	if (!moved)
		return -ENOMEM;
	*moved = *area;
	moved->start = to;
	moved->end = to + new_length;
	area_acquire_source(moved);
	area_insert(moved);
	if (pages_move(area->start, to, length < new_length ? length : new_length)) {
		pages_move(to, area->start, length);
		space_unmap(to, new_length);
		return -ENOMEM;
	}
	space_unmap(area->start, length);
	area_merge_around(moved);
	return (int64_t)to;
}

static int64_t grow(struct area *area, user_t start, uint64_t length, uint64_t new_length,
		    int flags)
{
	if (area->end == start + length && start <= USER_END - new_length &&
	    space_is_free(area->end, new_length - length)) {
		area->end = start + new_length;
		area_merge_around(area);
		return (int64_t)start;
	}
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	int error = space_cut_range(start, start + length);
	if (error)
		return error;
	user_t to = space_find_room(new_length);
	return to ? move(area_at(start), to, new_length) : -ENOMEM;
}

/* MREMAP_FIXED: to where the program says, whatever is there. */
static int64_t move_to(user_t start, uint64_t length, user_t to, uint64_t new_length)
{
	if ((to & PAGE_MASK) != 0 || to < USER_START || new_length > USER_END ||
	    to > USER_END - new_length)
		return -EINVAL;
	if (start < to + new_length && to < start + length)
		return -EINVAL;
	int error = space_unmap(to, new_length);
	if (!error && new_length < length) {
		error = space_unmap(start + new_length, length - new_length);
		length = new_length;
	}
	if (!error)
		error = space_cut_range(start, start + length);
	return error ? error : move(area_at(start), to, new_length);
}

int64_t space_remap(user_t start, uint64_t length, uint64_t new_length, int flags, user_t to)
{
	if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) != 0 || new_length == 0 ||
	    ((flags & MREMAP_FIXED) && !(flags & MREMAP_MAYMOVE)) || new_length > USER_END ||
	    !space_check_range(start, &length) || length == 0)
		return -EINVAL;
	new_length = ALIGN_UP(new_length, PAGE_SIZE);
	struct area *area = area_at(start);
	if (!area || area->end < start + length)
		return -EFAULT;
	if (flags & MREMAP_FIXED)
		return move_to(start, length, to, new_length);
	if (new_length > length)
		return grow(area, start, length, new_length, flags);
	if (new_length < length) {
		int error = space_unmap(start + new_length, length - new_length);

		if (error)
			return error;
	}
	return (int64_t)start;
}
