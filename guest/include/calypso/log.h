/* The kernel's log, and the end of the kernel.
 *
 * Lines go to the console's log stream when their level is at or above (numerically: not over)
 * what `loglevel=` on the command line asks for. Default: LOG_NONE, so a quiet kernel costs no
 * exit; a panic is always told.
 */
#ifndef CALYPSO_LOG_H
#define CALYPSO_LOG_H

#include <calypso/types.h>

enum log_level { LOG_NONE, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

extern enum log_level log_level;

/* Write one line; the newline is added. Lines over 200 bytes are cut. */
void log_write(enum log_level level, const char *format, ...) printf_like(2, 3);

#define log_at(level, ...)                              \
	do {                                            \
		if (unlikely((level) <= log_level))     \
			log_write((level), __VA_ARGS__); \
	} while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

struct trap_frame;

/* Give up: say why, with registers and a backtrace, and stop the machine (CALYPSO_EXIT_PANIC). */
noreturn void panic(const char *format, ...) printf_like(1, 2);

/* The same for what happened at `frame`, whose registers and backtrace are shown. */
noreturn void panic_at(const struct trap_frame *frame, const char *format, ...) printf_like(2, 3);

#define assert_that(condition)                                      \
	do {                                                        \
		if (unlikely(!(condition)))                         \
			panic("%s:%d: %s does not hold", __FILE__, __LINE__, #condition); \
	} while (0)

#endif
