#include <process/strace/names.h>

#include <arch/uapi.h>
#include <calypso/errno.h>
#include <calypso/mm.h>
#include <process/signal.h>
#include <uapi/epoll.h>
#include <uapi/fcntl.h>
#include <uapi/if_packet.h>
#include <uapi/in.h>
#include <uapi/netlink.h>
#include <uapi/sched.h>
#include <uapi/socket.h>
#include <uapi/system.h>
#include <uapi/termios.h>

/* `name` stands for bits of `mask` that have this value. */
struct name {
	uint32_t mask;
	uint32_t value;
	const char *name;
};

#define BIT(bits) {bits, bits, #bits}
#define NUMBER(number) {UINT32_MAX, (uint32_t)(number), #number}
#define FIELD(mask, number) {mask, number, #number}
#define END {0, 0, NULL}

static const struct name open_flags[] = {
	FIELD(O_ACCMODE, O_RDONLY), FIELD(O_ACCMODE, O_WRONLY), FIELD(O_ACCMODE, O_RDWR),
	BIT(O_CREAT), BIT(O_EXCL), BIT(O_NOCTTY), BIT(O_TRUNC), BIT(O_APPEND), BIT(O_NONBLOCK),
	BIT(O_SYNC), BIT(O_DSYNC), BIT(O_ASYNC), BIT(O_DIRECT), BIT(O_LARGEFILE), BIT(O_NOFOLLOW),
	BIT(O_NOATIME), BIT(O_CLOEXEC), BIT(O_PATH), BIT(O_TMPFILE), BIT(O_DIRECTORY), END,
};

static const struct name protections[] = {
	NUMBER(PROT_NONE), BIT(PROT_READ), BIT(PROT_WRITE), BIT(PROT_EXEC), BIT(PROT_GROWSDOWN),
	BIT(PROT_GROWSUP), END,
};

static const struct name mapping_flags[] = {
	FIELD(MAP_TYPE, MAP_SHARED), FIELD(MAP_TYPE, MAP_PRIVATE),
	FIELD(MAP_TYPE, MAP_SHARED_VALIDATE), BIT(MAP_FIXED), BIT(MAP_ANONYMOUS),
	BIT(MAP_GROWSDOWN), BIT(MAP_LOCKED), BIT(MAP_NORESERVE), BIT(MAP_POPULATE), BIT(MAP_STACK),
	BIT(MAP_FIXED_NOREPLACE), END,
};

static const struct name remap_flags[] = {
	BIT(MREMAP_MAYMOVE), BIT(MREMAP_FIXED), BIT(MREMAP_DONTUNMAP), END,
};

static const struct name advices[] = {
	NUMBER(MADV_NORMAL), NUMBER(MADV_RANDOM), NUMBER(MADV_SEQUENTIAL), NUMBER(MADV_WILLNEED),
	NUMBER(MADV_DONTNEED), NUMBER(MADV_FREE), NUMBER(MADV_MERGEABLE),
	NUMBER(MADV_UNMERGEABLE), NUMBER(MADV_HUGEPAGE), NUMBER(MADV_NOHUGEPAGE),
	NUMBER(MADV_DONTDUMP), NUMBER(MADV_DODUMP), NUMBER(MADV_POPULATE_READ),
	NUMBER(MADV_POPULATE_WRITE), END,
};

static const struct name path_flags[] = {
	BIT(AT_SYMLINK_NOFOLLOW), BIT(AT_REMOVEDIR), BIT(AT_SYMLINK_FOLLOW), BIT(AT_NO_AUTOMOUNT),
	BIT(AT_EMPTY_PATH), END,
};

static const struct name seek_origins[] = {
	NUMBER(SEEK_SET), NUMBER(SEEK_CUR), NUMBER(SEEK_END), NUMBER(SEEK_DATA), NUMBER(SEEK_HOLE),
	END,
};

static const struct name descriptor_commands[] = {
	NUMBER(F_DUPFD), NUMBER(F_GETFD), NUMBER(F_SETFD), NUMBER(F_GETFL), NUMBER(F_SETFL),
	NUMBER(F_GETLK), NUMBER(F_SETLK), NUMBER(F_SETLKW), NUMBER(F_DUPFD_CLOEXEC), END,
};

static const struct name descriptor_flags[] = {BIT(FD_CLOEXEC), END};

static const struct name new_descriptor_flags[] = {
	BIT(O_DIRECT), BIT(O_NONBLOCK), BIT(O_CLOEXEC), END,
};

static const struct name access_modes[] = {
	NUMBER(F_OK), BIT(R_OK), BIT(W_OK), BIT(X_OK), END,
};

static const struct name device_commands[] = {
	NUMBER(TCGETS), NUMBER(TCSETS), NUMBER(TCSETSW), NUMBER(TCSETSF), NUMBER(TIOCGWINSZ),
	NUMBER(TIOCGPGRP), NUMBER(TIOCSPGRP), NUMBER(FIONREAD), END,
};

