/* Mappings of an image that lies in RAM, such as the program's ELF file. */
#include <calypso/errno.h>
#include <calypso/mm.h>

static int image_page(struct page_source *source, uint64_t index, physical_t *page)
{
	const struct image_source *image = container_of(source, struct image_source, source);

	if (index >= (image->length + PAGE_MASK) >> PAGE_SHIFT)
		return -EIO;
	*page = image->base + (index << PAGE_SHIFT);
	return 0;
}

/* It lies there for good: nobody counts its users. */
static const struct page_source_operations image_operations = {.page = image_page};

void image_source_initialize(struct image_source *image, physical_t base, uint64_t length)
{
	image->source.operations = &image_operations;
	image->source.code_is_ready = true;
	image->base = base;
	image->length = length;
}
