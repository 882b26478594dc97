"""Linux as the peer of the guest: the same calls, by the same code, made by a process of this host.

`vmm.service` marshals the arguments of a system call for a guest; a `LinuxCaller` gives the same
bytes to the kernel that runs the tests. So both sides are asked in exactly the same words. The
calls are made by a child whose descriptors are 0 to 2, as those of a guest's new task, and whose
working directory is empty: numbers and names can be compared as they are.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import socket
import struct
import tempfile
from types import TracebackType
from typing import Self

from vmm.arch import host_arch
from vmm.hypercall import abi
from vmm.service.guest import Task
from vmm.service.window import Window

WINDOW = 4 << 20

# Where the child has its end of the connection, above all that calls may get.
CONTROL = 1000

REQUEST = struct.Struct("<q6Q")
RESULT = struct.Struct("<q")


class LinuxCall:
    """A call that was made at once."""

    def __init__(self, result: int) -> None:
        self.done = True
        self.result = result


class LinuxCaller:
    """In the place of `vmm.machine.caller.Caller`."""

    timeout = None
    ended = False

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp()
        memory = mmap.mmap(-1, WINDOW)  # shared with the child, at the same address
        self.view = memoryview(memory)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._control, other = socket.socketpair()
        self._child = os.fork()
        if self._child == 0:
            self._serve(other.detach())
        other.close()

    def submit(
        self, operation: int, flags: int, task: int, number: int, *arguments: int
    ) -> LinuxCall:
        assert operation == abi.CALL
        self._control.sendall(REQUEST.pack(number, *arguments))
        return LinuxCall(RESULT.unpack(self._control.recv(RESULT.size))[0])

    def wait(self, call: LinuxCall) -> int:
        return call.result

    def close(self) -> None:
        self._control.close()
        os.waitpid(self._child, 0)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _serve(self, control: int) -> None:
        """Make calls until the other side is closed; in the child."""
        try:
            os.dup2(control, CONTROL)
            for number in range(3):
                os.dup2(os.open("/dev/null", os.O_RDWR), number)
            os.closerange(3, CONTROL)
            os.closerange(CONTROL + 1, os.sysconf("SC_OPEN_MAX"))
            os.chdir(self.directory)
            os.umask(0o022)
            syscall = ctypes.CDLL(None, use_errno=True).syscall
            syscall.restype = ctypes.c_long
            while request := os.read(CONTROL, REQUEST.size):
                number, *words = REQUEST.unpack(request)
                result = syscall(ctypes.c_long(number), *map(ctypes.c_ulong, words))
                os.write(CONTROL, RESULT.pack(-ctypes.get_errno() if result == -1 else result))
        finally:
            os._exit(0)


class Linux:
    """A Linux task, as a context.

    Attributes:
        task: what makes its calls.
    """

    def __init__(self) -> None:
        self._caller = LinuxCaller()
        arch = host_arch()
        assert arch is not None
        window = Window(self._caller.address, self._caller.view)
        self.task = Task(self._caller, arch, window, 1)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._caller.close()
