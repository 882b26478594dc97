/* The options of sockets: those of SOL_SOCKET; others are the families'. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <calypso/user.h>
#include <file/credentials.h>
#include <net/socket.h>

/* Linux's net.core.wmem_max and rmem_max, and the least that a buffer is. */
#define BUFFER_MAX (4 << 20)
#define SEND_BUFFER_MIN 4608
#define RECEIVE_BUFFER_MIN 2304
#define PRIORITY_OF_USERS_MAX 6

#define MICROSECONDS_PER_SECOND 1000000

static const struct {
	int option;
	enum socket_flag flag;
} switches[] = {
	{SO_DEBUG, SOCKET_DEBUG},
	{SO_REUSEADDR, SOCKET_REUSE_ADDRESS},
	{SO_DONTROUTE, SOCKET_DONT_ROUTE},
	{SO_BROADCAST, SOCKET_BROADCAST},
	{SO_KEEPALIVE, SOCKET_KEEP_ALIVE},
	{SO_OOBINLINE, SOCKET_OOB_INLINE},
	{SO_PASSCRED, SOCKET_PASS_CREDENTIALS},
};

/* The flag of an option that is on or off, or 0. */
static unsigned flag_of(int option)
{
	for (size_t i = 0; i < ARRAY_SIZE(switches); i++) {
		if (switches[i].option == option)
			return switches[i].flag;
	}
	return 0;
}

/* ---- Getting ---- */

static struct timeval to_timeval(uint64_t timeout)
{
	if (timeout == TIME_FOREVER)
		return (struct timeval){0, 0};
	return (struct timeval){
		(int64_t)(timeout / NANOSECONDS_PER_SECOND),
		(int64_t)(timeout % NANOSECONDS_PER_SECOND / NANOSECONDS_PER_MICROSECOND),
	};
}

