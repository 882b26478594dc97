"""One counter of an 8254 as its datasheet describes it: pulse by pulse, with all its flip-flops."""

from __future__ import annotations


class Chip:
    """A counter that is told of each pulse of its clock; counts are loaded as they are written.

    Attributes:
        out: the level of OUT.
        gate: the level of GATE.
        element: what it has counted down to.
        null: the count written last was not loaded yet.
        begun: a count was loaded since the control word.
    """

    def __init__(self) -> None:
        self.gate = False
        self.control(0, bcd=False)

    def control(self, mode: int, *, bcd: bool) -> None:
        self.mode = mode
        self.size = 10_000 if bcd else 0x1_0000
        self.register = self.element = 0
        self.odd = self.written = self.begun = self.strobes = False
        self.null = True
        self.out = mode != 0

    def write_first_byte(self) -> None:
        if self.mode == 0:
            self.out = self.begun = False

    def write(self, count: int) -> None:
        self.register = count
        self.written = self.null = True
        if self.mode in (0, 4) or (self.mode in (2, 3) and not self.begun):
            self._load()
        if self.mode == 0:
            self.out = False
        elif self.mode == 4:
            self.strobes = self.out = True

    def set_gate(self, level: bool) -> None:
        rises, self.gate = level and not self.gate, level
        if self.mode in (2, 3) and not level:
            self.out = True
        if not rises or not self.written:
            return
        if self.mode in (1, 2, 3, 5):
            self._load()
            self.out = self.mode != 1
            self.strobes = True

    def pulse(self) -> None:
        if not self.begun or (self.mode not in (1, 5) and not self.gate):
            return
        if self.mode == 3:
            self._pulse_square_wave()
            return
        self.element = (self.element - 1) % self.size
        if self.mode in (0, 1):
            self.out = self.out or self.element == 0
        elif self.mode == 2:
            self.out = self.element != 1
            if self.element == 0:
                self._load()
        else:
            self.out = not (self.strobes and self.element == 0)
            self.strobes = self.strobes and self.out

    def _pulse_square_wave(self) -> None:
        # An odd count's high half takes one pulse more: it ends with the one behind 0.
        if self.odd and self.out and self.element:
            self.element -= 2
            return
        self.element = 0 if self.odd and self.out else self.element - 2
        if self.element == 0:
            self.out = not self.out
            self._load()

    def _load(self) -> None:
        self.begun = True
        self.null = False
        self.odd = self.register % 2 == 1
        self.element = self.register - (self.mode == 3 and self.odd)
