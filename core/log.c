/* SPDX-License-Identifier: MIT */
/* lib/log.h on the console: one line, one write, so that lines never mix. */
#include "core/log.h"
#include "core/console.h"
#include "lib/fmt.h"
#include "lib/log.h"

#define LINE_BYTES 512

static enum log_level highest = LOG_INFO;

static const char *prefix_of(enum log_level level)
{
	switch (level) {
	case LOG_ERROR:
		return "umbra: error: ";
	case LOG_WARN:
		return "umbra: warning: ";
	case LOG_INFO:
	case LOG_DEBUG:
		break;
	}
	return "umbra: ";
}

void log_set_level(enum log_level level)
{
	highest = level;
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[LINE_BYTES];
	size_t length;
	va_list args;

	if (level > highest)
		return;
	length = fmt(line, sizeof(line), "%s", prefix_of(level));
	va_start(args, format);
	length +=
	    fmt_va(line + length, sizeof(line) - length - 1, format, args);
	va_end(args);
	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length] = '\n';
	console_write(CONSOLE_UMBRA, (const u8 *)line, length + 1);
}
