"""The local APICs of all processors: messages between them, and from devices to them.

They share the region at 0xFEE00000, where each processor sees its own.
"""

from __future__ import annotations

from vmm.devices.device import Device
from vmm.devices.local_apic import FIXED, INIT, LOWEST_PRIORITY, NMI, STARTUP, LocalApic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

    from vmm.lines import Clock


def _ignore(_number: int) -> None:
    pass


def _ignore_startup(_apic: int, _page: int) -> None:
    pass


class LocalApics(Device):
    """The local APICs of all processors: a region, and the sink of interrupt messages.

    Args:
        count: number of processors; their APIC ids count from 0.
        clock: drives the timers.
        current_cpu: tells which processor makes the access under way.
        on_eoi: called with the vector when a level-triggered interrupt ends; the I/O APIC's.
        on_init: called with the APIC id of a processor that was sent INIT.
        on_startup: called with the APIC id and the page number of the entry point (SIPI).
        timer_hz: frequency of the timers before division.
    """

    SIZE: ClassVar[int] = 0x1000
    INPUTS: ClassVar[tuple[str, ...]] = ("send_message",)
    SOURCES: ClassVar[tuple[str, ...]] = ("current_cpu",)
    ENDS: ClassVar[tuple[str, ...]] = ("end_of_interrupt", "on_init", "on_startup")

    def __init__(
        self,
        *,
        count: int,
        clock: Clock,
        current_cpu: Callable[[], int] = lambda: 0,
        on_eoi: Callable[[int], None] = _ignore,
        on_init: Callable[[int], None] = _ignore,
        on_startup: Callable[[int, int], None] = _ignore_startup,
        timer_hz: int = 1_000_000_000,
    ) -> None:
        self.current_cpu = current_cpu
        self.end_of_interrupt = on_eoi
        self.on_init = on_init
        self.on_startup = on_startup
        self.apics = [
            LocalApic(apic_id=apic_id, apics=self, clock=clock, timer_hz=timer_hz)
            for apic_id in range(count)
        ]
        super().__init__()

    def parts(self) -> tuple[tuple[str, Device], ...]:
        return tuple((f"cpu{apic.apic_id}", apic) for apic in self.apics)

    def read(self, offset: int, size: int) -> int:
        """Read the register of the processor that asks."""
        return self.apics[self.current_cpu()].read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the register of the processor that asks."""
        self.apics[self.current_cpu()].write(offset, size, value)

    def decode(self, offset: int, value: int, write: bool) -> tuple[str, dict[str, int]]:
        """Name the register of the processor that asks, as `RegisterDevice.decode` does."""
        return self.apics[self.current_cpu()].decode(offset, value, write)

    def send_message(self, address: int, data: int) -> None:
        """Deliver a message-signalled interrupt (SDM 11.11); a `MessageSink`."""
        targets = self.find(address >> 12 & 0xFF, bool(address & 1 << 2))
        level = bool(data & 1 << 15)
        if level and not data & 1 << 14:
            return
        self.deliver(targets, data >> 8 & 7, data & 0xFF, level)

    def find(self, destination: int, logical: bool) -> list[LocalApic]:
        """Return the APICs that ``destination`` means."""
        return [apic for apic in self.apics if apic.matches(destination, logical)]

    def deliver(self, targets: list[LocalApic], mode: int, vector: int, level: bool) -> None:
        """Deliver an interrupt to ``targets``, or to one of them if its mode says so."""
        if mode == LOWEST_PRIORITY and targets:
            # Disabled APICs take no part, unless there is no other.
            willing = [apic for apic in targets if apic.SVR & apic.SVR_ENABLE] or targets
            targets = [min(willing, key=LocalApic.arbitration)]
        for apic in targets:
            if mode in (FIXED, LOWEST_PRIORITY):
                apic.accept(vector, level)
            elif mode == INIT:
                apic.reset()  # as after power-on, but for its identity (SDM 11.4.7.3)
                self.on_init(apic.apic_id)
            elif mode == STARTUP:
                self.on_startup(apic.apic_id, vector)
            else:
                apic.note("NMI" if mode == NMI else f"delivery mode {mode}")
