"""What one device does besides answering accesses, on its way into a trace."""

from __future__ import annotations

from vmm.devices.peripheral import Peripheral
from vmm.devices.virtio.device import F_RING_PACKED
from vmm.devices.virtio.mmio import VirtioMmio
from vmm.trace.bounce import BounceMemory, PeripheralMemory
from vmm.trace.bounce_queue import bounce_queues
from vmm.trace.ends import (
    End,
    content,
    describe_option,
    encode_arguments,
    function_end,
    is_function,
    put_between,
    writable_views,
)
from vmm.trace.requests import summarize
from vmm.trace.values import class_path, encode, is_plain
from vmm.trace.wiring import join, parts_of, pins_of, place_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final, TypeVar

    from vmm.devices.device import Device
    from vmm.devices.virtio.ahead import Given
    from vmm.devices.virtio.chain import Chain
    from vmm.devices.virtio.device import VirtioDevice
    from vmm.devices.virtio.queue import Queue
    from vmm.memory import GuestMemory
    from vmm.trace.recorder import Recorder

    _Virtio = TypeVar("_Virtio", bound=VirtioDevice)

# What has changed in a ring or table is looked for in pieces of this length.
_PIECE: Final = 16


class Tap:
    """Takes down what a device does.

    It is made before the device where that is to be replayed, as it stands between the device and
    RAM, and between the device and the host.

    Attributes:
        name: the device's; "" until the machine is complete: nothing is taken down before.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.name = ""
        self._recorder = recorder
        self._ram: GuestMemory
        self._bounce: BounceMemory | None = None
        self._options: dict[str, object] = {}
        # Attributes of ends as the device has seen them.
        self._seen: dict[tuple[str, str], object] = {}
        # Devices and parts whose host's side is being watched, and where in the device they are.
        self._parts: dict[int, str] = {}

    @property
    def active(self) -> bool:
        """Whether anything is to be taken down now."""
        return bool(self.name) and not self._recorder.over

    def close(self) -> None:
        """Give the device's own RAM back."""
        if self._bounce is not None:
            self._bounce.close()

    # ---- In between ----

    def make(
        self, kind: Callable[..., _Virtio], memory: GuestMemory, options: Mapping[str, Any]
    ) -> _Virtio:
        """Make a virtio device of RAM and ends that are recorded."""
        self._ram = memory
        self._bounce = bounce = BounceMemory(_ranges(memory), self)
        self._options = {name: describe_option(option) for name, option in options.items()}
        between = {name: put_between(self, name, option) for name, option in options.items()}
        device = kind(bounce, **between)
        bounce_queues(device, bounce)
        return device

    def memory_for_peripheral(self, memory: GuestMemory) -> GuestMemory:
        """Return RAM that is recorded."""
        self._ram = memory
        self._bounce = PeripheralMemory(_ranges(memory), self)
        return self._bounce

    def settle(self) -> None:
        """The device is at rest."""
        if self._bounce is not None:
            self._bounce.settle()

    # ---- Watching ----

    def watch(self, name: str, space: str, base: int, device: Device) -> None:
        """Begin: the machine is complete, or has just made the device."""
        self.name = name
        record = self._describe(name, space, base)
        record["class"] = class_path(device)
        record["state"] = encode(device.save())
        record["replay"] = self._recorder.for_replay
        if isinstance(device, Peripheral):
            record["made_of"] = device.made_of
        if isinstance(device, VirtioMmio):
            record["behind"] = class_path(device.device)
            record["options"] = self._options
            record["packed"] = bool(device.device.offered & F_RING_PACKED)
            self._watch_queues(device.device)
            device.device.queues_changed = lambda: self._follow_queues(device.device)
        self._recorder.write(record)
        for path, part in parts_of(device):
            self._watch_outputs(path, part)
            self.watch_inputs(path, part)

    def watch_region(
        self, name: str, space: str, base: int, device: Device, region: object
    ) -> None:
        """Begin with a region of ``device``, which may be watched already."""
        if not self.name:
            self.watch(name, space, base, device)
        place = place_of(device, region)
        record = self._describe(name, space, base)
        self._recorder.write({**record, "whole": self.name, "place": place})

    def watch_inputs(self, path: str, device: Device) -> None:
        """Record from now on what the host does to ``device``, which is at ``path``."""
        if id(device) in self._parts:
            return
        self._parts[id(device)] = path
        for method in device.INPUTS:
            setattr(device, method, self._input(path, method, getattr(device, method)))

    def alarm(self, device: object, callback: Callable[[], None]) -> bool:
        """Let an alarm of ``device`` go off, if that is one of this tap's; tell whether it is."""
        path = self._parts.get(id(device))
        if path is None or not self.active:
            return False
        self._input(path, callback.__name__, callback)()
        return True

    def _describe(self, name: str, space: str, base: int) -> dict[str, Any]:
        return {**self._recorder.stamp("device", name), "space": space, "base": base}

    def _watch_outputs(self, path: str, device: Device) -> None:
        for name, pin in pins_of(device):
            pin.observe(self._observer(join(path, name)))
        for attribute in device.SOURCES:
            give = self._recorder.source(attribute, getattr(device, attribute))
            setattr(device, attribute, give)
        if self._recorder.for_replay:
            for attribute in device.ENDS:
                end = function_end(self, join(path, attribute), "", getattr(device, attribute))
                setattr(device, attribute, end)

    def _observer(self, line: str) -> Callable[[bool], None]:
        def observe(level: bool) -> None:
            self._write("irq", line=line, level=int(level))

        return observe

    def _input(self, path: str, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def take(*arguments: Any, **options: Any) -> Any:
            if not self.active:
                return call(*arguments, **options)
            with self._recorder.bus.lock:
                record = self._recorder.stamp("input", self.name)
                number = record["n"]
                taken = [self._admit(item, number) for item in arguments]
                record["method"] = method
                if path:
                    record["part"] = path
                record["arguments"], record["options"] = encode_arguments(number, taken, options)
                return self._during(record, lambda: call(*taken, **options))

        return take

    def _during(self, record: dict[str, Any], act: Callable[[], Any]) -> Any:
        """Let the host act on the device, and write ``record`` of it."""
        recorder = self._recorder
        recorder.enter(record)
        try:
            result = act()
            self.settle()
            if result is not None and is_plain(result):
                record["result"] = result
            return result
        finally:
            recorder.leave(record)

    def _follow_queues(self, device: VirtioDevice) -> None:
        """The device has others."""
        if self._bounce is not None:
            bounce_queues(device, self._bounce)
        self._watch_queues(device)

    def _watch_queues(self, device: VirtioDevice) -> None:
        for index, queue in enumerate(device.queues):
            self._watch_queue(device, index, queue)

    def _watch_queue(self, device: VirtioDevice, index: int, queue: Queue) -> None:
        recorder = self._recorder
        pop, push_all = queue.pop, queue.push_all
        pending: dict[int, dict[str, Any]] = {}

        def traced_pop() -> Chain | None:
            chain = pop()
            if chain is not None:
                record = pending[chain.head] = recorder.stamp("request", self.name)
                record.update(
                    queue=index,
                    head=chain.head,
                    descriptors=[(at, length, bool(write)) for at, length, write in chain.elements],
                    summary=summarize(device, index, chain),
                )
            return chain

        def traced_push_all(chains: Sequence[Given]) -> None:
            push_all(chains)
            for head, _, written in chains:
                record = pending.pop(head, None)
                if record is not None:
                    record["written"] = written
                    recorder.finish(record)

        queue.look_by_pop()
        queue.pop = traced_pop  # type: ignore[method-assign]
        queue.push_all = traced_push_all  # type: ignore[method-assign]

    def _write(self, kind: str, **fields: object) -> None:
        if self.active:
            self._recorder.write({**self._recorder.stamp(kind, self.name), **fields})

    # ---- Exchange of a bounce buffer ----

    def read(self, gpa: int, view: memoryview) -> None:
        view[:] = self._ram.view(gpa, len(view))
        self._dma("read", gpa, view)

    def refresh(self, gpa: int, view: memoryview) -> None:
        now = bytes(self._ram.view(gpa, len(view)))
        if now == view:
            return
        pieces = range(0, len(now), _PIECE)
        changed = [at for at in pieces if now[at : at + _PIECE] != view[at : at + _PIECE]]
        for start, end in _runs(changed):
            self.read(gpa + start, view[start:end])

    def write(self, gpa: int, view: memoryview) -> None:
        self._ram.view(gpa, len(view))[:] = view
        self._dma("write", gpa, view)

    def discard(self, gpa: int, length: int) -> None:
        self._ram.discard(gpa, length)
        self._write("dma", op="discard", address=gpa, length=length)

    def _dma(self, op: str, gpa: int, view: memoryview) -> None:
        if self.active:
            self._write("dma", op=op, address=gpa, length=len(view), data=encode(view))

    # ---- Host of the device's ends ----

    def call(
        self, end: str, method: str, function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        """Carry out and record a call that the device makes."""
        if not self.active:
            return function(*[self._unwrap(item, 0) for item in arguments], **options)
        recorder = self._recorder
        record = recorder.stamp("call", self.name)
        number = record["n"]
        record["end"], record["method"] = end, method
        record["arguments"], record["options"] = encode_arguments(number, arguments, options)
        recorder.enter(record)
        try:
            result = function(*[self._unwrap(item, number) for item in arguments], **options)
        except Exception as error:
            record["error"] = [type(error).__name__, getattr(error, "errno", None)]
            raise
        else:
            result = self._admit(result, number)
            record["result"] = {"end": result.name} if isinstance(result, End) else encode(result)
            return result
        finally:
            if views := writable_views(arguments):
                record["filled"] = encode(content(views))
            recorder.leave(record)

    def look(self, end: str, attribute: str, value: Any) -> Any:
        """Record an attribute of an end that the device looks at, if it has changed."""
        known = self._seen.setdefault((end, attribute), value)
        if known != value and self.active:
            self._seen[end, attribute] = value
            self._write("call", attribute=f"{end}.{attribute}", result=encode(value))
        return value

    def _admit(self, item: Any, number: int) -> Any:
        """Return what the device gets to see of a host's object that record ``number`` brings."""
        if not self._bounce or is_plain(item) or isinstance(item, (bytes, tuple, list)):
            return item
        return End(self, f"#{number}", item)

    def _unwrap(self, item: Any, number: int) -> Any:
        if isinstance(item, End):
            return item.target
        return self._callback(number, item) if is_function(item) else item

    def _callback(self, number: int, callback: Callable[..., Any]) -> Callable[..., Any]:
        def call_back() -> Any:
            if not self.active:
                return callback()
            record = self._recorder.stamp("input", self.name)
            record.update(callback=number, method=callback.__name__, arguments=[], options={})
            return self._during(record, callback)

        return call_back


def _ranges(memory: GuestMemory) -> list[tuple[Any, int]]:
    return [(region.base, region.size) for region in memory.regions]


def _runs(places: list[int]) -> list[tuple[int, int]]:
    """Join adjacent pieces into (start, end)."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1] = (runs[-1][0], place + _PIECE)
        else:
            runs.append((place, place + _PIECE))
    return runs
