"""A traced machine with a block device, whose driver is the tests' own."""

from __future__ import annotations

from pathlib import Path

from tests.vmm.devices.virtio.driver import Guest
from vmm.devices.virtio.mmio import VirtioMmio
from vmm.machine.machine import Machine

# As far as the driver's RAM goes.
MEMORY = "1028M"


class BusGuest(Guest):
    """Drives the first virtio device of a machine, through its bus."""

    def __init__(self, machine: Machine) -> None:  # no transport is made: there is one
        mapping = next(m for m in machine.bus.mmio.mappings if m.name == "virtio0")
        assert isinstance(mapping.region, VirtioMmio)
        self.memory = machine.memory
        self.device = mapping.region.device
        self.transport = mapping.region
        self.queues = []
        self._bus = machine.bus
        self._base = mapping.base

    def read(self, offset: int) -> int:
        return self._bus.mmio_read(self._base + offset, 4)

    def write(self, offset: int, value: int) -> None:
        self._bus.mmio_write(self._base + offset, 4, value)


def traced_block_machine(trace: str, disk: Path, trace_format: str = "jsonl") -> Machine:
    return Machine(
        "hello",
        arch="arm64",
        backend="unicorn",
        memory=MEMORY,
        disks=[str(disk)],
        trace=trace,
        trace_format=trace_format,
    )
