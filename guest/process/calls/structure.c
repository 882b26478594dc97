/* Structures that have grown. */
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <process/calls/structure.h>

int structure_get(void *to, size_t known, user_t from, size_t size)
{
	size_t there = size < known ? size : known;
	if (size > PAGE_SIZE)
		return -E2BIG;
	memset(to, 0, known);
	if (user_copy_in(to, from, there) != 0)
		return -EFAULT;
	for (size_t at = known; at < size; at++) {
		uint8_t byte;
		if (user_get(&byte, from + at) != 0)
			return -EFAULT;
		if (byte != 0)
			return -E2BIG;
	}
	return 0;
}
