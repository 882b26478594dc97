/* Content of the host's regular files.
 *
 * What was read is kept in pages, which mappings use as they are. What is written goes to the host
 * at once, and into the pages that are there. Pages of files that nobody uses are given back, those
 * read longest ago first, when all together take more than their part of the memory.
 */
#include <calypso/lib.h>
#include <file/io.h>
#include <file/p9/p9fs.h>
#include <uapi/fcntl.h>

/* A page that is missing comes with those around it: 64 KiB, as page faults take them. */
#define AROUND 16

/* Part of the memory that pages may take, if nobody uses them. */
#define MEMORY_PART 4

/* One write to the host moves at most this much. */
#define WRITE_ORDER 4

static struct {
	struct p9_file *latest, *earliest; /* files with pages */
	uint64_t count;			   /* pages in all */
} filled;

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t page_count(uint64_t length) { return ALIGN_UP(length, PAGE_SIZE) >> PAGE_SHIFT; }

/* ---- Pages ---- */

static bool is_filled(const struct p9_file *file) { return file->pages.count > 0; }

static void remove_filled(struct p9_file *file)
{
	if (file->filled_later != NULL)
		file->filled_later->filled_earlier = file->filled_earlier;
	else
		filled.latest = file->filled_earlier;
	if (file->filled_earlier != NULL)
		file->filled_earlier->filled_later = file->filled_later;
	else
		filled.earliest = file->filled_later;
}

static void add_filled(struct p9_file *file)
{
	file->filled_later = NULL;
	file->filled_earlier = filled.latest;
	if (filled.latest != NULL)
		filled.latest->filled_later = file;
	else
		filled.earliest = file;
	filled.latest = file;
}

static void drop_pages(struct p9_file *file, uint64_t first)
{
	uint64_t before = file->pages.count;
	if (before == 0)
		return;
	page_map_remove(&file->pages, first, UINT64_MAX);
	filled.count -= before - file->pages.count;
	if (!is_filled(file))
		remove_filled(file);
}

void p9_pages_forget(struct p9_file *file) { drop_pages(file, 0); }

/* Give pages back until there are at most `limit`, as far as nobody uses them. */
static void shrink(uint64_t limit)
{
	for (struct p9_file *file = filled.earliest, *later; file != NULL; file = later) {
		later = file->filled_later;
		if (filled.count <= limit)
			return;
		if (file->users == 0)
			drop_pages(file, 0);
	}
}

static physical_t new_frame(void)
{
	physical_t frame = frame_allocate(0, 0);
	if (frame == FRAME_NONE) {
		shrink(0);
		frame = frame_allocate(0, 0);
	}
	/* The host will write behind the back of an emulator, which forgets what it has translated
	 * of code that was there before when it sees a store. */
	if (frame != FRAME_NONE)
		*(volatile uint64_t *)phys_to_virt(frame) = 0;
	return frame;
}

/* Put a page that was read into the file's map, which owns it then. */
static int keep_page(struct p9_file *file, uint64_t index, physical_t frame)
{
	bool first = !is_filled(file);
	int error = page_map_insert(&file->pages, index, phys_to_virt(frame));
	if (error != 0)
		return error;
	filled.count++;
	if (!first)
		remove_filled(file);
	add_filled(file);
	return 0;
}

/* Read pages from `index` on, none of which is there. What is behind the file's end is zero. */
static int read_pages(struct p9_file *file, uint64_t index, unsigned count)
{
	struct virtio_buffer buffers[P9_BUFFERS_MAX];
	unsigned have = 0;
	int error = p9fs_open(file, false);
	while (error == 0 && have < count) {
		physical_t frame = new_frame();
		if (frame == FRAME_NONE)
			break;
		buffers[have++] = (struct virtio_buffer){frame, PAGE_SIZE};
	}
	if (error == 0 && have == 0)
		error = -ENOMEM;
	int64_t length = error;
	if (error == 0)
		length = p9_read(p9_session_of(file), file->opened, index << PAGE_SHIFT, buffers,
				 have);
	for (unsigned i = 0; i < have; i++) {
		int64_t valid = length - (int64_t)(i * PAGE_SIZE);
		uint8_t *page = phys_to_virt(buffers[i].address);
		valid = valid < 0 ? 0 : (int64_t)smaller((uint64_t)valid, PAGE_SIZE);
		memset(page + valid, 0, PAGE_SIZE - (uint64_t)valid);
		if (length < 0 || keep_page(file, index + i, buffers[i].address) != 0)
			frame_free(buffers[i].address, 0);
	}
	return length < 0 ? (int)length : 0;
}

