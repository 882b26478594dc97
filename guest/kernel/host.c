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

int64_t host_request(enum calypso_service service, uint64_t arguments[6])
{
	if (!bootinfo_has(CALYPSO_FEATURE_DOORBELL))
		return -ENOSYS;
	request.service = service;
	request.flags = 0;
	request.result = -ENOSYS;
	memcpy(request.arguments, arguments, sizeof(request.arguments));
	arch_doorbell(bootinfo.doorbell, doorbell_word(&request));
	memcpy(arguments, request.arguments, sizeof(request.arguments));
	return request.result;
}

void host_exit(int status, enum calypso_exit_reason reason, const char *message)
{
	uint64_t arguments[6] = {(uint64_t)status & 0xff, reason};

	if (message) {
		arguments[2] = virt_to_phys(message);
		arguments[3] = strlen(message);
	}
	host_request(CALYPSO_EXIT, arguments);
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
