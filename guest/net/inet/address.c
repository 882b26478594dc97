/* The machine's own addresses. */
#include <calypso/bootinfo.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <calypso/user.h>
#include <file/credentials.h>
#include <net/inet/inet.h>

static uint32_t gateway;

uint32_t inet_gateway(void) { return gateway; }

bool inet_is_own(uint32_t address)
{
	if (ip_is_loopback(address))
		return true;
	for (const struct interface *each = interface_first(); each != NULL; each = each->next) {
		if (each->inet_address != IP_ANY && each->inet_address == address)
			return true;
	}
	return false;
}

/* ---- ip=ADDRESS/PREFIX[,GATEWAY] ---- */

static bool parse_address(const char **text, uint32_t *address)
{
	uint8_t bytes[4];
	for (unsigned i = 0; i < 4; i++) {
		uint64_t number;
		if ((i > 0 && *(*text)++ != '.') || !parse_number(text, 10, &number) || number > 255)
			return false;
		bytes[i] = (uint8_t)number;
	}
	memcpy(address, bytes, sizeof(bytes));
	return true;
}

static uint32_t mask_of(uint64_t prefix)
{
	return prefix == 0 ? 0 : htonl(UINT32_MAX << (32 - prefix));
}

static bool parse(const char *text, const char *end, struct interface *interface)
{
	uint64_t prefix;
	uint32_t address, way_out = IP_ANY;
	if (!parse_address(&text, &address) || *text++ != '/' || !parse_number(&text, 10, &prefix) ||
	    prefix > 32)
		return false;
	if (text != end && (*text++ != ',' || !parse_address(&text, &way_out)))
		return false;
	if (text != end)
		return false;
	interface->inet_address = address;
	interface->inet_mask = mask_of(prefix);
	gateway = way_out;
	return true;
}

void inet_start(void)
{
	const char *text;
	int length = command_line_find("ip", &text);
	if (length < 0)
		return;
	struct interface *card = interface_find_name("eth0");
	if (card == NULL)
		log_error("ip=: there is no network card");
	else if (!parse(text, text + length, card))
		log_error("ip=%.*s: write ADDRESS/PREFIX or ADDRESS/PREFIX,GATEWAY", length, text);
	else if (interface_set_flags(card, card->flags | IFF_UP) != 0)
		log_error("eth0 cannot be switched on");
}

/* ---- ioctls ---- */

/* The mask that belonged to an address before there were any. */
static uint32_t natural_mask(uint32_t address)
{
	uint8_t first = (uint8_t)address;
	return mask_of(first < 128 ? 8 : first < 192 ? 16 : 24);
}

static int set_address(struct interface *interface, const struct sockaddr_in *name)
{
	if (name->sin_family != AF_INET)
		return -EINVAL;
	interface->inet_address = name->sin_addr;
	interface->inet_mask = natural_mask(name->sin_addr);
	/* As Linux has it, an interface with an address is up. */
	return interface_set_flags(interface, interface->flags | IFF_UP);
}

static int set_mask(struct interface *interface, const struct sockaddr_in *name)
{
	uint32_t hosts = ~htonl(name->sin_addr);
	if (interface->inet_address == IP_ANY)
		return -EADDRNOTAVAIL;
	if ((hosts & (hosts + 1)) != 0)
		return -EINVAL;
	interface->inet_mask = name->sin_addr;
	return 0;
}

static int get(const struct interface *interface, unsigned request, struct sockaddr_in *name)
{
	if (interface->inet_address == IP_ANY)
		return -EADDRNOTAVAIL;
	*name = (struct sockaddr_in){.sin_family = AF_INET};
	if (request == SIOCGIFADDR)
		name->sin_addr = interface->inet_address;
	else if (request == SIOCGIFNETMASK)
		name->sin_addr = interface->inet_mask;
	else if ((interface->flags & IFF_BROADCAST) != 0)
		name->sin_addr = interface->inet_address | ~interface->inet_mask;
	return 0;
}

/* SIOCGIFCONF: all interfaces that have an address, as many as there is room for. Without a place
 * for them, how much they need. */
static int64_t list(user_t argument)
{
	struct ifconf conf;
	int32_t used = 0;
	if (user_get(&conf, argument) != 0)
		return -EFAULT;
	for (const struct interface *each = interface_first(); each != NULL; each = each->next) {
		struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = each->inet_address};
		struct ifreq entry = {0};
		bool fits = conf.ifc_len - used >= (int32_t)sizeof(entry);
		if (each->inet_address == IP_ANY || (conf.ifc_buf != 0 && !fits))
			continue;
		memcpy(entry.ifr_name, each->name, IFNAMSIZ);
		memcpy(entry.bytes, &name, sizeof(name));
		if (conf.ifc_buf != 0 && user_put(conf.ifc_buf + (uint32_t)used, &entry) != 0)
			return -EFAULT;
		used += sizeof(entry);
	}
	conf.ifc_len = used;
	return user_put(argument, &conf);
}

int64_t inet_control(struct socket *socket, unsigned request, user_t argument)
{
	struct ifreq asked;
	struct sockaddr_in name;
	(void)socket;
	if (request == SIOCGIFCONF)
		return list(argument);
	bool sets = request == SIOCSIFADDR || request == SIOCSIFNETMASK;
	if (!sets && request != SIOCGIFADDR && request != SIOCGIFNETMASK &&
	    request != SIOCGIFBRDADDR)
		return -ENOTTY;
	if (user_get(&asked, argument) != 0)
		return -EFAULT;
	if (sets && !is_superuser())
		return -EPERM;
	asked.ifr_name[IFNAMSIZ - 1] = '\0';
	struct interface *interface = interface_find_name(asked.ifr_name);
	if (interface == NULL)
		return -ENODEV;
	memcpy(&name, asked.bytes, sizeof(name));
	if (request == SIOCSIFADDR)
		return set_address(interface, &name);
	if (request == SIOCSIFNETMASK)
		return set_mask(interface, &name);
	int error = get(interface, request, &name);
	memcpy(asked.bytes, &name, sizeof(name));
	return error != 0 ? error : user_put(argument, &asked);
}
