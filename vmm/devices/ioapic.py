"""The I/O APIC: Intel 82093AA, or the one of the I/O controller hubs, which has an EOI register.

Interrupts leave it as messages, in the format that PCI devices use for theirs (Intel SDM volume 3,
11.11), so that it does not matter whether local APICs are devices or the backend's.
"""

from __future__ import annotations

from vmm.devices.registers import RO, WO, Register, RegisterArray, RegisterDevice, internal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import ClassVar, Final

    from vmm.lines import InterruptLine, MessageSink

PINS: Final = 24

VERSION_WITH_EOI: Final = 0x20

# Bits of a message's address and data.
MESSAGE_ADDRESS: Final = 0xFEE0_0000
MESSAGE_DESTINATION_SHIFT: Final = 12
MESSAGE_LOGICAL: Final = 1 << 2
MESSAGE_ASSERT: Final = 1 << 14
MESSAGE_LEVEL: Final = 1 << 15

# What IOREGSEL selects: 32-bit registers by index, here four bytes apart.
INDEX: Final = "index"


def _nobody(_routes: Mapping[int, tuple[int, int]]) -> None:
    pass


class IoApic(RegisterDevice):
    """An I/O APIC of 24 pins. Lines are asserted or not; the polarity bit has no effect.

    Args:
        messages: where interrupts go.
        on_routes: called with pin -> (address, data) of all pins in use when that has changed; bit
            15 of the data tells the level-triggered ones. A pin that is masked keeps what it had:
            drivers mask a pin before the EOI of what it sent, which must be seen all the same.
        version: 0x11 as the 82093AA, or 0x20 with an EOI register.
    """

    SIZE: ClassVar[int] = 0x1000
    INPUTS: ClassVar[tuple[str, ...]] = ("set_line", "end_of_interrupt")
    ENDS: ClassVar[tuple[str, ...]] = ("messages",)

    IOREGSEL = Register(0x00, "Register Select", span=16)
    IOREGSEL_ADDRESS = IOREGSEL.bits(7, 0, "index of the register behind IOWIN")
    IOWIN = Register(0x10, "Window: the register selected", span=16)
    EOIR = Register(0x40, "End Of Interrupt (version 0x20)", WO, span=16)
    EOIR_VECTOR = EOIR.bits(7, 0, "vector")

    IOAPICID = Register(0x00, "Identification", bank=INDEX)
    IOAPICID_ID = IOAPICID.bits(27, 24, "identity")
    IOAPICVER = Register(0x04, "Version", RO, bank=INDEX)
    IOAPICVER_ENTRIES = IOAPICVER.bits(23, 16, "number of the last redirection entry")
    IOAPICVER_VERSION = IOAPICVER.bits(7, 0, "version")
    IOAPICARB = Register(0x08, "Arbitration", RO, bank=INDEX)
    IOAPICARB_ID = IOAPICARB.bits(27, 24, "identity")

    IOREDTBL = RegisterArray(0x40, PINS, "Redirection", reset=0x1_0000, width=64, bank=INDEX)
    IOREDTBL_DESTINATION = IOREDTBL.bits(63, 56, "APIC id, or set of logical ids")
    IOREDTBL_MASK = IOREDTBL.bit(16, "masked")
    IOREDTBL_TRIGGER = IOREDTBL.bit(15, "level-triggered")
    IOREDTBL_REMOTE_IRR = IOREDTBL.bit(14, "delivered, EOI outstanding (level only)", RO)
    IOREDTBL_POLARITY = IOREDTBL.bit(13, "active low")
    IOREDTBL_STATUS = IOREDTBL.bit(12, "delivery pending", RO)
    IOREDTBL_LOGICAL = IOREDTBL.bit(11, "the destination is logical")
    IOREDTBL_MODE = IOREDTBL.bits(10, 8, "delivery mode")
    IOREDTBL_VECTOR = IOREDTBL.bits(7, 0, "vector")

    _lines = internal(0)

    def __init__(
        self,
        *,
        messages: MessageSink,
        on_routes: Callable[[Mapping[int, tuple[int, int]]], None] = _nobody,
        version: int = VERSION_WITH_EOI,
    ) -> None:
        self.messages = messages
        self.on_routes = on_routes
        self.version = version
        self._routes: dict[int, tuple[int, int]] = {}
        super().__init__()

    def line(self, pin: int) -> InterruptLine:
        """Return the line of ``pin``, 0 to 23.

        Raises:
            ValueError: for any other.
        """
        if not 0 <= pin < PINS:
            raise ValueError(f"the I/O APIC has no pin {pin}")
        return lambda level: self.set_line(pin, level)

    def set_line(self, pin: int, level: bool) -> None:
        """Drive the line of ``pin``."""
        mask = 1 << pin
        rising = level and not self._lines & mask
        self._lines = self._lines | mask if level else self._lines & ~mask
        if not rising:
            return
        entry = self.IOREDTBL[pin]
        if entry & self.IOREDTBL_TRIGGER:
            self._serve_level(pin)
        elif not entry & self.IOREDTBL_MASK:
            # An edge at a masked pin is lost: the chip does not keep it.
            self.messages(*self._message(entry))

    def end_of_interrupt(self, vector: int) -> None:
        """Take the EOI of a local APIC; a line that is still asserted interrupts again."""
        self._end(vector)

    def reset(self) -> None:
        super().reset()
        self._announce_routes({})

    def loaded(self) -> None:
        self._announce_routes({})

    def decode(self, offset: int, value: int, write: bool) -> tuple[str, dict[str, int]]:
        if offset == self.registers["IOWIN"].offset:
            return self.decode_bank(INDEX, 4 * self.IOREGSEL, value, write)
        return super().decode(offset, value, write)

    # ---- Registers ----

    @IOWIN.on_read
    def _read_window(self) -> int:
        return self.read_bank(INDEX, 4 * self.IOREGSEL, 4)

    @IOWIN.on_write
    def _write_window(self, value: int) -> None:
        self.write_bank(INDEX, 4 * self.IOREGSEL, 4, value)

    @EOIR.on_write
    def _write_eoi(self, value: int) -> None:
        if self.version >= VERSION_WITH_EOI:
            self._end(value & self.EOIR_VECTOR)

    @IOAPICVER.on_read
    def _read_version(self) -> int:
        return self.IOAPICVER_ENTRIES.put(PINS - 1) | self.version

    @IOAPICARB.on_read
    def _read_arbitration(self) -> int:
        return self.IOAPICID

    @IOREDTBL.after_write
    def _redirected(self, pin: int) -> None:
        # Before there was an EOI register, drivers ended a level interrupt by a turn to edge mode.
        if not self.IOREDTBL[pin] & self.IOREDTBL_TRIGGER:
            self.IOREDTBL[pin] &= ~self.IOREDTBL_REMOTE_IRR
        self._announce_routes(self._routes)
        self._serve_level(pin)

    # ---- Inside ----

    def _end(self, vector: int) -> None:
        for pin, entry in enumerate(self.IOREDTBL):
            if entry & self.IOREDTBL_REMOTE_IRR and entry & self.IOREDTBL_VECTOR == vector:
                self.IOREDTBL[pin] = entry & ~self.IOREDTBL_REMOTE_IRR
                self._serve_level(pin)

    def _serve_level(self, pin: int) -> None:
        entry = self.IOREDTBL[pin]
        blocked = entry & (self.IOREDTBL_MASK | self.IOREDTBL_REMOTE_IRR)
        if blocked or not entry & self.IOREDTBL_TRIGGER or not self._lines & 1 << pin:
            return
        self.IOREDTBL[pin] = entry | self.IOREDTBL_REMOTE_IRR
        self.messages(*self._message(entry))

    def _message(self, entry: int) -> tuple[int, int]:
        address = (
            MESSAGE_ADDRESS
            | self.IOREDTBL_DESTINATION.of(entry) << MESSAGE_DESTINATION_SHIFT
            | (MESSAGE_LOGICAL if entry & self.IOREDTBL_LOGICAL else 0)
        )
        data = entry & (self.IOREDTBL_MODE | self.IOREDTBL_VECTOR)
        if entry & self.IOREDTBL_TRIGGER:
            data |= MESSAGE_LEVEL | MESSAGE_ASSERT
        return address, data

    def _announce_routes(self, kept: Mapping[int, tuple[int, int]]) -> None:
        routes = dict(kept)
        for pin, entry in enumerate(self.IOREDTBL):
            ends = entry & self.IOREDTBL_REMOTE_IRR and pin not in kept
            if ends or not entry & self.IOREDTBL_MASK:
                routes[pin] = self._message(entry)
        if routes != self._routes:
            self._routes = routes
            self.on_routes(routes)