static int get_number(struct socket *socket, int option, int32_t *value)
{
	unsigned flag = flag_of(option);
	if (flag != 0) {
		*value = (socket->flags & flag) != 0;
		return 0;
	}
	switch (option) {
	case SO_TYPE:
		*value = socket->type;
		return 0;
	case SO_DOMAIN:
		*value = socket->family;
		return 0;
	case SO_PROTOCOL:
		*value = 0;
		return 0;
	case SO_ERROR:
		*value = -socket_take_error(socket);
		return 0;
	case SO_SNDBUF:
		*value = (int32_t)socket->send_buffer;
		return 0;
	case SO_RCVBUF:
		*value = (int32_t)socket->receive_buffer;
		return 0;
	case SO_RCVLOWAT:
		*value = (int32_t)socket->low_water;
		return 0;
	case SO_SNDLOWAT:
		*value = 1;
		return 0;
	case SO_PRIORITY:
		*value = socket->priority;
		return 0;
	case SO_ACCEPTCONN:
		*value = socket->listens;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

union option_value {
	int32_t number;
	struct linger linger;
	struct timeval time;
	struct ucred credentials;
};

/* The size of the option's value, or -ENOPROTOOPT. */
static int get_value(struct socket *socket, int option, union option_value *value)
{
	switch (option) {
	case SO_LINGER:
		value->linger = socket->linger;
		return sizeof(value->linger);
	case SO_RCVTIMEO:
		value->time = to_timeval(socket->receive_timeout);
		return sizeof(value->time);
	case SO_SNDTIMEO:
		value->time = to_timeval(socket->send_timeout);
		return sizeof(value->time);
	case SO_PEERCRED:
		value->credentials = socket->peer;
		return sizeof(value->credentials);
	default: {
		int error = get_number(socket, option, &value->number);
		return error != 0 ? error : (int)sizeof(value->number);
	}
	}
}

static int get_other(struct socket *socket, int level, int option, user_t value, int *length)
{
	if (socket->operations->get_option == NULL)
		return -EOPNOTSUPP;
	return socket->operations->get_option(socket, level, option, value, length);
}

int socket_get_option(struct socket *socket, int level, int option, user_t value, int *length)
{
	union option_value found = {.number = 0};
	if (*length < 0)
		return -EINVAL;
	if (level != SOL_SOCKET)
		return get_other(socket, level, option, value, length);
	int size = get_value(socket, option, &found);
	if (size < 0)
		return size;
	if (*length > size)
		*length = size;
	return user_copy_out(value, &found, (size_t)*length);
}

/* ---- Setting ---- */

/* Linux counts its own overhead in, and gives the double for it. */
static unsigned buffer_size(int32_t wanted, bool is_forced, unsigned least)
{
	uint32_t size = (uint32_t)wanted;
	if (is_forced)
		size = wanted < 0 ? 0 : size < INT32_MAX / 2 ? size : INT32_MAX / 2;
	else if (size > BUFFER_MAX)
		size = BUFFER_MAX;
	return size * 2 > least ? size * 2 : least;
}

static int set_timeout(uint64_t *timeout, user_t address, int length)
{
	struct timeval time;
	if (length < (int)sizeof(time))
		return -EINVAL;
	if (user_get(&time, address) != 0)
		return -EFAULT;
	if (time.tv_usec < 0 || time.tv_usec >= MICROSECONDS_PER_SECOND)
		return -EDOM;
	if (time.tv_sec < 0)
		*timeout = 0;
	else if ((time.tv_sec == 0 && time.tv_usec == 0) ||
		 (uint64_t)time.tv_sec >= INT64_MAX / NANOSECONDS_PER_SECOND)
		*timeout = TIME_FOREVER;
	else
		*timeout = (uint64_t)time.tv_sec * NANOSECONDS_PER_SECOND +
			   (uint64_t)time.tv_usec * NANOSECONDS_PER_MICROSECOND;
	return 0;
}

static int set_linger(struct linger *linger, user_t address, int length)
{
	if (length < (int)sizeof(*linger))
		return -EINVAL;
	struct linger wanted;
	if (user_get(&wanted, address) != 0)
		return -EFAULT;
	linger->l_onoff = wanted.l_onoff != 0;
	if (linger->l_onoff)
		linger->l_linger = wanted.l_linger;
	return 0;
}

/* What takes from others: memory, and their turn. */
static bool is_for_superuser(int option, int32_t value)
{
	return option == SO_SNDBUFFORCE || option == SO_RCVBUFFORCE ||
	       (option == SO_PRIORITY && (value < 0 || value > PRIORITY_OF_USERS_MAX));
}

static int set_number(struct socket *socket, int option, int32_t value)
{
	unsigned flag = flag_of(option);
	if (is_for_superuser(option, value) && !is_superuser())
		return -EPERM;
	if (flag != 0) {
		socket->flags = value != 0 ? socket->flags | flag : socket->flags & ~flag;
		return 0;
	}
	switch (option) {
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
		socket->send_buffer = buffer_size(value, option != SO_SNDBUF, SEND_BUFFER_MIN);
		/* There may be room now. */
		poll_notify(&socket->poll_state, POLLOUT | POLLWRNORM | POLLWRBAND);
		return 0;
	case SO_RCVBUF:
	case SO_RCVBUFFORCE:
		socket->receive_buffer =
			buffer_size(value, option != SO_RCVBUF, RECEIVE_BUFFER_MIN);
		return 0;
	case SO_RCVLOWAT:
		socket->low_water = value < 0 ? INT32_MAX : value == 0 ? 1 : (unsigned)value;
		return 0;
	case SO_PRIORITY:
		socket->priority = value;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int set_other(struct socket *socket, int level, int option, user_t value, int length)
{
	if (socket->operations->set_option == NULL)
		return -EOPNOTSUPP;
	return socket->operations->set_option(socket, level, option, value, length);
}

int socket_set_option(struct socket *socket, int level, int option, user_t value, int length)
{
	int32_t number;
	if (length < 0)
		return -EINVAL;
	if (level != SOL_SOCKET)
		return set_other(socket, level, option, value, length);
	if (length < (int)sizeof(number))
		return -EINVAL;
	if (user_get(&number, value) != 0)
		return -EFAULT;
	switch (option) {
	case SO_LINGER:
		return set_linger(&socket->linger, value, length);
	case SO_RCVTIMEO:
		return set_timeout(&socket->receive_timeout, value, length);
	case SO_SNDTIMEO:
		return set_timeout(&socket->send_timeout, value, length);
	default:
		return set_number(socket, option, number);
	}
}
