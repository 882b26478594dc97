/* x86_64: names and numbers. */
#ifndef ARCH_CONSTANTS_H
#define ARCH_CONSTANTS_H

#define ARCH_MACHINE "x86_64" /* uname -m, AT_PLATFORM */
#define ARCH_ELF_MACHINE 62   /* EM_X86_64 */

/* What bootinfo's `console` is, at an I/O port. */
#define ARCH_CONSOLE_DRIVER ns16550_driver

#define AUXSPCB_SIZE 224  /* of struct auxspcb */
#define FP_STATE_MAX 2688 /* of the state above it: x87, SSE, AVX and AVX-512 */

#endif