static const struct name clocks[] = {
	NUMBER(CLOCK_REALTIME), NUMBER(CLOCK_MONOTONIC), NUMBER(CLOCK_PROCESS_CPUTIME_ID),
	NUMBER(CLOCK_THREAD_CPUTIME_ID), NUMBER(CLOCK_MONOTONIC_RAW),
	NUMBER(CLOCK_REALTIME_COARSE), NUMBER(CLOCK_MONOTONIC_COARSE), NUMBER(CLOCK_BOOTTIME),
	NUMBER(CLOCK_TAI), END,
};

static const struct name mask_changes[] = {
	NUMBER(SIG_BLOCK), NUMBER(SIG_UNBLOCK), NUMBER(SIG_SETMASK), END,
};

static const struct name action_flags[] = {
	BIT(SA_RESTORER), BIT(SA_ONSTACK), BIT(SA_RESTART), BIT(SA_NODEFER), BIT(SA_RESETHAND),
	BIT(SA_SIGINFO), BIT(SA_NOCLDSTOP), END,
};

#define AF_INET6 10
#define AF_VSOCK 40

static const struct name clone_flags[] = {
	BIT(CLONE_VM), BIT(CLONE_FS), BIT(CLONE_FILES), BIT(CLONE_SIGHAND), BIT(CLONE_VFORK),
	BIT(CLONE_THREAD), BIT(CLONE_SYSVSEM), BIT(CLONE_SETTLS), BIT(CLONE_PARENT_SETTID),
	BIT(CLONE_CHILD_CLEARTID), BIT(CLONE_DETACHED), BIT(CLONE_CHILD_SETTID), END,
};

