/* What the compiler's address sanitizer calls at each access to memory, in the kernel's variant: there
 * is no runtime of the toolchain, so shadow memory and reports are here.
 *
 * Memory of an arena has a shadow byte for each 8 bytes: 0, all may be used; 1 to 7, so many of the
 * first ones may; anything else, none. Arenas are the "physical" memory, in which frames and objects
 * that have been freed, and what lies behind objects of the heap, may not be used; the nodes of the
 * tests' trees; and the library's own variables. Elsewhere (the test's buffers, the stack) all is allowed, and
 * array bounds are the other sanitizer's business.
 *
 * The allocators themselves, called through the linker's `--wrap`, may do as they like.
 */
#include "sanitizer.h"

#include <calypso/lib.h>
#include <calypso/log.h>
#include <mm/frames.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#pragma clang attribute push(__attribute__((no_sanitize("kernel-address"))), apply_to = function)

#define GRANULE 8
#define UNUSABLE 0xff

struct arena {
	uintptr_t base, end;
	uint8_t *shadow;
};

enum { PHYSICAL, NODES, VARIABLES, ARENAS };
static struct arena arenas[ARENAS];

/* While an allocator works. */
static unsigned trusted;

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == (void *)-1)
		abort();
	return memory;
}

static void open_arena(unsigned which, uintptr_t base, size_t size)
{
	arenas[which] = (struct arena){base, base + size, map(size / GRANULE)};
}

static struct arena *arena_of(uintptr_t address)
{
	for (unsigned i = 0; i < ARENAS; i++)
		if (address - arenas[i].base < arenas[i].end - arenas[i].base)
			return &arenas[i];
	return NULL;
}

/* Allow the first `usable` bytes of [address, address + size); both ends are granules'. */
static void set_usable(uintptr_t address, size_t size, size_t usable)
{
	struct arena *arena = arena_of(address);

	if (!arena)
		return;
	uint8_t *shadow = arena->shadow + (address - arena->base) / GRANULE;
	for (size_t at = 0; at < size; at += GRANULE, shadow++) {
		size_t left = usable > at ? usable - at : 0;

		*shadow = left >= GRANULE ? 0 : left > 0 ? (uint8_t)left : UNUSABLE;
	}
}

/* ---- Checks ---- */

static noreturn void report(uintptr_t address, size_t size, bool write, void *where)
{
	fprintf(stderr, "address sanitizer: %s of %zu bytes at %#lx, by code at %p\n",
		write ? "write" : "read", size, address, where);
	abort();
}

static inline void check(uintptr_t address, size_t size, bool write, void *where)
{
	const struct arena *arena = trusted ? NULL : arena_of(address);

	if (!arena || size == 0)
		return;
	uintptr_t last = address + size - 1;
	if (last >= arena->end)
		report(address, size, write, where);
	const uint8_t *shadow = arena->shadow + (address - arena->base) / GRANULE;
	const uint8_t *end = arena->shadow + (last - arena->base) / GRANULE;
	for (; shadow < end; shadow++)
		if (*shadow != 0)
			report(address, size, write, where);
	if (*end == UNUSABLE || (*end != 0 && last % GRANULE >= *end))
		report(address, size, write, where);
}

#define CHECKS(size)                                                       \
	void __asan_load##size##_noabort(uintptr_t address);               \
	void __asan_load##size##_noabort(uintptr_t address)                \
	{                                                                  \
		check(address, size, false, __builtin_return_address(0)); \
	}                                                                  \
	void __asan_store##size##_noabort(uintptr_t address);              \
	void __asan_store##size##_noabort(uintptr_t address)               \
	{                                                                  \
		check(address, size, true, __builtin_return_address(0));  \
	}
CHECKS(1)
CHECKS(2)
CHECKS(4)
CHECKS(8)
CHECKS(16)

void __asan_loadN_noabort(uintptr_t address, size_t size);
void __asan_loadN_noabort(uintptr_t address, size_t size)
{
	check(address, size, false, __builtin_return_address(0));
}

void __asan_storeN_noabort(uintptr_t address, size_t size);
void __asan_storeN_noabort(uintptr_t address, size_t size)
{
	check(address, size, true, __builtin_return_address(0));
}

void __asan_handle_no_return(void);
void __asan_handle_no_return(void) {}

/* ---- Variables of the library, each with room behind it that nobody may use ---- */

struct variable {
	uintptr_t start;
	size_t size, size_with_room;
	const char *name, *file;
	uintptr_t is_dynamic;
	void *place;
	uintptr_t indicator;
};

extern char __ehdr_start[], _end[];

void __asan_register_globals(struct variable *variables, size_t count);
void __asan_register_globals(struct variable *variables, size_t count)
{
	if (!arenas[VARIABLES].shadow)
		open_arena(VARIABLES, (uintptr_t)__ehdr_start,
			   ALIGN_UP((size_t)(_end - __ehdr_start), GRANULE));
	for (size_t i = 0; i < count; i++)
		set_usable(variables[i].start, variables[i].size_with_room, variables[i].size);
}

