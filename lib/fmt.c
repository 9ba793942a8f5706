/* SPDX-License-Identifier: MIT */
/* Formatting text: see lib/fmt.h for what is understood. */
#include "lib/fmt.h"
#include "lib/string.h"

/* Where text goes; `length` counts also what no longer fits. */
struct sink {
	char *buffer;
	size_t buffer_bytes;
	size_t length;
};

struct spec {
	bool left;      /* '-' */
	bool zero;      /* '0' */
	bool alternate; /* '#' */
	char plus;      /* '+', ' ' or 0 */
	int width;
	int precision; /* -1: none given */
	int length;    /* bytes of the integer argument */
	char conversion;
};

static void put(struct sink *sink, char c)
{
	if (sink->length + 1 < sink->buffer_bytes)
		sink->buffer[sink->length] = c;
	sink->length++;
}

static void pad(struct sink *sink, char c, int count)
{
	for (int i = 0; i < count; i++)
		put(sink, c);
}

static void put_text(struct sink *sink, const struct spec *spec,
		     const char *text)
{
	size_t limit = spec->precision < 0 ? SIZE_MAX : (size_t)spec->precision;
	size_t length = strnlen(text ? text : "(null)", limit);
	int padding = spec->width - (int)length;

	if (!spec->left)
		pad(sink, ' ', padding);
	for (size_t i = 0; i < length; i++)
		put(sink, (text ? text : "(null)")[i]);
	if (spec->left)
		pad(sink, ' ', padding);
}

/* Writes the digits of `value` backwards; returns their count. */
static int digits_of(u64 value, u64 base, bool upper, char digits[64])
{
	const char *alphabet = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	int count = 0;

	for (; value; value /= base)
		digits[count++] = alphabet[value % base];
	return count;
}

static void put_number(struct sink *sink, const struct spec *spec, u64 value,
		       char sign)
{
	bool hex = spec->conversion == 'x' || spec->conversion == 'X' ||
		   spec->conversion == 'p';
	char digits[64];
	int count =
	    digits_of(value, hex ? 16 : 10, spec->conversion == 'X', digits);
	int minimum = spec->precision < 0 ? 1 : spec->precision;
	bool prefix = hex && (spec->alternate || spec->conversion == 'p') &&
		      (value || spec->conversion == 'p');
	int zeros = minimum > count ? minimum - count : 0;
	int padding =
	    spec->width - count - zeros - (prefix ? 2 : 0) - (sign ? 1 : 0);

	if (spec->zero && !spec->left && spec->precision < 0 && padding > 0) {
		zeros += padding;
		padding = 0;
	}
	if (!spec->left)
		pad(sink, ' ', padding);
	if (sign)
		put(sink, sign);
	if (prefix) {
		put(sink, '0');
		put(sink, spec->conversion == 'X' ? 'X' : 'x');
	}
	pad(sink, '0', zeros);
	while (count > 0)
		put(sink, digits[--count]);
	if (spec->left)
		pad(sink, ' ', padding);
}

static const char *parse_flags(const char *at, struct spec *spec)
{
	for (;; at++) {
		switch (*at) {
		case '-':
			spec->left = true;
			break;
		case '0':
			spec->zero = true;
			break;
		case '#':
			spec->alternate = true;
			break;
		case '+':
			spec->plus = '+';
			break;
		case ' ':
			if (!spec->plus)
				spec->plus = ' ';
			break;
		default:
			return at;
		}
	}
}

/* A decimal number; stops growing where it could overflow an int. */
static const char *parse_number(const char *at, int *number)
{
	*number = 0;
	for (; *at >= '0' && *at <= '9'; at++)
		if (*number < 100000)
			*number = *number * 10 + (*at - '0');
	return at;
}

