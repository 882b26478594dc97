/* Structures of the program as text. */
#include <process/strace/structures.h>

#include <arch/uapi.h>
#include <calypso/lib.h>
#include <calypso/user.h>
#include <process/signal.h>
#include <process/strace/names.h>
#include <uapi/stat.h>
#include <uapi/types.h>

void strace_add_signal(struct text *text, int signal)
{
	const char *name = signal_name(signal);
	const int first_real_time = 32;
	if (name != NULL)
		text_add(text, "%s", name);
	else if (signal == first_real_time)
		text_add(text, "SIGRTMIN");
	else if (signal > first_real_time && signal <= SIGNAL_COUNT)
		text_add(text, "SIGRT_%d", signal - first_real_time);
	else
		text_add(text, "%d", signal);
}

/* A set by the signals in it or, where these are fewer, those that are not. */
static void add_signals(struct text *text, uint64_t set)
{
	bool inverted = __builtin_popcountll(set) > SIGNAL_COUNT / 2;
	const char *separator = "";
	if (inverted)
		set = ~set;
	text_add(text, inverted ? "~[" : "[");
	for (int signal = 1; signal <= SIGNAL_COUNT; signal++) {
		if ((set & SIGNAL_BIT(signal)) == 0)
			continue;
		text_add(text, "%s", separator);
		size_t start = text->length;
		const size_t prefix = 3; /* SIG */
		strace_add_signal(text, signal);
		text->length -= prefix;
		memmove(text->buffer + start, text->buffer + start + prefix, text->length - start);
		separator = " ";
	}
	text_add(text, "]");
}

static bool add_signals_at(struct text *text, user_t address)
{
	uint64_t set;
	if (user_get(&set, address) != 0)
		return false;
	add_signals(text, set);
	return true;
}

static bool add_action(struct text *text, user_t address)
{
	struct sigaction action;
	if (user_get(&action, address) != 0)
		return false;
	text_add(text, "{sa_handler=");
	if (action.handler == SIG_DFL || action.handler == SIG_IGN)
		text_add(text, action.handler == SIG_DFL ? "SIG_DFL" : "SIG_IGN");
	else
		text_add(text, "%#lx", action.handler);
	text_add(text, ", sa_mask=");
	add_signals(text, action.mask);
	text_add(text, ", sa_flags=");
	strace_add_names(text, 'K', action.flags);
	if ((action.flags & SA_RESTORER) != 0)
		text_add(text, ", sa_restorer=%#lx", action.restorer);
	text_add(text, "}");
	return true;
}

static bool add_time(struct text *text, user_t address)
{
	struct timespec time;
	if (user_get(&time, address) != 0)
		return false;
	text_add(text, "{tv_sec=%ld, tv_nsec=%ld}", time.tv_sec, time.tv_nsec);
	return true;
}

static bool add_pair(struct text *text, user_t address)
{
	int32_t pair[2];
	if (user_get(&pair, address) != 0)
		return false;
	text_add(text, "[%d, %d]", pair[0], pair[1]);
	return true;
}

static bool add_attributes(struct text *text, user_t address)
{
	static const char *const types[] = {[S_IFSOCK >> 12] = "SOCK", [S_IFLNK >> 12] = "LNK",
					    [S_IFREG >> 12] = "REG",   [S_IFBLK >> 12] = "BLK",
					    [S_IFDIR >> 12] = "DIR",   [S_IFCHR >> 12] = "CHR",
					    [S_IFIFO >> 12] = "IFO"};
	struct stat stat;
	if (user_get(&stat, address) != 0)
		return false;
	unsigned type = (stat.st_mode & S_IFMT) >> 12;
	const char *name = type < ARRAY_SIZE(types) ? types[type] : NULL;
	text_add(text, "{st_mode=S_IF%s|0%03o", name == NULL ? "?" : name,
		 stat.st_mode & S_IALLUGO);
	if (type == S_IFBLK >> 12 || type == S_IFCHR >> 12)
		text_add(text, ", st_rdev=%#lx, ...}", stat.st_rdev);
	else
		text_add(text, ", st_size=%ld, ...}", stat.st_size);
	return true;
}

bool strace_add_structure(struct text *text, char letter, user_t address)
{
	switch (letter) {
	case 't':
		return add_time(text, address);
	case 'm':
		return add_signals_at(text, address);
	case 'k':
		return add_action(text, address);
	case '2':
		return add_pair(text, address);
	case 'S':
		return add_attributes(text, address);
	default:
		return false;
	}
}
