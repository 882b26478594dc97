/* Permissions of files. */
#include <file/permission.h>
#include <uapi/fcntl.h>

bool permissions_matter;

static bool is_file_superuser(void) { return credentials()->file_user == 0; }

/* What the mode gives to the class that the running thread is in: owner, group, or the others. */
static unsigned granted(const struct file *file)
{
	if (credentials()->file_user == file->user)
		return file->mode >> 6 & 7;
	return (credentials_have_group(file->group) ? file->mode >> 3 : file->mode) & 7;
}

int permission_check(const struct file *file, unsigned wanted)
{
	if ((wanted & ~granted(file)) == 0)
		return 0;
	/* The superuser may do all but execute what nobody may. */
	bool executable = S_ISDIR(file->mode) || (file->mode & S_IXUGO) != 0;
	if (is_file_superuser())
		return executable || (wanted & MAY_EXECUTE) == 0 ? 0 : -EACCES;
	return file->system->of_process && (wanted & MAY_WRITE) == 0 ? 0 : -EACCES;
}

static unsigned wanted_by(unsigned flags)
{
	unsigned wanted = (flags & O_TRUNC) != 0 ? MAY_WRITE : 0;
	if ((flags & O_ACCMODE) != O_WRONLY)
		wanted |= MAY_READ;
	if ((flags & O_ACCMODE) != O_RDONLY)
		wanted |= MAY_WRITE;
	return wanted;
}

int permission_to_open(const struct file *file, unsigned flags)
{
	if (!permissions_matter || (flags & O_PATH) != 0 || S_ISLNK(file->mode))
		return 0;
	unsigned wanted = wanted_by(flags);
	bool wrong_type = S_ISDIR(file->mode)
				  ? (wanted & MAY_WRITE) != 0 || (flags & O_CREAT) != 0
				  : (flags & O_DIRECTORY) != 0;
	if (wrong_type)
		return 0;
	int error = permission_check(file, wanted);
	if (error == 0 && (flags & O_NOATIME) != 0 && !permission_is_owner(file))
		error = -EPERM;
	return error;
}

int permission_to_add(const struct file *directory)
{
	return permissions_matter ? permission_check(directory, MAY_WRITE | MAY_EXECUTE) : 0;
}

int permission_to_remove(const struct file *directory, const struct file *entry)
{
	int error = permission_to_add(directory);
	if (error != 0 || (directory->mode & S_ISVTX) == 0)
		return error;
	return permission_is_owner(entry) || permission_is_owner(directory) ? 0 : -EPERM;
}

bool permission_is_owner(const struct file *file)
{
	return is_file_superuser() || credentials()->file_user == file->user;
}

int permission_to_give(const struct file *file, uint32_t user, uint32_t group)
{
	if (is_file_superuser())
		return 0;
	bool owns = credentials()->file_user == file->user;
	if (user != NOBODY && !(owns && user == file->user))
		return -EPERM;
	if (group != NOBODY && !(owns && (group == file->group || credentials_have_group(group))))
		return -EPERM;
	return 0;
}

uint32_t permission_bits(uint32_t group, uint32_t mode)
{
	bool member = is_file_superuser() || credentials_have_group(group);
	return member ? mode : mode & ~(uint32_t)S_ISGID;
}

void permission_own_entry(const struct file *directory, struct creation *what)
{
	const uint32_t runs_as_group = S_ISGID | S_IXGRP;
	what->user = credentials()->file_user;
	what->group = credentials()->file_group;
	if ((directory->mode & S_ISGID) == 0)
		return;
	/* Such a directory hands its group down, and directories in it do so, too. */
	what->group = directory->group;
	if (S_ISDIR(what->mode))
		what->mode |= S_ISGID;
	else if ((what->mode & runs_as_group) == runs_as_group)
		what->mode = permission_bits(directory->group, what->mode);
}

void permission_own(struct file *file)
{
	file->user = credentials()->file_user;
	file->group = credentials()->file_group;
}

void permission_drop_rights(struct file *file)
{
	if (!S_ISREG(file->mode) || is_file_superuser())
		return;
	file->mode &= ~(uint32_t)S_ISUID;
	if ((file->mode & S_IXGRP) != 0 || !credentials_have_group(file->group))
		file->mode &= ~(uint32_t)S_ISGID;
}
