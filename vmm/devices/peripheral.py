"""Devices of a user's making: registers, an interrupt, memory; put on a machine by an option.

A whole one, in a file ``dice.py``::

    from random import Random

    from vmm.devices.peripheral import Peripheral
    from vmm.devices.registers import RO, W1C, Register


    class Dice(Peripheral):
        '''Throws dice, and interrupts for each six.'''

        SIDES = Register(0x00, "Number of sides", reset=6)
        RESULT = Register(0x04, "Throws, and reads as what fell", RO)
        STATUS = Register(0x08, "Status", W1C)
        STATUS_SIX = STATUS.bit(0, "a six fell")

        def __init__(self, at: int | None = None, *, seed: int = 0) -> None:
            self._random = Random(seed)
            super().__init__(at)

        @RESULT.on_read
        def _throw(self) -> int:
            result = self._random.randint(1, self.SIDES or 1)
            if result == 6:
                self.STATUS |= self.STATUS_SIX
            self._update_irq()
            return result

        @STATUS.after_write
        def _update_irq(self) -> None:
            self.irq(bool(self.STATUS))

``vmm run --device dice:Dice,seed=7 …`` or ``Machine(…, devices=[Dice(at=0x0b00_0000, seed=7)])``
puts it on the board. An arm64 guest finds it in the device tree, as ``compatible =
"calypso,dice"``; a PC on its kernel's command line, as ``dice.device=SIZE@PLACE:IRQ``.
"""

from __future__ import annotations

from vmm.devices.device import OutputPin
from vmm.devices.registers import RegisterDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from vmm.lines import Clock, InterruptLine
    from vmm.memory import GuestMemory


class Peripheral(RegisterDevice):
    """A device that is made first and connected afterwards, when a machine takes it.

    A subclass takes its place as ``at`` and its options by keyword, each with a default and the
    annotation int, bool, float or str; `vmm.machine.plugin` makes them from text.

    Args:
        at: guest-physical address of its registers; None leaves the place to the board.

    Attributes:
        NAME: what it is called in traces and by guests; else the class's name in lower case.
        SIZE: length of the range of its registers in bytes.
        at: where it is.
        made_of: the text it was made from, as of the option --device; "" if it was not.
        irq: its interrupt line, level-triggered.
        memory: the guest's RAM; from `connect` on.
        clock: guest time; from `connect` on.
    """

    NAME: ClassVar[str] = ""
    SIZE: ClassVar[int] = 0x1000

    made_of: str = ""
    memory: GuestMemory
    clock: Clock

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.irq = OutputPin(_nowhere)
        super().__init__()

    @property
    def name(self) -> str:
        """What it is called."""
        return self.NAME or type(self).__name__.lower()

    def reset(self) -> None:
        super().reset()
        self.irq(False)

    def read(self, offset: int, size: int) -> int:
        """Read ``size`` bytes at ``offset``: the low ones of what a method for it returns.

        Raises:
            TypeError: if that is no number.
        """
        value = super().read(offset, size)
        if not isinstance(value, int):
            register, _ = self.decode(offset, 0, False)
            raise TypeError(f"{self.name}.{register} reads as {value!r}, which is no int")
        return value & (1 << 8 * size) - 1

    def connect(self, *, irq: InterruptLine, memory: GuestMemory, clock: Clock) -> None:
        """Take the wires of a machine; once, before the guest runs."""
        level = self.irq.level
        self.irq = OutputPin(irq)
        self.irq(level)
        self.memory = memory
        self.clock = clock


def _nowhere(level: bool, /) -> None:
    """The wire of a device that no machine has taken yet."""
