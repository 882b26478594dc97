/* What the system says of itself. */
#ifndef PROCESS_SYSTEM_H
#define PROCESS_SYSTEM_H

#include <uapi/system.h>

/* As uname(2) tells. */
void system_describe(struct utsname *name);

#endif
