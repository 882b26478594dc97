"""A device as a newcomer writes one; the text of `vmm.devices.peripheral`."""

from __future__ import annotations

from random import Random

from vmm.devices.peripheral import Peripheral
from vmm.devices.registers import RO, W1C, Register


class Dice(Peripheral):
    """Throws dice, and interrupts for each six."""

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


class NoDevice:
    """Not derived from what it should be."""


class Needy(Dice):
    """Has an option without a default, and refuses some values of another."""

    NAME = "needy"

    def __init__(self, name: str, *, speed: float = 1.0, loud: bool = False) -> None:
        if speed < 0:
            raise ValueError("it cannot go backwards")
        self.options = (name, speed, loud)
        super().__init__()


class Broken(Dice):
    """Cannot be made."""

    def __init__(self) -> None:
        self.speed = 1 / 0
        super().__init__()


class Loaded(Dice):
    """Falls as it likes, which is not always a number that there is."""

    def __init__(self, falls: int | None = None) -> None:
        self.falls = falls
        super().__init__()

    def _throw(self) -> int:
        return self.falls  # type: ignore[return-value]
