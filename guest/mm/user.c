/* Copies between the kernel and the program: the checks; arch/.../user.S does the work. */
#include "mm/space.h"

#include <calypso/arch.h>
#include <calypso/boot.h>
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <calypso/user.h>

/* 0, or -EFAULT or -ENAMETOOLONG. Addresses of the program are checked by the caller. */
int arch_user_copy(void *to, const void *from, size_t length);
int arch_user_clear(void *to, size_t length);
int64_t arch_user_string(char *to, const char *from, size_t size);

static bool is_user_range(user_t start, size_t length)
{
	user_t end;

	return !__builtin_add_overflow(start, length, &end) && end <= USER_END;
}

/* ---- While boot builds the address space, which is not in use yet: page by page ---- */

enum action { COPY_IN, COPY_OUT, CLEAR };

/* `from` and `to` as user_copy_in, user_copy_out and user_clear have them; one is the program's. */
static __attribute__((noinline, cold)) int act_on_pages(uint64_t to, uint64_t from, size_t length,
							enum action action)
{
	user_t address = action == COPY_IN ? from : to;

	for (size_t done = 0, part; done < length; done += part) {
		user_t at = address + done;
		void *content = page_content(at, action == COPY_IN ? PROT_READ : PROT_WRITE);

		if (!content)
			return -EFAULT;
		part = PAGE_SIZE - at % PAGE_SIZE;
		if (part > length - done)
			part = length - done;
		if (action == COPY_IN)
			memcpy((char *)(uintptr_t)to + done, content, part);
		else if (action == COPY_OUT)
			memcpy(content, (const char *)(uintptr_t)from + done, part);
		else
			memset(content, 0, part);
	}
	return 0;
}

/* ---- The interface ---- */

int user_copy_in(void *to, user_t from, size_t length)
{
	if (unlikely(!is_user_range(from, length)))
		return -EFAULT;
	if (unlikely(!paging_is_active()))
		return act_on_pages((uintptr_t)to, from, length, COPY_IN);
	return arch_user_copy(to, (const void *)(uintptr_t)from, length);
}

int user_copy_out(user_t to, const void *from, size_t length)
{
	if (unlikely(!is_user_range(to, length)))
		return -EFAULT;
	if (unlikely(!paging_is_active()))
		return act_on_pages(to, (uintptr_t)from, length, COPY_OUT);
	return arch_user_copy((void *)(uintptr_t)to, from, length);
}

int user_clear(user_t to, size_t length)
{
	if (unlikely(!is_user_range(to, length)))
		return -EFAULT;
	if (unlikely(!paging_is_active()))
		return act_on_pages(to, 0, length, CLEAR);
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
