/* The descriptor table. */
#include <calypso/lib.h>
#include <file/descriptor.h>

/* Linux's fs.nr_open: no table gets larger, whatever the limit. */
#define DESCRIPTORS_MAX (1u << 20)

void descriptors_initialize(struct descriptor_table *table, uint64_t limit)
{
	*table = (struct descriptor_table){
		.slots = table->first,
		.capacity = DESCRIPTORS_AT_FIRST,
		.limit = limit,
	};
}

struct descriptor *descriptor_slot(const struct descriptor_table *table, int number)
{
	if ((unsigned)number >= table->capacity) /* also those below 0 */
		return NULL;
	struct descriptor *slot = &table->slots[(unsigned)number];
	return slot->open == NULL ? NULL : slot;
}

struct open_file *descriptor_find(const struct descriptor_table *table, int number)
{
	struct descriptor *slot = descriptor_slot(table, number);
	return slot == NULL ? NULL : slot->open;
}

/* Make room for this number, which is below DESCRIPTORS_MAX. */
static int reserve(struct descriptor_table *table, unsigned number)
{
	if (number < table->capacity)
		return 0;
	unsigned capacity = table->capacity;
	while (capacity <= number)
		capacity *= 2;
	struct descriptor *slots = kcalloc(capacity, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	memcpy(slots, table->slots, table->capacity * sizeof(*slots));
	if (table->slots != table->first)
		kfree(table->slots);
	table->slots = slots;
	table->capacity = capacity;
	return 0;
}

static bool over_limit(const struct descriptor_table *table, unsigned number)
{
	return number >= table->limit || number >= DESCRIPTORS_MAX;
}

static void put(struct descriptor_table *table, unsigned number, struct open_file *open,
		bool close_on_exec)
{
	table->slots[number] = (struct descriptor){open, close_on_exec};
	if (number == table->lowest)
		table->lowest = number + 1;
}

/* The lowest free number from `minimum` on, with room made for it; or -EMFILE, -ENOMEM. */
static int find_free(struct descriptor_table *table, int minimum)
{
	unsigned number = (unsigned)minimum > table->lowest ? (unsigned)minimum : table->lowest;
	while (number < table->capacity && table->slots[number].open != NULL)
		number++;
	int error = over_limit(table, number) ? -EMFILE : reserve(table, number);
	return error != 0 ? error : (int)number;
}

int descriptor_check_room(struct descriptor_table *table)
{
	int number = find_free(table, 0);
	return number < 0 ? number : 0;
}

int descriptor_add(struct descriptor_table *table, struct open_file *open, int minimum,
		   bool close_on_exec)
{
	int number = find_free(table, minimum);
	if (number < 0)
		open_file_put(open);
	else
		put(table, (unsigned)number, open, close_on_exec);
	return number;
}

int descriptor_add_file(struct descriptor_table *table, struct file *file, unsigned flags)
{
	struct open_file *open;
	int error = open_file_wrap(file, flags, &open);
	file_put(file);
	return error != 0 ? error : descriptor_add(table, open, 0, (flags & O_CLOEXEC) != 0);
}

int descriptor_set(struct descriptor_table *table, struct open_file *open, int number,
		   bool close_on_exec)
{
	int error = number < 0 || over_limit(table, (unsigned)number)
			    ? -EBADF
			    : reserve(table, (unsigned)number);
	if (error != 0) {
		open_file_put(open);
		return error;
	}
	struct open_file *old = table->slots[number].open;
	put(table, (unsigned)number, open, close_on_exec);
	open_file_put(old);
	return number;
}

int descriptor_close(struct descriptor_table *table, int number)
{
	struct descriptor *slot = descriptor_slot(table, number);
	if (slot == NULL)
		return -EBADF;
	struct open_file *open = slot->open;
	*slot = (struct descriptor){0};
	if ((unsigned)number < table->lowest)
		table->lowest = (unsigned)number;
	open_file_put(open);
	return 0;
}

void descriptors_close_on_exec(struct descriptor_table *table)
{
	for (unsigned number = 0; number < table->capacity; number++) {
		if (table->slots[number].close_on_exec)
			descriptor_close(table, (int)number);
	}
}

void descriptors_close_all(struct descriptor_table *table)
{
	for (unsigned number = 0; number < table->capacity; number++)
		descriptor_close(table, (int)number);
	if (table->slots != table->first)
		kfree(table->slots);
	descriptors_initialize(table, table->limit);
}
