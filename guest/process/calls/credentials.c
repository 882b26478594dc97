/* Calls about whom a thread works for: users and groups (credentials(7)). Only the superuser may
 * become anybody; others may exchange the users, or groups, that they have already.
 */
#include <calypso/lib.h>
#include <process/credentials.h>
#include <process/syscall.h>

#define GROUPS_MAX 65536

/* Users or groups, to be handled alike. */
struct identity {
	uint32_t real, effective, saved, file;
};

static struct identity users(void)
{
	const struct credentials *self = credentials();
	return (struct identity){self->real_user, self->effective_user, self->saved_user,
				 self->file_user};
}

static struct identity groups(void)
{
	const struct credentials *self = credentials();
	return (struct identity){self->real_group, self->effective_group, self->saved_group,
				 self->file_group};
}

static int64_t set_users(const struct identity *identity)
{
	struct credentials new = *credentials();
	new.real_user = identity->real;
	new.effective_user = identity->effective;
	new.saved_user = identity->saved;
	new.file_user = identity->file;
	credentials_set(&new);
	return 0;
}

static int64_t set_groups(const struct identity *identity)
{
	struct credentials new = *credentials();
	new.real_group = identity->real;
	new.effective_group = identity->effective;
	new.saved_group = identity->saved;
	new.file_group = identity->file;
	credentials_set(&new);
	return 0;
}

/* ---- What each kind of call makes of an identity: 0 or an error ---- */

static int set_one(struct identity *identity, uint32_t id)
{
	if (id == NOBODY)
		return -EINVAL;
	if (is_superuser())
		identity->real = identity->saved = id;
	else if (id != identity->real && id != identity->saved)
		return -EPERM;
	identity->effective = identity->file = id;
	return 0;
}

static int set_two(struct identity *identity, uint32_t real, uint32_t effective)
{
	struct identity old = *identity;
	if (!is_superuser()) {
		if (real != NOBODY && real != old.real && real != old.effective)
			return -EPERM;
		if (effective != NOBODY && effective != old.real && effective != old.effective &&
		    effective != old.saved)
			return -EPERM;
	}
	if (real != NOBODY)
		identity->real = real;
	if (effective != NOBODY)
		identity->effective = effective;
	if (real != NOBODY || (effective != NOBODY && effective != old.real))
		identity->saved = identity->effective;
	identity->file = identity->effective;
	return 0;
}

static bool may_have(const struct identity *identity, uint32_t id)
{
	return id == NOBODY || id == identity->real || id == identity->effective ||
	       id == identity->saved || is_superuser();
}

static int set_three(struct identity *identity, uint32_t real, uint32_t effective, uint32_t saved)
{
	if (!may_have(identity, real) || !may_have(identity, effective) ||
	    !may_have(identity, saved))
		return -EPERM;
	if (real != NOBODY)
		identity->real = real;
	if (effective != NOBODY)
		identity->effective = effective;
	if (saved != NOBODY)
		identity->saved = saved;
	identity->file = identity->effective;
	return 0;
}

/* For files alone. There is no error: the caller sees from the next call whether it was so. */
static bool set_file(struct identity *identity, uint32_t id)
{
	if (id == NOBODY || (id != identity->file && !may_have(identity, id)))
		return false;
	identity->file = id;
	return true;
}

static int64_t put(const struct identity *identity, user_t real, user_t effective, user_t saved)
{
	if (user_put(real, &identity->real) != 0 || user_put(effective, &identity->effective) != 0)
		return -EFAULT;
	return user_put(saved, &identity->saved);
}

/* ---- Users ---- */

SYSCALL0(getuid)
{
	return credentials()->real_user;
}

SYSCALL0(geteuid)
{
	return credentials()->effective_user;
}

SYSCALL3(getresuid, user_t, real, user_t, effective, user_t, saved)
{
	struct identity identity = users();
	return put(&identity, real, effective, saved);
}

SYSCALL1(setuid, uint32_t, id)
{
	struct identity identity = users();
	int error = set_one(&identity, id);
	return error != 0 ? error : set_users(&identity);
}

SYSCALL2(setreuid, uint32_t, real, uint32_t, effective)
{
	struct identity identity = users();
	int error = set_two(&identity, real, effective);
	return error != 0 ? error : set_users(&identity);
}

SYSCALL3(setresuid, uint32_t, real, uint32_t, effective, uint32_t, saved)
{
	struct identity identity = users();
	int error = set_three(&identity, real, effective, saved);
	return error != 0 ? error : set_users(&identity);
}

SYSCALL1(setfsuid, uint32_t, id)
{
	struct identity identity = users();
	uint32_t before = identity.file;
	if (set_file(&identity, id))
		set_users(&identity);
	return before;
}

/* ---- Groups ---- */

SYSCALL0(getgid)
{
	return credentials()->real_group;
}

SYSCALL0(getegid)
{
	return credentials()->effective_group;
}

