"""Virtio over MMIO, register layout version 2 (section 4.2)."""

from __future__ import annotations

from vmm.devices.device import OutputPin, internal
from vmm.devices.registers import RO, WO, Register, RegisterArray, RegisterDevice
from vmm.devices.virtio.chain import QueueError
from vmm.devices.virtio.device import CONFIGURATION_CHANGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final

    from vmm.devices.device import Device
    from vmm.devices.virtio.device import VirtioDevice
    from vmm.devices.virtio.queue import Queue
    from vmm.lines import Clock, InterruptLine

MAGIC: Final = int.from_bytes(b"virt", "little")
VENDOR: Final = int.from_bytes(b"CLPS", "little")

CONFIG: Final = 0x100

# A queue that never gets empty is served a round at a time; the bus is free for so long between.
PAUSE_NS: Final = 100_000

_WORD: Final = 0xFFFF_FFFF


class VirtioMmio(RegisterDevice):
    """The registers through which a driver finds, sets up and kicks a virtio device.

    Args:
        device: what is behind them.
        irq: its interrupt.
        clock: guest time.

    Attributes:
        failure: why the device needs a reset, or "".
    """

    SIZE: ClassVar[int] = 0x200

    MagicValue = Register(0x000, "Magic value: virt", RO, reset=MAGIC)
    Version = Register(0x004, "Version of this layout", RO, reset=2)
    DeviceID = Register(0x008, "Kind of device", RO)
    VendorID = Register(0x00C, "Vendor", RO, reset=VENDOR)
    DeviceFeatures = Register(0x010, "32 of the features that the device has", RO)
    DeviceFeaturesSel = Register(0x014, "Which 32 of them DeviceFeatures shows", WO)
    DriverFeatures = Register(0x020, "32 of the features that the driver accepts", WO)
    DriverFeaturesSel = Register(0x024, "Which 32 of them DriverFeatures sets", WO)
    QueueSel = Register(0x030, "Which queue the Queue registers mean", WO)
    QueueNumMax = Register(0x034, "Greatest size of the queue; 0: there is none", RO)
    QueueNum = Register(0x038, "Size of the queue", WO)
    QueueReady = Register(0x044, "Queue ready: 1 once it is set up")
    QueueNotify = Register(0x050, "Kick: a queue has new buffers", WO)
    InterruptStatus = Register(0x060, "Interrupt status", RO)
    InterruptStatus_UsedBuffer = InterruptStatus.bit(0, "the device has used a buffer")
    InterruptStatus_Configuration = InterruptStatus.bit(1, "the configuration has changed")
    InterruptACK = Register(0x064, "Interrupt acknowledge", WO)
    InterruptACK_UsedBuffer = InterruptACK.bit(0, "used buffers are being looked at")
    InterruptACK_Configuration = InterruptACK.bit(1, "the configuration is being looked at")
    Status = Register(0x070, "Device status; writing 0 resets the device")
    Status_ACKNOWLEDGE = Status.bit(0, "the guest has found the device")
    Status_DRIVER = Status.bit(1, "it knows how to drive it")
    Status_DRIVER_OK = Status.bit(2, "the driver is ready")
    Status_FEATURES_OK = Status.bit(3, "features are negotiated")
    Status_DEVICE_NEEDS_RESET = Status.bit(6, "the device cannot go on", RO)
    Status_FAILED = Status.bit(7, "the driver has given up")
    QueueDescLow = Register(0x080, "Descriptor area, bits 31:0 of its address", WO)
    QueueDescHigh = Register(0x084, "Descriptor area, bits 63:32", WO)
    QueueDriverLow = Register(0x090, "Driver area (available ring), bits 31:0 of its address", WO)
    QueueDriverHigh = Register(0x094, "Driver area, bits 63:32", WO)
    QueueDeviceLow = Register(0x0A0, "Device area (used ring), bits 31:0 of its address", WO)
    QueueDeviceHigh = Register(0x0A4, "Device area, bits 63:32", WO)
    SHMSel = Register(0x0AC, "Which shared memory the SHM registers mean: there is none", WO)
    SHMLenLow = Register(0x0B0, "Length of shared memory, bits 31:0", RO, reset=_WORD)
    SHMLenHigh = Register(0x0B4, "Length of shared memory, bits 63:32", RO, reset=_WORD)
    SHMBaseLow = Register(0x0B8, "Shared memory, bits 31:0 of its address", RO, reset=_WORD)
    SHMBaseHigh = Register(0x0BC, "Shared memory, bits 63:32", RO, reset=_WORD)
    ConfigGeneration = Register(0x0FC, "Changes whenever the configuration does", RO)
    Config = RegisterArray(CONFIG, 0x100, "Configuration of this kind of device", width=8)

    STATE_VERSION: ClassVar[int] = 2

    # The driver's choice so far, all 64 bits.
    _accepted = internal(0)
    # Set of queues to be served when the pause is over.
    _waiting = internal(0)

    def __init__(self, *, device: VirtioDevice, irq: InterruptLine, clock: Clock) -> None:
        self.irq = OutputPin(irq)
        self.device = device
        device.transport = self
        self.failure = ""
        self._clock = clock
        self._pause = clock.timer(self._pause_over)
        super().__init__()

    def parts(self) -> tuple[tuple[str, Device], ...]:
        return (("device", self.device),)

    def reset(self) -> None:
        super().reset()
        self.failure = ""
        self._pause.cancel()
        self.irq(False)

    def loaded(self) -> None:
        self._pause.cancel()
        if self._waiting:
            self._begin_pause()
        self.device.resume()
        self._update_irq()

    # Control registers take aligned accesses of 32 bits (4.2.2.2), the configuration space takes
    # any (2.5); a driver that does otherwise reads zeros and changes nothing.

    def read(self, offset: int, size: int) -> int:
        if offset >= CONFIG:
            return self.device.read_config(offset - CONFIG, size)
        if size != 4 or offset & 3:
            self.note(f"read of {size} bytes at +{offset:#x}")
            return 0
        return super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        if offset >= CONFIG:
            self.device.write_config(offset - CONFIG, size, value)
        elif size != 4 or offset & 3:
            self.note(f"write of {size} bytes at +{offset:#x}")
        else:
            super().write(offset, size, value)

    @Config.on_read
    def _read_config(self, index: int) -> int:
        return self.device.read_config(index, 1)

    @Config.on_write
    def _write_config(self, index: int, value: int) -> None:
        self.device.write_config(index, 1, value)

    # ---- What the device calls ----

    def interrupt(self, cause: int) -> None:
        """Tell the driver of used buffers or of a change of the configuration."""
        if cause & CONFIGURATION_CHANGE:
            self.ConfigGeneration = self.ConfigGeneration + 1 & _WORD
        self.InterruptStatus |= cause
        self._update_irq()

    def fail(self, reason: str) -> None:
        """Let the driver see that only a reset helps, and why in `failure` (2.1.2)."""
        self.failure = reason
        self.device.live = False
        self.Status |= self.Status_DEVICE_NEEDS_RESET
        if self.Status & self.Status_DRIVER_OK:
            self.interrupt(CONFIGURATION_CHANGE)

    def serve_later(self, index: int) -> None:
        """Kick for queue ``index`` in the driver's place, after others had the bus."""
        if not self._waiting:
            self._begin_pause()
        self._waiting |= 1 << index

    def _begin_pause(self) -> None:
        self._pause.arm(self._clock.now() + PAUSE_NS)

    def _pause_over(self) -> None:
        waiting, self._waiting = self._waiting, 0
        for index in range(waiting.bit_length()):
            if waiting >> index & 1:
                self.device.kick(index)

    # ---- Status and features ----

    @Status.on_write
    def _write_status(self, value: int) -> None:
        """Go on through the sequence of 3.1.1; out of it, a bit stays clear.

        A driver does not clear bits (2.1.1); a value without those set before adds to them.
        """
        if not value:
            self.reset()
            return
        status = self.Status | value & (
            self.Status_ACKNOWLEDGE | self.Status_DRIVER | self.Status_FAILED
        )
        wanted = value & ~status
        negotiates = wanted & self.Status_FEATURES_OK and status & self.Status_DRIVER
        if negotiates and self.device.negotiate(self._accepted):
            status |= self.Status_FEATURES_OK
        starts = wanted & self.Status_DRIVER_OK and status & self.Status_FEATURES_OK
        if starts:
            status |= self.Status_DRIVER_OK
        self.Status = status
        if starts and not status & self.Status_DEVICE_NEEDS_RESET:
            self.device.start()

    @DeviceID.on_read
    def _device_id(self) -> int:
        return self.device.DEVICE_ID

    @DeviceFeatures.on_read
    def _device_features(self) -> int:
        if self.DeviceFeaturesSel > 1:
            return 0
        return self.device.offered >> 32 * self.DeviceFeaturesSel & _WORD

    @DriverFeatures.on_write
    def _accept(self, value: int) -> None:
        if self.Status & self.Status_FEATURES_OK or self.DriverFeaturesSel > 1:
            return
        shift = 32 * self.DriverFeaturesSel
        self._accepted = self._accepted & ~(_WORD << shift) | value << shift

    # ---- Queues ----

    @property
    def _queue(self) -> Queue | None:
        queues = self.device.queues
        return queues[self.QueueSel] if self.QueueSel < len(queues) else None

    @property
    def _open_queue(self) -> Queue | None:
        """The selected queue, unless it is set up already: it must not change then (4.2.2.2)."""
        queue = self._queue
        return None if queue is None or queue.ready else queue

    @QueueNumMax.on_read
    def _queue_num_max(self) -> int:
        return 0 if self._queue is None else self._queue.max_size

    @QueueNum.on_write
    def _set_queue_size(self, value: int) -> None:
        if queue := self._open_queue:
            queue.size = value

    @QueueReady.on_read
    def _queue_ready(self) -> int:
        return int(self._queue is not None and self._queue.ready)

    @QueueReady.on_write
    def _set_queue_ready(self, value: int) -> None:
        queue = self._queue
        if queue is None:
            return
        if not value & 1:
            queue.ready = queue.usable = False
        elif not queue.ready:
            queue.ready = True
            try:
                queue.map()
            except QueueError as error:
                self.fail(str(error))

    @QueueDescLow.on_write
    def _set_descriptors_low(self, value: int) -> None:
        if queue := self._open_queue:
            queue.descriptors = _low(queue.descriptors, value)

    @QueueDescHigh.on_write
    def _set_descriptors_high(self, value: int) -> None:
        if queue := self._open_queue:
            queue.descriptors = _high(queue.descriptors, value)

    @QueueDriverLow.on_write
    def _set_driver_low(self, value: int) -> None:
        if queue := self._open_queue:
            queue.driver = _low(queue.driver, value)

    @QueueDriverHigh.on_write
    def _set_driver_high(self, value: int) -> None:
        if queue := self._open_queue:
            queue.driver = _high(queue.driver, value)

    @QueueDeviceLow.on_write
    def _set_device_low(self, value: int) -> None:
        if queue := self._open_queue:
            queue.device = _low(queue.device, value)

    @QueueDeviceHigh.on_write
    def _set_device_high(self, value: int) -> None:
        if queue := self._open_queue:
            queue.device = _high(queue.device, value)

    @QueueNotify.on_write
    def _kick(self, index: int) -> None:
        self.device.kick(index)

    # ---- Interrupts ----

    @InterruptACK.on_write
    def _acknowledge(self, value: int) -> None:
        self.InterruptStatus &= ~value
        self._update_irq()

    def _update_irq(self) -> None:
        self.irq(bool(self.InterruptStatus))


def _low(address: int, value: int) -> int:
    return address & ~_WORD | value


def _high(address: int, value: int) -> int:
    return address & _WORD | value << 32
