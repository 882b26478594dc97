/* Copies between the kernel and the program: the checks; arch/.../user.S does the work. */
#include <calypso/arch.h>
#include <calypso/errno.h>
#include <calypso/user.h>

/* 0, or -EFAULT or -ENAMETOOLONG. Addresses of the program are checked by the caller. */
int arch_user_copy(void *to, const void *from, size_t length);
int arch_user_clear(void *to, size_t length);
int64_t arch_user_string(char *to, const char *from, size_t size);

static bool is_user_range(user_t start, size_t length)
{
	return start <= USER_END && length <= USER_END - start;
}

int user_copy_in(void *to, user_t from, size_t length)
{
	if (!is_user_range(from, length))
		return -EFAULT;
	return arch_user_copy(to, (const void *)(uintptr_t)from, length);
}

int user_copy_out(user_t to, const void *from, size_t length)
{
	if (!is_user_range(to, length))
		return -EFAULT;
	return arch_user_copy((void *)(uintptr_t)to, from, length);
}

int user_clear(user_t to, size_t length)
{
	if (!is_user_range(to, length))
		return -EFAULT;
	return arch_user_clear((void *)(uintptr_t)to, length);
}

int64_t user_string(char *to, user_t from, size_t size)
{
	if (from >= USER_END)
		return -EFAULT;
	if (size <= USER_END - from)
		return arch_user_string(to, (const char *)(uintptr_t)from, size);
	/* The string would have to end where the program's half does. */
	int64_t length = arch_user_string(to, (const char *)(uintptr_t)from, USER_END - from);
	return length == -ENAMETOOLONG ? -EFAULT : length;
}
