/* Open files on their way through a socket (SCM_RIGHTS). */
#ifndef NET_RIGHTS_H
#define NET_RIGHTS_H

#include <file/open_file.h>
#include <uapi/socket.h>

struct rights {
	unsigned count;
	struct open_file *files[]; /* references */
};

/* Make room for `count` more, in new ones where `rights` is NULL. NULL without memory, and `rights`
 * is as it was. */
struct rights *rights_extend(struct rights *rights, unsigned count);

/* The same open files once more, or NULL without memory. */
struct rights *rights_copy(const struct rights *rights);

/* Give them all back; NULL is allowed. */
void rights_free(struct rights *rights);

#endif
