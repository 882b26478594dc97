/* Open files on their way through a socket. */
#include <calypso/mm.h>
#include <net/rights.h>

struct rights *rights_make(unsigned room)
{
	struct rights *rights = kmalloc(sizeof(*rights) + room * sizeof(rights->files[0]));
	if (rights != NULL)
		rights->count = 0;
	return rights;
}

struct rights *rights_copy(const struct rights *rights)
{
	struct rights *copy = rights_make(rights->count);
	for (unsigned i = 0; copy != NULL && i < rights->count; i++)
		copy->files[copy->count++] = open_file_get(rights->files[i]);
	return copy;
}

void rights_free(struct rights *rights)
{
	for (unsigned i = 0; rights != NULL && i < rights->count; i++)
		open_file_put(rights->files[i]);
	kfree(rights);
}
