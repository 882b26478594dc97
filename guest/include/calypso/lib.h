/* The C library that the kernel has: memory, strings, formatting, list. */
#ifndef CALYPSO_LIB_H
#define CALYPSO_LIB_H

#include <calypso/types.h>
#include <stdarg.h>

/* As in C (the compiler calls the first four by itself). */
void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
int memcmp(const void *left, const void *right, size_t count);
void *memchr(const void *from, int byte, size_t count);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t limit);
int strcmp(const char *left, const char *right);
int strncmp(const char *left, const char *right, size_t limit);
char *strchr(const char *text, int byte);
char *strrchr(const char *text, int byte);

/* Freestanding compilers call these even for a few bytes; the built-in forms they expand. */
#define memcpy(to, from, count) __builtin_memcpy((to), (from), (count))
#define memmove(to, from, count) __builtin_memmove((to), (from), (count))
#define memset(to, byte, count) __builtin_memset((to), (byte), (count))
#define memcmp(left, right, count) __builtin_memcmp((left), (right), (count))
#define strlen(text) __builtin_strlen(text)

/* Copy `from` with its NUL into `to[size]`, cut where it does not fit. Returns strlen(from). */
size_t strlcpy(char *to, const char *from, size_t size);

/* Formatting as in C: flags `0`, `-`, `#`, `+` and space, width and precision (also `*`), lengths
 * hh h l ll z j t, conversions d i u x X o c s p %. Returns the length without the cut. */
int snprintf(char *to, size_t size, const char *format, ...) printf_like(3, 4);
int vsnprintf(char *to, size_t size, const char *format, va_list arguments) printf_like(3, 0);

/* Read digits of `base` (2 to 36; 0: by prefix 0x, 0, or decimal) at `*text`, and move it past
 * them. False, with nothing moved, where there is no digit or the number exceeds 64 bits. */
bool parse_number(const char **text, unsigned base, uint64_t *number);

#endif