/* Of `count` pages from `index` on, how many are missing before the first that is there. */
static unsigned missing_pages(const struct p9_file *file, uint64_t index, unsigned count)
{
	unsigned missing = 0;
	while (missing < count && page_map_find(&file->pages, index + missing) == NULL)
		missing++;
	return missing;
}

/* The page at `index`, which is within the file, read with up to `wanted` pages behind it. */
static int get_page(struct p9_file *file, uint64_t index, uint64_t wanted, uint8_t **page)
{
	*page = page_map_find(&file->pages, index);
	if (*page != NULL)
		return 0;
	uint64_t room = smaller(page_count(file->file.size) - index, P9_BUFFERS_MAX);
	unsigned count = missing_pages(file, index, (unsigned)smaller(wanted, room));
	/* That may be pages of this very file, as of a large one that is read from end to end. */
	shrink(frame_statistics().total / MEMORY_PART);
	int error = read_pages(file, index, count);
	*page = page_map_find(&file->pages, index);
	return error != 0 ? error : *page == NULL ? -ENOMEM : 0;
}

/* ---- Reading ---- */

static int regular_read(struct file *host_file, struct io *io, uint64_t offset, unsigned flags)
{
	struct p9_file *file = p9_file_of(host_file);
	(void)flags;
	while (offset < file->file.size && io->remaining > 0) {
		uint64_t at = offset & PAGE_MASK;
		uint64_t left = smaller(io->remaining, file->file.size - offset);
		uint64_t wanted = page_count(at + left);
		uint8_t *page;
		int error = get_page(file, offset >> PAGE_SHIFT, wanted < AROUND ? AROUND : wanted,
				     &page);
		if (error != 0)
			return error;
		/* The copy may fault, and what is then read wants memory. */
		uint64_t part = smaller(left, PAGE_SIZE - at);
		file->users++;
		error = io_put(io, page + at, part);
		file->users--;
		if (error != 0)
			return error;
		offset += part;
	}
	return 0;
}

/* ---- Writing ---- */

/* Bytes that the host has are also those of the pages. */
static void update_pages(struct p9_file *file, const uint8_t *bytes, uint64_t offset,
			 uint64_t length)
{
	while (length > 0) {
		uint64_t at = offset & PAGE_MASK, part = smaller(length, PAGE_SIZE - at);
		uint8_t *page = page_map_find(&file->pages, offset >> PAGE_SHIFT);
		if (page != NULL)
			memcpy(page + at, bytes, part);
		bytes += part;
		offset += part;
		length -= part;
	}
}

/* One piece; with an error, or with fewer bytes than wanted, that much is taken from `io`. */
static int write_piece(struct p9_file *file, struct io *io, uint64_t *offset, uint8_t *buffer,
		       uint64_t length)
{
	struct io before = *io;
	int fault = io_take(io, buffer, length);
	length = before.remaining - io->remaining;
	struct virtio_buffer data = {virt_to_phys(buffer), (uint32_t)length};
	if (length == 0)
		return fault;
	int64_t done = p9_write(p9_session_of(file), file->opened, *offset, &data);
	if (done < (int64_t)length) {
		*io = before;
		fault = done < 0 ? (int)done : -ENOSPC;
	}
	if (done > 0 && done < (int64_t)length)
		io_take(io, buffer, (size_t)done);
	if (done > 0) {
		update_pages(file, buffer, *offset, (uint64_t)done);
		*offset += (uint64_t)done;
	}
	return fault;
}

/* A buffer for `length` bytes, or for as much as can be had in one piece. */
static physical_t new_buffer(uint64_t length, unsigned *order)
{
	*order = length <= PAGE_SIZE ? 0 : WRITE_ORDER;
	physical_t frames = frame_allocate(*order, 0);
	if (frames != FRAME_NONE)
		return frames;
	*order = 0;
	return new_frame();
}

