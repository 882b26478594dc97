"""File descriptors of the KVM API, by what they stand for.

A holder forgets its number when it is closed, so that a late use fails with EBADF and can never
reach a file that has got the same number since. The kernel opens all of them close-on-exec.
"""

from __future__ import annotations

import errno
import os

from vmm.backends.kvm.disposal import disposal
from vmm.backends.kvm.errors import raise_failed
from vmm.backends.kvm.foreign import NULL, ffi, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm.backends.kvm.abi import (
        DeviceRequest,
        Request,
        SystemRequest,
        VcpuRequest,
        VmRequest,
    )
    from vmm.backends.kvm.foreign import CData


class Descriptor:
    """Owns a file descriptor.

    Attributes:
        fd: its number; -1 once closed.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Close it; harmless when it is closed."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def _call(self, request: Request, subject: str, argument: CData) -> int:
        while True:
            result = libc.ioctl(self.fd, request, argument)
            if result >= 0:
                return result
            error = ffi.errno
            # Some, KVM_CREATE_VM above all, give up when a signal is pending.
            if error != errno.EINTR:
                raise_failed(request, subject, error)


class SystemDescriptor(Descriptor):
    """/dev/kvm itself."""

    __slots__ = ()

    def call(self, request: SystemRequest, subject: str, argument: CData = NULL) -> int:
        """Make a request; ``subject`` says in words what it is about.

        Raises:
            KvmError: if it fails.
        """
        return self._call(request, subject, argument)


class VmDescriptor(Descriptor):
    """A virtual machine."""

    __slots__ = ()

    def close(self) -> None:
        """Give it up; the kernel's work of closing it is done by a thread (`disposal`)."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            disposal.close(fd)

    def call(self, request: VmRequest, subject: str, argument: CData = NULL) -> int:
        """Make a request, as in `SystemDescriptor.call`."""
        return self._call(request, subject, argument)


class VcpuDescriptor(Descriptor):
    """A vCPU."""

    __slots__ = ()

    def call(self, request: VcpuRequest, subject: str, argument: CData = NULL) -> int:
        """Make a request, as in `SystemDescriptor.call`."""
        return self._call(request, subject, argument)


class DeviceDescriptor(Descriptor):
    """A device inside the kernel, such as a GIC."""

    __slots__ = ()

    def call(self, request: DeviceRequest, subject: str, argument: CData = NULL) -> int:
        """Make a request, as in `SystemDescriptor.call`."""
        return self._call(request, subject, argument)
