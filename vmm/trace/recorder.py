"""Records a trace of a running machine.

A traced machine has a bus of another class and some wrapped methods on its devices; one that is not
traced has neither.
"""

from __future__ import annotations

from _thread import get_ident

from vmm.boards.lazy import LazyRegion
from vmm.bus import MAX_REMEMBERED_SITES, Bus
from vmm.devices.device import Device, OutputPin
from vmm.devices.virtio.mmio import VirtioMmio
from vmm.errors import UsageError
from vmm.trace.formats import FORMATS, PERFETTO, JsonLines, Perfetto
from vmm.trace.requests import summarize
from vmm.trace.selection import Selection
from vmm.trace.values import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from vmm.bus import AddressSpace
    from vmm.devices.virtio.chain import Chain
    from vmm.devices.virtio.device import VirtioDevice
    from vmm.devices.virtio.queue import Queue
    from vmm.lines import Region
    from vmm.machine.machine import Machine
    from vmm.trace.formats import Format

VERSION: Final = 1

# What a device is called where none is.
NOWHERE: Final = "nothing"

# Places of code that get a name at the end.
MAX_SYMBOLS: Final = 4096

_BUFFER: Final = 1 << 18


class Recorder:
    """Writes what happens on a machine to a file.

    Attributes:
        bus: the bus that the machine must have.
        current: the number of the vCPU that makes the access under way, or made the last one.
        failure: why the trace ends early, or "".
    """

    def __init__(self, text: str, form: str) -> None:
        """Open ``FILE[,FILTER]`` for a trace in format ``form``.

        Raises:
            UsageError: if the file cannot be made, or the filter means nothing.
        """
        path, *words = text.split(",")
        if form not in FORMATS:
            raise UsageError(f"--trace-format {form}: the formats are {', '.join(FORMATS)}")
        self._selection = Selection(words)
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
        # What the host gives to the device that is being accessed, and in whose thread.
        self.given: list[list[object]] | None = None
        self._thread = 0
        self._watched: set[int] = set()
        self._places: set[int] = set()

    def begin(self, machine: Machine) -> None:
        """Watch ``machine``, which is complete and does not run yet."""
        self._machine = machine
        # Not the method that may be wrapped below.
        self._now = machine.clock.now
        self.write(
            {
                "kind": "header",
                "calypso-trace": VERSION,
                "arch": machine.arch,
                "backend": machine.backend,
                "title": machine.title,
                "ram": [[region.base, region.size] for region in machine.memory.regions],
            }
        )
        machine.clock.now = self._source("now", self._now)  # type: ignore[method-assign]
        machine.board.services.trace = self._guest
        for vcpu in machine.vcpus:
            vcpu.follow_program_counter()
        for space in (self.bus.pio, self.bus.mmio):
            for mapping in space.mappings:
                if not isinstance(mapping.region, LazyRegion):
                    self.watch(mapping.name, space.name, mapping.base, mapping.region)

    def close(self) -> None:
        """End the trace: name the code, close the file."""
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

    def accesses_of(self, index: int) -> VcpuAccesses:
        """Return what vCPU ``index`` is to have in place of the bus."""
        return VcpuAccesses(self, index)

    # ---- Records ----

    def stamp(self, kind: str) -> dict[str, Any]:
        """Return the beginning of a record of something that begins now."""
        self.number += 1
        return {"n": self.number, "t": self._now(), "kind": kind}

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

    def open_access(self) -> None:
        """From now on a device is being accessed."""
        self.given = []
        self._thread = get_ident()

    def close_access(self) -> list[list[object]]:
        """No longer; return what the host gave it."""
        given, self.given = self.given, None
        return given or []

    def _fail(self, error: OSError) -> None:
        self.failure = f"the trace {self._path} ends early: {error.strerror}"

    def _guest(self, text: str) -> None:
        self.write({**self.stamp("guest"), "text": text})

    # ---- Devices ----

    def watch(self, name: str, space: str, base: int, region: Region) -> None:
        """Record from now on what the device ``region`` does besides answering accesses."""
        if not isinstance(region, Device) or id(region) in self._watched:
            return
        self._watched.add(id(region))
        kind = type(region)
        record = {
            **self.stamp("device"),
            "device": name,
            "class": f"{kind.__module__}:{kind.__qualname__}",
            "space": space,
            "base": base,
            "state": encode(region.save()),
        }
        if isinstance(region, VirtioMmio):
            behind = type(region.device)
            record["behind"] = f"{behind.__module__}:{behind.__qualname__}"
            for index, queue in enumerate(region.device.queues):
                self._watch_queue(name, region.device, index, queue)
        self.write(record)
        self._watch_parts(name, region)

    def _watch_parts(self, name: str, device: Device) -> None:
        for attribute, pin in vars(device).items():
            if isinstance(pin, OutputPin):
                pin.observe(self._observer(name, attribute))
        for attribute in device.SOURCES:
            setattr(device, attribute, self._source(attribute, getattr(device, attribute)))
        for method in device.INPUTS:
            setattr(device, method, self._input(name, method, getattr(device, method)))
        for _, part in device.parts():
            if id(part) not in self._watched:
                self._watched.add(id(part))
                self._watch_parts(name, part)

    def _observer(self, device: str, line: str) -> Callable[[bool], None]:
        def observe(level: bool) -> None:
            self.write({**self.stamp("irq"), "device": device, "line": line, "level": int(level)})

        return observe

    def _source(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def give(*arguments: object) -> Any:
            result = call(*arguments)
            if self.given is not None and self._thread == get_ident():
                self.given.append([name, encode(result)])
            return result

        return give

    def _input(self, device: str, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def take(*arguments: object, **options: object) -> Any:
            record = self.stamp("input")
            result = call(*arguments, **options)
            record.update(
                device=device,
                method=method,
                arguments=encode(arguments),
                options={name: encode(item) for name, item in options.items()},
            )
            self.finish(record)
            return result

        return take

    def _watch_queue(self, name: str, device: VirtioDevice, index: int, queue: Queue) -> None:
        pop, push = queue.pop, queue.push
        pending: dict[int, dict[str, Any]] = {}

        def traced_pop() -> Chain | None:
            chain = pop()
            if chain is not None:
                record = pending[chain.head] = self.stamp("request")
                record.update(
                    device=name,
                    queue=index,
                    head=chain.head,
                    descriptors=queue.describe(chain.head),
                    summary=summarize(device, index, chain),
                )
            return chain

        def traced_push(chain: Chain, written: int) -> None:
            push(chain, written)
            record = pending.pop(chain.head, None)
            if record is not None:
                record["written"] = written
                self.finish(record)

        queue.pop = traced_pop  # type: ignore[method-assign]
        queue.push = traced_push  # type: ignore[method-assign]


class TracingBus(Bus):
    """A bus that records every access."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._targets: dict[tuple[str, int], _Target] = {}

    def _read(self, space: AddressSpace, address: int, size: int) -> int:
        recorder = self._recorder
        with self.lock:
            target = self._target(space, address)
            record = recorder.stamp("read")
            recorder.open_access()
            value = super()._read(space, address, size)
            given = recorder.close_access()
            target.fill(record, size, value, False)
            self._finish(record, given)
            return value

    def _write(self, space: AddressSpace, address: int, size: int, value: int) -> None:
        recorder = self._recorder
        with self.lock:
            target = self._target(space, address)
            record = recorder.stamp("write")
            # Before it happens: a write may change which register is here.
            target.fill(record, size, value, True)
            recorder.open_access()
            super()._write(space, address, size, value)
            self._finish(record, recorder.close_access())

    def _finish(self, record: dict[str, Any], given: list[list[object]]) -> None:
        recorder = self._recorder
        record["vcpu"], record["pc"] = recorder.locate()
        if given:
            record["given"] = given
        recorder.finish(record)

    def _target(self, space: AddressSpace, address: int) -> _Target:
        key = (space.name, address)
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= MAX_REMEMBERED_SITES:
                self._targets.clear()
            target = self._targets[key] = self._find(space, address)
        return target

    def _find(self, space: AddressSpace, address: int) -> _Target:
        mapping = space.find(address)
        if mapping is None:
            return _Target(NOWHERE, None, address, f"{space.name} {address:#x}")
        region = mapping.region
        if isinstance(region, LazyRegion):
            region = region.region
            self._recorder.watch(mapping.name, space.name, mapping.base, region)
        offset = address - mapping.base
        return _Target(mapping.name, getattr(region, "decode", None), offset, f"+{offset:#x}")


class VcpuAccesses:
    """What a vCPU has for a bus: the bus, and a word on whose access it is."""

    def __init__(self, recorder: Recorder, index: int) -> None:
        self._recorder = recorder
        self._bus = recorder.bus
        self._index = index
        self.lock = recorder.bus.lock

    def mmio_read(self, address: int, size: int) -> int:
        with self.lock:
            self._recorder.current = self._index
            return self._bus.mmio_read(address, size)

    def mmio_write(self, address: int, size: int, value: int) -> None:
        with self.lock:
            self._recorder.current = self._index
            self._bus.mmio_write(address, size, value)

    def port_read(self, port: int, size: int) -> int:
        with self.lock:
            self._recorder.current = self._index
            return self._bus.port_read(port, size)

    def port_write(self, port: int, size: int, value: int) -> None:
        with self.lock:
            self._recorder.current = self._index
            self._bus.port_write(port, size, value)


class _Target:
    """What is at an address."""

    def __init__(
        self,
        device: str,
        decode: Callable[[int, int, bool], tuple[str, dict[str, int]]] | None,
        offset: int,
        register: str,
    ) -> None:
        self._device = device
        self._decode = decode
        self._offset = offset
        self._register = register

    def fill(self, record: dict[str, Any], size: int, value: int, write: bool) -> None:
        """Add to ``record`` what is accessed, in the words of its register map."""
        if self._decode is None:
            name, fields = self._register, dict[str, int]()
        else:
            name, fields = self._decode(self._offset, value, write)
        record.update(
            device=self._device,
            register=name,
            offset=self._offset,
            size=size,
            value=value,
            fields=fields,
        )
