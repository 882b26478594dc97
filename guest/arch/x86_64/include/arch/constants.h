/* x86_64: names and numbers. */
#ifndef ARCH_CONSTANTS_H
#define ARCH_CONSTANTS_H

#define ARCH_MACHINE "x86_64" /* uname -m, AT_PLATFORM */
#define ARCH_ELF_MACHINE 62   /* EM_X86_64 */

#endif
