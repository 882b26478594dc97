/* The ELF loader. */
#include <arch/constants.h>
#include <calypso/lib.h>
#include <calypso/user.h>
#include <file/open_file.h>
#include <process/elf.h>

/* More program headers than this no linker makes. */
#define HEADERS_MAX 128

/* Where position-independent programs go, as on Linux: two thirds up. */
#define PROGRAM_BASE ALIGN_DOWN(USER_END / 3 * 2, 1ull << 21)

/* The largest alignment of a segment that is kept. */
#define ALIGNMENT_MAX (1ull << 30)

struct loader {
	struct file *file;
	Elf64_Ehdr header;
	Elf64_Phdr *segments; /* all program headers */
	user_t base;
	const char *problem;
};

static int fail(struct loader *loader, int error, const char *problem)
{
	loader->problem = problem;
	return error;
}

/* Read exactly `length` bytes of the file, or fail with ENOEXEC. */
static int read_exactly(struct file *file, void *to, uint64_t offset, size_t length)
{
	struct iovec segment = {(uintptr_t)to, length};
	struct io io = io_kernel(&segment);
	if (file->operations->read == NULL)
		return -ENOEXEC;
	int error = file->operations->read(file, &io, offset, O_RDONLY);
	if (error == 0 && io.remaining > 0)
		error = -ENOEXEC;
	return error;
}

/* ---- Checks ---- */

static int check_header(struct loader *loader)
{
	const Elf64_Ehdr *header = &loader->header;
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return fail(loader, -ENOEXEC, "it is not an ELF file");
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_ident[EI_VERSION] != EV_CURRENT)
		return fail(loader, -ENOEXEC, "it is not a little-endian 64-bit ELF file");
	if (header->e_machine != ARCH_ELF_MACHINE)
		return fail(loader, -ENOEXEC, "it is for another machine than " ARCH_MACHINE);
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return fail(loader, -ENOEXEC, "it is neither an executable nor a shared object");
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
	    header->e_phnum > HEADERS_MAX)
		return fail(loader, -ENOEXEC, "its program headers make no sense");
	return 0;
}

static bool is_load(const Elf64_Phdr *segment)
{
	return segment->p_type == PT_LOAD && segment->p_memsz > 0;
}

/* One loadable segment by itself, and behind `end` of the one before. */
static int check_segment(struct loader *loader, const Elf64_Phdr *segment, uint64_t end)
{
	uint64_t file_end, memory_end;
	if (segment->p_filesz > segment->p_memsz)
		return fail(loader, -ENOEXEC, "a segment is larger in the file than in memory");
	if (__builtin_add_overflow(segment->p_offset, segment->p_filesz, &file_end) ||
	    file_end > loader->file->size)
		return fail(loader, -ENOEXEC, "a segment reaches beyond the end of the file");
	if (__builtin_add_overflow(segment->p_vaddr, segment->p_memsz, &memory_end) ||
	    memory_end > USER_END)
		return fail(loader, -ENOEXEC, "a segment reaches beyond the address space");
	if (loader->header.e_type == ET_EXEC && segment->p_vaddr < USER_START)
		return fail(loader, -ENOEXEC, "a segment lies below the lowest address");
	if (((segment->p_vaddr ^ segment->p_offset) & PAGE_MASK) != 0)
		return fail(loader, -ENOEXEC, "a segment is not aligned as its data in the file");
	if (segment->p_align > 1 && (segment->p_align & (segment->p_align - 1)) != 0)
		return fail(loader, -ENOEXEC, "a segment's alignment is not a power of two");
	if (ALIGN_DOWN(segment->p_vaddr, PAGE_SIZE) < end)
		return fail(loader, -ENOEXEC, "segments overlap or are not in order");
	return 0;
}

static bool entry_is_code(const struct loader *loader)
{
	uint64_t entry = loader->header.e_entry;
	for (unsigned i = 0; i < loader->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &loader->segments[i];
		if (is_load(segment) && (segment->p_flags & PF_X) != 0 &&
		    entry - segment->p_vaddr < segment->p_memsz)
			return true;
	}
	return false;
}

/* The pages that the loadable segments span, and the largest alignment that one asks for. */
struct span {
	uint64_t start;
	uint64_t end;
	uint64_t alignment;
};

