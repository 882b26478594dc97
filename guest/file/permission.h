/* Who may do what with files: owners, groups, permission bits; as Linux checks them (inode(7),
 * path_resolution(7)). Each check gives 0 or an error.
 */
#ifndef FILE_PERMISSION_H
#define FILE_PERMISSION_H

#include <file/credentials.h>
#include <file/file.h>

/* As in the three lowest bits of a mode, and of access(2). */
enum permission {
	MAY_EXECUTE = 1u << 0, /* of a directory: search it */
	MAY_WRITE = 1u << 1,
	MAY_READ = 1u << 2,
};

/* Some thread is, or was, not the superuser's. Until then nobody is asked who it is. */
extern bool permissions_matter;

/* -EACCES unless the running thread has all of `wanted` (enum permission). */
int permission_check(const struct file *file, unsigned wanted);

/* To look names up in a directory; what is none is not refused here. */
static inline int permission_to_search(const struct file *directory)
{
	return permissions_matter && S_ISDIR(directory->mode)
		       ? permission_check(directory, MAY_EXECUTE)
		       : 0;
}

/* To open a file with flags of open(2); what its type forbids is not refused here. */
int permission_to_open(const struct file *file, unsigned flags);

/* To add entries to a directory, and to remove or rename this one of it. */
int permission_to_add(const struct file *directory);
int permission_to_remove(const struct file *directory, const struct file *entry);

/* Whether the running thread may do what only a file's owner may. */
bool permission_is_owner(const struct file *file);

/* To change owner and group; NOBODY: not this one. */
int permission_to_give(const struct file *file, uint32_t user, uint32_t group);

/* What of a mode the running thread may give to a file of this group: S_ISGID is for its members. */
uint32_t permission_bits(uint32_t group, uint32_t mode);

/* Who owns what the running thread makes: in a directory, or without one. */
void permission_own_entry(const struct file *directory, struct creation *what);
void permission_own(struct file *file);

/* What runs with its owner's rights and was changed by another loses these (S_ISUID, S_ISGID). */
void permission_drop_rights(struct file *file);

#endif
