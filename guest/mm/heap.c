/* The kernel's heap: slabs of one page for objects of a few sizes, whole frames above.
 *
 * Every object lies in pages that begin with a header, so that `kfree` finds it by the address
 * alone. Objects that were never used are handed out in order; freed ones form a list.
 */
#include "mm/frames.h"

#include <calypso/lib.h>
#include <calypso/log.h>
#include <calypso/mm.h>

#define ALIGNMENT 16
#define SLAB_MAGIC 0x51ab51abu
#define LARGE_MAGIC 0x1a96e000u

struct free_object {
	struct free_object *next;
};

/* At the start of the page (slab) or of the first page (large object). */
struct header {
	uint32_t magic;
	uint16_t class;
	uint16_t used;	/* objects given out */
	uint32_t fresh; /* offset of the first object that was never used */
	uint64_t frames;	   /* of a large object */
	struct free_object *freed; /* objects to use again */
	struct header *next, *previous; /* slabs of the class with room */
};

#define HEADER_SIZE 64
#define ROOM ((uint32_t)PAGE_SIZE - HEADER_SIZE)

static_assert(sizeof(struct header) <= HEADER_SIZE, "objects are aligned behind it");

/* 4032 bytes of room divided by 252 ... 2: little is left over. */
static const uint16_t class_size[] = {16,  32,	48,  64,  96,  128,  192, 256,
				      336, 448, 576, 800, 1008, 1344, 2016};

#define CLASSES ARRAY_SIZE(class_size)
#define SMALL_MAX 2016

/* The class for a size of n * 16 bytes. */
static const uint8_t class_of[SMALL_MAX / ALIGNMENT + 1] = {
	[2] = 1,	  [3] = 2,	    [4] = 3,	      [5 ... 6] = 4,
	[7 ... 8] = 5,	  [9 ... 12] = 6,   [13 ... 16] = 7,  [17 ... 21] = 8,
	[22 ... 28] = 9,  [29 ... 36] = 10, [37 ... 50] = 11, [51 ... 63] = 12,
	[64 ... 84] = 13, [85 ... 126] = 14,
};

static struct header *with_room[CLASSES];

static struct header *header_of(const void *object)
{
	return (struct header *)ALIGN_DOWN((uintptr_t)object, PAGE_SIZE);
}

static void list_add(struct header *slab)
{
	struct header **list = &with_room[slab->class];

	slab->previous = NULL;
	slab->next = *list;
	if (slab->next)
		slab->next->previous = slab;
	*list = slab;
}

static void list_remove(struct header *slab)
{
	if (slab->previous)
		slab->previous->next = slab->next;
	else
		with_room[slab->class] = slab->next;
	if (slab->next)
		slab->next->previous = slab->previous;
}

static bool has_room(const struct header *slab)
{
	return slab->freed || slab->fresh + class_size[slab->class] <= PAGE_SIZE;
}

static struct header *new_slab(unsigned class)
{
	physical_t frame = frame_allocate(0, 0);

	if (frame == FRAME_NONE)
		return NULL;
	struct header *slab = phys_to_virt(frame);
	*slab = (struct header){
		.magic = SLAB_MAGIC, .class = (uint16_t)class, .fresh = HEADER_SIZE};
	list_add(slab);
	return slab;
}

static void *allocate_small(unsigned class)
{
	struct header *slab = with_room[class];
	void *object;

	if (!slab && !(slab = new_slab(class)))
		return NULL;
	if (slab->freed) {
		object = slab->freed;
		slab->freed = slab->freed->next;
	} else {
		object = (char *)slab + slab->fresh;
		slab->fresh += class_size[class];
	}
	slab->used++;
	if (!has_room(slab))
		list_remove(slab);
	return object;
}

static void free_small(struct header *slab, void *object)
{
	bool full = !has_room(slab);
	struct free_object *freed = object;

	freed->next = slab->freed;
	slab->freed = freed;
	slab->used--;
	if (full)
		list_add(slab);
	/* The last slab with room stays: the next object of this size is likely to come soon. */
	if (slab->used == 0 && (slab->next || slab->previous)) {
		list_remove(slab);
		slab->magic = 0;
		frame_free(virt_to_phys(slab), 0);
	}
}

static void *allocate_large(size_t size)
{
	uint64_t frames = (size + HEADER_SIZE + PAGE_MASK) >> PAGE_SHIFT;
	unsigned order = frames == 1 ? 0 : 64 - (unsigned)__builtin_clzll(frames - 1);
	physical_t block = size > PAGE_SIZE << FRAME_ORDER_MAX ? FRAME_NONE
							       : frame_allocate(order, 0);

	if (block == FRAME_NONE)
		return NULL;
	frames_free_range(block + (frames << PAGE_SHIFT), (1ull << order) - frames);
	struct header *header = phys_to_virt(block);
	header->magic = LARGE_MAGIC;
	header->frames = frames;
	return (char *)header + HEADER_SIZE;
}

void *kmalloc(size_t size)
{
	if (size > SMALL_MAX)
		return allocate_large(size);
	return allocate_small(class_of[(size + ALIGNMENT - 1) / ALIGNMENT]);
}

void *kcalloc(size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	void *object = kmalloc(total);
	if (object)
		memset(object, 0, total);
	return object;
}

size_t kmalloc_usable(const void *object)
{
	const struct header *header = header_of(object);

	if (header->magic == SLAB_MAGIC)
		return class_size[header->class];
	assert_that(header->magic == LARGE_MAGIC);
	return (header->frames << PAGE_SHIFT) - HEADER_SIZE;
}

void *krealloc(void *object, size_t size)
{
	if (!object)
		return kmalloc(size);
	size_t usable = kmalloc_usable(object);
	/* Stay unless it grew, or shrank enough to be worth a copy. */
	if (size <= usable && size >= usable / 4)
		return object;
	void *moved = kmalloc(size);
	if (!moved)
		return size <= usable ? object : NULL;
	memcpy(moved, object, size < usable ? size : usable);
	kfree(object);
	return moved;
}

void kfree(void *object)
{
	if (!object)
		return;
	struct header *header = header_of(object);
	if (header->magic == SLAB_MAGIC) {
		free_small(header, object);
		return;
	}
	assert_that(header->magic == LARGE_MAGIC);
	header->magic = 0;
	frames_free_range(virt_to_phys(header), header->frames);
}
