/* The initrd: a cpio archive that becomes the content of the root directory. */
#ifndef FILE_INITRD_H
#define FILE_INITRD_H

#include <file/context.h>

/* Unpack an archive below the root of `context`. Data of regular files stays in the archive until
 * a file is written. 0; -EINVAL where the archive is malformed, what came before is there then;
 * -ENOMEM. */
int initrd_unpack(struct file_context *context, const void *archive, uint64_t length);

#endif
