"""Kicks that do not stop the vCPU: the backend signals, a worker serves the queue.

A driver's write to QueueNotify costs an exit to this process, and the guest stands still while the
device works. A backend that can turns that very write into a signal on an eventfd; the thread of
the machine's event loop serves the queue while the guest goes on and may add more: one kick, many
requests. A guest that waits for each answer is slower by this, as two threads have to wake up for
each: therefore it is an option.

Interrupts need nothing of the kind: the device raises its line in the worker's thread, which costs
one ioctl, as much as writing to an irqfd would.
"""

from __future__ import annotations

import os

from vmm.devices.virtio.mmio import VirtioMmio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import VirtualMachine
    from vmm.devices.virtio.device import VirtioDevice
    from vmm.machine.events import EventLoop

# Bytes of a driver's write (4.2.2.2).
_SIZE: Final = 4


class Kicks:
    """The kicks of all queues of one device."""

    def __init__(
        self, device: VirtioDevice, base: int, vm: VirtualMachine, events: EventLoop
    ) -> None:
        """Take the kicks of ``device``, whose registers are at ``base``.

        Raises:
            VmmError: if the backend refuses.
        """
        self._kicks: list[_Kick] = []
        address = base + VirtioMmio.QueueNotify.offset
        try:
            for index in range(len(device.queues)):
                kick = _Kick(device, index, events)
                self._kicks.append(kick)
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

    def _serve(self) -> None:
        os.eventfd_read(self.fd)
        if self._device.serve(self._index):
            # The driver adds as fast as we take. Others want the bus, too: go on after them.
            os.eventfd_write(self.fd, 1)
        self._watch.arm(read=True)

    def close(self) -> None:
        self._watch.close()
        os.close(self.fd)
