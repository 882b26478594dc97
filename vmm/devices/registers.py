"""Register maps by declaration: what a datasheet's table says is what the device's class says.

A working device, complete with interrupt, reset, saved state, trace and reference page::

    class Doorbell(RegisterDevice):
        '''Rings a bell in the host; every tenth ring raises an interrupt.'''

        CONTROL = Register(0x00, "Control")
        CONTROL_ENABLE = CONTROL.bit(0, "rings are counted")
        CONTROL_TONE = CONTROL.bits(5, 4, "pitch of the bell", UNMODELLED)
        STATUS = Register(0x04, "Status", W1C)
        STATUS_TENTH = STATUS.bit(0, "ten more rings were counted")
        RING = Register(0x08, "Ring", WO)
        COUNT = Register(0x08, "Rings counted", RO)

        def __init__(self, *, irq: InterruptLine, bell: Callable[[int], None]) -> None:
            self.irq = irq
            self.bell = bell
            super().__init__()

        @RING.on_write
        def _ring(self, value: int) -> None:
            self.bell(value)
            if self.CONTROL & self.CONTROL_ENABLE:
                self.COUNT = self.COUNT + 1 & 0xFFFF_FFFF
                if self.COUNT % 10 == 0:
                    self.STATUS |= self.STATUS_TENTH
            self._update_irq()

        @STATUS.after_write
        def _update_irq(self) -> None:
            self.irq(bool(self.STATUS))

On the class, ``Doorbell.CONTROL`` is the declaration; on a device, ``self.CONTROL`` is the plain
int that the register holds. A field is an int too, the mask of its bits.

What follows from the declaration alone:

* Access kinds, of a register or of single fields: `RO`, `RW`, `WO`, `W1C`, `W1S`, `RC`,
  `RESERVED`, `UNMODELLED`. If a register declares fields, its other bits are reserved: they read
  as zero and ignore writes.
* ``on_read`` and ``on_write`` name the method that does the whole of a read or write; the value
  written is cut to the register's width and otherwise as the guest gave it. ``after_write`` names
  one that runs after the map has stored a value. Methods are bound by name, so that a subclass can
  override them. A register always has its attribute on the device, which methods may use or not;
  an array with ``on_read`` has none.
* Reads and writes are decoded separately: a read-only and a write-only register may share an
  offset. A register with a ``bank`` is seen only while that bank is selected, in front of the
  others (`RegisterDevice.select`), or through `RegisterDevice.read_bank` (index and data ports).
* Devices see whole registers only. A narrower read takes its part of the register; a narrower
  write leaves the other bytes alone: their RW bits are written as ``on_read`` or the stored value
  gives them, all others as 0. A wider or unaligned access touches each register it covers, in
  ascending order. Sizes that a class does not permit, and offsets where nothing is, read as its
  ``hole`` value and ignore writes.
"""

from __future__ import annotations

from vmm.devices.decoder import (
    MAX_NOTED,
    RC,
    RESERVED,
    RO,
    RW,
    UNMODELLED,
    W1C,
    W1S,
    WO,
    Decoder,
)
from vmm.devices.device import Device, internal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Self, TypeVar, overload

    from vmm.devices.decoder import Access
    from vmm.devices.device import State

    _Read = TypeVar("_Read", bound=Callable[[Any], int])
    _Write = TypeVar("_Write", bound=Callable[[Any, int], None])
    _After = TypeVar("_After", bound=Callable[[Any], None])
    _ReadAt = TypeVar("_ReadAt", bound=Callable[[Any, int], int])
    _WriteAt = TypeVar("_WriteAt", bound=Callable[[Any, int, int], None])
    _AfterAt = TypeVar("_AfterAt", bound=Callable[[Any, int], None])

__all__ = [
    "RC",
    "RESERVED",
    "RO",
    "RW",
    "UNMODELLED",
    "W1C",
    "W1S",
    "WO",
    "Field",
    "Register",
    "RegisterArray",
    "RegisterDevice",
    "internal",
]


class Field(int):
    """A named group of adjacent bits; as a number, the mask of these bits.

    Attributes:
        name: the attribute's name without the register's, as in the datasheet.
        high: its most significant bit.
        low: its least significant bit.
        meaning: half a line for the reference page.
        access: one of the access kinds.
    """

    name: str
    high: int
    low: int
    meaning: str
    access: Access
    register: Declaration

    def __new__(
        cls, register: Declaration, high: int, low: int, meaning: str, access: Access
    ) -> Self:
        self = super().__new__(cls, (2 << high) - (1 << low))
        self.register = register
        self.name = f"{high}:{low}"
        self.high = high
        self.low = low
        self.meaning = meaning
        self.access = access
        return self

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.removeprefix(f"{self.register.name}_")

    def of(self, value: int) -> int:
        """Return the field's content in ``value``, shifted down."""
        return (value & self) >> self.low

    def put(self, content: int) -> int:
        """Return ``content``, cut to the field, at the field's place."""
        return content << self.low & self