SYSCALL3(getresgid, user_t, real, user_t, effective, user_t, saved)
{
	struct identity identity = groups();
	return put(&identity, real, effective, saved);
}

SYSCALL1(setgid, uint32_t, id)
{
	struct identity identity = groups();
	int error = set_one(&identity, id);
	return error != 0 ? error : set_groups(&identity);
}

SYSCALL2(setregid, uint32_t, real, uint32_t, effective)
{
	struct identity identity = groups();
	int error = set_two(&identity, real, effective);
	return error != 0 ? error : set_groups(&identity);
}

SYSCALL3(setresgid, uint32_t, real, uint32_t, effective, uint32_t, saved)
{
	struct identity identity = groups();
	int error = set_three(&identity, real, effective, saved);
	return error != 0 ? error : set_groups(&identity);
}

SYSCALL1(setfsgid, uint32_t, id)
{
	struct identity identity = groups();
	uint32_t before = identity.file;
	if (set_file(&identity, id))
		set_groups(&identity);
	return before;
}

/* ---- Supplementary groups ---- */

SYSCALL2(getgroups, int, size, user_t, address)
{
	const struct group_list *list = credentials()->groups;
	int count = list == NULL ? 0 : (int)list->count;
	if (size < 0 || (size > 0 && size < count))
		return -EINVAL;
	if (size > 0 && count > 0 &&
	    user_copy_out(address, list->groups, (size_t)count * sizeof(uint32_t)) != 0)
		return -EFAULT;
	return count;
}

static void sort(uint32_t *numbers, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		uint32_t number = numbers[i], at = i;
		for (; at > 0 && numbers[at - 1] > number; at--)
			numbers[at] = numbers[at - 1];
		numbers[at] = number;
	}
}

static int read_groups(struct group_list *list, user_t address)
{
	if (user_copy_in(list->groups, address, list->count * sizeof(uint32_t)) != 0)
		return -EFAULT;
	for (uint32_t i = 0; i < list->count; i++) {
		if (list->groups[i] == NOBODY)
			return -EINVAL;
	}
	sort(list->groups, list->count);
	return 0;
}

SYSCALL2(setgroups, int, count, user_t, address)
{
	struct credentials new = *credentials();
	if (!is_superuser())
		return -EPERM;
	if ((unsigned)count > GROUPS_MAX)
		return -EINVAL;
	struct group_list *list =
		kmalloc(sizeof(*list) + (size_t)count * sizeof(list->groups[0]));
	if (list == NULL)
		return -ENOMEM;
	*list = (struct group_list){.references = 1, .count = (uint32_t)count};
	int error = read_groups(list, address);
	if (error != 0) {
		kfree(list);
		return error;
	}
	credentials_release(&new);
	new.groups = list;
	credentials_set(&new);
	return 0;
}

/* ---- Capabilities: all are the superuser's, and nobody else has any ---- */

enum { CAPABILITY_VERSION_1 = 0x19980330, CAPABILITY_VERSION_2 = 0x20071026 };
enum { CAPABILITY_VERSION_3 = 0x20080522 };

struct capability_header {
	uint32_t version;
	int32_t thread;
};

/* 32 of the capabilities. */
struct capability_sets {
	uint32_t effective, permitted, inheritable;
};

/* How many of these a version has; 0: it is none. */
static unsigned sets_of(uint32_t version)
{
	if (version == CAPABILITY_VERSION_2 || version == CAPABILITY_VERSION_3)
		return 2;
	return version == CAPABILITY_VERSION_1 ? 1 : 0;
}

static void describe_capabilities(const struct credentials *of, struct capability_sets sets[2])
{
	const uint64_t all = (2ull << CAP_LAST_CAP) - 1;
	bool has_been = of->real_user == 0 || of->effective_user == 0 || of->saved_user == 0;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t part = (uint32_t)(all >> 32 * i);
		sets[i] = (struct capability_sets){
			.effective = of->effective_user == 0 ? part : 0,
			.permitted = has_been ? part : 0,
		};
	}
}

SYSCALL2(capget, user_t, header_address, user_t, data)
{
	struct capability_header header;
	struct capability_sets sets[2];
	if (user_get(&header, header_address) != 0)
		return -EFAULT;
	unsigned count = sets_of(header.version);
	if (count == 0) {
		header.version = CAPABILITY_VERSION_3;
		if (user_put(header_address, &header) != 0)
			return -EFAULT;
		return data == 0 ? 0 : -EINVAL;
	}
	if (data == 0)
		return 0;
	if (header.thread < 0)
		return -EINVAL;
	const struct thread *thread =
		header.thread == 0 ? current_thread : thread_find(header.thread);
	if (thread == NULL)
		return -ESRCH;
	describe_capabilities(&thread->credentials, sets);
	return user_copy_out(data, sets, count * sizeof(sets[0]));
}
