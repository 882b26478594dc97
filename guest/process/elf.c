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

static int fail(const char **problem, int error, const char *words)
{
	*problem = words;
	return error;
}

/* Read exactly `length` bytes of the file, or fail with ENOEXEC. */
static __attribute__((noinline)) int read_exactly(struct file *file, void *to, uint64_t offset, size_t length)
{
	struct io io = io_kernel(to, length);
	if (file->operations->read == NULL)
		return -ENOEXEC;
	int error = file->operations->read(file, &io, offset, O_RDONLY);
	if (error == 0 && io.remaining > 0)
		error = -ENOEXEC;
	return error;
}

/* ---- Checks ---- */

/* What can be wrong, of the header and of a segment: all of it is looked at without a branch, and the
 * first that holds is told. */
static int fail_with_first(const char **problem, unsigned wrong, const char *const words[])
{
	return fail(problem, -ENOEXEC, words[__builtin_ctz(wrong)]);
}

static int check_header(const Elf64_Ehdr *header, const char **problem)
{
	static const char *const words[] = {
		"it is not an ELF file",
		"it is not a little-endian 64-bit ELF file",
		("it is for another machine than " ARCH_MACHINE),
		"it is neither an executable nor a shared object",
		"its program headers make no sense",
	};
	const uint8_t *ident = header->e_ident;
	unsigned wrong = (memcmp(ident, ELFMAG, SELFMAG) != 0) << 0 |
			 ((ident[EI_CLASS] != ELFCLASS64) | (ident[EI_DATA] != ELFDATA2LSB) |
			  (ident[EI_VERSION] != EV_CURRENT)) << 1 |
			 (header->e_machine != ARCH_ELF_MACHINE) << 2 |
			 ((header->e_type != ET_EXEC) & (header->e_type != ET_DYN)) << 3 |
			 ((header->e_phentsize != sizeof(Elf64_Phdr)) |
			  (header->e_phnum - 1u >= HEADERS_MAX)) << 4;

	return likely(wrong == 0) ? 0 : fail_with_first(problem, wrong, words);
}

static bool is_load(const Elf64_Phdr *segment)
{
	return segment->p_type == PT_LOAD && segment->p_memsz > 0;
}

/* One loadable segment by itself, and behind those before. */
static int check_segment(const struct elf *elf, const Elf64_Phdr *segment, const char **problem)
{
	static const char *const words[] = {
		"a segment is larger in the file than in memory",
		"a segment reaches beyond the end of the file",
		"a segment reaches beyond the address space",
		"a segment lies below the lowest address",
		"a segment is not aligned as its data in the file",
		"a segment's alignment is not a power of two",
		"segments overlap or are not in order",
	};
	uint64_t start = segment->p_vaddr, alignment = segment->p_align, file_end, memory_end;
	bool file_wraps = __builtin_add_overflow(segment->p_offset, segment->p_filesz, &file_end);
	bool memory_wraps = __builtin_add_overflow(start, segment->p_memsz, &memory_end);
	user_t lowest = elf->header.e_type == ET_EXEC ? USER_START : 0;
	unsigned wrong = (segment->p_filesz > segment->p_memsz) << 0 |
			 (file_wraps | (file_end > elf->file->size)) << 1 |
			 (memory_wraps | (memory_end > USER_END)) << 2 | (start < lowest) << 3 |
			 (((start ^ segment->p_offset) & PAGE_MASK) != 0) << 4 |
			 ((alignment & (alignment - 1)) != 0) << 5 |
			 (ALIGN_DOWN(start, PAGE_SIZE) < elf->end) << 6;

	return likely(wrong == 0) ? 0 : fail_with_first(problem, wrong, words);
}

/* Check all segments, and find what they span. */
static int check_segments(struct elf *elf, const char **problem)
{
	bool entry_is_code = false;

	elf->alignment = PAGE_SIZE;
	for (unsigned i = 0; i < elf->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];
		if (!is_load(segment))
			continue;
		int error = check_segment(elf, segment, problem);
		if (error != 0)
			return error;
		if (elf->end == 0)
			elf->start = ALIGN_DOWN(segment->p_vaddr, PAGE_SIZE);
		elf->end = ALIGN_UP(segment->p_vaddr + segment->p_memsz, PAGE_SIZE);
		if (segment->p_align > elf->alignment && segment->p_align <= ALIGNMENT_MAX)
			elf->alignment = segment->p_align;
		entry_is_code |= ((segment->p_flags & PF_X) != 0) &
				 (elf->header.e_entry - segment->p_vaddr < segment->p_memsz);
	}
	if (elf->end == 0)
		return fail(problem, -ENOEXEC, "it has nothing to load");
	if (!entry_is_code)
		return fail(problem, -ENOEXEC, "its entry point is outside its code");
	return 0;
}

