"""The signal that takes a thread out of KVM_RUN.

SIGURG, for the reasons for which the Go runtime uses it to preempt threads: it is ignored by
default, so a stray one harms nobody; pending ones merge; debuggers pass it on silently; and hardly
a program uses it. An ignored signal interrupts nothing, so it gets a handler. ``signal.signal``
works in the main thread only and machines work in any, hence libc's sigaction; the handler has to
be a C function, and ``abs`` is one that takes an int and does nothing with it.
"""

from __future__ import annotations

import errno
import os

from vmm.backends.kvm.foreign import NULL, ffi, libc
from vmm.errors import VmmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIG_UNBLOCK, SIGURG, pthread_kill, pthread_sigmask
    from typing import Final
else:
    # Without the enumerations that the module signal builds.
    from _signal import SIG_UNBLOCK, SIGURG, pthread_kill, pthread_sigmask

_SIG_DFL: Final = 0
_SIG_IGN: Final = 1

# Interrupted system calls of other kinds go on. KVM_RUN ends with EINTR all the same.
_SA_RESTART: Final = 0x1000_0000


def install_handler() -> None:
    """Give the signal a handler for the whole process, unless the program has one of its own."""
    action = ffi.new("struct sigaction *")
    _sigaction(NULL, action)
    if int(ffi.cast("uintptr_t", action.sa_handler)) not in (_SIG_DFL, _SIG_IGN):
        return
    action = ffi.new("struct sigaction *")
    action.sa_handler = ffi.cast("void (*)(int)", ffi.addressof(libc, "abs"))
    action.sa_flags = _SA_RESTART
    _sigaction(action, NULL)


def admit() -> None:
    """Let the signal reach the calling thread, whatever mask it has inherited."""
    pthread_sigmask(SIG_UNBLOCK, (SIGURG,))


def interrupt(thread: int) -> None:
    """Make a system call of ``thread``, which must be alive, return early."""
    pthread_kill(thread, SIGURG)


def _sigaction(action: object, old: object) -> None:
    if libc.sigaction(SIGURG, action, old) < 0:
        number = ffi.errno
        name = errno.errorcode.get(number, str(number))
        raise VmmError(f"sigaction (SIGURG) failed: {name}, {os.strerror(number)}")
