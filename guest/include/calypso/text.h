/* Text that grows in a buffer of fixed size, for reports. What does not fit is cut. */
#ifndef CALYPSO_TEXT_H
#define CALYPSO_TEXT_H

#include <calypso/types.h>
#include <stdarg.h>

struct text {
	char *buffer;
	size_t size;
	size_t length; /* always < size; buffer[length] is 0 */
};

void text_add(struct text *text, const char *format, ...) printf_like(2, 3);
void text_add_list(struct text *text, const char *format, va_list arguments) printf_like(2, 0);

#endif