static int read_headers(struct elf *elf, const char **problem)
{
	if (elf->file->operations->pages == NULL)
		return fail(problem, -EACCES, "it is not a regular file");
	if (read_exactly(elf->file, &elf->header, 0, sizeof(elf->header)) != 0)
		return fail(problem, -ENOEXEC, "it is too short for an ELF file");
	int error = check_header(&elf->header, problem);
	if (error != 0)
		return error;
	size_t length = elf->header.e_phnum * sizeof(Elf64_Phdr);
	elf->segments = kmalloc(length);
	if (elf->segments == NULL)
		return fail(problem, -ENOMEM, "there is no memory for its headers");
	if (read_exactly(elf->file, elf->segments, elf->header.e_phoff, length) != 0)
		return fail(problem, -ENOEXEC, "its program headers are beyond the file's end");
	return 0;
}

int elf_open(struct elf *elf, struct file *file, const char **problem)
{
	*elf = (struct elf){.file = file};
	int error = read_headers(elf, problem);
	return error == 0 ? check_segments(elf, problem) : error;
}

void elf_close(struct elf *elf)
{
	kfree(elf->segments);
	elf->segments = NULL;
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

static int map_segment(const struct elf *elf, const Elf64_Phdr *segment)
{
	user_t address = elf->base + segment->p_vaddr;
	user_t start = ALIGN_DOWN(address, PAGE_SIZE);
	user_t file_end = address + segment->p_filesz;
	user_t file_pages_end = segment->p_filesz > 0 ? ALIGN_UP(file_end, PAGE_SIZE) : start;
	user_t end = ALIGN_UP(address + segment->p_memsz, PAGE_SIZE);
	int protection = protection_of(segment);
	struct page_source *source = elf->file->operations->pages(elf->file, false);

	int error = map_fixed(start, file_pages_end, protection, 0, source,
			      ALIGN_DOWN(segment->p_offset, PAGE_SIZE));
	if (error == 0)
		error = map_fixed(file_pages_end, end, protection, MAP_ANONYMOUS, NULL, 0);
	if (error == 0 && segment->p_memsz > segment->p_filesz && file_pages_end > start)
		error = clear_tail(file_end, file_pages_end, protection);
	return error;
}

/* Decide where a position-independent file goes, and keep the place free. */
static int choose_base(struct elf *elf, enum elf_role role)
{
	if (elf->header.e_type == ET_EXEC)
		return 0;
	if (role == ELF_PROGRAM) {
		elf->base = ALIGN_DOWN(PROGRAM_BASE, elf->alignment) - elf->start;
		return 0;
	}
	uint64_t slack = elf->alignment - PAGE_SIZE;
	uint64_t length = elf->end - elf->start;
	int64_t place =
		space_map(0, length + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
	if (place < 0)
		return (int)place;
	user_t start = ALIGN_UP((user_t)place, elf->alignment);
	elf->base = start - elf->start;
	if (start > (user_t)place)
		space_unmap((user_t)place, start - (user_t)place);
	if (slack > start - (user_t)place)
		space_unmap(start + length, slack - (start - (user_t)place));
	return 0;
}

int elf_map(struct elf *elf, enum elf_role role, const char **problem)
{
	int error = choose_base(elf, role);
	for (unsigned i = 0; i < elf->header.e_phnum && error == 0; i++) {
		if (is_load(&elf->segments[i]))
			error = map_segment(elf, &elf->segments[i]);
	}
	return error == 0 ? 0 : fail(problem, error, "there is no memory for its segments");
}

/* ---- What others need to know ---- */

user_t elf_entry(const struct elf *elf) { return elf->base + elf->header.e_entry; }

user_t elf_headers(const struct elf *elf)
{
	uint64_t offset = elf->header.e_phoff;
	uint64_t length = elf->header.e_phnum * sizeof(Elf64_Phdr);
	for (unsigned i = 0; i < elf->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];
		bool holds = (offset >= segment->p_offset) & (length <= segment->p_filesz) &
			     (offset - segment->p_offset <= segment->p_filesz - length);
		if (is_load(segment) && holds)
			return elf->base + segment->p_vaddr + (offset - segment->p_offset);
	}
	return 0;
}

static int read_interpreter(struct file *file, const Elf64_Phdr *segment, char **path,
			    const char **problem)
{
	size_t length = segment->p_filesz;
	if (length < 2 || length > PATH_MAX)
		return fail(problem, -ENOEXEC, "its interpreter's name makes no sense");
	char *name = kmalloc(length);
	if (name == NULL)
		return fail(problem, -ENOMEM, "there is no memory for its interpreter's name");
	if (read_exactly(file, name, segment->p_offset, length) != 0 || name[length - 1] != '\0') {
		kfree(name);
		return fail(problem, -ENOEXEC, "its interpreter's name makes no sense");
	}
	*path = name;
	return 0;
}

int elf_interpreter(const struct elf *elf, char **path, const char **problem)
{
	*path = NULL;
	for (unsigned i = 0; i < elf->header.e_phnum; i++) {
		if (elf->segments[i].p_type == PT_INTERP)
			return read_interpreter(elf->file, &elf->segments[i], path, problem);
	}
	return 0;
}
