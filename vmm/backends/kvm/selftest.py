"""Tells a sound KVM from one that is there but is no good for kernels.

Some nested KVMs run guests by page-table tricks: their ring 0 is emulated, hundreds of times slower
than ring 3 and without SSE, and SYSCALL stays in ring 3. An emulator is the better machine there.
A probe runs a few hundred instructions to find out; what it found is kept until the next boot.
"""

from __future__ import annotations

import os
from _thread import RLock

from vmm.arch import X86_64, host_arch
from vmm.errors import VmmError
from vmm.host.cache import cache_path, publish
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from vmm.backends.kvm.hypervisor import Kvm
    from vmm.backends.kvm.vcpu import KvmVcpu

    class Probe(Protocol):
        """The probe of one architecture.

        Attributes:
            FINDINGS: how many numbers it finds.
        """

        FINDINGS: int

        def probe(self, kvm: Kvm, /) -> tuple[int, ...]: ...
        def problems(self, findings: tuple[int, ...], /) -> tuple[tuple[str, str], ...]: ...


_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"

# To be changed with the probes, so that what earlier ones found is not taken for theirs.
_VERSION: Final = 1

_CACHE_NAME: Final = "kvm-selftest"
_MAX_CACHE_SIZE: Final = 512


@value
class Verdict:
    """What is to be thought of this host's KVM.

    Attributes:
        healthy: whether it can run any guest at the speed of the processor.
        explanation: why, in one line.
        properties: each property tested and whether it holds.
    """

    healthy: bool
    explanation: str
    properties: tuple[tuple[str, bool], ...] = ()


def examine(kvm: Kvm) -> Verdict:
    """Return the verdict on ``kvm``: from an earlier run since this boot, else from a probe."""
    key = _cache_key(kvm)
    findings = _recall(key)
    if findings is None:
        try:
            findings = probe(kvm)
        except VmmError as error:
            return Verdict(False, f"the self-test of KVM failed: {error}")
        _remember(key, findings)
    return judge(findings)


def probe(kvm: Kvm) -> tuple[int, ...]:
    """Run the probe of the host's architecture and return its findings.

    Raises:
        VmmError: if the machine for it cannot be made.
    """
    return _probe_module().probe(kvm)


def judge(findings: tuple[int, ...]) -> Verdict:
    """Return what ``findings`` of the host's probe mean."""
    problems = _probe_module().problems(findings)
    properties = tuple((name, not problem) for name, problem in problems)
    complaints = [problem for _, problem in problems if problem]
    if not complaints:
        return Verdict(True, "KVM passes its self-test", properties)
    return Verdict(False, f"this host's KVM is unsound: {'; '.join(complaints)}", properties)


def _probe_module() -> Probe:
    if host_arch() == X86_64:
        from vmm.backends.kvm import probe_x86_64

        return probe_x86_64
    from vmm.backends.kvm import probe_arm64

    return probe_arm64


class EndOfProbe:
    """Answers accesses of a probe: each ends its run.

    Attributes:
        vcpu: the vCPU that runs it.
        stored: the last value written.
        lock: held by nobody else.
    """

    def __init__(self) -> None:
        self.vcpu: KvmVcpu | None = None
        self.stored = 0
        self.lock = RLock()

    def port_write(self, port: int, size: int, number: int) -> None:
        self.stored = number
        self._stop()

    def port_read(self, port: int, size: int) -> int:
        return self._stop()

    def mmio_write(self, address: int, size: int, number: int) -> None:
        self.stored = number
        self._stop()

    def mmio_read(self, address: int, size: int) -> int:
        return self._stop()

    def _stop(self) -> int:
        assert self.vcpu is not None
        self.vcpu.kick()
        return 0


# ---- The cache: a hint, whose absence, damage or refusal changes nothing but the time taken ----


def _cache_key(kvm: Kvm) -> str:
    try:
        fd = os.open(_BOOT_ID, os.O_RDONLY | os.O_CLOEXEC)
        try:
            boot = os.read(fd, 64).decode("ascii").strip()
        finally:
            os.close(fd)
        # The device is made anew when the module is loaded again.
        loaded = os.fstat(kvm.descriptor.fd).st_ctime_ns
    except (OSError, UnicodeDecodeError):
        return ""
    return f"{_VERSION} {boot} {os.uname().release} {os.getuid()} {loaded}"


def _recall(key: str) -> tuple[int, ...] | None:
    path = cache_path(_CACHE_NAME)
    if path is None or not key:
        return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            content = os.read(fd, _MAX_CACHE_SIZE)
        finally:
            os.close(fd)
        known, findings, end = content.decode("ascii").split("\n")
        if known != key or end:
            return None
        numbers = tuple([int(word) for word in findings.split()])
    except (OSError, ValueError):
        return None
    return numbers if len(numbers) == _probe_module().FINDINGS else None


def _remember(key: str, findings: tuple[int, ...]) -> None:
    path = cache_path(_CACHE_NAME)
    if path is not None and key:
        publish(path, f"{key}\n{' '.join(map(str, findings))}\n".encode("ascii"))
