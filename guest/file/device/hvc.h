/* The virtio console (virtio 1.2, section 5.3): /dev/hvc0, bytes to and from the host as they are. */
#ifndef FILE_DEVICE_HVC_H
#define FILE_DEVICE_HVC_H

#include <file/file.h>

/* As Linux numbers it. */
#define HVC_MAJOR 229

/* Whether there is such a console. */
bool hvc_exists(void);

extern const struct file_operations hvc_operations;

#endif
