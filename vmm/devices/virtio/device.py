"""What all virtio devices have in common, whatever they do and however they are reached (2)."""

from __future__ import annotations

from vmm.devices.device import Device, internal
from vmm.devices.virtio.chain import QueueError
from vmm.devices.virtio.split import SplitQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Final, Protocol

    from vmm.devices.device import State
    from vmm.devices.virtio.queue import Queue
    from vmm.memory import GuestMemory

    class Transport(Protocol):
        """How a device reaches its driver."""

        def interrupt(self, cause: int) -> None:
            """Tell the driver of `USED_BUFFER` or `CONFIGURATION_CHANGE`."""
            ...

        def fail(self, reason: str) -> None:
            """Tell the driver that the device needs a reset."""
            ...

        def serve_later(self, index: int) -> None:
            """Kick for queue ``index`` in the driver's place, after others had the bus."""
            ...


# Causes of interrupts, as in InterruptStatus.
USED_BUFFER: Final = 1
CONFIGURATION_CHANGE: Final = 2

# Feature bits of every device (6).
F_INDIRECT_DESC: Final = 1 << 28
F_EVENT_IDX: Final = 1 << 29
F_VERSION_1: Final = 1 << 32
F_RING_PACKED: Final = 1 << 34

_COMMON_FEATURES: Final = F_INDIRECT_DESC | F_EVENT_IDX | F_VERSION_1


class VirtioDevice(Device):
    """A device behind a transport.

    A subclass names its kind and queues, and serves them in `handle`. It is driven by the bus,
    and by the host where something happens there; all with the bus lock held.

    Attributes:
        DEVICE_ID: its kind (5).
        QUEUE_SIZES: the greatest size of each of its queues.
        queues: its virtqueues, others when a driver chose another layout of them.
        queues_changed: called when they are others.
        offered: the features that it has; more may be added to them before there is a driver.
        features: those that the driver accepted.
        live: the driver is ready and has not broken a rule.
        transport: set by the transport.
        workers: for some queues, what has them served by another thread than the one that kicks.
        gathers: what a worker served last was of the kind that had better be served later, more of
            it at once.
    """

    gathers = False

    DEVICE_ID: ClassVar[int]
    QUEUE_SIZES: ClassVar[tuple[int, ...]]

    features = internal(0)
    live = internal(False)

    transport: Transport

    def __init__(
        self, memory: GuestMemory, features: int = 0, queue_sizes: tuple[int, ...] = ()
    ) -> None:
        """Make a device with device-specific ``features``; queues are in ``memory``.

        ``queue_sizes`` are those of this very device, where not all of its kind have the same.
        """
        self.offered = _COMMON_FEATURES | features
        sizes = queue_sizes or self.QUEUE_SIZES
        self.queues: tuple[Queue, ...] = tuple(SplitQueue(memory, size) for size in sizes)
        self.queues_changed: Callable[[], None] = _ignore
        self.workers: dict[int, Callable[[], None]] = {}
        super().__init__()

    def reset(self) -> None:
        self._lay_out(0)
        super().reset()

    def load(self, state: State) -> None:
        features = dict(state.values).get("features")
        self._lay_out(features if isinstance(features, int) else 0)
        super().load(state)

    def parts(self) -> tuple[tuple[str, Device], ...]:
        return tuple((f"queue{index}", queue) for index, queue in enumerate(self.queues))

    # ---- What the transport calls ----

    def negotiate(self, features: int) -> bool:
        """Accept the driver's choice of features, or refuse it (2.2.2).

        A driver that does not know VIRTIO_F_VERSION_1 is one for older devices (6.2).
        """
        if features & ~self.offered or not features & F_VERSION_1:
            return False
        self.features = features
        self._lay_out(features)
        for queue in self.queues:
            queue.event_index = bool(features & F_EVENT_IDX)
        return True

    def start(self) -> None:
        """The driver is ready (DRIVER_OK)."""
        self.live = True
        for index in range(len(self.queues)):
            self.kick(index)

    def resume(self) -> None:
        """The device was restored, its transport too; for subclasses to fill."""

    def kick(self, index: int) -> None:
        """The driver has added to a queue: serve it, or have it served."""
        worker = self.workers.get(index)
        if worker is not None:
            worker()
        elif self.serve(index):
            # Another vCPU adds as fast as this one takes; it must not hold the bus for ever.
            self.transport.serve_later(index)

    def serve(self, index: int) -> bool:
        """Serve a queue, because of a kick or because the host has something for it.

        Harmless before the driver is ready, and for queues that are not there or not set up: a
        device consumes no buffer before DRIVER_OK (2.1.2).

        Returns whether there is more to serve: the driver has added to what was there.
        """
        if not self.live or index >= len(self.queues) or not self.queues[index].usable:
            return False
        self.queues[index].unfinished = False
        try:
            self.handle(index)
        except QueueError as error:
            self.live = False
            self.transport.fail(str(error))
            return False
        return self.queues[index].unfinished

    def read_config(self, offset: int, size: int) -> int:
        """Read ``size`` bytes of the configuration space (2.5); behind its end are zeros."""
        return int.from_bytes(self.config()[offset : offset + size], "little")

    def write_config(self, offset: int, size: int, value: int) -> None:
        """Write to the configuration space; most devices have nothing to write to."""

    def _lay_out(self, features: int) -> None:
        """Have queues of the kind that belongs to ``features``."""
        kind: type[Queue] = SplitQueue
        if features & F_RING_PACKED:
            from vmm.devices.virtio.packed import PackedQueue

            kind = PackedQueue
        if not isinstance(self.queues[0], kind):
            self.queues = tuple(kind(queue.memory, queue.max_size) for queue in self.queues)
            self.queues_changed()

    # ---- What a kind of device fills in ----

    def config(self) -> bytes:
        """Return the configuration space as it is now."""
        return b""

    def handle(self, index: int) -> None:
        """Serve queue ``index``, which is ready.

        Raises:
            QueueError: if the driver broke a rule; the device is dead until its next reset then.
        """
        raise NotImplementedError

    # ---- What it calls ----

    def notify(self, queue: Queue) -> None:
        """Interrupt the driver for what was pushed to ``queue``, if it wants to be."""
        if queue.wants_interrupt():
            self.transport.interrupt(USED_BUFFER)


def _ignore() -> None:
    """Nobody cares."""