#define FUTEX(operation)                                                            \
	{UINT32_MAX - FUTEX_CLOCK_REALTIME, operation, #operation},                 \
	{UINT32_MAX - FUTEX_CLOCK_REALTIME, operation | FUTEX_PRIVATE_FLAG,         \
	 #operation "_PRIVATE"}

static const struct name futex_operations[] = {
	FUTEX(FUTEX_WAIT), FUTEX(FUTEX_WAKE), FUTEX(FUTEX_REQUEUE), FUTEX(FUTEX_CMP_REQUEUE),
	FUTEX(FUTEX_WAKE_OP), FUTEX(FUTEX_LOCK_PI), FUTEX(FUTEX_UNLOCK_PI), FUTEX(FUTEX_TRYLOCK_PI),
	FUTEX(FUTEX_WAIT_BITSET), FUTEX(FUTEX_WAKE_BITSET), FUTEX(FUTEX_LOCK_PI2),
	BIT(FUTEX_CLOCK_REALTIME), END,
};

static const struct name socket_domains[] = {
	NUMBER(AF_UNSPEC), NUMBER(AF_UNIX), NUMBER(AF_INET), NUMBER(AF_INET6), NUMBER(AF_NETLINK),
	NUMBER(AF_PACKET), NUMBER(AF_VSOCK), END,
};

static const struct name socket_types[] = {
	FIELD(SOCK_TYPE_MASK, SOCK_STREAM), FIELD(SOCK_TYPE_MASK, SOCK_DGRAM),
	FIELD(SOCK_TYPE_MASK, SOCK_RAW), FIELD(SOCK_TYPE_MASK, SOCK_SEQPACKET), BIT(SOCK_NONBLOCK),
	BIT(SOCK_CLOEXEC), END,
};

static const struct name epoll_commands[] = {
	NUMBER(EPOLL_CTL_ADD), NUMBER(EPOLL_CTL_DEL), NUMBER(EPOLL_CTL_MOD), END,
};

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

static const struct name segment_commands[] = {
	NUMBER(ARCH_SET_GS), NUMBER(ARCH_SET_FS), NUMBER(ARCH_GET_FS), NUMBER(ARCH_GET_GS), END,
};

static const struct name *const kinds[] = {
	['A'] = segment_commands, ['C'] = descriptor_commands, ['D'] = advices,
	['F'] = futex_operations, ['I'] = device_commands,     ['L'] = clone_flags,
	['M'] = mapping_flags,	  ['N'] = path_flags,	       ['O'] = open_flags,
	['P'] = protections,	  ['R'] = remap_flags,	       ['c'] = clocks,
	['h'] = mask_changes,	  ['w'] = seek_origins,	       ['K'] = action_flags,
	['B'] = socket_domains,	  ['T'] = socket_types,	       ['H'] = epoll_commands,
	['E'] = new_descriptor_flags, ['G'] = descriptor_flags, ['U'] = access_modes,
};

bool strace_add_names(struct text *text, char letter, uint64_t value)
{
	const struct name *names = (size_t)letter < ARRAY_SIZE(kinds) ? kinds[(size_t)letter] : NULL;
	uint32_t rest = (uint32_t)value;
	const char *separator = "";
	if (names == NULL)
		return false;
	uint32_t nameless = rest;
	for (; names->name != NULL; names++) {
		/* Bits that one name stands for are not another's, too. */
		if ((rest & names->mask) != names->value || (names->value & ~nameless) != 0)
			continue;
		text_add(text, "%s%s", separator, names->name);
		nameless &= ~names->mask;
		separator = "|";
	}
	if (nameless != 0 || *separator == '\0')
		text_add(text, nameless == 0 ? "%s%u" : "%s%#x", separator, nameless);
	return true;
}

#define ERROR(name) [name] = #name

static const char *const errors[] = {
	ERROR(EPERM), ERROR(ENOENT), ERROR(ESRCH), ERROR(EINTR), ERROR(EIO), ERROR(ENXIO),
	ERROR(E2BIG), ERROR(ENOEXEC), ERROR(EBADF), ERROR(ECHILD), ERROR(EAGAIN), ERROR(ENOMEM),
	ERROR(EACCES), ERROR(EFAULT), ERROR(ENOTBLK), ERROR(EBUSY), ERROR(EEXIST), ERROR(EXDEV),
	ERROR(ENODEV), ERROR(ENOTDIR), ERROR(EISDIR), ERROR(EINVAL), ERROR(ENFILE),
	ERROR(EMFILE), ERROR(ENOTTY), ERROR(ETXTBSY), ERROR(EFBIG), ERROR(ENOSPC), ERROR(ESPIPE),
	ERROR(EROFS), ERROR(EMLINK), ERROR(EPIPE), ERROR(EDOM), ERROR(ERANGE), ERROR(EDEADLK),
	ERROR(ENAMETOOLONG), ERROR(ENOLCK), ERROR(ENOSYS), ERROR(ENOTEMPTY), ERROR(ELOOP),
	ERROR(ENOMSG), ERROR(EIDRM), ERROR(ECHRNG), ERROR(EL2NSYNC), ERROR(EL3HLT),
	ERROR(EL3RST), ERROR(ELNRNG), ERROR(EUNATCH), ERROR(ENOCSI), ERROR(EL2HLT), ERROR(EBADE),
	ERROR(EBADR), ERROR(EXFULL), ERROR(ENOANO), ERROR(EBADRQC), ERROR(EBADSLT),
	ERROR(EBFONT), ERROR(ENOSTR), ERROR(ENODATA), ERROR(ETIME), ERROR(ENOSR), ERROR(ENONET),
	ERROR(ENOPKG), ERROR(EREMOTE), ERROR(ENOLINK), ERROR(EADV), ERROR(ESRMNT), ERROR(ECOMM),
	ERROR(EPROTO), ERROR(EMULTIHOP), ERROR(EDOTDOT), ERROR(EBADMSG), ERROR(EOVERFLOW),
	ERROR(ENOTUNIQ), ERROR(EBADFD), ERROR(EREMCHG), ERROR(ELIBACC), ERROR(ELIBBAD),
	ERROR(ELIBSCN), ERROR(ELIBMAX), ERROR(ELIBEXEC), ERROR(EILSEQ), ERROR(ERESTART),
	ERROR(ESTRPIPE), ERROR(EUSERS), ERROR(ENOTSOCK), ERROR(EDESTADDRREQ), ERROR(EMSGSIZE),
	ERROR(EPROTOTYPE), ERROR(ENOPROTOOPT), ERROR(EPROTONOSUPPORT), ERROR(ESOCKTNOSUPPORT),
	ERROR(EOPNOTSUPP), ERROR(EPFNOSUPPORT), ERROR(EAFNOSUPPORT), ERROR(EADDRINUSE),
	ERROR(EADDRNOTAVAIL), ERROR(ENETDOWN), ERROR(ENETUNREACH), ERROR(ENETRESET),
	ERROR(ECONNABORTED), ERROR(ECONNRESET), ERROR(ENOBUFS), ERROR(EISCONN), ERROR(ENOTCONN),
	ERROR(ESHUTDOWN), ERROR(ETOOMANYREFS), ERROR(ETIMEDOUT), ERROR(ECONNREFUSED),
	ERROR(EHOSTDOWN), ERROR(EHOSTUNREACH), ERROR(EALREADY), ERROR(EINPROGRESS),
	ERROR(ESTALE), ERROR(EUCLEAN), ERROR(ENOTNAM), ERROR(ENAVAIL), ERROR(EISNAM),
	ERROR(EREMOTEIO), ERROR(EDQUOT), ERROR(ENOMEDIUM), ERROR(EMEDIUMTYPE), ERROR(ECANCELED),
	ERROR(ENOKEY), ERROR(EKEYEXPIRED), ERROR(EKEYREVOKED), ERROR(EKEYREJECTED),
	ERROR(EOWNERDEAD), ERROR(ENOTRECOVERABLE), ERROR(ERFKILL),
};

const char *strace_error_name(int error)
{
	return (size_t)error < ARRAY_SIZE(errors) ? errors[error] : NULL;
}
