#include <calypso/lib.h>
#include <calypso/text.h>

void text_add_list(struct text *text, const char *format, va_list arguments)
{
	size_t room = text->size - text->length;
	size_t length = (size_t)vsnprintf(text->buffer + text->length, room, format, arguments);

	text->length += length < room ? length : room - 1;
}

void text_add(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_add_list(text, format, arguments);
	va_end(arguments);
}