void __asan_unregister_globals(struct variable *variables, size_t count);
void __asan_unregister_globals(struct variable *variables, size_t count)
{
	(void)variables, (void)count;
}

/* ---- Frames ---- */

void sanitizer_watch_memory(uintptr_t base, size_t size)
{
	open_arena(PHYSICAL, base, size);
}

void sanitizer_forget_memory(void)
{
	struct arena *arena = &arenas[PHYSICAL];

	munmap(arena->shadow, (arena->end - arena->base) / GRANULE);
	*arena = (struct arena){0, 0, NULL};
}

static void set_frames(physical_t start, uint64_t count, bool usable)
{
	size_t size = count * PAGE_SIZE;

	set_usable((uintptr_t)phys_to_virt(start), size, usable ? size : 0);
}

physical_t __real_frame_allocate(unsigned order, unsigned flags);
physical_t __wrap_frame_allocate(unsigned order, unsigned flags);
physical_t __wrap_frame_allocate(unsigned order, unsigned flags)
{
	trusted++;
	physical_t block = __real_frame_allocate(order, flags);
	trusted--;
	if (block != FRAME_NONE)
		set_frames(block, 1ull << order, true);
	return block;
}

void __real_frames_free_range(physical_t start, uint64_t count);
void __wrap_frames_free_range(physical_t start, uint64_t count);
void __wrap_frames_free_range(physical_t start, uint64_t count)
{
	trusted++;
	__real_frames_free_range(start, count);
	trusted--;
	set_frames(start, count, false);
}

void __wrap_frame_free(physical_t block, unsigned order);
void __wrap_frame_free(physical_t block, unsigned order)
{
	__wrap_frames_free_range(block, 1ull << order);
}

/* ---- The heap ---- */

static void *allocated(void *object, size_t size)
{
	if (object)
		set_usable((uintptr_t)object, kmalloc_usable(object), size);
	return object;
}

void *__real_kmalloc(size_t size);
void *__wrap_kmalloc(size_t size);
void *__wrap_kmalloc(size_t size)
{
	trusted++;
	void *object = allocated(__real_kmalloc(size), size);
	trusted--;
	return object;
}

void *__real_kcalloc(size_t count, size_t size);
void *__wrap_kcalloc(size_t count, size_t size);
void *__wrap_kcalloc(size_t count, size_t size)
{
	trusted++;
	void *object = allocated(__real_kcalloc(count, size), count * size);
	trusted--;
	return object;
}

void __real_kfree(void *object);
void __wrap_kfree(void *object);
void __wrap_kfree(void *object)
{
	trusted++;
	size_t size = object ? kmalloc_usable(object) : 0;

	/* Its frames may be given back by this, and are then unusable as a whole. */
	set_usable((uintptr_t)object, size, 0);
	__real_kfree(object);
	trusted--;
}

void *__real_krealloc(void *object, size_t size);
void *__wrap_krealloc(void *object, size_t size);
void *__wrap_krealloc(void *object, size_t size)
{
	trusted++;
	size_t before = object ? kmalloc_usable(object) : 0;
	void *moved = __real_krealloc(object, size);

	if (moved && moved != object)
		set_usable((uintptr_t)object, before, 0);
	allocated(moved, size);
	trusted--;
	return moved;
}

/* ---- Nodes of trees: never used again once they are freed ---- */

#define NODES_SIZE (1u << 20)
#define NODE_ROOM 64

static size_t nodes_used;

void *sanitizer_make_node(size_t size)
{
	if (!arenas[NODES].shadow)
		open_arena(NODES, (uintptr_t)map(NODES_SIZE), NODES_SIZE);
	size_t with_room = ALIGN_UP(size, GRANULE) + NODE_ROOM;
	if (nodes_used + with_room > NODES_SIZE)
		abort();
	uintptr_t node = arenas[NODES].base + nodes_used;
	nodes_used += with_room;
	set_usable(node, with_room, size);
	return (void *)node;
}

void sanitizer_free_node(void *node, size_t size)
{
	set_usable((uintptr_t)node, ALIGN_UP(size, GRANULE), 0);
}

/* The library is closed. */
__attribute__((destructor)) static void close_arenas(void)
{
	for (unsigned i = 0; i < ARENAS; i++)
		if (arenas[i].shadow)
			munmap(arenas[i].shadow, (arenas[i].end - arenas[i].base) / GRANULE);
	if (arenas[NODES].shadow)
		munmap((void *)arenas[NODES].base, NODES_SIZE);
}

/* ---- For the test of this file ---- */

/* Read one byte as instrumented code does; the process ends where that is not allowed. */
void sanitizer_probe(uintptr_t address);
void sanitizer_probe(uintptr_t address)
{
	check(address, 1, false, __builtin_return_address(0));
}

#pragma clang attribute pop
