/* Content of ramfs's regular files.
 *
 * Page i of a file is, in this order: the file's own page i; bytes of the image that the file was
 * made from (a member of the initrd, the program's ELF file), which is never written; zeros.
 * Writing makes an own page first.
 */
#include <calypso/lib.h>
#include <file/io.h>
#include <file/ramfs/ramfs.h>

#define BLOCKS_PER_PAGE (PAGE_SIZE / 512)

static struct ramfs_regular *regular_of(struct file *file)
{
	return container_of(file, struct ramfs_regular, file);
}

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t page_count(uint64_t length) { return ALIGN_UP(length, PAGE_SIZE) >> PAGE_SHIFT; }

static uint64_t image_pages(const struct ramfs_regular *regular)
{
	return page_count(regular->image_length);
}

/* The file's own page, made on demand; NULL without memory. */
static uint8_t *own_page(struct ramfs_regular *regular, uint64_t index)
{
	uint8_t *page = page_map_find(&regular->pages, index);
	if (page != NULL)
		return page;
	physical_t frame = frame_allocate(0, FRAME_ZEROED);
	if (frame == FRAME_NONE)
		return NULL;
	page = phys_to_virt(frame);
	uint64_t start = index << PAGE_SHIFT;
	if (start < regular->image_length)
		memcpy(page, regular->image + start,
		       smaller(PAGE_SIZE, regular->image_length - start));
	if (page_map_insert(&regular->pages, index, page) != 0) {
		frame_free(frame, 0);
		return NULL;
	}
	/* Instructions in it were written by this CPU, and no more by the VMM before boot. */
	regular->private_source.code_is_ready = false;
	return page;
}

/* Put `length` bytes from `offset`, which all lie in pages that the file does not own. */
static int read_image(struct ramfs_regular *regular, struct io *io, uint64_t offset,
		      uint64_t length)
{
	if (offset < regular->image_length) {
		uint64_t part = smaller(length, regular->image_length - offset);
		int error = io_put(io, regular->image + offset, part);
		if (error != 0)
			return error;
		length -= part;
	}
	return io_clear(io, length);
}

static int regular_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)flags;
	struct ramfs_regular *regular = regular_of(file);
	while (offset < file->size && io->remaining > 0) {
		uint64_t left = smaller(io->remaining, file->size - offset);
		uint64_t index = offset >> PAGE_SHIFT;
		uint64_t own = page_map_next(&regular->pages, index);
		uint64_t part;
		int error;
		if (own == index) {
			uint64_t at = offset & PAGE_MASK;
			part = smaller(left, PAGE_SIZE - at);
			const uint8_t *page = page_map_find(&regular->pages, index);
			error = io_put(io, page + at, part);
		} else {
			part = own == UINT64_MAX ? left
						 : smaller(left, (own << PAGE_SHIFT) - offset);
			error = read_image(regular, io, offset, part);
		}
		if (error != 0)
			return error;
		offset += part;
	}
	return 0;
}

static int regular_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)flags;
	struct ramfs_regular *regular = regular_of(file);
	file_modified(file);
	while (io->remaining > 0) {
		if (offset >= INT64_MAX)
			return -EFBIG;
		uint64_t at = offset & PAGE_MASK;
		uint64_t part = smaller(smaller(io->remaining, PAGE_SIZE - at), INT64_MAX - offset);
		uint8_t *page = own_page(regular, offset >> PAGE_SHIFT);
		if (page == NULL)
			return -ENOSPC;
		uint64_t before = io->remaining;
		int error = io_take(io, page + at, part);
		offset += before - io->remaining;
		if (offset > file->size)
			file->size = offset;
		if (error != 0)
			return error;
	}
	return 0;
}

/* Make bytes of one page zero without giving it back. */
static int clear_in_page(struct ramfs_regular *regular, uint64_t offset, uint64_t length)
{
	if (length == 0)
		return 0;
	uint64_t index = offset >> PAGE_SHIFT;
	bool held = page_map_find(&regular->pages, index) != NULL;
	if (!held && index >= image_pages(regular))
		return 0;
	uint8_t *page = own_page(regular, index);
	if (page == NULL)
		return -ENOMEM;
	memset(page + (offset & PAGE_MASK), 0, length);
	return 0;
}

/* Make pages read as zeros: freed where nobody maps them and no image shows through. */
static int clear_pages(struct ramfs_regular *regular, uint64_t first, uint64_t end)
{
	uint64_t kept = regular->mappings > 0 ? end : smaller(end, image_pages(regular));
	for (uint64_t index = first; index < kept; index++) {
		if (index >= image_pages(regular)) {
			index = page_map_next(&regular->pages, index);
			if (index >= kept)
				break;
		}
		int error = clear_in_page(regular, index << PAGE_SHIFT, PAGE_SIZE);
		if (error != 0)
			return error;
	}
	if (kept < end)
		page_map_remove(&regular->pages, first > kept ? first : kept, end);
	return 0;
}

static int regular_resize(struct file *file, uint64_t size)
{
	struct ramfs_regular *regular = regular_of(file);
	if (size < file->size) {
		uint64_t in_page = size & PAGE_MASK;
		regular->image_length = smaller(regular->image_length, size);
		int error = 0;
		if (in_page != 0 && page_map_find(&regular->pages, size >> PAGE_SHIFT) != NULL)
			error = clear_in_page(regular, size, PAGE_SIZE - in_page);
		if (error == 0)
			error = clear_pages(regular, page_count(size), page_count(file->size));
		if (error != 0)
			return error;
	}
	file->size = size;
	file_modified(file);
	return 0;
}

