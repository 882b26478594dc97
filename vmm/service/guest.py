"""`Machine.guest`: the guest's kernel, called from Python.

    with Machine.service(arch="arm64") as m:
        g = m.guest
        r, w = g.pipe2(os.O_DIRECT)
        g.write(w, b"abc")
        print(g.read(r, 100))

Methods are named and shaped as in `os`, `select` and `socket`, with numbers for descriptors; errors
are `OSError` with the guest's errno. A call that blocks needs a second task for whatever ends its
waiting: ``t = g.task(); pending = t.begin(t.read, r, 100)``.
"""

from __future__ import annotations

from vmm.errors import VmmError
from vmm.hypercall import abi
from vmm.service.events import EventCalls
from vmm.service.files import FileCalls
from vmm.service.memory import SystemCalls
from vmm.service.sockets import SocketCalls
from vmm.service.window import Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final, Self

    from vmm.arch import Arch
    from vmm.machine.caller import Caller

# The guest answers that there is no such thing.
_NO_OPERATION: Final = 0

_FEATURES: Final = abi.RING_CALLS | abi.RING_TASKS


class Task(FileCalls, EventCalls, SocketCalls, SystemCalls):
    """A thread of the guest that makes system calls, one at a time.

    Different tasks may be used by different threads of the host at once.
    """

    def task(self, *, share_files: bool = True) -> Task:
        """Make another task.

        Args:
            share_files: whether it has the same descriptors, working directory and umask; else
                its own, with descriptors 0 to 2 open.

        Raises:
            OSError: ENOMEM, if the guest has no memory for it.
        """
        flags = abi.TASK_SHARES_FILES if share_files else 0
        number = self._operate(abi.TASK_NEW, flags)
        return Task(self.caller, self.arch, self.window, number)

    def end(self) -> None:
        """End this task; descriptors that are its own are closed."""
        self._operate(abi.TASK_END, 0)
        self.window.give(self._chunk)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What was raised tells more than EBUSY, for a call that still waits.
        if error is None or not self._in_flight:
            self.end()


class Guest(Task):
    """The first task of a machine."""

    def __init__(self, caller: Caller, arch: Arch) -> None:
        """Let the guest boot.

        Raises:
            GuestStopped: if it ends instead.
            VmmError: if its kernel does not take service calls.
        """
        # Any answer says that the ring is open; only then the window has an address.
        caller.wait(caller.submit(_NO_OPERATION, 0, abi.FIRST_TASK, 0, *([0] * 6)))
        if caller.ring.features & _FEATURES != _FEATURES:
            raise VmmError("the guest's kernel does not serve calls as this VMM makes them")
        window = Window(caller.ring.window_address, caller.ring.window)
        super().__init__(caller, arch, window, abi.FIRST_TASK)

    @property
    def timeout(self) -> float | None:
        """How many seconds a call of any task may take; None: any time.

        A call that takes longer ends the machine and raises `GuestTimeout`.
        """
        return self.caller.timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self.caller.timeout = seconds
