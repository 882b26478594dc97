/* Signals. */
#include <calypso/log.h>
#include <process/process.h>

static const char *const names[] = {
	[SIGHUP] = "SIGHUP",	   [SIGINT] = "SIGINT",	      [SIGQUIT] = "SIGQUIT",
	[SIGILL] = "SIGILL",	   [SIGTRAP] = "SIGTRAP",     [SIGABRT] = "SIGABRT",
	[SIGBUS] = "SIGBUS",	   [SIGFPE] = "SIGFPE",	      [SIGKILL] = "SIGKILL",
	[SIGUSR1] = "SIGUSR1",	   [SIGSEGV] = "SIGSEGV",     [SIGUSR2] = "SIGUSR2",
	[SIGPIPE] = "SIGPIPE",	   [SIGALRM] = "SIGALRM",     [SIGTERM] = "SIGTERM",
	[SIGSTKFLT] = "SIGSTKFLT", [SIGCHLD] = "SIGCHLD",     [SIGCONT] = "SIGCONT",
	[SIGSTOP] = "SIGSTOP",	   [SIGTSTP] = "SIGTSTP",     [SIGTTIN] = "SIGTTIN",
	[SIGTTOU] = "SIGTTOU",	   [SIGURG] = "SIGURG",	      [SIGXCPU] = "SIGXCPU",
	[SIGXFSZ] = "SIGXFSZ",	   [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF",
	[SIGWINCH] = "SIGWINCH",   [SIGIO] = "SIGIO",	      [SIGPWR] = "SIGPWR",
	[SIGSYS] = "SIGSYS",
};

const char *signal_name(int signal)
{
	return (size_t)signal < ARRAY_SIZE(names) ? names[signal] : NULL;
}

/* Signals whose default is not to end the program: they are ignored, or would stop it, which needs
 * somebody to continue it. */
static bool is_harmless(int signal)
{
	switch (signal) {
	case SIGCHLD:
	case SIGCONT:
	case SIGURG:
	case SIGWINCH:
	case SIGSTOP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		return true;
	default:
		return false;
	}
}

void signal_send(int signal)
{
	struct signals *signals = &process.signals;
	uint64_t bit = 1ull << (signal - 1);
	uint64_t handler = signals->actions[signal - 1].handler;
	if (handler == SIG_IGN || (handler == SIG_DFL && is_harmless(signal)))
		return;
	if ((signals->blocked & bit) != 0) {
		signals->pending |= bit;
		return;
	}
	if (handler == SIG_DFL)
		process_kill(signal, NULL, NULL, 0);
	log_warning("signal %d has a handler, which this kernel does not run", signal);
}
