"""Does to a device what was done to it when it was traced, and compares what it does.

From Python, for example in a test::

    from vmm.trace.replay import replay

    assert replay("trace.jsonl", "virtio0") is None
    difference = replay("trace.jsonl", "virtio0", kind=MyBlock)       # another class
    replay("trace.jsonl", "dice", Dice(seed=7), stop_at=412)         # pdb at the 412th step

A step is an access of the guest or an input of the host. During it the device gets the time and
what else it asks for as it did then, RAM and the answers of the host too if the trace has them
(``--trace FILE,replay``). What it answers, the levels of its interrupts, what it writes to RAM and
what it asks of the host must be the same, in the same order.
"""

from __future__ import annotations

from bdb import BdbQuit
from inspect import Parameter, signature

from vmm.devices.peripheral import Peripheral
from vmm.devices.virtio.device import F_RING_PACKED
from vmm.devices.virtio.mmio import VirtioMmio
from vmm.errors import UsageError
from vmm.trace.bounce import BounceMemory, PeripheralMemory
from vmm.trace.bounce_queue import bounce_queues
from vmm.trace.ends import function_end, restore_option
from vmm.trace.listing import describe_difference
from vmm.trace.reader import Trace
from vmm.trace.script import DEEDS, Departure, Script
from vmm.trace.stand_ins import WIRES, ReplayClock, UnrecordedRam, ignore, not_recorded
from vmm.trace.values import decode, find_class
from vmm.trace.wiring import join, parts_of, pins_of, region_at
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Final

    from vmm.devices.device import Device
    from vmm.memory import Gpa
    from vmm.trace.reader import Record


@value
class Difference:
    """Where a device departed from what it did.

    Attributes:
        step: the number of the access or input, from 1.
        during: the record of that.
        place: where in the guest's code it was made; "" for an input.
        before: what the device did in it as recorded, until then.
        recorded: what it did then; None if nothing more.
        replayed: what it does now, in the same form; None if it does not.
        traceback: of where it does, if that is in the middle of a step.
    """

    step: int
    during: Record
    place: str
    before: tuple[Record, ...]
    recorded: Record | None
    replayed: Record | None
    traceback: TracebackType | None = None

    def __repr__(self) -> str:
        """Return what a failing test shows."""
        return "\n".join(("Difference:", *describe_difference(self)))


@value
class Outcome:
    """What a replay came to.

    Attributes:
        steps: how many accesses and inputs were replayed.
        difference: the first one, None if all was as recorded.
    """

    steps: int
    difference: Difference | None


# Modules that are not a device's.
_MACHINERY: Final = ("vmm.trace.", "bdb", "pdb")


