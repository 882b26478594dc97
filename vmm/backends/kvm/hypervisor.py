"""/dev/kvm: the entrance to the KVM API."""

from __future__ import annotations

import os

from vmm.arch import ARM64, X86_64, host_arch
from vmm.backends.kvm import abi
from vmm.backends.kvm.errors import KvmError, raise_unopened
from vmm.errors import BackendUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeVar

    from vmm.arch import Arch
    from vmm.backends.kvm.vm import Vm
    from vmm.lines import Clock
    from vmm.memory import GuestMemory

    _Kvm = TypeVar("_Kvm", bound="Kvm")

PATH: Final = "/dev/kvm"


def open_kvm(path: str = PATH) -> Kvm:
    """Open KVM.

    Raises:
        BackendUnavailable: if that cannot be here; says why and what to do.
    """
    return _open(path, Kvm)


def _open(path: str, kind: type[_Kvm]) -> _Kvm:
    if host_arch() is None:
        raise BackendUnavailable(
            f"KVM is supported on x86_64 and arm64 hosts, and this one is {os.uname().machine}: "
            "run with --backend unicorn"
        )
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise_unopened(path, error)
    try:
        return kind(fd)
    except BaseException:
        os.close(fd)
        raise


class Kvm:
    """An open /dev/kvm.

    Attributes:
        descriptor: its file descriptor.
        run_size: length in bytes of a vCPU's shared page and what follows it.
    """

    name = "kvm"

    def __init__(self, fd: int) -> None:
        """Take ``fd`` over, unless this raises."""
        from vmm.backends.kvm.descriptor import SystemDescriptor

        self.descriptor = SystemDescriptor(fd)
        try:
            version = self.descriptor.call(abi.KVM_GET_API_VERSION, "is this KVM?")
        except KvmError as error:
            raise BackendUnavailable(f"this is not KVM: {error}") from error
        if version != abi.KVM_API_VERSION:
            raise BackendUnavailable(
                f"the kernel has version {version} of the KVM API, not {abi.KVM_API_VERSION}: "
                "use a kernel newer than Linux 2.6.22"
            )
        if not self.capability(abi.KVM_CAP_IMMEDIATE_EXIT):
            raise BackendUnavailable(
                "this kernel's KVM lacks KVM_CAP_IMMEDIATE_EXIT: use Linux 4.12 or newer, "
                "or run with --backend unicorn"
            )
        self.run_size = self.descriptor.call(abi.KVM_GET_VCPU_MMAP_SIZE, "size of a vCPU's page")

    def capability(self, number: int) -> int:
        """Return what the kernel says of a KVM_CAP_*: 0 where it lacks it, else its extent."""
        from vmm.backends.kvm.foreign import pointer

        return self.descriptor.call(
            abi.KVM_CHECK_EXTENSION, f"capability {number}", pointer(number)
        )

    def create_vm(self, arch: Arch, memory: GuestMemory, clock: Clock | None = None) -> Vm:
        """Create a machine whose RAM is ``memory``. Guest time is the kernel's, not ``clock``.

        Raises:
            BackendUnavailable: if KVM cannot run ``arch`` here; says why and what to do.
        """
        host = host_arch()
        if arch != host:
            raise BackendUnavailable(
                f"KVM runs guests of the host's architecture only: this host is {host} and the "
                f"guest is {arch}: run with --backend unicorn"
            )
        from vmm.backends.kvm.wakeup import install_handler

        install_handler()
        try:
            return _machine_type(arch)(self, memory)
        except KvmError as error:
            raise BackendUnavailable(f"KVM cannot make a machine: {error}") from error

    def close(self) -> None:
        """Close /dev/kvm. Machines made from it live on."""
        self.descriptor.close()


class ProcessKvm(Kvm):
    """/dev/kvm for all machines of this process."""

    def close(self) -> None:
        """Do nothing: it stays open for the process's next machine."""


_shared: dict[str, ProcessKvm] = {}


def process_kvm() -> ProcessKvm:
    """Return KVM as all machines of this process use it; the first one opens it.

    Raises:
        BackendUnavailable: as `open_kvm`.
    """
    found = _shared.get(PATH)
    if found is not None:
        return found
    opened = _open(PATH, ProcessKvm)
    kvm = _shared.setdefault(PATH, opened)
    if kvm is not opened:
        opened.descriptor.close()  # another thread was faster
    return kvm


def _machine_type(arch: Arch) -> type[Vm]:
    if arch == X86_64:
        from vmm.backends.kvm.x86_64 import X86Vm

        return X86Vm
    assert arch == ARM64
    from vmm.backends.kvm.arm64 import Arm64Vm

    return Arm64Vm
