"""An interrupt controller for small x86_64 guests, and handlers that count what it delivers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tests.vmm.backends.unicorn.x86.guest import SCRATCH, Guest

# Ports that the guest writes to.
REQUEST = 0x10
END_OF_INTERRUPT = 0x20

SPURIOUS = 0xFF


class Controller:
    """An interrupt controller with a queue of vectors, one in service at a time.

    The guest ends an interrupt by writing to the port `END_OF_INTERRUPT`; by one to `REQUEST` it
    has ``on_request`` called.
    """

    def __init__(self, guest: Guest) -> None:
        self.requests: deque[int] = deque()
        self.in_service = False
        self.acknowledged: list[int] = []
        self.on_request: Callable[[], None] = lambda: self.request(32)
        self.line = guest.vcpu.connect_interrupts(self)
        self.lock = guest.bus.lock
        guest.bus.on_write = self._on_write

    def request(self, vector: int) -> None:
        with self.lock:
            self.requests.append(vector)
            self._update()

    def withdraw(self) -> None:
        with self.lock:
            self.requests.clear()
            self._update()

    def pending(self) -> bool:
        return bool(self.requests) and not self.in_service

    def acknowledge(self) -> int:
        assert self.lock._is_owned()
        vector = self.requests.popleft() if self.pending() else SPURIOUS
        self.acknowledged.append(vector)
        self.in_service = vector != SPURIOUS
        self._update()
        return vector

    def _on_write(self, port: int, _value: int) -> None:
        if port == REQUEST:
            self.on_request()
        elif port == END_OF_INTERRUPT:
            self.in_service = False
            self._update()

    def _update(self) -> None:
        self.line(self.pending())


class Stack(Controller):
    """A controller that has the next request pending as soon as one is acknowledged."""

    def acknowledge(self) -> int:
        vector = super().acknowledge()
        self.in_service = False
        self._update()
        return vector


# Handlers that count in the word at SCRATCH + 8 * (vector - 32).
COUNT = f"""
    on_32:
        inc qword ptr [{SCRATCH}]
        jmp done
    on_33:
        inc qword ptr [{SCRATCH} + 8]
        jmp done
    on_255:
        inc qword ptr [{SCRATCH} + 16]
        iretq
    done:
        push rax
        out {END_OF_INTERRUPT}, al
        pop rax
        iretq
"""


def counts(guest: Guest) -> tuple[int, int, int]:
    memory = guest.memory
    return (
        memory.read_u64(SCRATCH),
        memory.read_u64(SCRATCH + 8),
        memory.read_u64(SCRATCH + 16),
    )
