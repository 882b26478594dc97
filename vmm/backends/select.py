"""Which backend executes a guest here, and why.

``auto`` prefers KVM where it is there, is of the guest's architecture, and passes a self-test:
KVM is not one thing, and on some hosts an emulator is the better machine.
"""

from __future__ import annotations

from vmm.arch import host_arch
from vmm.errors import BackendUnavailable, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm.arch import Arch
    from vmm.backends.api import Hypervisor


def open_backend(name: str, arch: Arch) -> tuple[Hypervisor, str]:
    """Open the backend called ``name`` (or the best, for ``auto``) for guests of ``arch``.

    Returns the backend and the reason for it, in one line.

    Raises:
        BackendUnavailable: if it cannot run such guests here; says why and what to do.
    """
    if name == "kvm":
        return _open_kvm(arch), "as asked for"
    if name == "unicorn":
        return _open_unicorn(), "as asked for"
    if name != "auto":
        raise UsageError(f"backend {name!r} is not one of auto, kvm, unicorn")
    try:
        kvm = _open_kvm(arch)
    except BackendUnavailable as error:
        return _open_unicorn(), str(error)
    verdict = _examine(kvm)
    if verdict.healthy:
        return kvm, verdict.explanation
    kvm.close()
    return _open_unicorn(), verdict.explanation


def _open_kvm(arch: Arch) -> Hypervisor:
    host = host_arch()
    if arch != host:
        raise BackendUnavailable(f"KVM on this {host} host cannot run {arch} guests")
    from vmm.backends.kvm.hypervisor import open_kvm

    return open_kvm()


def _open_unicorn() -> Hypervisor:
    from vmm.backends.unicorn.hypervisor import UnicornHypervisor

    return UnicornHypervisor()
