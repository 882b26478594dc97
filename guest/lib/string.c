/* The string functions that are not worth assembly; memcpy, memmove and memset are in arch. */
#include <calypso/lib.h>

int (memcmp)(const void *left, const void *right, size_t count)
{
	const unsigned char *a = left, *b = right;

	for (size_t i = 0; i < count; i++)
		if (a[i] != b[i])
			return a[i] - b[i];
	return 0;
}

void *memchr(const void *from, int byte, size_t count)
{
	const unsigned char *at = from;

	for (size_t i = 0; i < count; i++)
		if (at[i] == (unsigned char)byte)
			return (void *)(uintptr_t)(at + i);
	return NULL;
}

size_t (strlen)(const char *text)
{
	const char *end = text;

	while (*end)
		end++;
	return (size_t)(end - text);
}

size_t strnlen(const char *text, size_t limit)
{
	size_t length = 0;

	while (length < limit && text[length])
		length++;
	return length;
}

int strcmp(const char *left, const char *right)
{
	return strncmp(left, right, SIZE_MAX);
}

int strncmp(const char *left, const char *right, size_t limit)
{
	for (size_t i = 0; i < limit; i++) {
		unsigned char a = (unsigned char)left[i], b = (unsigned char)right[i];

		if (a != b || a == 0)
			return a - b;
	}
	return 0;
}

char *strchr(const char *text, int byte)
{
	for (;; text++) {
		if (*text == (char)byte)
			return (char *)(uintptr_t)text;
		if (*text == 0)
			return NULL;
	}
}

char *strrchr(const char *text, int byte)
{
	const char *last = NULL;

	for (;; text++) {
		if (*text == (char)byte)
			last = text;
		if (*text == 0)
			return (char *)(uintptr_t)last;
	}
}

size_t strlcpy(char *to, const char *from, size_t size)
{
	size_t length = strlen(from);

	if (size != 0) {
		size_t kept = length < size ? length : size - 1;

		memcpy(to, from, kept);
		to[kept] = 0;
	}
	return length;
}

static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 0x20; /* lower case */
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 10;
	return 99;
}

/* Resolve base 0, moving past a 0x that digits follow. */
static unsigned skip_prefix(const char **text)
{
	const char *at = *text;

	if (at[0] != '0')
		return 10;
	if ((at[1] | 0x20) == 'x' && digit_value(at[2]) < 16) {
		*text += 2;
		return 16;
	}
	return 8;
}

bool parse_number(const char **text, unsigned base, uint64_t *number)
{
	const char *at = *text;
	uint64_t value = 0;

	if (base == 0)
		base = skip_prefix(&at);
	const char *digits = at;
	for (unsigned digit; (digit = digit_value(*at)) < base; at++)
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	if (at == digits)
		return false;
	*text = at;
	*number = value;
	return true;
}
