/* The virtio memory balloon (virtio 1.2, section 5.5).
 *
 * Frames that the host has asked for are taken out of the allocator and named to the device, in lists
 * that are pages themselves and stay here: by them the frames are taken back. Some memory is never
 * given, so that the program can go on.
 */
#include <calypso/balloon.h>
#include <calypso/errno.h>
#include <calypso/mm.h>
#include <calypso/virtqueue.h>

enum { INFLATE, DEFLATE, QUEUES };

/* struct virtio_balloon_config */
enum { CONFIG_WANTED = 0, CONFIG_ACTUAL = 4 };

/* Part of the memory that stays. */
#define KEPT_PART 16

/* A page full of frame numbers, whatever the processor's own pages are (5.5.6). */
struct list {
	struct list *next;
	uint32_t count;
	uint32_t frames[(PAGE_SIZE - sizeof(struct list *) - sizeof(uint32_t)) / sizeof(uint32_t)];
};
static_assert(sizeof(struct list) <= PAGE_SIZE, "a page");

static struct {
	struct virtio_device *device;
	struct list *lists; /* the last one first; only that may have room */
	uint32_t actual;
} balloon;

static bool may_give(void)
{
	struct frame_statistics memory = frame_statistics();
	return memory.total - memory.used > memory.total / KEPT_PART;
}

/* Tell the device of the last `count` frames of a list. */
static int tell(unsigned queue_index, struct list *list, uint32_t count)
{
	struct virtqueue *queue = balloon.device->queues[queue_index];
	struct virtio_request request = {0};
	struct virtio_buffer buffer = {
		.address = virt_to_phys(&list->frames[list->count - count]),
		.length = count * (uint32_t)sizeof(uint32_t),
	};
	int error = virtqueue_submit(queue, &request, &buffer, 1, 0);
	virtqueue_kick(queue);
	return error == 0 ? virtqueue_wait(queue, &request) : error;
}

/* The list that has room, made where all are full. */
static struct list *list_with_room(void)
{
	if (balloon.lists != NULL && balloon.lists->count < ARRAY_SIZE(balloon.lists->frames))
		return balloon.lists;
	physical_t frame = frame_allocate(0, FRAME_ZEROED);
	if (frame == FRAME_NONE)
		return NULL;
	struct list *list = phys_to_virt(frame);
	list->next = balloon.lists;
	balloon.lists = list;
	return list;
}

static void drop_empty_list(void)
{
	struct list *list = balloon.lists;
	if (list == NULL || list->count > 0)
		return;
	balloon.lists = list->next;
	frame_free(virt_to_phys(list), 0);
}

/* Give up to `wanted` frames: how many that were. */
static uint32_t give(uint32_t wanted)
{
	struct list *list = list_with_room();
	uint32_t count = 0;
	while (list != NULL && count < wanted && list->count < ARRAY_SIZE(list->frames) &&
	       may_give()) {
		physical_t frame = frame_allocate(0, 0);
		if (frame == FRAME_NONE)
			break;
		list->frames[list->count++] = (uint32_t)(frame >> PAGE_SHIFT);
		count++;
	}
	if (count > 0 && tell(INFLATE, list, count) != 0)
		count = 0;
	drop_empty_list();
	return count;
}

/* Take up to `wanted` frames back. What is in them is the host's affair, so it is not zero. */
static uint32_t take(uint32_t wanted)
{
	struct list *list = balloon.lists;
	uint32_t count = list->count < wanted ? list->count : wanted;
	if (tell(DEFLATE, list, count) != 0)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		frame_free((physical_t)list->frames[--list->count] << PAGE_SHIFT, 0);
	drop_empty_list();
	return count;
}

/* Come as close to what the host wants as can be. */
static void adjust(struct virtio_device *device)
{
	uint32_t wanted = virtio_config32(device, CONFIG_WANTED);
	uint32_t moved = 1;
	while (moved > 0 && balloon.actual < wanted) {
		moved = give(wanted - balloon.actual);
		balloon.actual += moved;
	}
	while (moved > 0 && balloon.actual > wanted) {
		moved = take(balloon.actual - wanted);
		balloon.actual -= moved;
	}
	virtio_set_config32(device, CONFIG_ACTUAL, balloon.actual);
}

void balloon_start(void)
{
	struct virtio_device *device = virtio_find(VIRTIO_BALLOON, 0);
	if (device == NULL || balloon.device != NULL || virtio_start(device, 0, QUEUES) != 0)
		return;
	balloon.device = device;
	device->on_configuration = adjust;
	virtio_take_interrupts(device);
	adjust(device);
}
