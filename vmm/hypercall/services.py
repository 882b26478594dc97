"""The services behind the doorbell: console, exit, clock, entropy, idle, trace."""

from __future__ import annotations

import os
from errno import EAGAIN, EINVAL
from time import time_ns

from vmm.hypercall import abi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    from vmm.console import Console
    from vmm.hypercall.doorbell import Service
    from vmm.lines import Clock
    from vmm.memory import GuestMemory

    class Host(Protocol):
        """What a machine does for the services."""

        def stop(self, status: int, reason: int, message: str) -> None:
            """End the run: the guest has exited."""
            ...

        def idle_until(self, deadline: int | None) -> None:
            """Let the vCPU sleep until guest time ``deadline`` (ns), input, or a stop."""
            ...

        def completed(self) -> None:
            """The guest has posted completions of service calls."""
            ...


# One request may not keep the host busy or its memory full; the guest asks again for the rest.
MAX_TRANSFER: Final = 1 << 20
MAX_MESSAGE: Final = 4096

_U64: Final = 0xFFFF_FFFF_FFFF_FFFF


class Services:
    """The services of one machine, by number: ``Services(...).table``."""

    def __init__(self, memory: GuestMemory, console: Console, clock: Clock, host: Host) -> None:
        self._memory = memory
        self._console = console
        self._clock = clock
        self._host = host
        self.trace: Callable[[str], None] | None = None
        self.table: dict[int, Service] = {
            abi.CONSOLE_WRITE: self._console_write,
            abi.CONSOLE_READ: self._console_read,
            abi.EXIT: self._exit,
            abi.CLOCK: self._read_clock,
            abi.ENTROPY: self._entropy,
            abi.IDLE: self._idle,
            abi.TRACE: self._trace,
            abi.CONSOLE_STATUS: self._console_status,
            abi.COMPLETED: self._completed,
        }

    def _console_write(self, arguments: list[int]) -> int:
        gpa, length, stream = arguments[:3]
        if stream not in (abi.STREAM_OUTPUT, abi.STREAM_ERROR, abi.STREAM_LOG):
            return -EINVAL
        length = min(length, MAX_TRANSFER)
        self._console.write(self._memory.read(gpa, length), stream)
        return length

    def _console_read(self, arguments: list[int]) -> int:
        gpa, length = arguments[:2]
        if length == 0:
            return 0
        target = self._memory.view(gpa, min(length, MAX_TRANSFER))
        data = self._console.read(len(target))
        if data is None:
            return -EAGAIN
        target[: len(data)] = data
        return len(data)

    def _exit(self, arguments: list[int]) -> int:
        status, reason, gpa, length = arguments[:4]
        text = self._memory.read(gpa, min(length, MAX_MESSAGE)) if length else b""
        self._host.stop(status & 0xFF, reason, text.decode(errors="replace"))
        return 0

    def _read_clock(self, arguments: list[int]) -> int:
        arguments[0] = time_ns()
        return self._clock.now()

    def _entropy(self, arguments: list[int]) -> int:
        gpa, length = arguments[:2]
        target = self._memory.view(gpa, min(length, MAX_TRANSFER))
        target[:] = os.urandom(len(target))
        return len(target)

    def _idle(self, arguments: list[int]) -> int:
        deadline = arguments[0]
        self._host.idle_until(None if deadline == _U64 else deadline)
        return 0

    def _trace(self, arguments: list[int]) -> int:
        gpa, length = arguments[:2]
        text = self._memory.read(gpa, min(length, MAX_MESSAGE))
        if self.trace is not None:
            self.trace(text.decode(errors="replace"))
        return 0

    def _completed(self, arguments: list[int]) -> int:
        self._host.completed()
        return 0

    def _console_status(self, arguments: list[int]) -> int:
        descriptors = self._streams()
        arguments[0], arguments[1] = _window(descriptors)
        return _terminals(descriptors)

    def describe_console(self, bootinfo: int) -> None:
        """Before the start, say in bootinfo (a gpa) what most guests would have to ask for."""
        if not _terminals(self._streams()):
            place = bootinfo + abi.BOOTINFO_FEATURES_OFFSET
            features = self._memory.read_u64(place) | abi.FEATURE_NO_TERMINAL
            self._memory.write_u64(place, features)

    def _streams(self) -> tuple[int, ...]:
        console = self._console
        typed = console.terminal if console.terminal >= 0 else console.input_fd
        return typed, *console.output_fds


def _terminals(descriptors: tuple[int, ...]) -> int:
    """Return one bit for each of ``descriptors`` that is a terminal."""
    answer = 0
    for bit, fd in enumerate(descriptors):
        if fd >= 0 and os.isatty(fd):
            answer |= 1 << bit
    return answer


def _window(descriptors: tuple[int, ...]) -> tuple[int, int]:
    """Return rows and columns of the first terminal among ``descriptors``, else zeros."""
    for fd in descriptors:
        if fd < 0:
            continue
        try:
            size = os.get_terminal_size(fd)
        except (OSError, ValueError):
            continue
        return size.lines, size.columns
    return 0, 0
