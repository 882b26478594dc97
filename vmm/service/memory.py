"""System calls on memory, time, random numbers and the process."""

from __future__ import annotations

import os

from vmm.service.structures import IOVEC, TIMESPEC, timespec
from vmm.service.task import TaskBase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.service.task import Data

_UTSNAME_FIELD: Final = 65
_UTSNAME_FIELDS: Final = 6
_NS: Final = 1_000_000_000


class SystemCalls(TaskBase):
    """What `os`, `mmap` and `time` have of these."""

    # ---- Memory ----

    def mmap(
        self, address: int, length: int, prot: int, flags: int, fd: int = -1, offset: int = 0
    ) -> int:
        """Map memory of the program space; return its address."""
        return self._call("mmap", address, length, prot, flags, fd, offset)

    def munmap(self, address: int, length: int) -> None:
        """Unmap memory."""
        self._call("munmap", address, length)

    def mprotect(self, address: int, length: int, prot: int) -> None:
        """Change what may be done with mapped memory."""
        self._call("mprotect", address, length, prot)

    def madvise(self, address: int, length: int, advice: int) -> None:
        """Advise the kernel on mapped memory."""
        self._call("madvise", address, length, advice)

    def read_memory(self, address: int, length: int) -> bytes:
        """Return ``length`` bytes of the program space, by process_vm_readv(2).

        Raises:
            OSError: EFAULT where not all of it can be read.
        """
        room = self._room(length)
        local, remote = self._put(IOVEC.pack(room.address, length)), IOVEC.pack(address, length)
        return self._call("process_vm_readv", 1, local, 1, remote, 1, 0, decode=room.read)

    def write_memory(self, address: int, data: Data) -> int:
        """Copy ``data`` into the program space, by process_vm_writev(2).

        Raises:
            OSError: EFAULT where nothing of it can be written.
        """
        room = self._put(data)
        local = self._put(IOVEC.pack(room.address, len(room)))
        remote = IOVEC.pack(address, len(room))
        return self._call("process_vm_writev", 1, local, 1, remote, 1, 0)

    # ---- Random numbers and time ----

    def getrandom(self, n: int, flags: int = 0) -> bytes:
        """Return up to ``n`` random bytes, at most `max_transfer`."""
        room = self._room(min(n, self.max_transfer))
        return self._call("getrandom", room, len(room), flags, decode=room.read)

    def clock_gettime_ns(self, clock: int) -> int:
        """Return the time of a clock in nanoseconds."""
        room = self._room(TIMESPEC.size)

        def decode(_: int) -> int:
            seconds, nanoseconds = TIMESPEC.unpack(room.view)
            return int(seconds * _NS + nanoseconds)

        return self._call("clock_gettime", clock, room, decode=decode)

    def sleep(self, seconds: float) -> None:
        """Let this task sleep; others run meanwhile."""
        self._call("nanosleep", timespec(seconds), 0)

    def sched_yield(self) -> None:
        """Let others run."""
        self._call("sched_yield")

    # ---- The process ----

    def getpid(self) -> int:
        """Return the number of the one process."""
        return self._call("getpid")

    def gettid(self) -> int:
        """Return the number of this task's thread."""
        return self._call("gettid")

    def kill(self, pid: int, sig: int) -> None:
        """Send a signal; one that ends the program ends the machine."""
        self._call("kill", pid, sig)

    def uname(self) -> os.uname_result:
        """Return what the kernel calls itself."""
        room = self._room(_UTSNAME_FIELD * _UTSNAME_FIELDS)

        def decode(_: int) -> os.uname_result:
            fields = [
                room.view[i * _UTSNAME_FIELD : (i + 1) * _UTSNAME_FIELD].tobytes()
                for i in range(_UTSNAME_FIELDS - 1)
            ]
            return os.uname_result([field.partition(b"\0")[0].decode() for field in fields])

        return self._call("uname", room, decode=decode)
