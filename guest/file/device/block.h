/* Block devices: /dev/vda, vdb, ... are virtio disks (virtio 1.2, section 5.2). */
#ifndef FILE_DEVICE_BLOCK_H
#define FILE_DEVICE_BLOCK_H

#include <file/file.h>

/* As Linux happens to number them; 16 minors for each. */
#define BLOCK_MAJOR 254
#define BLOCK_MINORS 16
#define BLOCK_DEVICES_MAX 26 /* vda to vdz */

/* Whether there is an `index`th disk. */
bool block_exists(unsigned index);

extern const struct file_operations block_operations;

#endif
