/* Calls on the program's address space. */
#include <process/calls/at.h>

/* The pages of an open file, as far as its way of being opened allows. */
static int64_t map_file(user_t address, uint64_t length, int protection, int flags, int number,
			uint64_t offset)
{
	struct open_file *open = at_open_file(number);
	if (open == NULL)
		return -EBADF;
	bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
	unsigned access = open->flags & O_ACCMODE;
	if (access == O_WRONLY || (shared && (protection & PROT_WRITE) != 0 && access != O_RDWR))
		return -EACCES;
	struct file *file = open->file;
	if (file->operations->pages == NULL)
		return -ENODEV;
	struct page_source *source = file->operations->pages(file, shared);
	if (source == NULL)
		return -ENODEV;
	if (shared && access == O_RDONLY)
		flags |= MAP_READ_ONLY;
	return space_map(address, length, protection, flags, source, offset);
}

SYSCALL6(mmap, user_t, address, uint64_t, length, int, protection, int, flags, int, number,
	 uint64_t, offset)
{
	if ((offset & PAGE_MASK) != 0)
		return -EINVAL;
	flags &= ~MAP_READ_ONLY;
	if ((flags & MAP_ANONYMOUS) != 0)
		return space_map(address, length, protection, flags, NULL, 0);
	return map_file(address, length, protection, flags, number, offset);
}

SYSCALL2(munmap, user_t, address, uint64_t, length)
{
	return space_unmap(address, length);
}

SYSCALL3(mprotect, user_t, address, uint64_t, length, int, protection)
{
	return space_protect(address, length, protection);
}

SYSCALL5(mremap, user_t, address, uint64_t, length, uint64_t, new_length, int, flags, user_t,
	 new_address)
{
	return space_remap(address, length, new_length, flags, new_address);
}

SYSCALL3(madvise, user_t, address, uint64_t, length, int, advice)
{
	return space_advise(address, length, advice);
}

SYSCALL1(brk, user_t, address)
{
	return (int64_t)space_break(address);
}

/* ---- Locking: memory stays where it is, so what is left to do is to bring it ---- */

enum { MLOCK_ONFAULT = 1 };
enum { MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4 };

/* Grow a range to whole pages. */
static void whole_pages(user_t *address, uint64_t *length)
{
	*length = ALIGN_UP(*length + (*address & PAGE_MASK), PAGE_SIZE);
	*address = ALIGN_DOWN(*address, PAGE_SIZE);
}

/* 0 where all of [address, end) is mapped, else -ENOMEM. */
static int check_mapped(user_t address, user_t end)
{
	struct space_mapping mapping;
	for (; address < end; address = mapping.end) {
		if (!space_find(address, &mapping) || mapping.start > address)
			return -ENOMEM;
	}
	return 0;
}

/* -EINVAL where the range wraps, -ENOMEM where not all of it is mapped. */
static int check_range(user_t address, uint64_t length)
{
	user_t end = address + length;
	return end < address ? -EINVAL : check_mapped(address, end);
}

/* What is locked is not counted: each call is held against the limit for itself. */
static int check_limit(uint64_t length)
{
	uint64_t limit = process.limits[RLIMIT_MEMLOCK].rlim_cur;
	if (is_superuser())
		return 0;
	return limit == 0 ? -EPERM : length > limit ? -ENOMEM : 0;
}

static int64_t lock(user_t address, uint64_t length, int flags)
{
	int error = check_limit(0);
	whole_pages(&address, &length);
	if (error == 0)
		error = check_limit(length);
	if (error == 0)
		error = check_range(address, length);
	if (error != 0 || length == 0 || (flags & MLOCK_ONFAULT) != 0)
		return error;
	/* Nothing can be brought to where nobody may read. */
	return space_advise(address, length, MADV_POPULATE_READ) != 0 ? -ENOMEM : 0;
}

SYSCALL2(mlock, user_t, address, uint64_t, length)
{
	return lock(address, length, 0);
}

SYSCALL3(mlock2, user_t, address, uint64_t, length, int, flags)
{
	return (flags & ~MLOCK_ONFAULT) != 0 ? -EINVAL : lock(address, length, flags);
}

SYSCALL2(munlock, user_t, address, uint64_t, length)
{
	whole_pages(&address, &length);
	return check_range(address, length);
}

SYSCALL1(mlockall, int, flags)
{
	if ((flags & (MCL_CURRENT | MCL_FUTURE)) == 0 ||
	    (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) != 0)
		return -EINVAL;
	return check_limit(0);
}

SYSCALL0(munlockall)
{
	return 0;
}

/* Mappings are the files' own pages: there is nothing to write back. */
SYSCALL3(msync, user_t, address, uint64_t, length, int, flags)
{
	enum { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };
	const int both = MS_ASYNC | MS_SYNC;
	if ((flags & ~(both | MS_INVALIDATE)) != 0 || (flags & both) == both ||
	    (address & PAGE_MASK) != 0)
		return -EINVAL;
	user_t end = address + ALIGN_UP(length, PAGE_SIZE);
	return end < address ? -ENOMEM : check_mapped(address, end);
}
