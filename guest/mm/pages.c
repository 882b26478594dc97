/* Pages of the program: bringing them in, copying them before they change, letting them go. */
#include "mm/space.h"

#include <calypso/boot.h>
#include <calypso/errno.h>
#include <calypso/fault.h>
#include <calypso/lib.h>

/* Pages of a source that are mapped together when one of them is read: 64 KiB. */
#define FAULT_AROUND (16 * PAGE_SIZE)

/* More single flushes than this cost more than refilling the translation caches. */
#define FLUSH_SINGLE_MAX 16

/* End of the part of [at, end) whose entries lie in one table. */
static user_t table_end(user_t at, user_t end)
{
	user_t next = ALIGN_DOWN(at, TABLE_SPAN) + TABLE_SPAN;

	return next < end ? next : end;
}

static void *frame_content(pte_t entry)
{
	return phys_to_virt(pte_address(entry));
}

/* Make translations of [start, end) that have changed take effect. Before the tables are in use
 * there is nothing to be done. */
static void flush_range(user_t start, user_t end, uint64_t changed)
{
	if (changed == 0 || !paging_is_active())
		return;
	if (end - start > FLUSH_SINGLE_MAX * PAGE_SIZE) {
		arch_flush_all();
		return;
	}
	for (; start < end; start += PAGE_SIZE)
		arch_flush_page(start);
}

/* ---- Bringing pages in ---- */

/* An empty page. */
static int page_in_anonymous(const struct area *area, pte_t *entry)
{
	physical_t frame = frame_allocate(0, FRAME_ZEROED);

	if (frame == FRAME_NONE)
		return FAULT_NO_MEMORY;
	*entry = pte_user(frame, (unsigned)area->protection) | PTE_OWNED;
	return FAULT_RESOLVED;
}

/* A copy of a page, the program's own. */
static int page_in_copy(const struct area *area, pte_t *entry, const void *content)
{
	physical_t frame = frame_allocate(0, 0);

	if (frame == FRAME_NONE)
		return FAULT_NO_MEMORY;
	memcpy(phys_to_virt(frame), content, PAGE_SIZE);
	if (area->protection & PROT_EXEC)
		arch_sync_code(phys_to_virt(frame), PAGE_SIZE);
	*entry = pte_user(frame, (unsigned)area->protection) | PTE_OWNED;
	return FAULT_RESOLVED;
}

/* A page of the area's source. */
static int page_in_source(const struct area *area, pte_t *entry, user_t page, unsigned access)
{
	struct page_source *source = area->source;
	uint64_t index = (area->offset + (page - area->start)) >> PAGE_SHIFT;
	physical_t frame;
	int error = source->operations->page(source, index, &frame);

	if (error)
		return error == -ENOMEM ? FAULT_NO_MEMORY : FAULT_PAST_END;
	if (access == PROT_WRITE && !area_is_shared(area))
		return page_in_copy(area, entry, phys_to_virt(frame));
	if ((area->protection & PROT_EXEC) && !source->code_is_ready)
		arch_sync_code(phys_to_virt(frame), PAGE_SIZE);
	*entry = pte_user(frame, page_rights(area, false));
	return FAULT_RESOLVED;
}

static int page_in(const struct area *area, pte_t *entry, user_t page, unsigned access)
{
	if (area->source)
		return page_in_source(area, entry, page, access);
	return page_in_anonymous(area, entry);
}

/* Reading one page of a source: its neighbours will follow, and are there already. */
static void page_in_around(const struct area *area, pte_t *entry, user_t page)
{
	user_t start = ALIGN_DOWN(page, FAULT_AROUND), end = start + FAULT_AROUND;

	if (start < area->start)
		start = area->start;
	if (end > area->end)
		end = area->end;
	entry -= (page - start) >> PAGE_SHIFT;
	for (; start < end; start += PAGE_SIZE, entry++)
		if (*entry == 0 &&
		    page_in_source(area, entry, start, PROT_READ) != FAULT_RESOLVED)
			return;
}

