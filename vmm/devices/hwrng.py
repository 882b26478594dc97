"""A source of true random numbers: one data register, ready whenever the host's generator is.

Calypso's own device, as small as a device with an interrupt can be. A driver checks ID and VERSION,
sets CR_ENABLE, and reads DATA while STATUS_READY is set.
"""

from __future__ import annotations

from vmm.devices.device import OutputPin
from vmm.devices.registers import RO, W1C, Register, RegisterDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Final

    from vmm.lines import InterruptLine

ID: Final = int.from_bytes(b"HRNG", "little")

DATA_BYTES: Final = 8


class HwRng(RegisterDevice, sizes=(4, 8)):
    """A hardware random number generator.

    Registers are little-endian and take aligned accesses of 32 bits, DATA also one of 64. Each
    access to DATA gives fresh bits; none is kept, so that a machine restored twice does not see
    the same ones twice. While the source fails, DATA reads as 0: a driver looks at STATUS after
    it has read, and discards what came with STATUS_ERROR.

    The interrupt is level-triggered: asserted while a bit is set in both STATUS and IER.

    Args:
        irq: the interrupt.
        source: returns so many random bytes; raises OSError if it cannot.
    """

    SIZE: ClassVar[int] = 0x1000
    SOURCES: ClassVar[tuple[str, ...]] = ("_source",)

    ID = Register(0x00, 'Identification: "HRNG"', RO, reset=ID)
    VERSION = Register(0x04, "Version of this layout", RO, reset=1)
    CR = Register(0x08, "Control")
    CR_ENABLE = CR.bit(0, "numbers are generated")
    STATUS = Register(0x0C, "Status", RO)
    STATUS_READY = STATUS.bit(0, "DATA has fresh bits")
    STATUS_ERROR = STATUS.bit(1, "the source has failed; nothing is ready until cleared", W1C)
    IER = Register(0x10, "Interrupt enable")
    IER_READY = IER.bit(0, "when DATA has fresh bits")
    IER_ERROR = IER.bit(1, "when the source has failed")
    DATA = Register(0x18, "Random bits; 0 unless ready", RO, width=64)

    def __init__(self, *, irq: InterruptLine, source: Callable[[int], bytes]) -> None:
        self.irq = OutputPin(irq)
        self._source = source
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.irq(False)

    def loaded(self) -> None:
        self._update_irq()

    @DATA.on_read
    def _generate(self) -> int:
        if not self.STATUS & self.STATUS_READY:
            return 0
        try:
            return int.from_bytes(self._source(DATA_BYTES), "little")
        except OSError:
            self.STATUS |= self.STATUS_ERROR
            self._update()
            return 0

    @CR.after_write
    @STATUS.after_write
    def _update(self) -> None:
        ready = self.CR & self.CR_ENABLE and not self.STATUS & self.STATUS_ERROR
        self.STATUS = self.STATUS & ~self.STATUS_READY | (self.STATUS_READY if ready else 0)
        self._update_irq()

    @IER.after_write
    def _update_irq(self) -> None:
        self.irq(bool(self.STATUS & self.IER))
