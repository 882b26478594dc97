/* Calls about the system, its resources and the program's end. */
#include <arch/constants.h>
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/lib.h>
#include <calypso/time.h>
#include <process/random.h>
#include <process/syscall.h>
#include <process/system.h>

/* Behaves like this release of Linux, as far as it goes. */
#define RELEASE "6.1.0-calypso"

#define DESCRIPTORS_MAX (1u << 20) /* fs.nr_open */

SYSCALL1(exit_group, int, status)
{
	process_exit(status);
}

/* ---- The system ---- */

/* As programs have set them. */
static struct system_name {
	char text[UTS_LENGTH];
	bool set;
} host_name, domain_name = {.text = "(none)", .set = true};

static void set_name_at_boot(struct system_name *name)
{
	const char *value;
	int length = command_line_find("hostname", &value);
	name->set = true;
	if (length <= 0 || length >= UTS_LENGTH)
		strlcpy(name->text, "calypso", UTS_LENGTH);
	else
		memcpy(name->text, value, (size_t)length);
}

void system_describe(struct utsname *name)
{
	*name = (struct utsname){
		.sysname = "Linux",
		.release = RELEASE,
		.version = "#1 Calypso",
		.machine = ARCH_MACHINE,
	};
	if (!host_name.set)
		set_name_at_boot(&host_name);
	memcpy(name->nodename, host_name.text, UTS_LENGTH);
	memcpy(name->domainname, domain_name.text, UTS_LENGTH);
}

SYSCALL1(uname, user_t, address)
{
	struct utsname name;
	system_describe(&name);
	return user_put(address, &name);
}

static int64_t rename_system(struct system_name *name, user_t address, int length)
{
	char text[UTS_LENGTH] = {0};
	if (!is_superuser())
		return -EPERM;
	if (length < 0 || length >= UTS_LENGTH)
		return -EINVAL;
	if (user_copy_in(text, address, (size_t)length) != 0)
		return -EFAULT;
	memcpy(name->text, text, UTS_LENGTH);
	name->set = true;
	return 0;
}

SYSCALL2(sethostname, user_t, address, int, length)
{
	return rename_system(&host_name, address, length);
}

SYSCALL2(setdomainname, user_t, address, int, length)
{
	return rename_system(&domain_name, address, length);
}

SYSCALL1(sysinfo, user_t, address)
{
	struct frame_statistics memory = frame_statistics();
	struct sysinfo info = {
		.uptime = (int64_t)(time_monotonic() / NANOSECONDS_PER_SECOND),
		.totalram = memory.total * PAGE_SIZE,
		.freeram = (memory.total - memory.used) * PAGE_SIZE,
		.procs = 1,
		.mem_unit = 1,
	};
	return user_put(address, &info);
}