static int regular_punch(struct file *file, uint64_t offset, uint64_t length)
{
	struct ramfs_regular *regular = regular_of(file);
	if (offset >= file->size)
		return 0;
	uint64_t end = offset + smaller(length, file->size - offset);
	uint64_t first_whole = ALIGN_UP(offset, PAGE_SIZE);
	int error = clear_in_page(regular, offset, smaller(first_whole, end) - offset);
	if (error == 0 && end > first_whole) {
		error = clear_in_page(regular, ALIGN_DOWN(end, PAGE_SIZE), end & PAGE_MASK);
		if (error == 0)
			error = clear_pages(regular, first_whole >> PAGE_SHIFT, end >> PAGE_SHIFT);
	}
	file_modified(file);
	return error;
}

static uint64_t regular_seek_extent(struct file *file, uint64_t offset, bool hole)
{
	struct ramfs_regular *regular = regular_of(file);
	uint64_t index = offset >> PAGE_SHIFT;
	if (hole) {
		while (index < page_count(file->size) &&
		       (index < image_pages(regular) ||
			page_map_find(&regular->pages, index) != NULL))
			index++;
	} else if (index >= image_pages(regular)) {
		index = smaller(page_map_next(&regular->pages, index), page_count(file->size));
	}
	uint64_t found = index << PAGE_SHIFT;
	return smaller(found > offset ? found : offset, file->size);
}

static void regular_refresh(struct file *file)
{
	struct ramfs_regular *regular = regular_of(file);
	uint64_t pages = regular->pages.count + image_pages(regular);
	uint64_t index = page_map_next(&regular->pages, 0);
	while (index < image_pages(regular)) {
		pages--;
		index = page_map_next(&regular->pages, index + 1);
	}
	file->blocks = pages * BLOCKS_PER_PAGE;
}

/* ---- Mappings ---- */

/* Find a page to map. Where `own` is not asked for, a page of the image will do if it is one. */
static int find_page(struct ramfs_regular *regular, uint64_t index, bool own, physical_t *page)
{
	uint64_t start = index << PAGE_SHIFT;
	if (start >= regular->file.size)
		return -EIO;
	const uint8_t *found = NULL;
	if (regular->pages.count > 0)
		found = page_map_find(&regular->pages, index);
	if (found == NULL && !own && start + PAGE_SIZE <= regular->image_length &&
	    ((uintptr_t)(regular->image + start) & PAGE_MASK) == 0)
		found = regular->image + start;
	if (found == NULL)
		found = own_page(regular, index);
	if (found == NULL)
		return -ENOMEM;
	*page = virt_to_phys(found);
	return 0;
}

static struct ramfs_regular *of_private(struct page_source *source)
{
	return container_of(source, struct ramfs_regular, private_source);
}

static struct ramfs_regular *of_shared(struct page_source *source)
{
	return container_of(source, struct ramfs_regular, shared_source);
}

static void acquire(struct ramfs_regular *regular)
{
	file_get(&regular->file);
	regular->mappings++;
}

static void release(struct ramfs_regular *regular)
{
	regular->mappings--;
	file_put(&regular->file);
}

static int private_page(struct page_source *source, uint64_t index, physical_t *page)
{
	return find_page(of_private(source), index, false, page);
}

static int shared_page(struct page_source *source, uint64_t index, physical_t *page)
{
	return find_page(of_shared(source), index, true, page);
}

static void private_acquire(struct page_source *source) { acquire(of_private(source)); }
static void private_release(struct page_source *source) { release(of_private(source)); }
static void shared_acquire(struct page_source *source) { acquire(of_shared(source)); }
static void shared_release(struct page_source *source) { release(of_shared(source)); }

static const struct page_source_operations private_operations = {
	.page = private_page,
	.acquire = private_acquire,
	.release = private_release,
};

static const struct page_source_operations shared_operations = {
	.page = shared_page,
	.acquire = shared_acquire,
	.release = shared_release,
};

static struct page_source *regular_pages(struct file *file, bool shared)
{
	struct ramfs_regular *regular = regular_of(file);
	return shared ? &regular->shared_source : &regular->private_source;
}

/* ---- The object ---- */

void ramfs_regular_initialize(struct ramfs_regular *regular)
{
	regular->private_source.operations = &private_operations;
	regular->private_source.code_is_ready = true;
	regular->shared_source.operations = &shared_operations;
}

void ramfs_regular_clear(struct ramfs_regular *regular)
{
	page_map_remove(&regular->pages, 0, UINT64_MAX);
}

void ramfs_set_image(struct file *file, const void *image, uint64_t length)
{
	struct ramfs_regular *regular = regular_of(file);
	regular->image = image;
	regular->image_length = length;
	file->size = length;
}

const struct file_operations ramfs_regular_operations = {
	.read = regular_read,
	.write = regular_write,
	.resize = regular_resize,
	.punch = regular_punch,
	.seek_extent = regular_seek_extent,
	.pages = regular_pages,
	.refresh = regular_refresh,
};