static const char *parse_length(const char *at, struct spec *spec)
{
	spec->length = sizeof(int);
	if (at[0] == 'h') {
		spec->length = at[1] == 'h' ? 1 : 2;
		return at + (at[1] == 'h' ? 2 : 1);
	}
	if (at[0] == 'l') {
		spec->length = 8;
		return at + (at[1] == 'l' ? 2 : 1);
	}
	if (at[0] == 'z') {
		spec->length = 8;
		return at + 1;
	}
	return at;
}

static u64 unsigned_of(const struct spec *spec, u64 raw)
{
	switch (spec->length) {
	case 1:
		return (u8)raw;
	case 2:
		return (u16)raw;
	case 4:
		return (u32)raw;
	default:
		return raw;
	}
}

static i64 signed_of(const struct spec *spec, u64 raw)
{
	switch (spec->length) {
	case 1:
		return (i8)raw;
	case 2:
		return (i16)raw;
	case 4:
		return (i32)raw;
	default:
		return (i64)raw;
	}
}

static void put_integer(struct sink *sink, const struct spec *spec, u64 raw)
{
	if (spec->conversion == 'd' || spec->conversion == 'i') {
		i64 value = signed_of(spec, raw);
		u64 magnitude = value < 0 ? 0 - (u64)value : (u64)value;

		put_number(sink, spec, magnitude, value < 0 ? '-' : spec->plus);
	} else {
		put_number(sink, spec, unsigned_of(spec, raw), 0);
	}
}

/*
 * Prints one conversion with its argument. `start` is the '%', so that what
 * is not understood can be shown as it stands.
 */
static void put_conversion(struct sink *sink, const struct spec *spec,
			   const char *start, const char *end, va_list *args)
{
	char single[2] = {0};

	switch (spec->conversion) {
	case '%':
		put(sink, '%');
		break;
	case 'c':
		single[0] = (char)va_arg(*args, int);
		put_text(sink, spec, single);
		break;
	case 's':
		put_text(sink, spec, va_arg(*args, const char *));
		break;
	case 'p':
		put_number(sink, spec, (u64)va_arg(*args, void *), 0);
		break;
	case 'd':
	case 'i':
	case 'u':
	case 'x':
	case 'X':
		put_integer(sink, spec,
			    spec->length == 8 ? va_arg(*args, u64)
					      : va_arg(*args, u32));
		break;
	default:
		for (const char *at = start; at < end; at++)
			put(sink, *at);
	}
}

static const char *parse_spec(const char *at, struct spec *spec, va_list *args)
{
	*spec = (struct spec){.precision = -1};
	at = parse_flags(at, spec);
	if (*at == '*') {
		spec->width = va_arg(*args, int);
		at++;
	} else {
		at = parse_number(at, &spec->width);
	}
	if (spec->width < 0) {
		spec->left = true;
		spec->width = -spec->width;
	}
	if (*at == '.') {
		at++;
		if (*at == '*') {
			spec->precision = va_arg(*args, int);
			at++;
		} else {
			at = parse_number(at, &spec->precision);
		}
	}
	at = parse_length(at, spec);
	spec->conversion = *at;
	return *at ? at + 1 : at;
}

size_t fmt_va(char *buffer, size_t buffer_bytes, const char *format,
	      va_list args)
{
	struct sink sink = {buffer, buffer_bytes, 0};
	va_list rest;

	va_copy(rest, args);
	for (const char *at = format; *at;) {
		struct spec spec;
		const char *start = at;

		if (*at != '%') {
			put(&sink, *at++);
			continue;
		}
		at = parse_spec(at + 1, &spec, &rest);
		put_conversion(&sink, &spec, start, at, &rest);
	}
	va_end(rest);
	if (buffer_bytes)
		buffer[sink.length < buffer_bytes ? sink.length
						  : buffer_bytes - 1] = 0;
	return sink.length;
}

size_t fmt(char *buffer, size_t buffer_bytes, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	size_t length = fmt_va(buffer, buffer_bytes, format, args);
	va_end(args);
	return length;
}
