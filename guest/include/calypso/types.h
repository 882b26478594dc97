/* Words that the whole kernel uses. */
#ifndef CALYPSO_TYPES_H
#define CALYPSO_TYPES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

/* A guest-physical address; `phys_to_virt` gives the kernel's pointer to RAM. */
typedef uint64_t physical_t;

/* An address in the program's half of the address space, given by the program and trusted in
 * nothing. It is a number so that it cannot be dereferenced: <calypso/user.h> reaches it. */
typedef uint64_t user_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE ((uint64_t)1 << PAGE_SHIFT)
#define PAGE_MASK (PAGE_SIZE - 1)

#define ALIGN_DOWN(value, alignment) ((value) & ~((alignment)-1))
#define ALIGN_UP(value, alignment) (((value) + (alignment)-1) & ~((alignment)-1))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define printf_like(text, first) __attribute__((format(printf, text, first)))

#endif
