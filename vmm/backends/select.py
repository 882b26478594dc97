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
    from vmm.backends.kvm.hypervisor import Kvm
    from vmm.backends.kvm.selftest import Verdict


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
    verdict = examine(kvm)
    if verdict.healthy:
        return kvm, verdict.explanation
    kvm.close()
    return _open_unicorn(), verdict.explanation


def inspect_backends(arch: Arch) -> dict[str, object]:
    """Return what `vmm doctor` says about guests of ``arch``.

    ``choice`` and ``reason`` are those of ``auto``; ``findings`` maps each backend, and each
    property of KVM's self-test, to what was found; ``advice`` says what to do, if anything.
    """
    findings: dict[str, str] = {}
    choice, reason, advice = "none", "", ""
    try:
        _open_unicorn().close()
        findings["unicorn"] = "usable"
        choice = "unicorn"
    except UsageError as error:
        findings["unicorn"] = reason = advice = str(error)
    try:
        kvm = _open_kvm(arch)
    except UsageError as error:
        findings["kvm"] = reason = str(error)
        if arch == host_arch():
            advice = str(error)
    else:
        verdict = examine(kvm)
        kvm.close()
        reason = verdict.explanation
        findings["kvm"] = "usable" if verdict.healthy else "usable, but not sound"
        for name, holds in verdict.properties:
            findings[f"kvm: {name}"] = "yes" if holds else "no"
        if verdict.healthy:
            choice = "kvm"
        else:
            advice = "run on a host whose KVM uses the processor's own virtualization (VT-x, SVM)"
    return {"choice": choice, "reason": reason, "findings": findings, "advice": advice}


def _open_kvm(arch: Arch) -> Kvm:
    host = host_arch()
    if arch != host:
        raise BackendUnavailable(f"KVM on this {host} host cannot run {arch} guests")
    from vmm.backends.kvm.hypervisor import process_kvm

    return process_kvm()


def examine(kvm: Kvm) -> Verdict:
    """Return the verdict of KVM's self-test."""
    from vmm.backends.kvm import selftest

    return selftest.examine(kvm)


def _open_unicorn() -> Hypervisor:
    from vmm.backends.unicorn.hypervisor import UnicornHypervisor

    return UnicornHypervisor()