static int write_through(struct p9_file *file, struct io *io, uint64_t offset)
{
	unsigned order;
	physical_t frames = new_buffer(io->remaining, &order);
	if (frames == FRAME_NONE)
		return -ENOMEM;
	int error = 0;
	while (io->remaining > 0 && error == 0) {
		uint64_t length = smaller(io->remaining, PAGE_SIZE << order);
		error = offset > INT64_MAX - length ? -EFBIG
						    : write_piece(file, io, &offset,
								  phys_to_virt(frames), length);
		if (offset > file->file.size)
			file->file.size = offset;
	}
	frame_free(frames, order);
	return error;
}

static int regular_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	struct p9_file *own = p9_file_of(file);
	(void)flags;
	int error = p9fs_open(own, true);
	if (error != 0)
		return error;
	own->stale = true;
	own->users++;
	/* Between the old end and the new bytes are zeros, as there are in the last page. */
	error = write_through(own, io, offset);
	own->users--;
	return error;
}

static int regular_resize(struct file *file, uint64_t size)
{
	struct p9_file *own = p9_file_of(file);
	struct p9_change change = {.what = P9_SET_SIZE, .size = size};
	int error = p9_setattr(p9_session_of(own), own->fid, &change);
	if (error != 0)
		return error;
	uint8_t *last = page_map_find(&own->pages, size >> PAGE_SHIFT);
	if (size < file->size && last != NULL)
		memset(last + (size & PAGE_MASK), 0, PAGE_SIZE - (size & PAGE_MASK));
	for (uint64_t index = page_map_next(&own->pages, page_count(size));
	     own->users > 0 && index != UINT64_MAX; index = page_map_next(&own->pages, index + 1))
		memset(page_map_find(&own->pages, index), 0, PAGE_SIZE);
	if (own->users == 0)
		drop_pages(own, page_count(size));
	file->size = size;
	own->stale = true;
	return 0;
}

static int regular_open(struct file *file, unsigned flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
	return p9fs_open(p9_file_of(file), writes);
}

/* ---- Mappings ---- */

static struct p9_file *file_of_source(struct page_source *source)
{
	return container_of(source, struct p9_file, source);
}

static int source_page(struct page_source *source, uint64_t index, physical_t *frame)
{
	struct p9_file *file = file_of_source(source);
	if (index >= page_count(file->file.size))
		return -EIO;
	uint8_t *page = page_map_find(&file->pages, index);
	if (page == NULL) {
		/* Those before it will be asked for next. */
		uint64_t start = ALIGN_DOWN(index, AROUND);
		unsigned before = (unsigned)(index - start);
		if (missing_pages(file, start, before) < before)
			start = index;
		int error = get_page(file, start, AROUND - start % AROUND, &page);
		if (error != 0)
			return error;
		page = page_map_find(&file->pages, index);
	}
	if (page == NULL)
		return -ENOMEM;
	*frame = virt_to_phys(page);
	return 0;
}

static void source_acquire(struct page_source *source)
{
	struct p9_file *file = file_of_source(source);
	file_get(&file->file);
	file->users++;
}

static void source_release(struct page_source *source)
{
	struct p9_file *file = file_of_source(source);
	file->users--;
	file_put(&file->file);
}

static const struct page_source_operations source_operations = {
	.page = source_page,
	.acquire = source_acquire,
	.release = source_release,
};

/* What is written to a shared mapping would never get to the host: only what nobody writes to can
 * be shared. */
static struct page_source *regular_pages(struct file *file, bool shared)
{
	struct p9_file *own = p9_file_of(file);
	if (shared && own->writable)
		return NULL;
	own->source.operations = &source_operations;
	return &own->source;
}

const struct file_operations p9fs_regular_operations = {
	.read = regular_read,
	.write = regular_write,
	.resize = regular_resize,
	.pages = regular_pages,
	.open = regular_open,
	.refresh = p9fs_refresh,
	.change = p9fs_change,
	.sync = p9fs_sync,
};
