"""Queues that a worker serves: the thread of the machine's event loop, not the vCPU that kicks.

A driver's write to QueueNotify costs an exit to this process, and the guest stands still while the
device works. With a worker the guest goes on and may add more: one kick, many requests. A backend
that can turns that very write into a signal on an eventfd; elsewhere the vCPU signals and goes on.
What a network sends is always served so, because the guest's TCP makes longer segments of what
comes meanwhile. A guest that waits for each answer is slower by this, as two threads have to wake
up for each: for disks it is an option.

Interrupts need nothing of the kind: the device raises its line in the worker's thread, without an
exit of a vCPU. On x86_64 a line takes 10 us to go up and down, 3.5 of them for the I/O APIC's
message, and an irqfd in its place would take 1.2 (`scripts/bench interrupts`). But the line is
level-triggered: InterruptStatus holds it until the driver acknowledges, also while the I/O APIC's
pin is masked, and the message goes out when it no longer is. So the I/O APIC has to hear of each
change all the same. On arm64 the kernel would look after that, by telling of each EOI on a second
eventfd, for which the worker would have to wake up at each interrupt to find InterruptStatus 0.
"""

from __future__ import annotations

import os

from vmm.devices.virtio.mmio import VirtioMmio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from vmm.backends.api import VirtualMachine
    from vmm.devices.virtio.device import VirtioDevice
    from vmm.machine.events import EventLoop

# Bytes of a driver's write (4.2.2.2).
_SIZE: Final = 4


class Kicks:
    """The kicks of some queues of one device."""

    def __init__(
        self,
        device: VirtioDevice,
        queues: Sequence[int],
        events: EventLoop,
        vm: VirtualMachine | None,
        base: int,
    ) -> None:
        """Have ``queues`` of ``device``, whose registers are at ``base``, served by ``events``.

        Without a ``vm`` that signals, the vCPU that kicks does.

        Raises:
            VmmError: if the backend refuses.
        """
        self._kicks: list[_Kick] = []
        address = base + VirtioMmio.QueueNotify.offset
        try:
            for index in queues:
                kick = _Kick(device, index, events)
                self._kicks.append(kick)
                device.workers[index] = kick.signal
                if vm is not None:
                    vm.ioeventfd(kick.fd, address, _SIZE, value=index)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Serve no more; the guest no longer runs."""
        for kick in self._kicks:
            kick.close()
        self._kicks.clear()


class _Kick:
    """The kick of one queue."""

    def __init__(self, device: VirtioDevice, index: int, events: EventLoop) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._device = device
        self._index = index
        self._watch = events.watch(self.fd, self._serve)
        self._watch.arm(read=True)

    def signal(self) -> None:
        """Have the queue served soon."""
        os.eventfd_write(self.fd, 1)

    def _serve(self) -> None:
        os.eventfd_read(self.fd)
        if self._device.serve(self._index):
            # The driver adds as fast as we take. Others want the bus, too: go on after them.
            self.signal()
        self._watch.patient = self._device.gathers
        self._watch.arm(read=True)

    def close(self) -> None:
        self._watch.close()
        os.close(self.fd)
