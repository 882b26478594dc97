/* Signals. Numbers and layouts are those of x86_64 and arm64, which agree. */
#ifndef UAPI_SIGNAL_H
#define UAPI_SIGNAL_H

#include <calypso/types.h>

#define SIGHUP 1
#define SIGINT 2
#define SIGQUIT 3
#define SIGILL 4
#define SIGTRAP 5
#define SIGABRT 6
#define SIGBUS 7
#define SIGFPE 8
#define SIGKILL 9
#define SIGUSR1 10
#define SIGSEGV 11
#define SIGUSR2 12
#define SIGPIPE 13
#define SIGALRM 14
#define SIGTERM 15
#define SIGSTKFLT 16
#define SIGCHLD 17
#define SIGCONT 18
#define SIGSTOP 19
#define SIGTSTP 20
#define SIGTTIN 21
#define SIGTTOU 22
#define SIGURG 23
#define SIGXCPU 24
#define SIGXFSZ 25
#define SIGVTALRM 26
#define SIGPROF 27
#define SIGWINCH 28
#define SIGIO 29
#define SIGPWR 30
#define SIGSYS 31
#define SIGNAL_COUNT 64

#define SIG_DFL 0
#define SIG_IGN 1

#define SIG_BLOCK 0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2

struct sigaction {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};
static_assert(sizeof(struct sigaction) == 32, "Linux");

#define SA_NOCLDSTOP 0x00000001
#define SA_SIGINFO 0x00000004
#define SA_RESTORER 0x04000000
#define SA_ONSTACK 0x08000000
#define SA_RESTART 0x10000000
#define SA_NODEFER 0x40000000
#define SA_RESETHAND 0x80000000ull

/* siginfo's code: who sent a signal, or what kind of fault it is. */
#define SI_USER 0
#define SI_KERNEL 0x80
#define SI_QUEUE (-1)
#define SI_TIMER (-2)
#define SI_TKILL (-6)
#define ILL_ILLOPC 1
#define ILL_ILLOPN 2
#define FPE_INTDIV 1
#define SEGV_MAPERR 1
#define SEGV_ACCERR 2
#define BUS_ADRALN 1
#define BUS_ADRERR 2
#define TRAP_BRKPT 1

struct siginfo {
	int32_t signal;
	int32_t error;
	int32_t code;
	int32_t pad;
	union {
		struct {
			int32_t process;
			uint32_t user;
			uint64_t value;
		} sender;
		struct {
			int32_t id;
			int32_t overrun;
			uint64_t value;
		} timer;
		user_t address; /* of a fault */
		uint8_t bytes[112];
	};
};
static_assert(sizeof(struct siginfo) == 128, "Linux");

/* What is read from a signalfd(2). */
struct signalfd_siginfo {
	uint32_t ssi_signo;
	int32_t ssi_errno;
	int32_t ssi_code;
	uint32_t ssi_pid;
	uint32_t ssi_uid;
	int32_t ssi_fd;
	uint32_t ssi_tid;
	uint32_t ssi_band;
	uint32_t ssi_overrun;
	uint32_t ssi_trapno;
	int32_t ssi_status;
	int32_t ssi_int;
	uint64_t ssi_ptr;
	uint64_t ssi_other[9];
};
static_assert(sizeof(struct signalfd_siginfo) == 128, "Linux");

#define SIGEV_SIGNAL 0
#define SIGEV_NONE 1
#define SIGEV_THREAD_ID 4

struct sigevent {
	uint64_t value;
	int32_t signal;
	int32_t notify;
	int32_t thread;
	int32_t unused[11];
};
static_assert(sizeof(struct sigevent) == 64, "Linux");

#define SS_ONSTACK 1
#define SS_DISABLE 2
#define SS_AUTODISARM 0x80000000u

struct sigaltstack {
	user_t sp;
	int32_t flags;
	uint64_t size;
};
static_assert(sizeof(struct sigaltstack) == 24, "Linux");

#endif