class Declaration:
    """What registers and arrays of registers have in common.

    Attributes:
        name: the attribute's name, which is the datasheet's.
        offset: from the region's base, in bytes; of the first one of an array.
        meaning: the datasheet's long name.
        access: what holds for bits that no field says otherwise about.
        reset: value after a reset.
        width: in bits; a multiple of 8.
        span: bytes from this register to where another may begin.
        bank: the bank that it belongs to; "" if it is always there.
        array: True for a `RegisterArray`.
        count: the number of its elements, else 1.
        fields: most significant first, when the datasheet lists them so.
        reader: the name of the method that does its reads, or "".
        writer: the name of the method that does its writes, or "".
        after: the name of the method that runs after a write was stored, or "".
    """

    array = False
    count = 1

    def __init__(
        self,
        offset: int,
        meaning: str,
        access: Access = RW,
        *,
        reset: int = 0,
        width: int = 0,
        span: int = 0,
        bank: str = "",
    ) -> None:
        self.name = ""
        self.offset = offset
        self.meaning = meaning
        self.access: Access = access
        self.reset = reset
        self.width = width
        self.span = span
        self.bank = bank
        self.fields: list[Field] = []
        self.reader = ""
        self.writer = ""
        self.after = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def bit(self, position: int, meaning: str, access: Access | None = None) -> Field:
        """Declare a field of one bit."""
        return self.bits(position, position, meaning, access)

    def bits(self, high: int, low: int, meaning: str, access: Access | None = None) -> Field:
        """Declare the field [high:low]; without ``access`` it has the register's."""
        field = Field(self, high, low, meaning, access or self.access)
        self.fields.append(field)
        return field

    @property
    def stored(self) -> bool:
        """Tell whether the device has an attribute with its value."""
        return not (self.array and self.reader)

    def initial(self) -> Any:
        """Return what this attribute holds after a reset."""
        return self.reset


