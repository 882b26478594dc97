"""The ports by which guests of other VMMs end and by which they print: small, and all in one place.

Power-off is the ACPI register PM1a_CNT where QEMU's boards have it; the debug exit is QEMU's
isa-debug-exit, the debug console that of Bochs.
"""

from __future__ import annotations

from vmm.devices.registers import RO, WO, Register, RegisterDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

# Sleep type of S5, soft off, in QEMU's ACPI tables.
SOFT_OFF: Final = 0

# What a read of the debug console answers, by which guests recognise it.
DEBUG_CONSOLE_PRESENT: Final = 0xE9


class AcpiEvents(RegisterDevice, width=16):
    """PM1a events (ACPI 4.8.3.1): a region of four ports, at 0x600. Nothing ever happens."""

    PM1_STS = Register(0, "PM1 Status", RO)
    PM1_EN = Register(2, "PM1 Enable")


class AcpiPowerControl(RegisterDevice, width=16):
    """PM1a control (ACPI 4.8.3.2): a region of two ports, at 0x604.

    Args:
        shutdown: powers the machine off with an exit status.
    """

    PM1_CNT = Register(0, "PM1 Control", reset=1)
    PM1_CNT_SLP_EN = PM1_CNT.bit(13, "enter the sleep state", WO)
    PM1_CNT_SLP_TYP = PM1_CNT.bits(12, 10, "sleep state: 0 is soft off")
    PM1_CNT_SCI_EN = PM1_CNT.bit(0, "ACPI mode", RO)

    def __init__(self, *, shutdown: Callable[[int], None]) -> None:
        self._shutdown = shutdown
        super().__init__()

    @PM1_CNT.after_write
    def _sleep(self) -> None:
        if self.PM1_CNT & self.PM1_CNT_SLP_EN:
            self.PM1_CNT &= ~self.PM1_CNT_SLP_EN
            if self.PM1_CNT_SLP_TYP.of(self.PM1_CNT) == SOFT_OFF:
                self._shutdown(0)


class DebugExit(RegisterDevice, width=32):
    """A region of four ports, at 0xf4 or 0x501; any write ends the machine.

    Args:
        shutdown: ends the machine with an exit status, here ``value << 1 | 1``: never success.
    """

    EXIT = Register(0, "Exit", WO)

    def __init__(self, *, shutdown: Callable[[int], None]) -> None:
        self._shutdown = shutdown
        super().__init__()

    @EXIT.on_write
    def _exit(self, value: int) -> None:
        self._shutdown((value << 1 | 1) & 0xFF)


class DebugConsole(RegisterDevice, width=8):
    """A region of one port, at 0xe9.

    Args:
        sink: takes what the guest writes, byte by byte.
    """

    IN = Register(0, "Presence", RO, reset=DEBUG_CONSOLE_PRESENT)
    OUT = Register(0, "Output", WO)

    def __init__(self, *, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        super().__init__()

    @OUT.on_write
    def _write(self, value: int) -> None:
        self._sink(bytes((value,)))
