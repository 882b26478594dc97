"""Records a trace of a running machine.

A traced machine has a bus of another class and some wrapped methods on its devices; one that is not
traced has neither.
"""

from __future__ import annotations

from _thread import get_ident

from vmm.boards.lazy import LazyRegion
from vmm.devices.device import Device
from vmm.devices.virtio.mmio import VirtioMmio
from vmm.errors import UsageError
from vmm.trace.formats import FORMATS, PERFETTO, JsonLines, Perfetto
from vmm.trace.selection import Selection
from vmm.trace.tap import Tap
from vmm.trace.traced_bus import TracingBus, VcpuAccesses
from vmm.trace.values import encode
from vmm.trace.wiring import parts_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final, TypeVar

    from vmm.devices.peripheral import Peripheral
    from vmm.devices.virtio.device import VirtioDevice
    from vmm.lines import Timer
    from vmm.machine.clock import MachineClock
    from vmm.machine.machine import Machine
    from vmm.memory import GuestMemory
    from vmm.trace.formats import Format

    _Virtio = TypeVar("_Virtio", bound=VirtioDevice)

VERSION: Final = 2

# The word of a filter that asks for all that a replay needs.
REPLAY: Final = "replay"

# Places of code that get a name at the end.
MAX_SYMBOLS: Final = 4096

_BUFFER: Final = 1 << 18


