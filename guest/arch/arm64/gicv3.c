/* arm64: the Generic Interrupt Controller, version 3 (Arm IHI 0069): its distributor, the
 * redistributor of the one processor, and the CPU interface in system registers. */
#include <arch/irq.h>
#include <arch/registers.h>
#include <calypso/arch.h>
#include <calypso/device.h>

/* Distributor */
#define GICD_CTLR 0x0000
#define GICD_TYPER 0x0004
#define GICD_IGROUPR 0x0080
#define GICD_ISENABLER 0x0100
#define GICD_IPRIORITYR 0x0400
#define GICD_IROUTER 0x6000 /* 64 bits for each INTID */

#define GICD_CTLR_GROUP1 (1u << 1)
#define GICD_CTLR_AFFINITY (1u << 4) /* ARE */
#define GICD_TYPER_LINES 0x1f /* times 32, and 32 more */

/* Redistributor: the second frame has registers as the distributor's for INTIDs below 32. */
#define GICR_WAKER 0x0014
#define GICR_PRIVATE 0x10000

#define GICR_WAKER_SLEEP (1u << 1)
#define GICR_WAKER_ASLEEP (1u << 2)

/* CPU interface */
#define ICC_SRE_EL1 "s3_0_c12_c12_5"
#define ICC_PMR_EL1 "s3_0_c4_c6_0"
#define ICC_IGRPEN1_EL1 "s3_0_c12_c12_7"
#define ICC_IAR1_EL1 "s3_0_c12_c12_0"
#define ICC_EOIR1_EL1 "s3_0_c12_c12_1"

#define ICC_SRE_ENABLE 1
#define ICC_PMR_ALL 0xff
#define ICC_IGRPEN1_ENABLE 1
#define IAR_INTID 0xffffff

#define PRIORITY 0x80

static physical_t distributor, redistributor;

static void initialize(physical_t gicd, physical_t gicr)
{
	distributor = gicd;
	redistributor = gicr;
	device_write32(distributor + GICD_CTLR, GICD_CTLR_AFFINITY | GICD_CTLR_GROUP1);
	uint32_t waker = device_read32(redistributor + GICR_WAKER);
	device_write32(redistributor + GICR_WAKER, waker & ~GICR_WAKER_SLEEP);
	while ((device_read32(redistributor + GICR_WAKER) & GICR_WAKER_ASLEEP) != 0)
		arch_pause();
	write_register(ICC_SRE_EL1, ICC_SRE_ENABLE);
	__asm__ volatile("isb" ::: "memory");
	write_register(ICC_PMR_EL1, ICC_PMR_ALL);
	write_register(ICC_IGRPEN1_EL1, ICC_IGRPEN1_ENABLE);
	__asm__ volatile("isb" ::: "memory");
}

static void enable(unsigned intid)
{
	bool shared = intid >= INTID_SHARED;
	physical_t frame = shared ? distributor : redistributor + GICR_PRIVATE;
	physical_t group = frame + GICD_IGROUPR + intid / 32 * 4;
	device_write32(group, device_read32(group) | 1u << intid % 32);
	device_write8(frame + GICD_IPRIORITYR + intid, PRIORITY);
	if (shared) {
		/* To the processor whose affinity is 0. */
		device_write32(distributor + GICD_IROUTER + 8 * intid, 0);
		device_write32(distributor + GICD_IROUTER + 8 * intid + 4, 0);
	}
	device_write32(frame + GICD_ISENABLER + intid / 32 * 4, 1u << intid % 32);
}

static unsigned lines(void)
{
	return ((device_read32(distributor + GICD_TYPER) & GICD_TYPER_LINES) + 1) * 32;
}

static uint32_t acknowledge(void)
{
	uint64_t intid = read_register(ICC_IAR1_EL1);

	__asm__ volatile("dsb sy" ::: "memory");
	return intid & IAR_INTID;
}

static void end(uint32_t intid)
{
	write_register(ICC_EOIR1_EL1, intid);
	__asm__ volatile("isb" ::: "memory");
}

const struct gic gicv3 = {initialize, enable, lines, acknowledge, end};
