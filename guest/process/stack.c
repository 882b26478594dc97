/* The program's first stack, from its highest address down:
 *
 *	"x86_64"                  AT_PLATFORM
 *	16 random bytes           AT_RANDOM
 *	argument strings, then environment strings
 *	padding
 *	auxiliary vector, environment pointers, NULL, argument pointers, NULL
 *	argument count            <- stack pointer, a multiple of 16
 */
#include <calypso/arch.h>
#include <calypso/lib.h>
#include <calypso/user.h>
#include <process/process.h>
#include <process/random.h>
#include <process/stack.h>

/* Nothing is mapped this far below the stack, so that an overflow hits nothing else. */
#define GUARD_SIZE (1ull << 20)

#define STACK_ALIGNMENT 16
#define AUXILIARY_WORDS (2 * 20)

/* Words of the table at the stack pointer, filled from the first to the last. */
struct table {
	uint64_t *words;
	size_t count;
};

static void add(struct table *table, uint64_t word) { table->words[table->count++] = word; }

static void add_auxiliary(struct table *table, uint64_t type, uint64_t value)
{
	add(table, type);
	add(table, value);
}

/* Where the byte areas above the table are. */
struct areas {
	user_t platform;
	user_t random;
	user_t strings;
};

int stack_map(void)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
	user_t start = USER_END - STACK_SIZE;
	int64_t guard = space_map(start - GUARD_SIZE, GUARD_SIZE, PROT_NONE, flags, NULL, 0);
	if (guard < 0)
		return (int)guard;
	int64_t stack =
		space_map(start, STACK_SIZE, PROT_READ | PROT_WRITE, flags | MAP_STACK, NULL, 0);
	return stack < 0 ? (int)stack : 0;
}

static int write_areas(struct areas *areas, const char *strings, uint64_t length)
{
	static const char platform[] = ARCH_MACHINE;
	uint8_t random[RANDOM_FOR_PROGRAM];
	random_for_program(random);
	areas->platform = USER_END - sizeof(platform);
	areas->random = ALIGN_DOWN(areas->platform - sizeof(random), STACK_ALIGNMENT);
	areas->strings = areas->random - length;
	int error = user_copy_out(areas->platform, platform, sizeof(platform));
	error |= user_copy_out(areas->random, random, sizeof(random));
	error |= user_copy_out(areas->strings, strings, length);
	return error != 0 ? -ENOMEM : 0;
}

/* Add the addresses of `count` strings and a NULL; where the string behind them is. */
static const char *add_pointers(struct table *table, const char *string, unsigned count,
				user_t *address)
{
	for (unsigned i = 0; i < count; i++) {
		size_t size = strlen(string) + 1;
		add(table, *address);
		*address += size;
		string += size;
	}
	add(table, 0);
	return string;
}

static void add_auxiliary_vector(struct table *table, const struct elf *elf,
				 user_t interpreter_base, const struct areas *areas)
{
	const struct credentials *self = credentials();
	add_auxiliary(table, AT_HWCAP, arch_hwcap());
	add_auxiliary(table, AT_PAGESZ, PAGE_SIZE);
	add_auxiliary(table, AT_CLKTCK, CLOCKS_PER_SECOND);
	add_auxiliary(table, AT_PHDR, elf_headers(elf));
	add_auxiliary(table, AT_PHENT, sizeof(Elf64_Phdr));
	add_auxiliary(table, AT_PHNUM, elf->header.e_phnum);
	add_auxiliary(table, AT_BASE, interpreter_base);
	add_auxiliary(table, AT_FLAGS, 0);
	add_auxiliary(table, AT_ENTRY, elf_entry(elf));
	add_auxiliary(table, AT_UID, self->real_user);
	add_auxiliary(table, AT_EUID, self->effective_user);
	add_auxiliary(table, AT_GID, self->real_group);
	add_auxiliary(table, AT_EGID, self->effective_group);
	add_auxiliary(table, AT_SECURE, (self->real_user != self->effective_user) |
						(self->real_group != self->effective_group));
	add_auxiliary(table, AT_RANDOM, areas->random);
	add_auxiliary(table, AT_HWCAP2, arch_hwcap2());
	add_auxiliary(table, AT_MINSIGSTKSZ, arch_signal_size());
	add_auxiliary(table, AT_EXECFN, areas->strings);
	add_auxiliary(table, AT_PLATFORM, areas->platform);
	add_auxiliary(table, AT_NULL, 0);
}

static int64_t write_table(struct table *table, const struct areas *areas)
{
	/* The count of words is made even, so that both ends are aligned. */
	uint64_t size = table->count * sizeof(uint64_t);
	user_t sp = ALIGN_DOWN(areas->strings, STACK_ALIGNMENT) - ALIGN_UP(size, STACK_ALIGNMENT);
	return user_copy_out(sp, table->words, size) != 0 ? -ENOMEM : (int64_t)sp;
}

int64_t stack_make(const struct elf *elf, user_t interpreter_base,
		   const struct arguments *arguments)
{
	uint64_t words = 1 + arguments->argc + 1 + (uint64_t)arguments->envc + 1 + AUXILIARY_WORDS;
	if (arguments->length + words * sizeof(uint64_t) > ARGUMENTS_MAX)
		return -E2BIG;
	struct areas areas;
	int error = write_areas(&areas, arguments->strings, arguments->length);
	if (error != 0)
		return error;

	struct table table = {kmalloc(words * sizeof(uint64_t)), 0};
	if (table.words == NULL)
		return -ENOMEM;
	process.arguments = areas.strings;
	process.environment = areas.strings;
	add(&table, arguments->argc);
	const char *environment =
		add_pointers(&table, arguments->strings, arguments->argc, &process.environment);
	process.strings_end = process.environment;
	add_pointers(&table, environment, arguments->envc, &process.strings_end);
	add_auxiliary_vector(&table, elf, interpreter_base, &areas);
	int64_t sp = write_table(&table, &areas);
	if (sp > 0) {
		process.auxiliary_end = (user_t)sp + table.count * sizeof(uint64_t);
		process.auxiliary = process.auxiliary_end - AUXILIARY_WORDS * sizeof(uint64_t);
	}
	kfree(table.words);
	return sp;
}
