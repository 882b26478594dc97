"""Errors of the KVM API: each names the request, its subject, the errno and what to do next."""

from __future__ import annotations

import errno
import os
import sys

from vmm.errors import BackendUnavailable, VmmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn

    from vmm.backends.kvm.abi import Request

_ABI_MODULES: Final = tuple(
    f"vmm.backends.kvm.{name}" for name in ("abi", "abi_x86_64", "abi_arm64")
)

_NEXT_STEPS: Final = {
    errno.EBADF: "it has been closed; make a new one",
    errno.EIO: "a machine works only in the process that made it; after fork(), make a new one",
    errno.ENOMEM: "free memory on the host, or raise the limit of this process or its cgroup",
    errno.EMFILE: "raise this process's limit on open files (ulimit -n)",
    errno.ENFILE: "raise the host's limit on open files (sysctl fs.file-max)",
    errno.ENOTTY: "this kernel's KVM is too old or lacks it; see `vmm doctor`",
    errno.ENXIO: "this host's KVM has nothing of that kind; see `vmm doctor`",
    errno.ENODEV: "this host's processor or KVM lacks it; see `vmm doctor`",
    errno.EEXIST: "there is one already; use another number or address",
    errno.EBUSY: "another hypervisor may hold the processor's virtualization; stop it and retry",
}
_DEFAULT_STEP: Final = "see what this host's KVM offers with `vmm doctor`"

# Why /dev/kvm does not open, and what helps.
_OPENING: Final = {
    errno.EACCES: "add yourself to its group (sudo usermod -aG kvm $USER) and log in again",
    errno.EPERM: "let this container or sandbox use it (docker run --device /dev/kvm)",
    errno.ENOENT: "load the module (sudo modprobe kvm_intel, kvm_amd) or, on a virtual machine, "
    "ask its provider for nested virtualization",
    errno.ENODEV: "enable virtualization (VT-x, SVM) in the firmware's set-up",
    errno.ENXIO: "enable virtualization (VT-x, SVM) in the firmware's set-up",
}


class KvmError(VmmError):
    """A request to the kernel failed.

    Attributes:
        request: the name of the ioctl.
        errno: the error number.
    """

    def __init__(self, request: str, subject: str, number: int) -> None:
        step = _NEXT_STEPS.get(number, _DEFAULT_STEP)
        super().__init__(f"{request} ({subject}) failed: {describe(number)}: {step}")
        self.request = request
        self.errno = number


def describe(number: int) -> str:
    """Return the name and the text of an error number."""
    return f"{errno.errorcode.get(number, number)}, {os.strerror(number)}"


def request_name(request: int) -> str:
    """Return the name of an ioctl as in <linux/kvm.h>."""
    for module in _ABI_MODULES:
        if module in sys.modules:
            for name, number in vars(sys.modules[module]).items():
                if number == request and name.startswith("KVM_"):
                    return name
    return f"ioctl {request:#x}"


def raise_failed(request: Request, subject: str, number: int) -> NoReturn:
    """Raise the error of a ``request`` that concerned ``subject`` and gave errno ``number``."""
    raise KvmError(request_name(request), subject, number)


def raise_unopened(path: str, error: OSError) -> NoReturn:
    """Raise that the device of KVM cannot be opened."""
    number = error.errno or 0
    step = _OPENING.get(number, _NEXT_STEPS.get(number, _DEFAULT_STEP))
    raise BackendUnavailable(
        f"cannot open {path}: {describe(number)}: {step}; or run with --backend unicorn"
    ) from error
