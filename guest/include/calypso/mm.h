/* Memory: frames, the kernel's heap, and the program's address space. */
#ifndef CALYPSO_MM_H
#define CALYPSO_MM_H

#include <arch/layout.h>
#include <calypso/types.h>

/* ---- The direct map: all RAM at a fixed distance from its physical address. ---- */

static inline void *phys_to_virt(physical_t address)
{
	return (void *)(uintptr_t)(address + DIRECT_MAP_BASE);
}

static inline physical_t virt_to_phys(const void *pointer)
{
	return (uintptr_t)pointer - DIRECT_MAP_BASE;
}

/* ---- Frames: physical memory in naturally aligned blocks of PAGE_SIZE << order bytes. ---- */

#define FRAME_NONE UINT64_MAX
#define FRAME_ORDER_MAX 18 /* 1 GiB */

enum frame_flag { FRAME_ZEROED = 1u << 0 };

struct frame_statistics {
	uint64_t total; /* frames that the allocator was given */
	uint64_t used;	/* of these, given out */
};

/* A block of 2^order frames, or FRAME_NONE. With FRAME_ZEROED its bytes are zero. */
physical_t frame_allocate(unsigned order, unsigned flags);
void frame_free(physical_t block, unsigned order);
struct frame_statistics frame_statistics(void);

/* ---- The kernel's heap. Objects are aligned to 16 bytes; NULL where memory is exhausted. ---- */

void *kmalloc(size_t size);
void *kcalloc(size_t count, size_t size);
void *krealloc(void *object, size_t size);
void kfree(void *object); /* NULL is allowed */

/* Bytes that `object` really has. */
size_t kmalloc_usable(const void *object);

/* ---- The program's address space. ----
 *
 * Addresses are the program's; results are Linux's. Lengths are rounded up to pages as the
 * system calls of the same names do.
 */

/* As in <sys/mman.h> of Linux. */
#define PROT_NONE 0x0
#define PROT_READ 0x1
#define PROT_WRITE 0x2
#define PROT_EXEC 0x4
#define PROT_GROWSDOWN 0x01000000
#define PROT_GROWSUP 0x02000000

#define MAP_SHARED 0x01
#define MAP_PRIVATE 0x02
#define MAP_SHARED_VALIDATE 0x03
#define MAP_TYPE 0x0f
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_GROWSDOWN 0x0100
#define MAP_LOCKED 0x2000
#define MAP_NORESERVE 0x4000
#define MAP_POPULATE 0x8000
#define MAP_STACK 0x20000
#define MAP_READ_ONLY 0x40000000 /* ours: a shared mapping that may never become writable */
#define MAP_FIXED_NOREPLACE 0x100000

#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED 2
#define MREMAP_DONTUNMAP 4

#define MADV_NORMAL 0
#define MADV_RANDOM 1
#define MADV_SEQUENTIAL 2
#define MADV_WILLNEED 3
#define MADV_DONTNEED 4
#define MADV_FREE 8
#define MADV_DONTFORK 10
#define MADV_DOFORK 11
#define MADV_MERGEABLE 12
#define MADV_UNMERGEABLE 13
#define MADV_HUGEPAGE 14
#define MADV_NOHUGEPAGE 15
#define MADV_DONTDUMP 16
#define MADV_DODUMP 17
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23

/* Where the pages of a mapping come from when it is not anonymous: an image in RAM, a file.
 * A mapping holds one reference from `acquire` to `release`. */
struct page_source;

struct page_source_operations {
	/* Find page `index`: 0 and its address, which stays good while the source is held;
	 * -EIO past the end (the program gets SIGBUS); -ENOMEM. Private mappings copy the page
	 * before they change it. */
	int (*page)(struct page_source *source, uint64_t index, physical_t *page);
	void (*acquire)(struct page_source *source);
	void (*release)(struct page_source *source);
};

struct page_source {
	const struct page_source_operations *operations;
	bool code_is_ready; /* the VMM wrote it: instructions in it can be fetched as they are */
};

/* A page-aligned image that lies in RAM for good, such as the program's ELF file. */
struct image_source {
	struct page_source source;
	physical_t base;
	uint64_t length; /* bytes; the rest of the last page is what RAM holds there */
};

void image_source_initialize(struct image_source *image, physical_t base, uint64_t length);

/* vm.max_map_count of Linux: no more areas can be had. */
#define SPACE_AREAS_MAX 65530

/* Map; `source` is NULL exactly with MAP_ANONYMOUS, `offset` is its first byte (page-aligned).
 * `address` is a wish unless MAP_FIXED says otherwise. The address, or -EINVAL, -ENOMEM,
 * -EEXIST (MAP_FIXED_NOREPLACE), -EPERM, -EOVERFLOW. MAP_POPULATE maps pages now as far as memory allows. */
int64_t space_map(user_t address, uint64_t length, int protection, int flags,
		  struct page_source *source, uint64_t offset);
int space_unmap(user_t address, uint64_t length);
int space_protect(user_t address, uint64_t length, int protection);
int64_t space_remap(user_t address, uint64_t length, uint64_t new_length, int flags,
		    user_t new_address);
int space_advise(user_t address, uint64_t length, int advice);

/* Where the heap starts (the loader calls this once, after the program's last segment). */
void space_set_break(user_t start);

/* brk: the new break; the old one where `address` cannot be had. */
user_t space_break(user_t address);

/* For /proc/self/maps and crash reports: the mapping that covers `address`, or the next above
 * it. False where there is none. */
struct space_mapping {
	user_t start;
	user_t end;
	int protection;
	int flags;
	struct page_source *source;
	uint64_t offset;
};
bool space_find(user_t address, struct space_mapping *mapping);

/* Why a program's access could not be resolved. */
enum fault_reason {
	FAULT_NOT_MAPPED, /* SIGSEGV, SEGV_MAPERR */
	FAULT_PROTECTION, /* SIGSEGV, SEGV_ACCERR */
	FAULT_PAST_END,	  /* SIGBUS, BUS_ADRERR: no such page in the mapping's source */
	FAULT_NO_MEMORY,  /* SIGKILL: memory is exhausted */
	FAULT_ALIGNMENT,  /* SIGBUS, BUS_ADRALN */
	FAULT_INSTRUCTION, /* SIGILL: undefined or forbidden instruction */
	FAULT_ARITHMETIC,  /* SIGFPE */
	FAULT_BREAKPOINT,  /* SIGTRAP */
	FAULT_OTHER,	   /* SIGSEGV: general protection and the like; address unknown */
};

#endif
