/* The options of IPPROTO_IP. */
#include <calypso/lib.h>
#include <calypso/user.h>
#include <net/inet/inet.h>

int inet_get_option(struct socket *socket, int level, int option, user_t value, int *length)
{
	const struct inet_socket *self = inet_of(socket);
	int32_t number;
	if (level != IPPROTO_IP)
		return -EOPNOTSUPP;
	switch (option) {
	case IP_TOS:
		number = self->service;
		break;
	case IP_TTL:
		number = self->time_to_live;
		break;
	case IP_MTU_DISCOVER:
		number = self->discovery;
		break;
	case IP_RECVERR:
		number = self->wants_errors;
		break;
	default:
		return -ENOPROTOOPT;
	}
	if (*length > (int)sizeof(number))
		*length = sizeof(number);
	return user_copy_out(value, &number, (size_t)*length);
}

static int set(struct inet_socket *self, int option, int32_t number)
{
	switch (option) {
	case IP_TOS:
		self->service = (uint8_t)number;
		return 0;
	case IP_TTL:
		if (number != -1 && (number < 1 || number > 255))
			return -EINVAL;
		self->time_to_live = number == -1 ? IP_TIME_TO_LIVE : (uint8_t)number;
		return 0;
	case IP_MTU_DISCOVER:
		if (number < 0 || number > IP_PMTUDISC_OMIT)
			return -EINVAL;
		self->discovery = (uint8_t)number;
		return 0;
	case IP_RECVERR:
		self->wants_errors = number != 0;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

int inet_set_option(struct socket *socket, int level, int option, user_t value, int length)
{
	int32_t number;
	if (level != IPPROTO_IP)
		return -ENOPROTOOPT;
	if (length < (int)sizeof(number))
		return -EINVAL;
	if (user_get(&number, value) != 0)
		return -EFAULT;
	return set(inet_of(socket), option, number);
}
