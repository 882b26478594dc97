"""Threads that end with the process, without the module `threading`, which is slow to import."""

from __future__ import annotations

from _thread import start_new_thread

from vmm.errors import VmmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def start_thread(work: Callable[..., object], *arguments: object) -> None:
    """Do ``work`` in a new thread.

    Raises:
        VmmError: if the host refuses one.
    """
    try:
        start_new_thread(work, arguments)
    except RuntimeError as error:
        raise VmmError(
            f"{error}: raise the limits on this user's processes (ulimit -u), on those of its"
            " control group (pids.max), or on memory"
        ) from None
