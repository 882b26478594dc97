"""The driver's side of virtio-mmio: builds real rings in real guest memory, as a guest would.

guest = Guest(Rng(memory, source), memory)
guest.start()
queue = guest.queues[0]
buffer = queue.allocate(64)
queue.offer([(buffer, 64, True)])
guest.kick(0)
assert queue.take() == Used(head=0, length=64)
"""

from __future__ import annotations

from tests.vmm.devices.parts import ManualClock, Wire
from tests.vmm.devices.virtio.rings import (
    Buffer,
    DriverQueue,
    PackedDriverQueue,
    SplitDriverQueue,
)
from vmm.devices.virtio import mmio
from vmm.devices.virtio.device import VirtioDevice
from vmm.devices.virtio.mmio import VirtioMmio
from vmm.memory import Gpa, GuestMemory

RAM = 0x8000_0000
RAM_SIZE = 4 << 20

MAGIC, VERSION, DEVICE_ID, VENDOR_ID = 0x00, 0x04, 0x08, 0x0C
DEVICE_FEATURES, DEVICE_FEATURES_SEL = 0x10, 0x14
DRIVER_FEATURES, DRIVER_FEATURES_SEL = 0x20, 0x24
QUEUE_SEL, QUEUE_NUM_MAX, QUEUE_NUM, QUEUE_READY, QUEUE_NOTIFY = 0x30, 0x34, 0x38, 0x44, 0x50
INTERRUPT_STATUS, INTERRUPT_ACK, STATUS = 0x60, 0x64, 0x70
QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE = 0x80, 0x90, 0xA0
CONFIG_GENERATION, CONFIG = 0xFC, 0x100

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 64, 128

INDIRECT_DESC, EVENT_IDX, VERSION_1, RING_PACKED = 1 << 28, 1 << 29, 1 << 32, 1 << 34


def ram() -> GuestMemory:
    return GuestMemory([(Gpa(RAM), RAM_SIZE)])


class Guest:
    """A driver of one device behind virtio-mmio."""

    def __init__(self, device: VirtioDevice, memory: GuestMemory) -> None:
        self.memory = memory
        self.irq = Wire()
        self.device = device
        self.clock = ManualClock()
        self.transport = VirtioMmio(device=device, irq=self.irq, clock=self.clock)
        self.queues: list[DriverQueue] = []

    def read(self, offset: int) -> int:
        return self.transport.read(offset, 4)

    def write(self, offset: int, value: int) -> None:
        self.transport.write(offset, 4, value)

    def write64(self, offset: int, value: int) -> None:
        self.write(offset, value & 0xFFFF_FFFF)
        self.write(offset + 4, value >> 32)

    def features(self) -> int:
        """Return the features that the device offers."""
        result = 0
        for half in (0, 1):
            self.write(DEVICE_FEATURES_SEL, half)
            result |= self.read(DEVICE_FEATURES) << 32 * half
        return result

    def negotiate(self, features: int) -> bool:
        """Go through 3.1.1 up to FEATURES_OK and tell whether the device agreed."""
        self.write(STATUS, 0)
        self.write(STATUS, ACKNOWLEDGE)
        self.write(STATUS, ACKNOWLEDGE | DRIVER)
        for half in (0, 1):
            self.write(DRIVER_FEATURES_SEL, half)
            self.write(DRIVER_FEATURES, features >> 32 * half & 0xFFFF_FFFF)
        self.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK)
        return bool(self.read(STATUS) & FEATURES_OK)

    def start(self, features: int | None = None, size: int = 0) -> None:
        """Bring the device up with ``features`` (all that it offers) and queues of ``size``."""
        chosen = self.features() if features is None else features
        assert self.negotiate(chosen)
        kind = PackedDriverQueue if chosen & RING_PACKED else SplitDriverQueue
        self.queues = []
        room = RAM_SIZE // len(self.device.queues)
        for index in range(len(self.device.queues)):
            self.write(QUEUE_SEL, index)
            length = size or self.read(QUEUE_NUM_MAX)
            queue = kind(self.memory, RAM + index * (room & ~15), length, room & ~15)
            clear = Gpa(queue.descriptors)
            self.memory.write(clear, bytes(queue._buffers - queue.descriptors))
            self.queues.append(queue)
            self.set_up(index, queue)
        self.write(STATUS, self.read(STATUS) | DRIVER_OK)
        assert self.read(STATUS) & DRIVER_OK

    def set_up(self, index: int, queue: DriverQueue) -> None:
        """Tell the device where ``queue`` is."""
        self.write(QUEUE_SEL, index)
        self.write(QUEUE_NUM, queue.size)
        self.write64(QUEUE_DESC, queue.descriptors)
        self.write64(QUEUE_DRIVER, queue.available)
        self.write64(QUEUE_DEVICE, queue.used)
        self.write(QUEUE_READY, 1)

    def kick(self, index: int) -> None:
        self.write(QUEUE_NOTIFY, index)

    def request(
        self, index: int, readable: bytes, writable: int, *, indirect: bool = False
    ) -> tuple[bytes, int]:
        """Send one request; return its writable part and how much of it is used."""
        queue = self.queues[index]
        buffers: list[Buffer] = []
        if readable:
            buffers.append((queue.allocate(len(readable), readable), len(readable), False))
        answer = queue.allocate(writable, bytes(writable))
        if writable:
            buffers.append((answer, writable, True))
        head = queue.offer(buffers, indirect=indirect)
        self.kick(index)
        used = queue.take()
        assert used is not None, self.transport.failure or "the device did not answer"
        assert used.head == head
        return self.memory.read(Gpa(answer), writable), used.length

    @property
    def needs_reset(self) -> bool:
        return bool(self.read(STATUS) & NEEDS_RESET)

    def acknowledge(self) -> int:
        """Read and acknowledge the causes of interrupts."""
        causes = self.read(INTERRUPT_STATUS)
        self.write(INTERRUPT_ACK, causes)
        return causes


assert mmio.CONFIG == CONFIG
