/* snprintf: the conversions that a kernel prints, none with floating point. */
#include <calypso/lib.h>

struct output {
	char *to;
	size_t size;
	size_t length; /* what it would be without the cut */
};

struct conversion {
	bool left;	 /* - */
	bool zero;	 /* 0 */
	bool alternate;	 /* # */
	char positive;	 /* + or space, or 0 */
	char kind;
	int width;
	int precision; /* -1: none given */
	unsigned size; /* of the integer argument, bytes */
};

static void put(struct output *out, char c)
{
	if (out->length + 1 < out->size)
		out->to[out->length] = c;
	out->length++;
}

static void put_many(struct output *out, char c, int count)
{
	for (; count > 0; count--)
		put(out, c);
}

static void put_text(struct output *out, const char *text, int length)
{
	for (int i = 0; i < length; i++)
		put(out, text[i]);
}

/* Sign or prefix, digits of at least `precision`, all padded to the width. */
static void put_padded(struct output *out, const struct conversion *how, const char *prefix,
		       const char *text, int length)
{
	int prefixed = (int)strlen(prefix);
	int zeros = how->precision > length ? how->precision - length : 0;

	if (how->zero && !how->left && how->precision < 0 && how->width > prefixed + length)
		zeros = how->width - prefixed - length;
	int blanks = how->width - prefixed - zeros - length;
	if (!how->left)
		put_many(out, ' ', blanks);
	put_text(out, prefix, prefixed);
	put_many(out, '0', zeros);
	put_text(out, text, length);
	if (how->left)
		put_many(out, ' ', blanks);
}

static void put_number(struct output *out, const struct conversion *how, uint64_t value,
		       const char *prefix)
{
	const char *digits = how->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	unsigned base = how->kind == 'o' ? 8 : (how->kind | 0x20) == 'x' ? 16 : 10;
	char text[22]; /* 2^64 in octal */
	char *at = text + sizeof(text);

	while (value != 0) {
		*--at = digits[value % base];
		value /= base;
	}
	/* Precision 0 prints zero as nothing. */
	if (at == text + sizeof(text) && how->precision != 0)
		*--at = '0';
	put_padded(out, how, prefix, at, (int)(text + sizeof(text) - at));
}

static uint64_t fetch_unsigned(va_list *arguments, unsigned size)
{
	if (size == 8)
		return va_arg(*arguments, uint64_t);
	uint32_t value = va_arg(*arguments, uint32_t);
	return size == 1 ? (uint8_t)value : size == 2 ? (uint16_t)value : value;
}

static int64_t fetch_signed(va_list *arguments, unsigned size)
{
	if (size == 8)
		return va_arg(*arguments, int64_t);
	int32_t value = va_arg(*arguments, int32_t);
	return size == 1 ? (int8_t)value : size == 2 ? (int16_t)value : value;
}

static void convert_signed(struct output *out, const struct conversion *how, va_list *arguments)
{
	int64_t value = fetch_signed(arguments, how->size);
	char sign[2] = {value < 0 ? '-' : how->positive, 0};

	put_number(out, how, value < 0 ? -(uint64_t)value : (uint64_t)value, sign);
}

static void convert_unsigned(struct output *out, const struct conversion *how, va_list *arguments)
{
	uint64_t value = fetch_unsigned(arguments, how->size);
	const char *prefix = "";

	if (how->alternate && value != 0)
		prefix = how->kind == 'x' ? "0x" : how->kind == 'X' ? "0X" : "";
	put_number(out, how, value, prefix);
}

static void convert_text(struct output *out, struct conversion how, const char *text)
{
	if (text == NULL)
		text = "(null)";
	size_t length = strnlen(text, how.precision < 0 ? INT32_MAX : (size_t)how.precision);
	how.precision = -1;
	how.zero = false;
	put_padded(out, &how, "", text, (int)length);
}

static void convert(struct output *out, struct conversion *how, va_list *arguments)
{
	switch (how->kind) {
	case 'd':
	case 'i':
		convert_signed(out, how, arguments);
		return;
	case 'u':
	case 'o':
	case 'x':
	case 'X':
		convert_unsigned(out, how, arguments);
		return;
	case 'p':
		how->kind = 'x';
		put_number(out, how, (uintptr_t)va_arg(*arguments, void *), "0x");
		return;
	case 'c': {
		char c = (char)va_arg(*arguments, int);

		how->precision = -1;
		how->zero = false;
		put_padded(out, how, "", &c, 1);
		return;
	}
	case 's':
		convert_text(out, *how, va_arg(*arguments, const char *));
		return;
	default: /* %% and mistakes, which the compiler has warned of */
		put(out, how->kind);
	}
}

static bool read_flag(struct conversion *how, char c)
{
	switch (c) {
	case '-':
		return how->left = true;
	case '0':
		return how->zero = true;
	case '#':
		return how->alternate = true;
	case '+':
		how->positive = '+';
		return true;
	case ' ':
		if (how->positive == 0)
			how->positive = ' ';
		return true;
	default:
		return false;
	}
}

static int read_count(const char **format, va_list *arguments)
{
	int count = 0;

	if (**format == '*') {
		++*format;
		return va_arg(*arguments, int);
	}
	for (; **format >= '0' && **format <= '9'; ++*format)
		count = count * 10 + (**format - '0');
	return count;
}

static unsigned read_size(const char **format)
{
	switch (**format) {
	case 'h':
		++*format;
		if (**format != 'h')
			return 2;
		++*format;
		return 1;
	case 'l':
		++*format;
		if (**format == 'l')
			++*format;
		return 8;
	case 'z':
	case 'j':
	case 't':
		++*format;
		return 8;
	default:
		return 4;
	}
}

/* Read what follows a % sign; leaves the format behind it. */
static struct conversion read_conversion(const char **format, va_list *arguments)
{
	struct conversion how = {.precision = -1};

	while (read_flag(&how, **format))
		++*format;
	how.width = read_count(format, arguments);
	if (how.width < 0) {
		how.left = true;
		how.width = -how.width;
	}
	if (**format == '.') {
		++*format;
		how.precision = read_count(format, arguments);
	}
	how.size = read_size(format);
	how.kind = **format;
	if (how.kind != 0)
		++*format;
	return how;
}

int vsnprintf(char *to, size_t size, const char *format, va_list arguments)
{
	struct output out = {.to = to, .size = size};
	va_list rest;

	va_copy(rest, arguments);
	while (*format != 0) {
		char c = *format++;

		if (c != '%') {
			put(&out, c);
			continue;
		}
		struct conversion how = read_conversion(&format, &rest);
		if (how.kind == 0)
			break;
		convert(&out, &how, &rest);
	}
	va_end(rest);
	if (size != 0)
		to[out.length < size ? out.length : size - 1] = 0;
	return (int)out.length;
}

int snprintf(char *to, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(to, size, format, arguments);
	va_end(arguments);
	return length;
}
