/* The service ring: shared memory with the host, which may write anything there at any time. So the
 * layout is read once and checked, and an entry is copied before anybody looks at it. */
#include <arch/layout.h>
#include <calypso/bootinfo.h>
#include <calypso/errno.h>
#include <calypso/log.h>
#include <calypso/mm.h>
#include <service/ring.h>

/* The window ends here, below where a program's stack goes. */
#define WINDOW_END (USER_END - (1ull << 30))

static struct {
	struct calypso_ring *shared; /* NULL: there is none */
	bool open;
	const struct calypso_submission *submissions;
	struct calypso_completion *completions;
	uint32_t submission_count;
	uint32_t completion_count;
	uint32_t taken;	 /* submission_head */
	uint32_t posted; /* completion_tail */
	user_t window;
	uint32_t window_length;
	struct image_source pages; /* of the window */
} ring;

static bool is_power_of_two(uint32_t number) { return number != 0 && (number & (number - 1)) == 0; }

static bool holds_array(uint64_t region_length, uint32_t offset, uint32_t count, size_t size)
{
	return is_power_of_two(count) && offset % sizeof(uint64_t) == 0 &&
	       offset >= sizeof(struct calypso_ring) && offset + (uint64_t)count * size <= region_length;
}

static bool is_valid(const struct calypso_ring *shared, uint64_t region_length)
{
	return shared->magic == CALYPSO_RING_MAGIC && shared->version == CALYPSO_RING_VERSION &&
	       shared->size >= sizeof(*shared) &&
	       holds_array(region_length, shared->submission_offset, shared->submission_count,
			   sizeof(struct calypso_submission)) &&
	       holds_array(region_length, shared->completion_offset, shared->completion_count,
			   sizeof(struct calypso_completion)) &&
	       ((shared->window_offset | shared->window_length) & PAGE_MASK) == 0 &&
	       shared->window_length > 0 &&
	       (uint64_t)shared->window_offset + shared->window_length <= region_length;
}

bool ring_attach(void)
{
	const struct calypso_region *region = bootinfo_find(CALYPSO_REGION_SERVICE);
	if (!bootinfo_has(CALYPSO_FEATURE_SERVICES) || region == NULL)
		return false;
	char *base = phys_to_virt(region->physical);
	struct calypso_ring *shared = (struct calypso_ring *)base;
	if (!is_valid(shared, region->length)) {
		log_warning("the service ring is not one of version %u", CALYPSO_RING_VERSION);
		return false;
	}
	ring.submissions = (const void *)(base + shared->submission_offset);
	ring.submission_count = shared->submission_count;
	ring.completions = (void *)(base + shared->completion_offset);
	ring.completion_count = shared->completion_count;
	ring.window_length = shared->window_length;
	ring.window = WINDOW_END - shared->window_length;
	image_source_initialize(&ring.pages, region->physical + shared->window_offset,
				shared->window_length);
	ring.shared = shared;
	return true;
}

void ring_open(uint64_t features)
{
	ring.open = true;
	ring.shared->window_address = ring.window;
	__atomic_store_n(&ring.shared->features, features, __ATOMIC_RELEASE);
}

bool ring_is_open(void) { return ring.open; }

bool ring_is_waiting(void)
{
	return unlikely(ring.open) &&
	       ring.taken != __atomic_load_n(&ring.shared->submission_tail, __ATOMIC_ACQUIRE);
}

bool ring_take(struct calypso_submission *submission)
{
	if (likely(!ring_is_waiting()))
		return false;
	struct calypso_ring *shared = ring.shared;
	/* Each that is taken will need a place among the completions. */
	uint32_t read = __atomic_load_n(&shared->completion_head, __ATOMIC_ACQUIRE);
	if (ring.taken - read >= ring.completion_count)
		return false;
	*submission = ring.submissions[ring.taken & (ring.submission_count - 1)];
	ring.taken++;
	__atomic_store_n(&shared->submission_head, ring.taken, __ATOMIC_RELEASE);
	return true;
}

void ring_complete(uint64_t tag, int64_t result)
{
	ring.completions[ring.posted & (ring.completion_count - 1)] =
		(struct calypso_completion){.tag = tag, .result = result};
	ring.posted++;
	__atomic_store_n(&ring.shared->completion_tail, ring.posted, __ATOMIC_RELEASE);
}

bool ring_has_news(void)
{
	return unlikely(ring.open) &&
	       __atomic_load_n(&ring.shared->completion_head, __ATOMIC_ACQUIRE) != ring.posted;
}

int ring_map_window(void)
{
	int64_t at = space_map(ring.window, ring.window_length, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED, &ring.pages.source, 0);
	return at < 0 ? (int)at : 0;
}
