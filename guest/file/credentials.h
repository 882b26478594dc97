/* Who makes a call: users and groups as Linux has them (credentials(7)), each thread its own.
 *
 * All zeros is the superuser, which is what every machine starts as. A thread has the superuser's
 * rights to files while its `file_user` is 0, and all others while its `effective_user` is.
 */
#ifndef FILE_CREDENTIALS_H
#define FILE_CREDENTIALS_H

#include <calypso/types.h>

#define NOBODY UINT32_MAX /* no user's and no group's number */

/* Supplementary groups, ascending. */
struct group_list {
	uint32_t references;
	uint32_t count;
	uint32_t groups[];
};

struct credentials {
	uint32_t real_user, effective_user, saved_user, file_user;
	uint32_t real_group, effective_group, saved_group, file_group;
	struct group_list *groups; /* NULL: none */
};

/* Of the running thread. */
const struct credentials *credentials(void);

static inline bool is_superuser(void) { return credentials()->effective_user == 0; }

/* Whether the running thread's file group, or one of its supplementary groups, is this one. */
bool credentials_have_group(uint32_t group);

#endif