static int check_segments(struct loader *loader, struct span *span)
{
	*span = (struct span){UINT64_MAX, 0, PAGE_SIZE};
	for (unsigned i = 0; i < loader->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &loader->segments[i];
		if (!is_load(segment))
			continue;
		int error = check_segment(loader, segment, span->end);
		if (error != 0)
			return error;
		if (span->end == 0)
			span->start = ALIGN_DOWN(segment->p_vaddr, PAGE_SIZE);
		span->end = ALIGN_UP(segment->p_vaddr + segment->p_memsz, PAGE_SIZE);
		if (segment->p_align > span->alignment && segment->p_align <= ALIGNMENT_MAX)
			span->alignment = segment->p_align;
	}
	if (span->end == 0)
		return fail(loader, -ENOEXEC, "it has nothing to load");
	if (!entry_is_code(loader))
		return fail(loader, -ENOEXEC, "its entry point is outside its code");
	return 0;
}

static int read_headers(struct loader *loader)
{
	if (read_exactly(loader->file, &loader->header, 0, sizeof(loader->header)) != 0)
		return fail(loader, -ENOEXEC, "it is too short for an ELF file");
	int error = check_header(loader);
	if (error != 0)
		return error;
	size_t length = loader->header.e_phnum * sizeof(Elf64_Phdr);
	loader->segments = kmalloc(length);
	if (loader->segments == NULL)
		return fail(loader, -ENOMEM, "there is no memory for its headers");
	if (read_exactly(loader->file, loader->segments, loader->header.e_phoff, length) != 0)
		return fail(loader, -ENOEXEC, "its program headers are beyond the end of the file");
	return 0;
}

/* ---- Mapping ---- */

static int protection_of(const Elf64_Phdr *segment)
{
	return ((segment->p_flags & PF_R) != 0 ? PROT_READ : 0) |
	       ((segment->p_flags & PF_W) != 0 ? PROT_WRITE : 0) |
	       ((segment->p_flags & PF_X) != 0 ? PROT_EXEC : 0);
}

/* Segments up to these sizes are mapped whole: an entry for a page costs much less than its fault.
 * What can be written takes a frame for each page, so it had better be used. */
#define POPULATE_READ_ONLY (16ull << 20)
#define POPULATE_WRITABLE (64ull << 10)

static int map_fixed(user_t start, user_t end, int protection, int flags,
		     struct page_source *source, uint64_t offset)
{
	uint64_t populated = protection & PROT_WRITE ? POPULATE_WRITABLE : POPULATE_READ_ONLY;

	if (start == end)
		return 0;
	if (end - start <= populated)
		flags |= MAP_POPULATE;
	int64_t mapped = space_map(start, end - start, protection, MAP_PRIVATE | MAP_FIXED | flags,
				   source, offset);
	return mapped < 0 ? (int)mapped : 0;
}

/* The zeros between a segment's data and the end of its page. */
static int clear_tail(user_t start, user_t end, int protection)
{
	if (start == end)
		return 0;
	if ((protection & PROT_WRITE) != 0)
		return user_clear(start, end - start);
	/* Not for the program to write, so it must be made writable for a moment. */
	user_t page = ALIGN_DOWN(start, PAGE_SIZE);
	int error = space_protect(page, PAGE_SIZE, PROT_READ | PROT_WRITE);
	if (error == 0)
		error = user_clear(start, end - start);
	if (error == 0)
		error = space_protect(page, PAGE_SIZE, protection);
	return error;
}

static int map_segment(struct loader *loader, const Elf64_Phdr *segment)
{
	user_t address = loader->base + segment->p_vaddr;
	user_t start = ALIGN_DOWN(address, PAGE_SIZE);
	user_t file_end = address + segment->p_filesz;
	user_t file_pages_end = segment->p_filesz > 0 ? ALIGN_UP(file_end, PAGE_SIZE) : start;
	user_t end = ALIGN_UP(address + segment->p_memsz, PAGE_SIZE);
	int protection = protection_of(segment);
	struct page_source *source = loader->file->operations->pages(loader->file, false);

	int error = map_fixed(start, file_pages_end, protection, 0, source,
			      ALIGN_DOWN(segment->p_offset, PAGE_SIZE));
	if (error == 0)
		error = map_fixed(file_pages_end, end, protection, MAP_ANONYMOUS, NULL, 0);
	if (error == 0 && segment->p_memsz > segment->p_filesz && file_pages_end > start)
		error = clear_tail(file_end, file_pages_end, protection);
	return error;
}