void pages_populate(const struct area *area, user_t start, user_t end, unsigned access)
{
	if (!area_allows(area, access))
		return;
	while (start < end) {
		user_t stop = table_end(start, end);
		pte_t *entry = user_entry(start, true);

		if (!entry)
			return;
		for (; start < stop; start += PAGE_SIZE, entry++)
			if (*entry == 0 && page_in(area, entry, start, access) != FAULT_RESOLVED)
				return;
	}
	arch_entries_written();
}

/* ---- Faults ---- */

/* Writing to a page that is shared with its source: from now on the program has its own. */
static int copy_before_write(const struct area *area, pte_t *entry, user_t page)
{
	int result = page_in_copy(area, entry, frame_content(*entry));

	flush_range(page, page + PAGE_SIZE, 1);
	return result;
}

int space_fault(user_t address, unsigned access)
{
	user_t page = ALIGN_DOWN(address, PAGE_SIZE);
	const struct area *area = area_at(address);

	if (!area)
		return FAULT_NOT_MAPPED;
	if (!area_allows(area, access))
		return FAULT_PROTECTION;
	pte_t *entry = user_entry(page, true);
	if (!entry)
		return FAULT_NO_MEMORY;

	if (*entry != 0) {
		if (access == PROT_WRITE && !pte_is_writable(*entry))
			return copy_before_write(area, entry, page);
		/* The translation cache had something older. */
		flush_range(page, page + PAGE_SIZE, 1);
		return FAULT_RESOLVED;
	}
	int result = page_in(area, entry, page, access);
	if (result == FAULT_RESOLVED && area->source && access != PROT_WRITE)
		page_in_around(area, entry, page);
	arch_entries_written();
	return result;
}

void *page_content(user_t address, unsigned access)
{
	pte_t *entry = user_entry(address, false);

	if (!entry || !pte_is_present(*entry) ||
	    (access == PROT_WRITE && !pte_is_writable(*entry))) {
		if (space_fault(address, access) != FAULT_RESOLVED)
			return NULL;
		entry = user_entry(address, false);
	}
	return (char *)frame_content(*entry) + address % PAGE_SIZE;
}

/* ---- Letting pages go, and changing them ---- */

/* Call `change` for each entry of [start, end) that is not empty; the number of calls. */
typedef void entry_change(pte_t *entry, user_t page, void *context);

static uint64_t for_each_entry(user_t start, user_t end, entry_change *change, void *context)
{
	uint64_t count = 0;

	while (start < end) {
		user_t stop = table_end(start, end);
		pte_t *entry = user_entry(start, false);

		if (!entry) {
			start = stop;
			continue;
		}
		for (; start < stop; start += PAGE_SIZE, entry++) {
			if (*entry == 0)
				continue;
			change(entry, start, context);
			count++;
		}
	}
	return count;
}

static void drop(pte_t *entry, user_t page, void *context)
{
	(void)page, (void)context;
	pte_t dropped = *entry;

	*entry = 0;
	if (dropped & PTE_OWNED)
		frame_free(pte_address(dropped), 0);
}

void pages_unmap(user_t start, user_t end)
{
	/* Frames are free before the flush: nothing else runs in between. */
	flush_range(start, end, for_each_entry(start, end, drop, NULL));
}

static void protect(pte_t *entry, user_t page, void *context)
{
	const struct area *area = context;
	bool owned = (*entry & PTE_OWNED) != 0;

	(void)page;
	if ((area->protection & PROT_EXEC) && (owned || !area->source->code_is_ready))
		arch_sync_code(frame_content(*entry), PAGE_SIZE);
	*entry = pte_user(pte_address(*entry), page_rights(area, owned)) |
		 (owned ? PTE_OWNED : 0);
}

void pages_protect(const struct area *area, user_t start, user_t end)
{
	flush_range(start, end, for_each_entry(start, end, protect, (void *)(uintptr_t)area));
}

int pages_move(user_t from, user_t to, uint64_t length)
{
	for (uint64_t offset = 0; offset < length; offset += PAGE_SIZE) {
		pte_t *old = user_entry(from + offset, false);

		if (!old || *old == 0)
			continue;
		pte_t *new = user_entry(to + offset, true);
		if (!new)
			return -ENOMEM;
		*new = *old;
		*old = 0;
	}
	flush_range(from, from + length, 1);
	return 0;
}
