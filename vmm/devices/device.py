"""What every device can do: reset itself, and give and take its whole state as one value.

A device declares what it remembers, and `reset`, `save` and `load` follow from the declaration::

    class Blinker(Device):
        _period = internal(0)
        _colours = internal(bytearray(3))

Inside the class and on its instances ``_period`` is a plain ``int`` and ``_colours`` a plain
``bytearray``; `internal` is gone once the device exists. Registers of a register map are declared
in the same spirit (`vmm.devices.registers`) and are part of the same state.
"""

from __future__ import annotations

from vmm.errors import UsageError
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, ClassVar, TypeVar

    from vmm.lines import InterruptLine

    _T = TypeVar("_T")

    def internal(reset: _T) -> _T:
        """Declare an attribute that the guest cannot see but the device must remember.

        ``reset`` is its value after a reset: an int, bool, str, bytes or None; a tuple of these;
        or a bytearray or list, of which each device gets a copy of its own.
        """
        ...

else:

    class internal:  # noqa: N801, D101 - reads as the function that type checkers see
        __slots__ = ("reset",)

        def __init__(self, reset):
            self.reset = reset


@value
class State:
    """All that a device remembers, immutable and independent of the device.

    Attributes:
        device: the name of the device's class.
        version: the layout of ``values``, as the class counts it in ``STATE_VERSION``.
        values: attribute names with ints, bools, strings, bytes, None, tuples of these, or the
            `State` of a part.
    """

    device: str
    version: int
    values: tuple[tuple[str, object], ...]


class OutputPin:
    """A device's end of an interrupt line: passes changes on, and nothing else.

    So devices may drive their lines as often as is convenient, and a controller that is made when
    a line first rises stays unmade in a machine without interrupts.

    Attributes:
        level: what the line was driven to; low in the beginning.
    """

    __slots__ = ("_line", "level")

    def __init__(self, line: InterruptLine) -> None:
        self._line = line
        self.level = False

    def __call__(self, level: bool, /) -> None:
        if level != self.level:
            self.level = level
            self._line(level)

    def observe(self, callback: Callable[[bool], None]) -> None:
        """Let ``callback`` see each change, before the line does."""
        line = self._line

        def pass_on(level: bool, /) -> None:
            callback(level)
            line(level)

        self._line = pass_on


class Device:
    """A device without registers of its own; the base of those that have some.

    A subclass sets its injected lines, sinks and clock, then calls ``super().__init__()``, which
    resets it. All methods are called with the bus lock held, or before the machine runs.

    Attributes:
        STATE_VERSION: the version of the layout of its state; raised when that changes.
        INPUTS: the methods by which the host acts on it, for traces and their replay.
        SOURCES: its attributes that the host gave it to ask for what differs from run to run.
        ENDS: its attributes that are functions by which it acts on the host or on other devices.
        whole: the device that it is a region of, if it is not all of one.
    """

    STATE_VERSION: ClassVar[int] = 1
    INPUTS: ClassVar[tuple[str, ...]] = ()
    SOURCES: ClassVar[tuple[str, ...]] = ()
    ENDS: ClassVar[tuple[str, ...]] = ()
    _resets: ClassVar[dict[str, Any]] = {}

    whole: Device | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._resets = {**cls._resets, **dict(_declared(vars(cls)))}

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Return to the state after power-on. At any time; lines take their inactive levels.

        A subclass that adds something calls this first.
        """
        self.__dict__.update(_fresh(self._resets))
        for _, part in self.parts():
            part.reset()

    def parts(self) -> tuple[tuple[str, Device], ...]:
        """Return the devices that this one is made of, by name; reset, saved, loaded with it."""
        return ()

    def save(self) -> State:
        """Return the whole state. The vCPUs must be paused."""
        attributes = self.__dict__
        values = [(name, _freeze(attributes[name])) for name in self._resets]
        values += [(name, part.save()) for name, part in self.parts()]
        return State(type(self).__name__, self.STATE_VERSION, tuple(values))

    def load(self, state: State) -> None:
        """Take over what `save` gave; then drive lines and timers accordingly.

        Raises:
            UsageError: if the state is of another device or version.
        """
        mine = (type(self).__name__, self.STATE_VERSION)
        if (state.device, state.version) != mine:
            raise UsageError(
                f"the saved state is of {state.device}, version {state.version}; this device is "
                f"{mine[0]}, version {mine[1]}: restore it with the VMM that saved it"
            )
        saved = dict(state.values)
        parts = self.parts()
        if saved.keys() != self._resets.keys() | {name for name, _ in parts}:
            raise UsageError(f"the saved state of {state.device} lacks values or has too many")
        for name, part in parts:
            _load_part(part, name, saved[name])
        for name, template in self._resets.items():
            self.__dict__[name] = _thaw(template, saved[name])
        self.loaded()

    def loaded(self) -> None:
        """Drive lines and timers as the state just loaded demands; for subclasses to fill."""


def _declared(namespace: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, item in namespace.items():
        if type(item) is internal:
            yield name, item.reset


def _load_part(part: Device, name: str, state: object) -> None:
    if not isinstance(state, State):
        raise UsageError(f"the saved state has no state for the part {name}")
    part.load(state)


def _fresh(resets: dict[str, Any]) -> dict[str, Any]:
    return {
        name: item.copy() if type(item) in (list, bytearray) else item
        for name, item in resets.items()
    }


def _freeze(item: object) -> object:
    if isinstance(item, list):
        return tuple(item)
    if isinstance(item, bytearray):
        return bytes(item)
    return item


def _thaw(template: object, item: Any) -> object:
    if isinstance(template, list):
        return list(item)
    if isinstance(template, bytearray):
        return bytearray(item)
    return item
