"""The memory map of the arm64 board: the places of QEMU's "virt", which every small kernel knows.

0x0800_0000  GIC distributor (both versions)      INTID
0x0801_0000  GICv2 CPU interface                  27  virtual timer, 30 physical timer
0x080a_0000  GICv3 redistributors                 33  serial port
0x0900_0000  serial port (PL011)                  34  real-time clock
0x0901_0000  real-time clock (PL031)
0x0902_0000  doorbell                         35  random number generator
0x0903_0000  random number generator
0x0a00_0000  virtio-mmio                          48  virtio-mmio and other added devices,
0x0b00_0000  added devices                            one each
0x4000_0000  RAM
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

GIC_DISTRIBUTOR: Final = 0x0800_0000
GIC_CPU_INTERFACE: Final = 0x0801_0000
GIC_REDISTRIBUTOR: Final = 0x080A_0000
PL011: Final = 0x0900_0000
PL031: Final = 0x0901_0000
DOORBELL: Final = 0x0902_0000
HWRNG: Final = 0x0903_0000
VIRTIO: Final = 0x0A00_0000
PERIPHERALS: Final = 0x0B00_0000
RAM: Final = 0x4000_0000

FIRECRACKER_SERIAL: Final = 0x4000_2000
FIRECRACKER_RAM: Final = 0x8000_0000

GIC_WINDOW: Final = 0x1_0000
REDISTRIBUTOR_WINDOW: Final = 0x2_0000  # of one vCPU
PAGE: Final = 0x1000

INTID_VIRTUAL_TIMER: Final = 27
INTID_PHYSICAL_TIMER: Final = 30
INTID_SERIAL: Final = 33
INTID_PL031: Final = 34
INTID_HWRNG: Final = 35
INTIDS_ADDED: Final = range(48, 80)


class Places:
    """Where the devices are.

    Attributes:
        firecracker: the serial port is a 16550, where that VMM has it.

    The others are guest-physical addresses, named as the constants of this module.
    """

    def __init__(self, firecracker: bool = False, distance: int = 0) -> None:
        """Move all devices up by ``distance``, away from RAM."""
        self.firecracker = firecracker
        self.gic_distributor = distance + GIC_DISTRIBUTOR
        self.gic_cpu_interface = distance + GIC_CPU_INTERFACE
        self.gic_redistributor = distance + GIC_REDISTRIBUTOR
        self.serial = distance + (FIRECRACKER_SERIAL if firecracker else PL011)
        self.pl031 = distance + PL031
        self.doorbell = distance + DOORBELL
        self.hwrng = distance + HWRNG
        self.virtio = distance + VIRTIO
        self.peripherals = distance + PERIPHERALS

    def gic_frames(self, version: int, cpus: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return (base, length) of the distributor, and of CPU interface or redistributors."""
        distributor = (self.gic_distributor, GIC_WINDOW)
        if version == 2:
            return distributor, (self.gic_cpu_interface, GIC_WINDOW)
        return distributor, (self.gic_redistributor, REDISTRIBUTOR_WINDOW * cpus)