SYSCALL3(getrandom, user_t, buffer, uint64_t, length, unsigned, flags)
{
	if ((flags & ~(unsigned)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) != 0 ||
	    (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	struct io io = io_program(buffer, length);
	uint64_t before = io.remaining;
	if ((flags & GRND_RANDOM) != 0 && !random_is_trusted())
		return -EIO;
	int error = random_read(&io);
	return before > io.remaining || error == 0 ? (int64_t)(before - io.remaining) : error;
}

/* ---- The process's names and flags ---- */

static int64_t set_name(user_t address)
{
	char name[TASK_NAME_LENGTH];
	int64_t length = user_string(name, address, sizeof(name));
	if (length == -EFAULT)
		return -EFAULT;
	name[TASK_NAME_LENGTH - 1] = '\0';
	thread_set_name(name);
	return 0;
}

SYSCALL5(prctl, int, option, uint64_t, value, uint64_t, value3, uint64_t, value4, uint64_t, value5)
{
	(void)value3, (void)value4, (void)value5;
	switch (option) {
	case PR_SET_NAME:
		return set_name(value);
	case PR_GET_NAME:
		return user_copy_out(value, current_thread->name, sizeof(current_thread->name));
	case PR_GET_DUMPABLE:
		return !process.is_undumpable;
	case PR_SET_DUMPABLE:
		if (value > 1)
			return -EINVAL;
		process.is_undumpable = value == 0;
		return 0;
	case PR_SET_PDEATHSIG:
	case PR_GET_SECCOMP:
		return 0;
	case PR_GET_THP_DISABLE:
		return process.has_no_huge_pages;
	case PR_SET_THP_DISABLE:
		process.has_no_huge_pages = value != 0;
		return 0;
	case PR_CAPBSET_READ:
		return value <= CAP_LAST_CAP ? 1 : -EINVAL;
	case PR_GET_NO_NEW_PRIVS:
		return process.no_new_privileges;
	case PR_SET_NO_NEW_PRIVS:
		process.no_new_privileges |= value == 1;
		return value == 1 ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

/* What kinds of Unix had in common, and flags that say how memory is laid out: noted, without effect.
 * Programs of 32 bits cannot be had. */
SYSCALL1(personality, unsigned, wanted)
{
	const unsigned query = UINT32_MAX;
	unsigned before = process.personality;
	if (wanted == query)
		return before;
	if ((wanted & PER_MASK) == PER_LINUX32)
		return -EINVAL;
	process.personality = wanted;
	return before;
}

SYSCALL2(arch_prctl, int, code, uint64_t, address)
{
	return arch_prctl((uint64_t)code, address);
}

/* ---- Limits and usage ---- */

static int set_limit(unsigned resource, user_t address)
{
	struct rlimit limit;
	if (user_get(&limit, address) != 0)
		return -EFAULT;
	if (limit.rlim_cur > limit.rlim_max)
		return -EINVAL;
	if (limit.rlim_max > process.limits[resource].rlim_max && !is_superuser())
		return -EPERM;
	if (resource == RLIMIT_NOFILE) {
		if (limit.rlim_max > DESCRIPTORS_MAX)
			return -EPERM;
		file_context()->descriptors.limit = limit.rlim_cur;
	}
	process.limits[resource] = limit;
	return 0;
}

static int64_t change_limit(unsigned resource, user_t new, user_t old)
{
	if (resource >= RLIM_NLIMITS)
		return -EINVAL;
	struct rlimit before = process.limits[resource];
	int error = new != 0 ? set_limit(resource, new) : 0;
	if (error == 0 && old != 0)
		error = user_put(old, &before);
	return error;
}

SYSCALL4(prlimit64, int, id, unsigned, resource, user_t, new, user_t, old)
{
	return id == 0 || id == PROCESS_ID ? change_limit(resource, new, old) : -ESRCH;
}

SYSCALL2(getrlimit, unsigned, resource, user_t, address)
{
	return address == 0 ? -EFAULT : change_limit(resource, 0, address);
}

SYSCALL2(setrlimit, unsigned, resource, user_t, address)
{
	return address == 0 ? -EFAULT : change_limit(resource, address, 0);
}

SYSCALL2(getrusage, int, who, user_t, address)
{
	struct rusage usage = {0};
	uint64_t used = 0;
	if (who != RUSAGE_SELF && who != RUSAGE_THREAD && who != RUSAGE_CHILDREN)
		return -EINVAL;
	thread_charge();
	if (who != RUSAGE_CHILDREN)
		used = who == RUSAGE_SELF ? process.cpu_time : current_thread->cpu_time;
	usage.ru_utime.tv_sec = (int64_t)(used / NANOSECONDS_PER_SECOND);
	usage.ru_utime.tv_usec = (int64_t)(used % NANOSECONDS_PER_SECOND / NANOSECONDS_PER_MICROSECOND);
	return user_put(address, &usage);
}

SYSCALL1(times, user_t, address)
{
	const uint64_t tick = NANOSECONDS_PER_SECOND / CLOCKS_PER_SECOND;
	uint64_t now = thread_charge();
	struct tms times = {.tms_utime = (int64_t)(process.cpu_time / tick)};
	if (address != 0 && user_put(address, &times) != 0)
		return -EFAULT;
	return (int64_t)(now / tick);
}