class Register(Declaration):
    """One register."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, device: None, owner: type) -> Self: ...
        @overload
        def __get__(self, device: RegisterDevice, owner: type) -> int: ...
        def __get__(self, device: RegisterDevice | None, owner: type) -> Self | int: ...
        def __set__(self, device: RegisterDevice, value: int) -> None: ...

    def on_read(self, method: _Read) -> _Read:
        """Let ``method(self) -> int`` do reads; the result must fit the register."""
        self.reader = method.__name__
        return method

    def on_write(self, method: _Write) -> _Write:
        """Let ``method(self, value)`` do writes."""
        self.writer = method.__name__
        return method

    def after_write(self, method: _After) -> _After:
        """Call ``method(self)`` each time after a write was stored."""
        self.after = method.__name__
        return method


class RegisterArray(Declaration):
    """``count`` equal registers, ``span`` bytes apart; on a device, a list of ints."""

    array = True

    def __init__(
        self,
        offset: int,
        count: int,
        meaning: str,
        access: Access = RW,
        *,
        reset: int = 0,
        width: int = 0,
        span: int = 0,
        bank: str = "",
    ) -> None:
        super().__init__(offset, meaning, access, reset=reset, width=width, span=span, bank=bank)
        self.count = count

    if TYPE_CHECKING:

        @overload
        def __get__(self, device: None, owner: type) -> Self: ...
        @overload
        def __get__(self, device: RegisterDevice, owner: type) -> list[int]: ...
        def __get__(self, device: RegisterDevice | None, owner: type) -> Self | list[int]: ...
        def __set__(self, device: RegisterDevice, value: list[int]) -> None: ...

    def on_read(self, method: _ReadAt) -> _ReadAt:
        """Let ``method(self, index) -> int`` do reads; the result must fit the register."""
        self.reader = method.__name__
        return method

    def on_write(self, method: _WriteAt) -> _WriteAt:
        """Let ``method(self, index, value)`` do writes."""
        self.writer = method.__name__
        return method

    def after_write(self, method: _AfterAt) -> _AfterAt:
        """Call ``method(self, index)`` each time after a write was stored."""
        self.after = method.__name__
        return method

    def initial(self) -> Any:
        return [self.reset] * self.count


class RegisterDevice(Device):
    """A device whose registers are declared in its class; a `Region` of a bus.

    Class keywords, inherited by subclasses: ``width`` and ``span`` of registers that do not say
    (32 bits; as wide as the register), ``sizes`` of the accesses permitted, in bytes, and
    ``hole``, the byte that reads as what is not there (0).

    Attributes:
        registers: the declarations by name.
        unmodelled: how often each thing that is not modelled was used: set bits of `UNMODELLED`
            fields by name, offsets where nothing is (``+0x1c``), sizes that are not permitted.
    """

    registers: ClassVar[dict[str, Declaration]] = {}
    sizes: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)
    hole: ClassVar[int] = 0
    _width: ClassVar[int] = 32
    _span: ClassVar[int] = 0
    _decoders: ClassVar[dict[tuple[str, bool, int], Decoder]]

    _selected_bank = internal("")

    def __init_subclass__(
        cls,
        *,
        width: int = 0,
        span: int = 0,
        sizes: tuple[int, ...] = (),
        hole: int | None = None,
    ) -> None:
        super().__init_subclass__()
        cls._width = width or cls._width
        cls._span = span or cls._span
        cls.sizes = sizes or cls.sizes
        cls.hole = cls.hole if hole is None else hole
        own = {name: item for name, item in vars(cls).items() if isinstance(item, Declaration)}
        for register in own.values():
            register.width = register.width or cls._width
            register.span = register.span or cls._span or register.width // 8
        cls.registers = {**cls.registers, **own}
        cls._resets = {
            **cls._resets,
            **{name: item.initial() for name, item in own.items() if item.stored},
        }
        cls._decoders = {}

    def __init__(self, *, stride: int = 1) -> None:
        """Reset the device. On the bus, all its offsets and spans are ``stride`` times as far."""
        self._stride = stride
        self.unmodelled: dict[str, int] = {}
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.select("")

    def load(self, state: State) -> None:
        super().load(state)
        self.select(self._selected_bank)

    def read(self, offset: int, size: int) -> int:
        """Read ``size`` bytes at ``offset``; never raises."""
        try:
            reader = self._reads[size][offset]
        except KeyError:
            pass  # a method of the device may raise below: not from here
        else:
            return reader(self)
        return self._decoder.read(self, offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the low ``size`` bytes of ``value`` at ``offset``; never raises."""
        try:
            writer = self._writes[size][offset]
        except KeyError:
            pass
        else:
            return writer(self, value)
        return self._decoder.write(self, offset, size, value)

    def select(self, bank: str) -> None:
        """Show the registers of ``bank`` in front of those without one; "" hides all banks."""
        self._selected_bank = bank
        self._decoder = self._find_decoder(bank, True)
        self._reads = self._decoder.reads
        self._writes = self._decoder.writes

    def read_bank(self, bank: str, offset: int, size: int) -> int:
        """Read a register of ``bank``, whether selected or not; holes behave as on the bus."""
        return self._find_decoder(bank, False).read(self, offset, size)

    def write_bank(self, bank: str, offset: int, size: int, value: int) -> None:
        """Write a register of ``bank``, whether selected or not."""
        self._find_decoder(bank, False).write(self, offset, size, value)

    def decode(self, offset: int, value: int, write: bool) -> tuple[str, dict[str, int]]:
        """Name the register at ``offset`` and the contents of its fields in ``value``.

        The bank that is selected now counts. Where nothing is, the name is like ``+0x1c``.
        """
        from vmm.devices.reference import decode

        return decode(self._decoder, offset, value, write)

    def decode_bank(
        self, bank: str, offset: int, value: int, write: bool
    ) -> tuple[str, dict[str, int]]:
        """Decode like `decode`, in ``bank``; for devices that override it for a data port."""
        from vmm.devices.reference import decode

        return decode(self._find_decoder(bank, False), offset, value, write)

    def note(self, name: str) -> None:
        """Count one use of something that is not modelled."""
        if name in self.unmodelled or len(self.unmodelled) < MAX_NOTED:
            self.unmodelled[name] = self.unmodelled.get(name, 0) + 1

    def _find_decoder(self, bank: str, overlay: bool) -> Decoder:
        key = (bank, overlay, self._stride)
        decoder = self._decoders.get(key)
        if decoder is None:
            registers = [r for r in self.registers.values() if r.bank == bank]
            if bank and overlay:
                registers += [r for r in self.registers.values() if not r.bank]
            decoder = self._decoders[key] = Decoder(type(self), registers, self._stride)
        return decoder