class Replay:
    """One device, driven by a trace.

    Args:
        trace: the trace, or its file.
        name: the device's name there.
        device: the device to drive; by default one is made, in the state that was recorded.
        kind: the class to make it of, in place of the one that was traced; for a virtio device,
            the class behind the transport.

    Raises:
        UsageError: if the trace has no such device, or one cannot be made without a machine.
    """

    def __init__(
        self,
        trace: Trace | str,
        name: str,
        device: Device | None = None,
        *,
        kind: type[Device] | None = None,
    ) -> None:
        self.trace = Trace(trace) if isinstance(trace, str) else trace
        self.name = name
        self.clock = ReplayClock()
        self.steps = 0
        self.during: Record = {}
        self._start = 0
        places = self.trace.places
        whole = places[name][0] if name in places else name
        described = self.trace.devices.get(whole)
        if described is None:
            known = ", ".join(sorted({*self.trace.devices, *places})) or "none"
            raise UsageError(f"{self.trace.path} has no device {name!r}; it has {known}")
        regions = [region for region, place in places.items() if place[0] == whole]
        self._script = Script([whole, *regions], self.trace.records, self._input)
        self._memory: BounceMemory | None = None
        self._given: list[dict[str, list[Any]]] = []
        self._debug: Callable[..., Any] | None = None
        self.device = self._make(described, kind) if device is None else device
        if isinstance(self.device, Peripheral):
            self._connect(self.device, described)
        self.clock.now = self._diverted("now", self.clock.now)  # type: ignore[method-assign]
        self._connect_sources(described)
        if device is None:
            self.device.load(decode(_state_for(kind, described)))
        for path, part in parts_of(self.device):
            for line, pin in pins_of(part):
                pin.observe(self._observer(join(path, line)))
        self._regions = {region: region_at(self.device, places[region][1]) for region in regions}
        self._script.begun = True

    # ---- Making the device ----

    def _make(self, described: Record, kind: type[Device] | None) -> Device:
        if "behind" in described:
            return self._make_virtio(described, kind or find_class(described["behind"]))
        if kind is None and described.get("made_of"):
            from vmm.machine.plugin import load_device

            return load_device(described["made_of"])
        kind = kind or find_class(described["class"])
        cpus = self.trace.header["cpus"]
        wires = {**WIRES, "clock": self.clock, "irq_lines": (ignore,) * cpus, "count": cpus}
        arguments = {}
        for parameter in signature(kind).parameters.values():
            if parameter.name in wires:
                arguments[parameter.name] = wires[parameter.name]
            elif parameter.default is Parameter.empty:
                raise UsageError(
                    f"{self.name}: a {kind.__name__} needs {parameter.name}; give replay() one of"
                    " your own"
                )
        return kind(**arguments)

    def _make_virtio(self, described: Record, kind: Callable[..., Any]) -> Device:
        self._memory = memory = BounceMemory(self._ram(described), self._script)
        options = described["options"].items()
        restored = {name: restore_option(self._script, name, item) for name, item in options}
        device = kind(memory, **restored)
        if described.get("packed"):
            device.offered |= F_RING_PACKED
        bounce_queues(device, memory)
        device.queues_changed = lambda: bounce_queues(device, memory)
        return VirtioMmio(device=device, irq=ignore, clock=self.clock)

    def _connect(self, device: Peripheral, described: Record) -> None:
        if described["replay"]:
            self._memory = PeripheralMemory(self._ram(described), self._script)
        else:
            self._memory = PeripheralMemory(self.trace.header["ram"], UnrecordedRam(self.name))
        device.connect(irq=ignore, memory=self._memory, clock=self.clock)

    def _ram(self, described: Record) -> list[tuple[Gpa, int]]:
        if not described["replay"]:
            raise not_recorded(self.name)
        return [(base, size) for base, size in self.trace.header["ram"]]

    def _connect_sources(self, described: Record) -> None:
        """Let the device be given what was recorded, in its order, as long as there is any."""
        for path, part in parts_of(self.device):
            for attribute in part.SOURCES:
                setattr(part, attribute, self._diverted(attribute, getattr(part, attribute)))
            for attribute in part.ENDS if described["replay"] else ():
                end = function_end(self._script, join(path, attribute), "", ignore)
                setattr(part, attribute, end)

    def _observer(self, line: str) -> Callable[[bool], None]:
        return lambda level: self._script.irq(line, level)

    def _diverted(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def give(*arguments: object) -> Any:
            recorded = self._given[-1].get(name) if self._given else None
            return recorded.pop(0) if recorded else original(*arguments)

        return give

    # ---- Driving it ----

    def run(self, stop: Callable[[int, Record], bool] = lambda step, record: False) -> Outcome:
        """Replay all; stop at the first difference.

        The debugger is entered at the beginning of those steps for which ``stop``, called with
        the step's number and record, returns True.
        """
        try:
            while (record := self._script.take()) is not None:
                if record["kind"] in DEEDS:
                    # Nobody cues the device: it should have done this in the step before.
                    raise Departure(record, None)
                self._step(record, stop)
        except Departure as departure:
            difference = Difference(
                self.steps,
                self.during,
                self.trace.place(self.during),
                self._script.done_since(self._start),
                departure.recorded,
                departure.replayed,
                _in_device(departure.__traceback__),
            )
            return Outcome(self.steps, difference)
        return Outcome(self.steps, None)

    def _step(self, record: Record, stop: Callable[[int, Record], bool]) -> None:
        self.steps += 1
        self.during = record
        self._start = self._script.position
        self._debug = None
        if stop(self.steps, record):
            from vmm.trace.debugger import Debugger

            self._debug = Debugger().runcall
        if record["kind"] == "input":
            self._input(record)
        else:
            self._access(record)

    def _access(self, record: Record) -> None:
        device: Any = self._regions.get(record["device"], self.device)
        offset, size, recorded = record["offset"], record["size"], record["value"]
        if record["kind"] == "write":
            self._act(record, device.write, offset, size, recorded)
            return
        value = self._act(record, device.read, offset, size)
        if value != recorded:
            register, fields = device.decode(offset, value, False)
            replayed = {**record, "value": value, "register": register, "fields": fields}
            raise Departure(record, replayed)

    def _input(self, record: Record) -> None:
        if "callback" in record:
            method = self._script.callback(record["callback"])
        else:
            method = getattr(self._part(record.get("part", "")), record["method"])
        arguments = [self._argument(item) for item in record["arguments"]]
        options = {name: self._argument(item) for name, item in record["options"].items()}
        result = self._act(record, method, *arguments, **options)
        if "result" in record and result != record["result"]:
            raise Departure(record, {**record, "result": result})

    def _act(self, record: Record, act: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Do something to the device in the circumstances of ``record``; return what it answers."""
        given: dict[str, list[Any]] = {}
        for name, item in record.get("given", ()):
            given.setdefault(name, []).append(decode(item))
        self.clock.time = record["t"]
        self._given.append(given)
        debug, self._debug = self._debug, None
        try:
            if debug is not None:
                result = debug(act, *arguments, **options)
            else:
                result = act(*arguments, **options)
            if self._memory is not None:
                self._memory.settle()
            return result
        except (BdbQuit, UsageError):
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            replayed = {"kind": "raises", "device": self.name, "text": text}
            raise Departure(self._script.peek(), replayed) from error
        finally:
            self._given.pop()

    def _part(self, path: str) -> Device:
        return dict(parts_of(self.device))[path]

    def _argument(self, item: Any) -> Any:
        if isinstance(item, dict) and "end" in item:
            return self._script.host_object(item["end"])
        return decode(item)


def replay(
    trace: Trace | str,
    name: str,
    device: Device | None = None,
    *,
    kind: type[Device] | None = None,
    stop_at: int | None = None,
) -> Difference | None:
    """Drive a device with what ``trace`` recorded of ``name``; return the first difference.

    Args:
        trace: the trace, or its file.
        name: the device's name there.
        device: the device to drive; by default a new one of the class that was traced, in the
            state that was recorded.
        kind: the class for the new one, which takes what the one that was traced takes.
        stop_at: number of the step at which the debugger is entered.

    Raises:
        UsageError: if the trace has no such device or lacks what it needs, or one cannot be made
            without a machine.
    """
    run = Replay(trace, name, device, kind=kind).run
    return run(lambda step, _: step == stop_at).difference


def _state_for(kind: type[Device] | None, described: Record) -> Record:
    """Return the recorded state, as one of a device of class ``kind`` if that is given."""
    state: Record = described["state"]
    if kind is None:
        return state
    if "behind" not in described:
        return {**state, "state": kind.__name__}
    values = state["values"]
    return {**state, "values": {**values, "device": {**values["device"], "state": kind.__name__}}}


def _in_device(traceback: TracebackType | None) -> TracebackType | None:
    """Cut ``traceback`` at both ends to what is in the device; None if nothing is."""
    frames = []
    while traceback is not None:
        module = traceback.tb_frame.f_globals["__name__"]
        if not module.startswith(_MACHINERY):
            frames.append(traceback)
        traceback = traceback.tb_next
    if not frames:
        return None
    frames[-1].tb_next = None
    return frames[0]
