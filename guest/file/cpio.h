/* cpio archives of the "newc" format (with or without checksums, which are not looked at). */
#ifndef FILE_CPIO_H
#define FILE_CPIO_H

#include <calypso/types.h>

struct cpio_member {
	const char *path; /* NUL-terminated, not empty */
	const uint8_t *data;
	uint64_t length;
	uint64_t identity; /* with `links` > 1, members of one identity are one file */
	uint32_t links;
	uint32_t mode;
	uint32_t user;
	uint32_t group;
	uint32_t modified; /* seconds since 1970 */
	uint32_t major;	   /* of the device that a special file stands for */
	uint32_t minor;
};

struct cpio_reader {
	const uint8_t *archive;
	uint64_t length;
	uint64_t offset; /* of the next header */
};

/* The next member: 1, or 0 at the end, or -EINVAL where the archive breaks its own rules. Archives
 * may follow each other, with zeros between and behind them. */
int cpio_next(struct cpio_reader *reader, struct cpio_member *member);

#endif
