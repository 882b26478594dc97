/* The floor of an exit on KVM: a guest that stores one byte to a port (pio) or an address (mmio) in
 * a loop, and a VMM that looks at nothing but the kind of exit.
 *
 *     exit_floor pio|mmio COUNT      prints nanoseconds per exit
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#define RAM_SIZE (1ul << 20)
#define CODE 0x1000ul
#define PORT 0x3fful
#define ADDRESS 0x09000007ul

static int need(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static struct kvm_segment flat(unsigned selector, unsigned type)
{
	return (struct kvm_segment){
		.limit = 0xffffffff, .selector = selector, .type = type,
		.present = 1, .db = 1, .s = 1, .g = 1,
	};
}

/* Make a vCPU in 32-bit protected mode without paging, at the first instruction of the loop. */
static int make_vcpu(int vm, int is_pio)
{
	unsigned char *ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				  -1, 0);
	struct kvm_userspace_memory_region slot = {
		.memory_size = RAM_SIZE,
		.userspace_addr = (unsigned long)ram,
	};
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct kvm_sregs sregs;
	struct kvm_regs regs = {
		.rip = CODE, .rflags = 2, .rcx = 0xffffffff, .rdx = is_pio ? PORT : ADDRESS,
	};
	int vcpu;

	need(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
	need(ioctl(vm, KVM_ENABLE_CAP, &split), "KVM_CAP_SPLIT_IRQCHIP");
	vcpu = need(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	need(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cr0 = 0x11;
	sregs.cs = flat(0x08, 0xb);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(0x10, 0x3);
	need(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	need(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	if (is_pio)
		memcpy(ram + CODE, "\xee\x49\x75\xfc", 4); /* 1: out dx, al; dec ecx; jnz 1b */
	else
		memcpy(ram + CODE, "\x88\x02\x49\x75\xfb", 5); /* 1: mov [edx], al; dec ecx; jnz 1b */
	return vcpu;
}

int main(int argc, char **argv)
{
	if (argc != 3 || (strcmp(argv[1], "pio") && strcmp(argv[1], "mmio"))) {
		fprintf(stderr, "usage: exit_floor pio|mmio COUNT\n");
		return 2;
	}
	int is_pio = !strcmp(argv[1], "pio");
	unsigned expected = is_pio ? KVM_EXIT_IO : KVM_EXIT_MMIO;
	long count = atol(argv[2]);
	int kvm = need(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = need(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	int vcpu = make_vcpu(vm, is_pio);
	int size = need(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	double start = now();

	for (long done = 0; done < count; done++) {
		need(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
		if (run->exit_reason != expected) {
			fprintf(stderr, "exit reason %u\n", run->exit_reason);
			return 1;
		}
	}
	printf("%.1f\n", (now() - start) / count);
	return 0;
}
