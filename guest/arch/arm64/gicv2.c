/* arm64: the Generic Interrupt Controller, version 2 (Arm IHI 0048). */
#include <arch/irq.h>
#include <calypso/device.h>

/* Distributor */
#define GICD_CTLR 0x000
#define GICD_TYPER 0x004
#define GICD_ISENABLER 0x100
#define GICD_IPRIORITYR 0x400
#define GICD_ITARGETSR 0x800

#define GICD_CTLR_ENABLE (1u << 0)
#define GICD_TYPER_LINES 0x1f /* times 32, and 32 more */

/* CPU interface */
#define GICC_CTLR 0x000
#define GICC_PMR 0x004
#define GICC_IAR 0x00c
#define GICC_EOIR 0x010

#define GICC_CTLR_ENABLE (1u << 0)
#define GICC_PMR_ALL 0xff
#define IAR_INTID 0x3ff

#define PRIORITY 0x80
#define THIS_PROCESSOR 0x01

static physical_t distributor, interface;

static void initialize(physical_t gicd, physical_t gicc)
{
	distributor = gicd;
	interface = gicc;
	device_write32(distributor + GICD_CTLR, GICD_CTLR_ENABLE);
	device_write32(interface + GICC_PMR, GICC_PMR_ALL);
	device_write32(interface + GICC_CTLR, GICC_CTLR_ENABLE);
}

static void enable(unsigned intid)
{
	device_write8(distributor + GICD_IPRIORITYR + intid, PRIORITY);
	if (intid >= INTID_SHARED)
		device_write8(distributor + GICD_ITARGETSR + intid, THIS_PROCESSOR);
	device_write32(distributor + GICD_ISENABLER + intid / 32 * 4, 1u << intid % 32);
}

static unsigned lines(void)
{
	return ((device_read32(distributor + GICD_TYPER) & GICD_TYPER_LINES) + 1) * 32;
}

static uint32_t acknowledge(void)
{
	return device_read32(interface + GICC_IAR) & IAR_INTID;
}

static void end(uint32_t intid) { device_write32(interface + GICC_EOIR, intid); }

const struct gic gicv2 = {initialize, enable, lines, acknowledge, end};
