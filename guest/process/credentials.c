/* The credentials of threads. */
#include <calypso/lib.h>
#include <file/permission.h>
#include <process/credentials.h>
#include <process/process.h>

const struct credentials *credentials(void) { return &current_thread->credentials; }

bool credentials_have_group(uint32_t group)
{
	const struct credentials *self = credentials();
	if (self->file_group == group)
		return true;
	uint32_t low = 0, high = self->groups == NULL ? 0 : self->groups->count;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (self->groups->groups[middle] == group)
			return true;
		if (self->groups->groups[middle] < group)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

void credentials_share(struct credentials *to, const struct credentials *from)
{
	*to = *from;
	if (to->groups != NULL)
		to->groups->references++;
}

void credentials_release(struct credentials *of)
{
	if (of->groups != NULL && --of->groups->references == 0)
		kfree(of->groups);
	of->groups = NULL;
}

void credentials_set(const struct credentials *new)
{
	/* What every machine has must not belong to whoever looks for the first file. */
	if (!permissions_matter)
		root_directory();
	permissions_matter = true;
	current_thread->credentials = *new;
}

struct credentials credentials_use_real(void)
{
	struct credentials *self = &current_thread->credentials;
	struct credentials own = *self;
	self->file_user = self->real_user;
	self->file_group = self->real_group;
	return own;
}

void credentials_put_back(const struct credentials *own)
{
	current_thread->credentials.file_user = own->file_user;
	current_thread->credentials.file_group = own->file_group;
}

void credentials_execute(const struct file *program)
{
	const uint32_t runs_as_group = S_ISGID | S_IXGRP;
	struct credentials new = *credentials();
	if ((program->mode & S_ISUID) != 0 && !process.no_new_privileges)
		new.effective_user = program->user;
	if ((program->mode & runs_as_group) == runs_as_group && !process.no_new_privileges)
		new.effective_group = program->group;
	new.saved_user = new.file_user = new.effective_user;
	new.saved_group = new.file_group = new.effective_group;
	if (memcmp(&new, credentials(), sizeof(new)) != 0)
		credentials_set(&new);
}
