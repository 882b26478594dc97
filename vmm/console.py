"""The guest's console: what it wrote, what it may read, and the host's end of both.

Output is kept (the last `KEPT_OUTPUT` bytes of it) and copied to a file descriptor where one is
attached. Input comes from `Console.send` or from an attached file descriptor, which is read only
when the guest asks, so that nothing is taken from the host that the guest did not want.
"""

from __future__ import annotations

import os
from _thread import RLock, allocate_lock
from errno import EAGAIN, EINTR
from time import monotonic, sleep

from vmm.host.threads import start_thread
from vmm.hypercall.abi import STREAM_ERROR, STREAM_LOG, STREAM_OUTPUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from re import Match, Pattern
    from typing import Final

# A guest may print for ever; the host keeps the end of it. Above twice this, the front is dropped.
KEPT_OUTPUT: Final = 16 << 20

# How far a serial port's input is read ahead, and how often its thread looks up (s, ms).
PUMPED_INPUT: Final = 64 << 10
PUMP_PAUSE: Final = 0.005
PUMP_POLL_MS: Final = 200


class Console:
    """Both directions of a machine's console. All methods may be called from any thread.

    Attributes:
        on_input: called after input arrived or ended; wakes the machine.
        on_wait: called when somebody starts to wait for output, with whether that is over and until
            when it goes on; may execute the guest meanwhile (see `Execution.attend`).
        terminal: descriptor of the terminal whose keys come through `send`, or -1.
        announced: the guest knows that there is input, and has not read since.
    """

    def __init__(self) -> None:
        self.on_input: Callable[[], None] = _nothing
        self.on_wait: Callable[[Callable[[Callable[[], None]], bool], float], None] = _nothing
        self.terminal = -1
        self.announced = False
        self._lock = RLock()
        self._output = bytearray()
        self._log = bytearray()
        self._dropped = 0
        self._scanned = 0
        self._waiters: list[Callable[[], None]] = []
        self._finished = False
        self._input = bytearray()
        self._input_ended = False
        self._input_fd = -1
        self._is_pumped = False
        self._output_fds: dict[int, int] = {}

    # ---- What the host sees ----

    @property
    def output(self) -> bytes:
        """What the guest wrote so far, standard output and error in order (its last 16 MiB)."""
        with self._lock:
            return bytes(self._output)

    @property
    def log(self) -> bytes:
        """What the guest's kernel logged so far."""
        with self._lock:
            return bytes(self._log)

    def send(self, data: bytes) -> None:
        """Give ``data`` to the guest as input.

        Raises:
            ValueError: after `close_input`.
        """
        with self._lock:
            if self._input_ended:
                raise ValueError("the console's input has been closed")
            self._input += data
            self.announced = False
        self.on_input()

    def close_input(self) -> None:
        """Let the guest see the end of input behind what was sent."""
        with self._lock:
            self._input_ended = True
            self.announced = False
        self.on_input()

    def expect(self, pattern: bytes | Pattern[bytes], timeout: float = 10.0) -> Match[bytes]:
        """Wait until output that no earlier call has matched contains ``pattern``.

        ``pattern`` is a regular expression over bytes. Output up to the end of the match is
        consumed. Where nobody runs the machine it runs here meanwhile, and goes on by itself
        afterwards; as from `Machine.run`, Ctrl-C then ends it.

        Raises:
            TimeoutError: if that took more than ``timeout`` seconds.
            EOFError: if the machine stopped without writing it.
            TypeError: if ``pattern`` is text.
        """
        import re

        if isinstance(pattern, str):
            raise TypeError(f"expect({pattern!r}): output is bytes, so write b{pattern!r}")

        compiled = re.compile(pattern) if isinstance(pattern, bytes) else pattern
        found: list[Match[bytes]] = []

        def over(wake: Callable[[], None]) -> bool:
            with self._lock:
                match = None if found else self._match(compiled)
                if match:
                    found.append(match)
                if found or self._finished:
                    return True
                if wake not in self._waiters:
                    self._waiters.append(wake)
                return False

        deadline = monotonic() + timeout
        self.on_wait(over, deadline)
        while True:
            waiter = _Waiter()
            if over(waiter.wake):
                break
            remaining = deadline - monotonic()
            if remaining <= 0 or not waiter.wait(remaining):
                raise TimeoutError(f"no {compiled.pattern!r} in the output within {timeout} s")
        if not found:
            raise EOFError(f"the machine stopped without writing {compiled.pattern!r}")
        return found[0]

    def _match(self, pattern: Pattern[bytes]) -> Match[bytes] | None:
        """Consume output up to the end of the first match of ``pattern``, and return that."""
        match = pattern.search(self._output, max(self._scanned - self._dropped, 0))
        if match is None:
            return None
        self._scanned = self._dropped + match.end()
        # The buffer goes on changing: match again on a copy that the caller keeps.
        copy = bytes(self._output[match.start() : match.end()])
        return pattern.match(copy) or match

    def attach_input(self, fd: int) -> None:
        """Take input from ``fd``, on demand, after what `send` gave."""
        with self._lock:
            self._input_fd = fd
            self._input_ended = False

    def attach_output(self, output: int, error: int) -> None:
        """Copy output to descriptor ``output``, error output and the kernel's log to ``error``."""
        self._output_fds = {STREAM_OUTPUT: output, STREAM_ERROR: error, STREAM_LOG: error}

    # ---- What the machine does ----

    def write(self, data: bytes, stream: int = STREAM_OUTPUT) -> None:
        """Take output of the guest.

        Raises:
            OSError: if the descriptor attached to ``stream`` cannot take it (`BrokenPipeError`).
        """
        with self._lock:
            kept = self._log if stream == STREAM_LOG else self._output
            kept += data
            if len(kept) > 2 * KEPT_OUTPUT:
                if kept is self._output:
                    self._dropped += len(kept) - KEPT_OUTPUT
                del kept[:-KEPT_OUTPUT]
            waiters, self._waiters = self._waiters, []
        for wake in waiters:
            wake()
        fd = self._output_fds.get(stream, -1)
        if fd >= 0:
            _write_all(fd, data)

    def read(self, length: int) -> bytes | None:
        """Take up to ``length`` bytes of input: b"" at its end, None if there is none yet.

        None for good where a serial port or a virtio console has it (`pump_input`).
        """
        with self._lock:
            self.announced = False
            if self._is_pumped:
                return None
            if self._input:
                data = bytes(self._input[:length])
                del self._input[:length]
                return data
            if self._input_ended:
                return b""
            if self._input_fd < 0 or not _readable(self._input_fd, 0):
                return None
            fresh = _read_some(self._input_fd, length)
            if fresh == b"":
                self._input_ended = True
            return fresh

    @property
    def ready(self) -> bool:
        """Tell whether `read` would give input or its end now."""
        with self._lock:
            if self._is_pumped:
                return False
            if self._input or self._input_ended:
                return True
            return self._input_fd >= 0 and _readable(self._input_fd, 0)

    def announce(self) -> bool:
        """Tell whether there is input, or its end, that the guest has not been told of.

        Once until it reads or more is sent: a guest that leaves input alone is not told again.
        """
        if self.announced or not self.ready:
            return False
        self.announced = True
        return True

    def take(self, length: int) -> bytes:
        """Read up to ``length`` bytes of what `send` gave; b"" if there is nothing."""
        with self._lock:
            data = bytes(self._input[:length])
            del self._input[:length]
            return data

    def pump_input(self) -> None:
        """Keep input for a serial port: `take` gives it from now on, and nothing else.

        The attached descriptor is read in a thread; at most `PUMPED_INPUT` bytes are taken ahead of
        the guest.
        """
        with self._lock:
            self._is_pumped = True
            fd, self._input_fd = self.input_fd, -1
        if fd >= 0:
            start_thread(self._pump, fd)

    def _pump(self, fd: int) -> None:
        while not self._finished:
            if len(self._input) >= PUMPED_INPUT:
                sleep(PUMP_PAUSE)
            elif _readable(fd, PUMP_POLL_MS):
                data = _read_some(fd, PUMPED_INPUT)
                if data == b"":
                    self.close_input()
                    return
                if data:
                    self.send(data)

    @property
    def input_fd(self) -> int:
        """The descriptor that more input may come from, or -1."""
        return -1 if self._input_ended else self._input_fd

    @property
    def output_fds(self) -> tuple[int, int]:
        """The descriptors of output and error output, -1 where none is attached."""
        return self._output_fds.get(STREAM_OUTPUT, -1), self._output_fds.get(STREAM_ERROR, -1)

    def finish(self) -> None:
        """Tell whoever waits for output that there will be no more."""
        with self._lock:
            self._finished = True
            waiters, self._waiters = self._waiters, []
        for wake in waiters:
            wake()


class _Waiter:
    """One thread's wait for more output."""

    def __init__(self) -> None:
        self._gate = allocate_lock()
        self._gate.acquire()

    def wait(self, seconds: float) -> bool:
        return self._gate.acquire(timeout=seconds)

    def wake(self) -> None:
        self._gate.release()


def _nothing(*_: object) -> None:
    pass


def _readable(fd: int, timeout_ms: int) -> bool:
    from select import POLLIN, poll

    poller = poll()
    poller.register(fd, POLLIN)
    return bool(poller.poll(timeout_ms))


def _read_some(fd: int, length: int) -> bytes | None:
    try:
        return os.read(fd, length)
    except OSError as error:
        if error.errno in (EAGAIN, EINTR):
            return None
        return b""  # a vanished terminal (EIO) is the end of input


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            from select import POLLOUT, poll

            poller = poll()
            poller.register(fd, POLLOUT)
            poller.poll()
