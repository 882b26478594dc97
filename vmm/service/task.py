"""One thread of the guest that makes system calls for the host, one at a time."""

from __future__ import annotations

import os
from errno import ENOBUFS, ENOSYS
from typing import Generic, TypeVar, cast

from vmm.errors import VmmError
from vmm.hypercall import abi
from vmm.service.numbers import syscall_numbers
from vmm.service.structures import layouts_of
from vmm.service.window import Room, Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, ParamSpec

    from vmm.arch import Arch
    from vmm.machine.caller import Call, Caller

    P = ParamSpec("P")

    Path = str | bytes | os.PathLike[str]
    Data = bytes | bytearray | memoryview
    Argument = int | Data | str | os.PathLike[str] | Room | None

T = TypeVar("T")

# What a task has of the window for itself; larger transfers take more for the time of the call.
CHUNK: Final = 32 << 10

# The most that one call transfers.
MAX_TRANSFER: Final = 1 << 20

_ALIGNMENT: Final = 15
_U64: Final = 0xFFFF_FFFF_FFFF_FFFF
_MAX_ERRNO: Final = 4095


class Pending(Generic[T]):
    """A call that was begun."""

    def __init__(self, task: TaskBase, call: Call, decode: Callable[[int], T] | None) -> None:
        self._task = task
        self._call = call
        self._decode = decode

    @property
    def done(self) -> bool:
        """Tell whether the guest has answered. The guest runs only while somebody waits."""
        return self._call.done

    def result(self) -> T:
        """Let the guest run until it has answered, and return what the call's method returns.

        May be called once.

        Raises:
            OSError: as the call's method.
        """
        return self._task.finish(self._call, self._decode)


class TaskBase:
    """What the methods for single calls are made of.

    Attributes:
        caller: how calls reach the guest.
        arch: the guest's architecture.
        number: of the task, in the ring's submissions.
        layouts: of structures that differ between architectures.
    """

    def __init__(self, caller: Caller, arch: Arch, window: Window, number: int) -> None:
        self.caller = caller
        self.arch = arch
        self.number = number
        self.layouts = layouts_of(arch)
        self.window = window
        chunk = window.take(CHUNK)
        if chunk is None:
            raise VmmError("the window of service calls has no room for another task")
        self._chunk = chunk
        self._used = 0
        self._large: list[Room] = []
        self._numbers = syscall_numbers(arch)
        self._deferred = False
        self._in_flight = False

    # ---- For users ----

    def syscall(self, number: int | str, *arguments: Argument) -> int:
        """Make any system call, by number or by name, and return its result.

        Numbers are passed as they are; of bytes and paths (text gets a NUL behind it) the guest
        sees a copy, and gets its address; a `bytearray` besides holds what the guest has written
        there afterwards; None is a null pointer.

        Raises:
            OSError: with the guest's errno. ENOSYS also for a name that the architecture lacks.
        """
        copies: list[tuple[bytearray, Room]] = []
        words: list[Argument] = []
        for argument in arguments:
            if isinstance(argument, bytearray):
                room = self._put(argument)
                copies.append((argument, room))
                words.append(room)
            else:
                words.append(argument)

        def decode(result: int) -> int:
            for copy, room in copies:
                copy[:] = room.view
            return result

        return self._call(number, *words, decode=decode)

    def begin(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Begin a call without waiting for it: ``pending = t.begin(t.read, r, 100)``.

        ``method`` is one of this task that makes a single call. Until `Pending.result` has been
        called the task is busy.
        """
        self._deferred = True
        try:
            return cast("Pending[T]", method(*args, **kwargs))
        finally:
            self._deferred = False

    # ---- For the methods of single calls ----

    @property
    def max_transfer(self) -> int:
        """How many bytes one call can transfer at most."""
        return min(MAX_TRANSFER, len(self.window) // 3)

    def _room(self, length: int) -> Room:
        """Return ``length`` bytes that the guest can reach, until the next call is done.

        Raises:
            OSError: ENOBUFS, if the window has no more.
        """
        start = self._used
        if start + length <= CHUNK:
            self._used = (start + length + _ALIGNMENT) & ~_ALIGNMENT
            return Room(self._chunk.address + start, self._chunk.view[start : start + length])
        room = self.window.take(length)
        if room is None:
            self._release()
            raise OSError(ENOBUFS, f"{length} bytes do not fit into the window of service calls")
        self._large.append(room)
        return room

    def _put(self, data: Argument) -> Room:
        """Return room with a copy of ``data``."""
        if isinstance(data, (str, os.PathLike)):
            data = os.fsencode(data) + b"\0"
        source = memoryview(cast("Data", data)).cast("B")
        room = self._room(len(source))
        room.view[:] = source
        return room

    def _path(self, path: Path) -> Room:
        return self._put(os.fsencode(path) + b"\0")

    def _call(
        self,
        name: str | int,
        *arguments: Argument,
        decode: Callable[[int], T] | None = None,
    ) -> T:
        """Make a call; return its result, or what ``decode`` makes of it."""
        if self._in_flight:
            raise VmmError("this task has a call in flight: take its result, or use another task")
        number = self._numbers.get(name) if isinstance(name, str) else name
        if number is None:
            self._release()
            raise OSError(ENOSYS, f"{name}: not a system call of {self.arch}")
        words = [
            argument & _U64 if type(argument) is int else self._address(argument)
            for argument in arguments
        ]
        words += (0,) * (6 - len(words))
        call = self.caller.submit(abi.CALL, 0, self.number, number & 0xFFFF_FFFF, *words)
        self._in_flight = True
        if self._deferred:
            return cast("T", Pending(self, call, decode))
        return self.finish(call, decode)

    def _address(self, argument: Argument) -> int:
        if argument is None:
            return 0
        if isinstance(argument, Room):
            return argument.address
        if isinstance(argument, int):
            return int(argument) & _U64
        return self._put(argument).address

    def finish(self, call: Call, decode: Callable[[int], T] | None) -> T:
        """Wait for a call of this task; return its result, or what ``decode`` makes of it."""
        try:
            result = self.caller.wait(call)
        finally:
            self._in_flight = not (call.done or self.caller.ended)
        try:
            if -_MAX_ERRNO <= result < 0:
                raise OSError(-result, os.strerror(-result))
            return cast("T", result) if decode is None else decode(result)
        finally:
            self._release()

    def _release(self) -> None:
        self._used = 0
        if self._large:
            for room in self._large:
                self.window.give(room)
            self._large.clear()

    def _operate(self, operation: int, flags: int) -> int:
        """Ask for an operation on this task; its result, or OSError."""
        call = self.caller.submit(operation, flags, self.number, 0, 0, 0, 0, 0, 0, 0)
        return self.finish(call, None)
