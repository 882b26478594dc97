/* x86_64: devices that boot needs. They are behind I/O ports: there is nothing to be mapped. */
#include <calypso/boot.h>

void early_devices(void) {}
