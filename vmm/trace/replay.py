"""Feeds the accesses that a trace recorded to a device, and compares what it reads as.

From Python, with a device of one's own and under a debugger::

    from vmm.trace.replay import replay

    difference = replay("trace.jsonl", "dice", device=Dice(), stop_at=412)   # pdb before record 412

The device gets the time, the host's calls and what the host gave it as they were. It does not get
RAM: devices that live in RAM, the virtio ones, cannot be replayed.
"""

from __future__ import annotations

from importlib import import_module
from inspect import Parameter, signature

from vmm.devices.peripheral import Peripheral
from vmm.errors import UsageError
from vmm.trace.reader import Trace
from vmm.trace.values import decode
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from vmm.devices.device import Device
    from vmm.lines import Region
    from vmm.trace.reader import Record


@value
class Difference:
    """The first access at which a device answered otherwise than it did.

    Attributes:
        record: of the access.
        value: what the device reads as now.
        register: its name, as the device decodes it.
        fields: of that value.
    """

    record: Record
    value: int
    register: str
    fields: dict[str, int]


@value
class Outcome:
    """What a replay came to.

    Attributes:
        accesses: how many were replayed.
        difference: the first one, None if all reads were as recorded.
    """

    accesses: int
    difference: Difference | None


class ReplayClock:
    """A clock that shows the recorded times, and whose alarms go off in between."""

    def __init__(self) -> None:
        self.time = 0
        self._timers: list[_ReplayTimer] = []

    def now(self) -> int:
        """Return the recorded time."""
        return self.time

    def timer(self, callback: Callable[[], None]) -> _ReplayTimer:
        """Return a new alarm."""
        self._timers.append(_ReplayTimer(callback))
        return self._timers[-1]

    def advance(self, time: int) -> None:
        """Let alarms up to ``time`` go off, in order."""
        while True:
            due = [t for t in self._timers if t.deadline is not None and t.deadline <= time]
            if not due:
                break
            timer = min(due, key=lambda timer: timer.deadline or 0)
            self.time = max(self.time, timer.deadline or 0)
            timer.deadline = None
            timer.callback()
        self.time = max(self.time, time)


class _ReplayTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.deadline: int | None = None

    def arm(self, deadline: int) -> None:
        self.deadline = deadline

    def cancel(self) -> None:
        self.deadline = None


def _ignore(*_: object) -> None:
    """An interrupt line, a sink, a switch: what a device does to the rest of its machine."""


# What constructors of devices take, by name; the clock comes besides.
_WIRES: Final[dict[str, Any]] = {
    "irq": _ignore,
    "irq_lines": (_ignore,),
    "sink": _ignore,
    "messages": _ignore,
    "shutdown": _ignore,
    "reset": _ignore,
    "wall_clock": lambda: 0,
    "source": bytes,
}


class Replay:
    """One device, driven by a trace.

    Args:
        trace: the trace, or its file.
        name: the device's name there.
        device: the device to drive; by default a new one of the class that was traced.

    Raises:
        UsageError: if the trace has no such device, or one cannot be made without a machine.
    """

    def __init__(self, trace: Trace | str, name: str, device: Device | None = None) -> None:
        self.trace = Trace(trace) if isinstance(trace, str) else trace
        self.name = name
        self.clock = ReplayClock()
        described = self.trace.devices.get(name)
        if described is None:
            known = ", ".join(sorted(self.trace.devices)) or "none"
            raise UsageError(f"{self.trace.path} has no device {name!r}; it has {known}")
        if "behind" in described:
            raise UsageError(f"{name} is a virtio device: its queues in RAM are not in a trace")
        self.device = self._build(described) if device is None else device
        if isinstance(self.device, Peripheral):
            self.device.clock = self.clock
        self._given: dict[str, list[Any]] = {}
        self._divert_sources()
        if device is None:
            self.device.load(decode(described["state"]))
        self.accesses = 0

    def _build(self, described: Record) -> Device:
        module, _, name = described["class"].partition(":")
        try:
            kind = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UsageError(f"{self.name}: {described['class']} is gone: {error}") from None
        wires = {**_WIRES, "clock": self.clock}
        arguments = {}
        for parameter in signature(kind).parameters.values():
            if parameter.name in wires:
                arguments[parameter.name] = wires[parameter.name]
            elif parameter.default is Parameter.empty:
                raise UsageError(
                    f"{self.name}: a {name} needs {parameter.name}; give replay() one of your own"
                )
        device: Device = kind(**arguments)
        return device

    def _divert_sources(self) -> None:
        """Let the device be given what was recorded, in its order, as long as there is any."""
        for attribute in self.device.SOURCES:
            original = getattr(self.device, attribute)
            setattr(self.device, attribute, self._diverted(attribute, original))
        self.clock.now = self._diverted("now", self.clock.now)  # type: ignore[method-assign]

    def _diverted(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def give(*arguments: object) -> Any:
            recorded = self._given.get(name)
            return recorded.pop(0) if recorded else original(*arguments)

        return give

    def run(self, stop_at: int | None = None) -> Outcome:
        """Replay all; stop at the first difference.

        ``stop_at`` is the number of a record before which the debugger is entered.
        """
        for record in self.trace.records:
            if record.get("device") != self.name:
                continue
            self.clock.advance(record["t"])
            if record["kind"] == "input":
                method = getattr(self.device, record["method"])
                method(*decode(record["arguments"]), **_options(record))
            elif record["kind"] in ("read", "write"):
                difference = self._access(record, stop_at == record["n"])
                if difference is not None:
                    return Outcome(self.accesses, difference)
        return Outcome(self.accesses, None)

    def _access(self, record: Record, stop: bool) -> Difference | None:
        device: Region = self.device  # type: ignore[assignment]
        offset, size, recorded = record["offset"], record["size"], record["value"]
        self._given.clear()
        for name, given in record.get("given", ()):
            self._given.setdefault(name, []).append(decode(given))
        self.accesses += 1
        if stop:
            breakpoint()  # noqa: T100 - what the caller asked for; step into the next access
        if record["kind"] == "write":
            device.write(offset, size, recorded)
            return None
        value = device.read(offset, size)
        if value == recorded:
            return None
        register, fields = self.device.decode(offset, value, False)  # type: ignore[attr-defined]
        return Difference(record, value, register, fields)


def replay(
    trace: Trace | str, name: str, device: Device | None = None, *, stop_at: int | None = None
) -> Difference | None:
    """Drive a device with what ``trace`` recorded of ``name``; return the first difference.

    Args:
        trace: the trace, or its file.
        name: the device's name there.
        device: the device to drive; by default a new one of the class that was traced, in the
            state that was recorded.
        stop_at: number of a record before which the debugger is entered.

    Raises:
        UsageError: if the trace has no such device, or one cannot be made without a machine.
    """
    return Replay(trace, name, device).run(stop_at).difference


def _options(record: Record) -> dict[str, Any]:
    return {name: decode(item) for name, item in record["options"].items()}
