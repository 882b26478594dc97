/* Split virtqueues (virtio 1.2, section 2.7). */
#include <arch/cpu.h>
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <calypso/mm.h>
#include <calypso/virtqueue.h>

/* 2.7.5 */
struct virtq_descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};
static_assert(sizeof(struct virtq_descriptor) == 16, "virtio");

enum { DESCRIPTOR_NEXT = 1, DESCRIPTOR_WRITE = 2, DESCRIPTOR_INDIRECT = 4 };

/* 2.7.6; behind the ring comes `used_event`. */
struct virtq_available {
	uint16_t flags;
	uint16_t index;
	uint16_t ring[];
};

/* 2.7.8; behind the ring comes `avail_event`. */
struct virtq_used {
	uint16_t flags;
	uint16_t index;
	struct {
		uint32_t head;
		uint32_t written;
	} ring[];
};

enum { AVAILABLE_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

/* As many descriptors as fit into one page with both rings. */
#define QUEUE_SIZE_MAX 128
#define AVAILABLE_OFFSET (QUEUE_SIZE_MAX * sizeof(struct virtq_descriptor))
#define USED_OFFSET (AVAILABLE_OFFSET + 4 + 2 * QUEUE_SIZE_MAX + 4)
static_assert(USED_OFFSET % 4 == 0 && USED_OFFSET + 6 + 8 * QUEUE_SIZE_MAX <= PAGE_SIZE, "a page");

/* Longer chains go into a table of their own where the device takes one. */
#define DIRECT_MAX 3

/* Between two looks at the status of a device that does not answer. */
#define SPINS 4096

struct virtqueue {
	struct virtio_device *device;
	unsigned number;
	uint16_t size;
	uint16_t free; /* the first descriptor that is free; they are chained by `next` */
	uint16_t free_count;
	uint16_t submitted; /* what was made available; counts freely, as do the next two */
	uint16_t notified;  /* of these, what the device was told of */
	uint16_t collected; /* what was taken from the used ring */
	bool keeps_interrupts;
	bool asks; /* for interrupts, until nothing is under way: there may be several who wait */
	struct virtq_descriptor *descriptors;
	struct virtq_available *available;
	struct virtq_used *used;
	struct virtio_request *requests[QUEUE_SIZE_MAX]; /* by the head of their chain */
};

static bool has(const struct virtqueue *queue, uint64_t feature)
{
	return (queue->device->features & feature) != 0;
}

/* Interrupts are asked for one by one, or for good. */
static void set_used_event(struct virtqueue *queue, bool wanted)
{
	wanted = wanted || queue->keeps_interrupts;
	queue->available->flags = wanted ? 0 : AVAILABLE_NO_INTERRUPT;
	queue->available->ring[queue->size] = (uint16_t)(queue->collected - !wanted);
}

struct virtqueue *virtqueue_create(struct virtio_device *device, unsigned index, unsigned size_max)
{
	struct virtqueue *queue = kcalloc(1, sizeof(*queue));
	physical_t page = queue == NULL ? FRAME_NONE : frame_allocate(0, FRAME_ZEROED);
	if (page == FRAME_NONE) {
		kfree(queue);
		return NULL;
	}
	queue->device = device;
	queue->number = index;
	queue->size = size_max < QUEUE_SIZE_MAX ? (uint16_t)size_max : QUEUE_SIZE_MAX;
	queue->free_count = queue->size;
	queue->descriptors = phys_to_virt(page);
	queue->available = phys_to_virt(page + AVAILABLE_OFFSET);
	queue->used = phys_to_virt(page + USED_OFFSET);
	for (uint16_t i = 0; i < queue->size; i++)
		queue->descriptors[i].next = i + 1;
	set_used_event(queue, false);
	return queue;
}

struct virtqueue_areas virtqueue_areas(const struct virtqueue *queue)
{
	return (struct virtqueue_areas){
		.size = queue->size,
		.descriptors = virt_to_phys(queue->descriptors),
		.available = virt_to_phys(queue->available),
		.used = virt_to_phys(queue->used),
	};
}

struct virtio_device *virtqueue_device(const struct virtqueue *queue) { return queue->device; }

/* ---- To the device ---- */

static void fill(struct virtq_descriptor *descriptor, const struct virtio_buffer *buffer,
		 bool writable, bool last)
{
	descriptor->address = buffer->address;
	descriptor->length = buffer->length;
	descriptor->flags = (writable ? DESCRIPTOR_WRITE : 0) | (last ? 0 : DESCRIPTOR_NEXT);
}

/* One descriptor for all buffers, which are listed in a table of the request's. */
static int fill_indirect(struct virtqueue *queue, struct virtio_request *request,
			 const struct virtio_buffer *buffers, unsigned readable, unsigned count)
{
	struct virtq_descriptor *table = kmalloc(count * sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		fill(&table[i], &buffers[i], i >= readable, i + 1 == count);
		table[i].next = (uint16_t)(i + 1);
	}
	struct virtq_descriptor *head = &queue->descriptors[queue->free];
	head->address = virt_to_phys(table);
	head->length = (uint32_t)(count * sizeof(*table));
	head->flags = DESCRIPTOR_INDIRECT;
	request->indirect = table;
	queue->free = head->next;
	queue->free_count--;
	return 0;
}

static void fill_direct(struct virtqueue *queue, const struct virtio_buffer *buffers,
			unsigned readable, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct virtq_descriptor *descriptor = &queue->descriptors[queue->free];
		fill(descriptor, &buffers[i], i >= readable, i + 1 == count);
		queue->free = descriptor->next;
	}
	queue->free_count -= count;
}

