/* The doorbell: how the guest asks the host. */
#include <calypso/arch.h>
#include <calypso/bootinfo.h>
#include <calypso/errno.h>
#include <calypso/host.h>
#include <calypso/lib.h>

/* In the image, so that they are mapped and below 256 GiB from the first instruction on. While the
 * host serves the second, interrupts are taken, whose handlers may have requests. */
static struct calypso_request request __attribute__((aligned(CALYPSO_REQUEST_ALIGNMENT)));
static struct calypso_request idle_request __attribute__((aligned(CALYPSO_REQUEST_ALIGNMENT)));

static uint32_t doorbell_word(const struct calypso_request *made)
{
	return (uint32_t)(virt_to_phys(made) / CALYPSO_REQUEST_ALIGNMENT);
}

/* Make the request whose arguments are in place; its result. */
static inline int64_t host_ask(enum calypso_service service)
{
	if (unlikely(!bootinfo_has(CALYPSO_FEATURE_DOORBELL)))
		return -ENOSYS;
	request.service = service;
	request.flags = 0;
	request.result = -ENOSYS;
	arch_doorbell(bootinfo.doorbell, doorbell_word(&request));
	return request.result;
}

int64_t host_request(enum calypso_service service, uint64_t arguments[6])
{
	memcpy(request.arguments, arguments, sizeof(request.arguments));
	int64_t result = host_ask(service);
	memcpy(arguments, request.arguments, sizeof(request.arguments));
	return result;
}

int64_t host_console_write(unsigned stream, const void *buffer, size_t length)
{
	request.arguments[0] = virt_to_phys(buffer);
	request.arguments[1] = length;
	request.arguments[2] = stream;
	return host_ask(CALYPSO_CONSOLE_WRITE);
}

void host_exit(int status, enum calypso_exit_reason reason, const char *message)
{
	request.arguments[0] = (uint64_t)status & 0xff;
	request.arguments[1] = reason;
	request.arguments[2] = message ? virt_to_phys(message) : 0;
	request.arguments[3] = message ? strlen(message) : 0;
	host_ask(CALYPSO_EXIT);
	arch_halt();
}

int64_t host_clock(uint64_t *wall)
{
	uint64_t arguments[6] = {0};
	int64_t now = host_request(CALYPSO_CLOCK, arguments);

	*wall = arguments[0];
	return now;
}

int64_t host_entropy(void *buffer, size_t length)
{
	uint64_t arguments[6] = {virt_to_phys(buffer), length};

	return host_request(CALYPSO_ENTROPY, arguments);
}

int64_t host_idle(uint64_t deadline)
{
	idle_request = (struct calypso_request){
		.service = CALYPSO_IDLE, .result = -ENOSYS, .arguments = {deadline}};
	arch_doorbell_interruptible(bootinfo.doorbell, doorbell_word(&idle_request));
	return idle_request.result;
}
