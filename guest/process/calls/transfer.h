/* One transfer of an open file, whichever way. */
#ifndef PROCESS_CALLS_TRANSFER_H
#define PROCESS_CALLS_TRANSFER_H

#include <file/open_file.h>

enum way { READ, WRITE };

static inline int64_t transfer(struct open_file *open, struct io *io, enum way way, const uint64_t *offset)
{
	return way == READ ? open_file_read(open, io, offset) : open_file_write(open, io, offset);
}

#endif