/* Decide where a position-independent file goes, and keep the place free. */
static int choose_base(struct loader *loader, enum elf_role role, const struct span *span)
{
	loader->base = 0;
	if (loader->header.e_type == ET_EXEC)
		return 0;
	if (role == ELF_PROGRAM) {
		loader->base = ALIGN_DOWN(PROGRAM_BASE, span->alignment) - span->start;
		return 0;
	}
	uint64_t slack = span->alignment - PAGE_SIZE;
	uint64_t length = span->end - span->start;
	int64_t place = space_map(0, length + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
	if (place < 0)
		return (int)place;
	user_t start = ALIGN_UP((user_t)place, span->alignment);
	loader->base = start - span->start;
	if (start > (user_t)place)
		space_unmap((user_t)place, start - (user_t)place);
	if (slack > start - (user_t)place)
		space_unmap(start + length, slack - (start - (user_t)place));
	return 0;
}

static int map_segments(struct loader *loader)
{
	if (loader->file->operations->pages == NULL)
		return fail(loader, -EACCES, "it is not a regular file");
	for (unsigned i = 0; i < loader->header.e_phnum; i++) {
		if (!is_load(&loader->segments[i]))
			continue;
		int error = map_segment(loader, &loader->segments[i]);
		if (error != 0)
			return fail(loader, error, "there is no memory for its segments");
	}
	return 0;
}

/* ---- What others need to know ---- */

/* Where in memory a stretch of the file is, or 0. */
static user_t address_of(const struct loader *loader, uint64_t offset, uint64_t length)
{
	for (unsigned i = 0; i < loader->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &loader->segments[i];
		if (is_load(segment) && offset >= segment->p_offset &&
		    length <= segment->p_filesz &&
		    offset - segment->p_offset <= segment->p_filesz - length)
			return loader->base + segment->p_vaddr + (offset - segment->p_offset);
	}
	return 0;
}

static int read_interpreter(struct loader *loader, const Elf64_Phdr *segment, char **path)
{
	size_t length = segment->p_filesz;
	if (length < 2 || length > PATH_MAX)
		return fail(loader, -ENOEXEC, "its interpreter's name makes no sense");
	*path = kmalloc(length);
	if (*path == NULL)
		return fail(loader, -ENOMEM, "there is no memory for its interpreter's name");
	if (read_exactly(loader->file, *path, segment->p_offset, length) == 0 &&
	    (*path)[length - 1] == '\0')
		return 0;
	kfree(*path);
	*path = NULL;
	return fail(loader, -ENOEXEC, "its interpreter's name makes no sense");
}

static int find_interpreter(struct loader *loader, char **path)
{
	*path = NULL;
	for (unsigned i = 0; i < loader->header.e_phnum; i++) {
		if (loader->segments[i].p_type == PT_INTERP)
			return read_interpreter(loader, &loader->segments[i], path);
	}
	return 0;
}

static int check(struct loader *loader, struct span *span)
{
	int error = read_headers(loader);
	return error == 0 ? check_segments(loader, span) : error;
}

static int load(struct loader *loader, enum elf_role role, struct elf_image *image)
{
	struct span span;
	int error = check(loader, &span);
	if (error == 0)
		error = choose_base(loader, role, &span);
	if (error == 0)
		error = map_segments(loader);
	if (error != 0)
		return error;
	const Elf64_Ehdr *header = &loader->header;
	*image = (struct elf_image){
		.entry = loader->base + header->e_entry,
		.base = loader->base,
		.end = loader->base + span.end,
		.headers = address_of(loader, header->e_phoff, header->e_phnum * sizeof(Elf64_Phdr)),
		.header_count = header->e_phnum,
	};
	return 0;
}

int elf_check(struct file *file, char **interpreter, const char **problem)
{
	struct loader loader = {.file = file};
	struct span span;
	int error = check(&loader, &span);
	if (error == 0)
		error = find_interpreter(&loader, interpreter);
	kfree(loader.segments);
	*problem = loader.problem;
	return error;
}

int elf_load(struct file *file, enum elf_role role, struct elf_image *image, const char **problem)
{
	struct loader loader = {.file = file, .problem = "there is no memory"};
	int error = load(&loader, role, image);
	kfree(loader.segments);
	*problem = loader.problem;
	return error;
}
