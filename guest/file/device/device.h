/* Character devices: the drivers behind special files, by device number. */
#ifndef FILE_DEVICE_DEVICE_H
#define FILE_DEVICE_DEVICE_H

#include <file/file.h>

/* The operations of a special file (character or block device, FIFO, socket) with this mode and
 * device number. Where nothing is behind it, opening it fails with ENXIO. */
const struct file_operations *device_operations(uint32_t mode, uint64_t device);

/* Make the nodes that every program expects, in the directory that is to be /dev; what is there
 * already stays. */
void device_populate(struct file *directory);

#endif
