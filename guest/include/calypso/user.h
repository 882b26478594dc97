/* Copies between the kernel and the program's memory.
 *
 * Each access may fault in pages of the program. A part that is outside the program's mappings,
 * or lacks the right, ends the copy with -EFAULT; what lies before may have been copied. A range
 * that reaches into the kernel's half is refused before anything is touched.
 */
#ifndef CALYPSO_USER_H
#define CALYPSO_USER_H

#include <calypso/types.h>

/* 0 or -EFAULT. */
int user_copy_in(void *to, user_t from, size_t length);
int user_copy_out(user_t to, const void *from, size_t length);
int user_clear(user_t to, size_t length);

/* Copy a NUL-terminated string to `to[size]`. Its length without the NUL; -EFAULT; or
 * -ENAMETOOLONG where no NUL comes within `size` bytes. */
int64_t user_string(char *to, user_t from, size_t size);

/* Copy one object: `user_get(&value, address)`, `user_put(address, &value)`. */
#define user_get(to, from) user_copy_in((to), (from), sizeof(*(to)))
#define user_put(to, from) user_copy_out((to), (from), sizeof(*(from)))

#endif