class Recorder:
    """Writes what happens on a machine to a file.

    Attributes:
        bus: the bus that the machine must have.
        current: the number of the vCPU that makes the access under way, or made the last one.
        for_replay: all that a replay needs is recorded.
        over: the machine is being taken apart, which is no longer part of the trace.
        failure: why the trace ends early or is empty, or "".
    """

    def __init__(self, text: str, form: str) -> None:
        """Open ``FILE[,FILTER]`` for a trace in format ``form``.

        Raises:
            UsageError: if the file cannot be made, or the filter means nothing.
        """
        path, *words = text.split(",")
        if form not in FORMATS:
            raise UsageError(f"--trace-format {form}: the formats are {', '.join(FORMATS)}")
        self._selection = Selection([word for word in words if word != REPLAY])
        self.for_replay = REPLAY in words
        if self.for_replay and form == PERFETTO:
            raise UsageError(f"--trace {text}: only a trace in JSON Lines can be replayed")
        try:
            self._file = open(path, "w", encoding="ascii", buffering=_BUFFER)  # noqa: SIM115
        except OSError as error:
            raise UsageError(f"--trace {path}: {error.strerror}") from None
        self._path = path
        self._format: Format = (Perfetto if form == PERFETTO else JsonLines)(self._file)
        self.failure = ""
        self.bus = TracingBus(self)
        self.current = 0
        self.number = 0
        self.over = False
        # Accesses, inputs and calls under way, the innermost one last, and in which thread.
        self._open: list[dict[str, Any]] = []
        self._thread = 0
        self._taps: dict[int, Tap] = {}
        # By the name of a region, that of the whole device.
        self._wholes: dict[str, str] = {}
        self._places: set[int] = set()

    def follow(self, clock: MachineClock) -> None:
        """Record what devices are told by ``clock``."""
        # Not the method that is wrapped here.
        self._now = clock.now
        make = clock.timer

        def timer(callback: Callable[[], None]) -> Timer:
            return make(lambda: self._alarm(callback))

        clock.now = self.source("now", self._now)  # type: ignore[method-assign]
        clock.timer = timer  # type: ignore[method-assign]

    def begin(self, machine: Machine) -> None:
        """Watch ``machine``, which is complete and does not run yet."""
        self._machine = machine
        self.write(
            {
                "kind": "header",
                "calypso-trace": VERSION,
                "arch": machine.arch,
                "backend": machine.backend,
                "title": machine.title,
                "cpus": len(machine.vcpus),
                "ram": [[region.base, region.size] for region in machine.memory.regions],
            }
        )
        machine.board.services.trace = self._guest
        for vcpu in machine.vcpus:
            vcpu.follow_program_counter()
        for space in (self.bus.pio, self.bus.mmio):
            for mapping in space.mappings:
                if not isinstance(mapping.region, LazyRegion):
                    self.watch(mapping.name, space.name, mapping.base, mapping.region)

    def end(self) -> None:
        """Record no more of devices: from now on they are being taken apart."""
        self.over = True

    def close(self) -> None:
        """End the trace: name the code, close the file."""
        for tap in self._taps.values():
            tap.close()
        if hasattr(self, "_machine"):
            for place in sorted(self._places):
                name = self._machine.loaded.symbolize(place)
                if name:
                    self.write({"kind": "symbol", "pc": place, "name": name})
        try:
            self._format.finish()
            self._file.close()
        except OSError as error:
            self._fail(error)
        complaint = self._selection.complaint()
        if complaint and not self.failure:
            self.failure = f"the trace {self._path} is empty: {complaint}"

    def accesses_of(self, index: int) -> VcpuAccesses:
        """Return what vCPU ``index`` is to have in place of the bus."""
        return VcpuAccesses(self, index)

    # ---- Records ----

    def stamp(self, kind: str, device: str = "") -> dict[str, Any]:
        """Return the beginning of a record of something that begins now."""
        self.number += 1
        record: dict[str, Any] = {"n": self.number, "t": self._now(), "kind": kind}
        if device:
            record["device"] = device
        return record

    def finish(self, record: dict[str, Any]) -> None:
        """Write a record of something that ends now."""
        record["took"] = self._now() - record["t"]
        self.write(record)

    def write(self, record: dict[str, Any]) -> None:
        """Write a record if it is wanted, and the disk is not full."""
        if self.failure or not self._selection.wants(record):
            return
        try:
            self._format.write(record)
        except OSError as error:
            self._fail(error)

    def locate(self) -> tuple[int, int]:
        """Return the vCPU that accesses a device, and its program counter."""
        vcpu = self._machine.vcpus[self.current]
        place = vcpu.program_counter()
        if len(self._places) < MAX_SYMBOLS:
            self._places.add(place)
        return vcpu.index, place

    def enter(self, record: dict[str, Any]) -> None:
        """From now on ``record`` is under way: what the host gives to devices belongs to it."""
        if not self._open:
            self._thread = get_ident()
        device = self._wholes.get(record["device"], record["device"])
        for other in self._open:
            if self._wholes.get(other["device"], other["device"]) == device:
                record["in"] = other["n"]
        self._open.append(record)

    def leave(self, record: dict[str, Any]) -> None:
        """No longer; write ``record``."""
        self._open.pop()
        self.finish(record)

    def source(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call`` such that its results are parts of the record that is under way."""

        def give(*arguments: object) -> Any:
            result = call(*arguments)
            if self._open and self._thread == get_ident():
                self._open[-1].setdefault("given", []).append([name, encode(result)])
            return result

        return give

    def _fail(self, error: OSError) -> None:
        self.failure = f"the trace {self._path} ends early: {error.strerror}"

    def _guest(self, text: str) -> None:
        self.write({**self.stamp("guest"), "text": text})

    # ---- Devices ----

    def make(
        self, kind: Callable[..., _Virtio], memory: GuestMemory, options: Mapping[str, Any]
    ) -> _Virtio:
        """Make a virtio device that can be watched."""
        tap = Tap(self)
        device = tap.make(kind, memory, options) if self.for_replay else kind(memory, **options)
        self._taps[id(device)] = tap
        # Before it is connected to what calls them.
        for path, part in parts_of(device, "device"):
            tap.watch_inputs(path, part)
        return device

    def memory_for(self, device: Peripheral, memory: GuestMemory) -> GuestMemory:
        """Return what ``device`` is to have for RAM."""
        if not self.for_replay:
            return memory
        tap = self._taps[id(device)] = Tap(self)
        return tap.memory_for_peripheral(memory)

    def watch(self, name: str, space: str, base: int, region: object) -> None:
        """Record from now on what the device ``region`` does besides answering accesses."""
        whole = getattr(region, "whole", None) or region
        if not isinstance(whole, Device):
            return
        made = whole.device if isinstance(whole, VirtioMmio) else whole
        tap = self._taps.setdefault(id(made), Tap(self))
        if whole is not region:
            tap.watch_region(name, space, base, whole, region)
            self._wholes[name] = tap.name
        elif not tap.name:
            tap.watch(name, space, base, whole)

    def settle(self, region: object) -> None:
        """The device ``region`` has been accessed."""
        tap = self._taps.get(id(region))
        if tap is not None:
            tap.settle()

    def _alarm(self, callback: Callable[[], None]) -> None:
        device = getattr(callback, "__self__", None)
        if not any(tap.alarm(device, callback) for tap in self._taps.values()):
            callback()
