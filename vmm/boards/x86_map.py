"""The ports and the memory map of the x86_64 board: of a PC, what small kernels use.

ports                                     memory
0x0020 0x00a0  8259 pair (0x04d0: ELCR)   0x0000_0000  RAM, up to 3 GiB
0x0040 0x0061  8254 timer                 0xc000_0000  hole: devices by memory
0x0064         i8042: reset               0xd000_0000    virtio-mmio
0x0070         RTC and CMOS, IRQ 8        0xd001_0000    random numbers, IRQ 3
0x00e9         debug output               0xd100_0000    added devices
0x00f4 0x0501  debug exit                 0xfec0_0000    I/O APIC
0x03f8         COM1, IRQ 4                0xfee0_0000    local APIC
0x0600 0x0604  ACPI: events, power-off  0x1_0000_0000  RAM above 3 GiB
0x0ca0         doorbell
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HOLE_START: Final = 0xC000_0000
HOLE_END: Final = 0x1_0000_0000

VIRTIO: Final = 0xD000_0000
HWRNG: Final = 0xD001_0000
PERIPHERALS: Final = 0xD100_0000
HWRNG_WINDOW: Final = 0x1000
IOAPIC: Final = 0xFEC0_0000
LOCAL_APIC: Final = 0xFEE0_0000
APIC_WINDOW: Final = 0x1000

PIT: Final = 0x40
PIT_PORTS: Final = 4
PORT_61: Final = 0x61
I8042_DATA: Final = 0x60
I8042_COMMAND: Final = 0x64
RTC: Final = 0x70
RTC_PORTS: Final = 2
DEBUG_CONSOLE: Final = 0xE9
DEBUG_EXITS: Final = (0xF4, 0x501)
DEBUG_EXIT_PORTS: Final = 4
ACPI_EVENTS: Final = 0x600
ACPI_EVENTS_PORTS: Final = 4
ACPI_POWER: Final = 0x604
ACPI_POWER_PORTS: Final = 2
PIC_MASTER: Final = 0x20
PIC_SLAVE: Final = 0xA0
ELCR: Final = 0x4D0
PIC_PORTS: Final = 2
COM1: Final = 0x3F8
COM_PORTS: Final = 8
DOORBELL: Final = 0x0CA0

IRQ_TIMER: Final = 0
IRQ_HWRNG: Final = 3
IRQ_COM1: Final = 4
IRQ_RTC: Final = 8
# Those of a PC that nothing else uses (9 is ACPI's own), and the I/O APIC's that no PC has.
IRQS_ADDED: Final = (5, 6, 7, 10, 11, 12, 14, 15, *range(16, 24))
GSI_TIMER: Final = 2  # where a PC's I/O APIC receives the 8254