int virtqueue_submit(struct virtqueue *queue, struct virtio_request *request,
		     const struct virtio_buffer *buffers, unsigned readable, unsigned writable)
{
	unsigned count = readable + writable;
	bool indirect = count > DIRECT_MAX && has(queue, VIRTIO_F_INDIRECT_DESC);
	uint16_t head = queue->free;
	if (queue->device->broken)
		return -EIO;
	if (queue->free_count < (indirect ? 1 : count))
		return -ENOSPC;

	request->done = false;
	request->error = 0;
	request->indirect = NULL;
	request->room = 0;
	for (unsigned i = readable; i < count; i++)
		request->room += buffers[i].length;
	if (!indirect)
		fill_direct(queue, buffers, readable, count);
	else if (fill_indirect(queue, request, buffers, readable, count) != 0)
		return -ENOMEM;

	queue->requests[head] = request;
	queue->available->ring[queue->submitted & (queue->size - 1)] = head;
	queue->submitted++;
	__atomic_store_n(&queue->available->index, queue->submitted, __ATOMIC_RELEASE);
	return 0;
}

/* 2.7.10: the device names the request at which it wants to be told. */
static bool wants_kick(const struct virtqueue *queue)
{
	if (!has(queue, VIRTIO_F_EVENT_IDX))
		return (queue->used->flags & USED_NO_NOTIFY) == 0;
	uint16_t event = *(volatile uint16_t *)&queue->used->ring[queue->size];
	return (uint16_t)(queue->submitted - event - 1) <
	       (uint16_t)(queue->submitted - queue->notified);
}

void virtqueue_kick(struct virtqueue *queue)
{
	arch_memory_barrier();
	bool wanted = wants_kick(queue);
	queue->notified = queue->submitted;
	if (wanted && !queue->device->broken)
		virtio_notify(queue->device, queue->number);
}

/* ---- From the device ---- */

static void finish(struct virtio_request *request, uint32_t written, int error)
{
	kfree(request->indirect);
	request->indirect = NULL;
	/* What is more than there was room for has gone nowhere. */
	request->written = written < request->room ? written : request->room;
	request->error = error;
	request->done = true;
	if (request->complete != NULL)
		request->complete(request);
}

/* Give the chain of descriptors back. */
static void free_chain(struct virtqueue *queue, uint16_t head)
{
	uint16_t last = head;
	unsigned count = 1;
	for (; (queue->descriptors[last].flags & DESCRIPTOR_NEXT) != 0; count++)
		last = queue->descriptors[last].next;
	queue->descriptors[last].next = queue->free;
	queue->free = head;
	queue->free_count += count;
}

/* One entry of the used ring. False where the device cannot have meant it. */
static bool take(struct virtqueue *queue, uint32_t head, uint32_t written)
{
	struct virtio_request *request = head < queue->size ? queue->requests[head] : NULL;
	if (request == NULL)
		return false;
	queue->requests[head] = NULL;
	free_chain(queue, (uint16_t)head);
	finish(request, written, 0);
	return true;
}

static bool something_is_used(const struct virtqueue *queue)
{
	return __atomic_load_n(&queue->used->index, __ATOMIC_ACQUIRE) != queue->collected;
}

static bool take_all(struct virtqueue *queue)
{
	bool any = false;
	while (!queue->device->broken && something_is_used(queue)) {
		unsigned slot = queue->collected++ & (queue->size - 1);
		uint32_t head = queue->used->ring[slot].head;
		any = true;
		if (!take(queue, head, queue->used->ring[slot].written)) {
			queue->device->broken = true;
			virtqueue_abandon(queue);
		}
	}
	return any;
}

bool virtqueue_collect(struct virtqueue *queue)
{
	bool any = false;
	while (take_all(queue)) {
		any = true;
		queue->asks = queue->asks && queue->collected != queue->submitted;
		set_used_event(queue, queue->asks);
		arch_memory_barrier();
	}
	return any;
}

void virtqueue_keep_interrupts(struct virtqueue *queue)
{
	queue->keeps_interrupts = true;
	set_used_event(queue, true);
}

bool virtqueue_want_interrupt(struct virtqueue *queue)
{
	queue->asks = true;
	set_used_event(queue, true);
	arch_memory_barrier();
	if (!something_is_used(queue))
		return true;
	set_used_event(queue, false);
	return false;
}

int virtqueue_wait(struct virtqueue *queue, struct virtio_request *request)
{
	for (unsigned spins = 1;; spins++) {
		virtqueue_collect(queue);
		if (request->done)
			return request->error;
		if (spins % SPINS == 1)
			virtio_is_alive(queue->device);
		if (queue->device->broken)
			virtqueue_abandon(queue);
		else
			arch_pause();
	}
}

void virtqueue_abandon(struct virtqueue *queue)
{
	for (unsigned head = 0; head < queue->size; head++) {
		struct virtio_request *request = queue->requests[head];
		queue->requests[head] = NULL;
		if (request != NULL)
			finish(request, 0, -EIO);
	}
}
