/* Open files on their way through a socket. */
#include <calypso/mm.h>
#include <net/rights.h>

struct rights *rights_extend(struct rights *rights, unsigned count)
{
	unsigned before = rights == NULL ? 0 : rights->count;
	size_t size = sizeof(*rights) + (before + count) * sizeof(rights->files[0]);
	struct rights *extended = krealloc(rights, size);
	if (extended != NULL)
		extended->count = before;
	return extended;
}

struct rights *rights_copy(const struct rights *rights)
{
	struct rights *copy = rights_extend(NULL, rights->count);
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
