/* Registers of memory-mapped devices, by physical address. Each access is one plain load or store
 * of its size, the only kind that a hypervisor can be relied on to carry out. */
#ifndef CALYPSO_DEVICE_H
#define CALYPSO_DEVICE_H

#include <arch/mmio.h>
#include <calypso/mm.h>

static inline uint8_t device_read8(physical_t address)
{
	return arch_mmio_read8(phys_to_virt(address));
}

static inline uint16_t device_read16(physical_t address)
{
	return arch_mmio_read16(phys_to_virt(address));
}

static inline uint32_t device_read32(physical_t address)
{
	return arch_mmio_read32(phys_to_virt(address));
}

static inline void device_write8(physical_t address, uint8_t value)
{
	arch_mmio_write8(phys_to_virt(address), value);
}

static inline void device_write16(physical_t address, uint16_t value)
{
	arch_mmio_write16(phys_to_virt(address), value);
}

static inline void device_write32(physical_t address, uint32_t value)
{
	arch_mmio_write32(phys_to_virt(address), value);
}

/* Map a device's registers at run time, at their place in the direct map. 0, -ENOMEM or -EINVAL
 * (not a range of the physical address space). What is mapped already stays. */
int device_map(physical_t address, uint64_t length);

#endif
