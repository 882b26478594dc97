/* Open files on their way through a socket (SCM_RIGHTS). */
#ifndef NET_RIGHTS_H
#define NET_RIGHTS_H

#include <file/open_file.h>
#include <uapi/socket.h>

struct rights {
	unsigned count;
	struct open_file *files[]; /* references */
};

/* None yet, with room for so many, at most SCM_MAX_FD; or NULL without memory. */
struct rights *rights_make(unsigned room);

/* The same open files once more, or NULL without memory. */
struct rights *rights_copy(const struct rights *rights);

/* Give them all back; NULL is allowed. */
void rights_free(struct rights *rights);

#endif
