"""The bus of a traced machine: it records every access."""

from __future__ import annotations

from vmm.boards.lazy import LazyRegion
from vmm.bus import MAX_REMEMBERED_SITES, Bus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from vmm.bus import AddressSpace
    from vmm.lines import Region
    from vmm.trace.recorder import Recorder

    Decode = Callable[[int, int, bool], tuple[str, dict[str, int]]]

# What a device is called where none is.
NOWHERE: Final = "nothing"


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
            record = recorder.stamp("read", target.device)
            recorder.enter(record)
            value = super()._read(space, address, size)
            target.fill(record, size, value, False)
            self._leave(record, target)
            return value

    def _write(self, space: AddressSpace, address: int, size: int, value: int) -> None:
        recorder = self._recorder
        with self.lock:
            target = self._target(space, address)
            record = recorder.stamp("write", target.device)
            # Before it happens: a write may change which register is here.
            target.fill(record, size, value, True)
            recorder.enter(record)
            super()._write(space, address, size, value)
            self._leave(record, target)

    def _leave(self, record: dict[str, Any], target: _Target) -> None:
        self._recorder.settle(target.region)
        record["vcpu"], record["pc"] = self._recorder.locate()
        self._recorder.leave(record)

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
        return _Target(mapping.name, region, offset, f"+{offset:#x}")


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
    """What is at an address: ``register`` is what its place is called if the region cannot say."""

    def __init__(self, device: str, region: Region | None, offset: int, register: str) -> None:
        self.device = device
        self.region = region
        self._decode: Decode | None = getattr(region, "decode", None)
        self._offset = offset
        self._register = register

    def fill(self, record: dict[str, Any], size: int, value: int, write: bool) -> None:
        """Add to ``record`` what is accessed, in the words of its register map."""
        if self._decode is None:
            name, fields = self._register, dict[str, int]()
        else:
            name, fields = self._decode(self._offset, value, write)
        record.update(register=name, offset=self._offset, size=size, value=value, fields=fields)
