/* arm64: names and numbers. */
#ifndef ARCH_CONSTANTS_H
#define ARCH_CONSTANTS_H

#define ARCH_MACHINE "aarch64" /* uname -m, AT_PLATFORM */
#define ARCH_ELF_MACHINE 183   /* EM_AARCH64 */

/* What bootinfo's `console` is, at a physical address. */
#define ARCH_CONSOLE_DRIVER pl011_driver

#define AUXSPCB_SIZE 320 /* of struct auxspcb */
#define FP_STATE_MAX 528 /* of the state above it */

#endif
