"""The errors of the VMM; each message is one line that a user can act on."""

from __future__ import annotations


class VmmError(Exception):
    """The VMM failed at something that is not the guest's doing (exit status 125)."""


class UsageError(VmmError):
    """What the user asked for cannot be: bad option, image or file (exit status 2)."""


class BackendUnavailable(UsageError):
    """The chosen backend cannot run this guest on this host."""


class GuestStopped(VmmError):
    """The guest ended while the host waited for it: it panicked, was killed, or powered off.

    Attributes:
        report: several lines on the state in which it stopped.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(message)
        self.report = report


class GuestTimeout(VmmError, TimeoutError):
    """The guest did not end, or did not answer, within the time it was given."""


class GuestMemoryError(VmmError):
    """An access to guest-physical memory that is not inside RAM."""
