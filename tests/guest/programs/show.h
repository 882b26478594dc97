/* Printing what calls give, so that Linux and the guest can be compared. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#define ERRORS(X)                                                                              \
	X(EACCES) X(EADDRINUSE) X(EAGAIN) X(EBADF) X(EBUSY) X(ECONNREFUSED) X(ECONNRESET)      \
	X(EDESTADDRREQ) X(EEXIST) X(EFAULT) X(EFBIG) X(EINTR) X(EINVAL) X(EISCONN) X(EISDIR)   \
	X(ELOOP) X(EMFILE) X(EMLINK) X(EMSGSIZE) X(ENAMETOOLONG) X(ENODEV) X(ENOENT) X(ENOMEM) \
	X(ENOSPC) X(ENOSYS) X(ENOTCONN) X(ENOTDIR) X(ENOTEMPTY) X(ENOTSOCK) X(ENOTTY)          \
	X(ENXIO) X(EOPNOTSUPP) X(EOVERFLOW) X(EPERM) X(EPIPE) X(EPROTOTYPE) X(ERANGE)          \
	X(EROFS) X(ESPIPE) X(ESRCH) X(ETIMEDOUT) X(EXDEV) X(ECANCELED)

static const char *error_name(int error)
{
	static char number[16];
	switch (error) {
#define X(name) case name: return #name;
		ERRORS(X)
#undef X
	default:
		snprintf(number, sizeof(number), "error %d", error);
		return number;
	}
}

/* A call's text and result, or its error. */
#define SHOW(call)                                                \
	do {                                                      \
		errno = 0;                                        \
		long result_ = (long)(call);                      \
		printf("%-60s %ld", #call, result_);              \
		if (result_ == -1)                                \
			printf(" %s", error_name(errno));         \
		printf("\n");                                     \
	} while (0)

/* What poll finds now. */
static inline int events(int fd)
{
	struct pollfd entry = {fd, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLPRI | 0x2000, 0};
	poll(&entry, 1, 0);
	return entry.revents;
}
