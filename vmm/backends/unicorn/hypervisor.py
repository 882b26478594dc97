"""The Unicorn backend as a `Hypervisor`: any guest architecture on any host that has the engine."""

from __future__ import annotations

from vmm.arch import ARM64
from vmm.backends.unicorn.internals import open_internals
from vmm.backends.unicorn.library import open_library
from vmm.backends.unicorn.signals import signal_watch
from vmm.backends.unicorn.turn import Turn
from vmm.errors import VmmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmm.arch import Arch
    from vmm.backends.api import AccessHandler, EndOfInterruptHandler, Vcpu
    from vmm.backends.unicorn.internals import Internals
    from vmm.backends.unicorn.library import Library
    from vmm.backends.unicorn.vcpu import EngineVcpu
    from vmm.lines import Clock, InterruptLine
    from vmm.memory import GuestMemory


class UnicornHypervisor:
    """Makes machines that the Unicorn engine emulates.

    Attributes:
        name: ``"unicorn"``.
        internals: access to the engine's inside; None where the backend keeps to the public
            interface of the engine.
    """

    name = "unicorn"

    def __init__(self) -> None:
        """Open the engine's library.

        Raises:
            BackendUnavailable: if it is missing or of another release.
        """
        self.library: Library = open_library()
        self.internals: Internals | None = open_internals(self.library)

    def create_vm(self, arch: Arch, memory: GuestMemory, clock: Clock) -> UnicornMachine:
        return UnicornMachine(self, arch, memory, clock)

    def close(self) -> None:
        """Do nothing: the library stays open for the process's next machine."""


class UnicornMachine:
    """One emulated machine; see `vmm.backends.api.VirtualMachine`.

    Interrupt controllers are devices of the board. vCPUs may run in threads of their own, but
    execute one at a time (see `Turn`).
    """

    local_apic = False
    in_kernel_gic = False
    ioeventfds = False

    def __init__(
        self, hypervisor: UnicornHypervisor, arch: Arch, memory: GuestMemory, clock: Clock
    ) -> None:
        self.arch: Arch = arch
        self._hypervisor = hypervisor
        self._memory = memory
        self._clock = clock
        self._vcpus: list[EngineVcpu] = []
        self._turn = Turn()

    def ioeventfd(
        self, fd: int, address: int, size: int = 0, *, port: bool = False, value: int | None = None
    ) -> None:
        """The guest stands still during an access anyway."""
        raise NotImplementedError("this machine has no eventfds")

    @property
    def counter_hz(self) -> int:
        """Frequency of the guest's counter."""
        if self.arch == ARM64:
            from vmm.backends.unicorn.arm64.vcpu import COUNTER_HZ
        else:
            from vmm.backends.unicorn.x86.vcpu import COUNTER_HZ

        return COUNTER_HZ

    def current_cpu(self) -> int:
        """Return the number of the vCPU that makes the access under way."""
        return self._turn.index

    def find_counter_hz(self) -> int:
        return self.counter_hz

    def create_vcpu(self, index: int, handler: AccessHandler) -> Vcpu:
        """Make a vCPU.

        Raises:
            EngineError: if the engine refuses, for want of memory for example.
        """
        hypervisor = self._hypervisor
        vcpu: EngineVcpu
        if self.arch == ARM64:
            from vmm.backends.unicorn.arm64.vcpu import Arm64Vcpu

            vcpu = Arm64Vcpu(
                hypervisor.library, hypervisor.internals, index, self._memory, handler, self._clock
            )
        else:
            from vmm.backends.unicorn.x86.vcpu import X86Vcpu

            vcpu = X86Vcpu(
                hypervisor.library, hypervisor.internals, index, self._memory, handler, self._clock
            )
        vcpu.turn = self._turn
        vcpu.peers = self._vcpus
        self._vcpus.append(vcpu)
        signal_watch.add(vcpu.kick)
        return vcpu

    def invalidate_code(self, address: int, length: int) -> None:
        """Have vCPUs see what the host wrote to ``length`` bytes at ``address``, as instructions.

        Writes by the guest are seen by themselves. This is for whoever else writes where the guest
        may have executed code before: a device's DMA into memory that the guest uses anew, a
        debugger that sets a breakpoint. Not needed before the first run. Call it while no vCPU
        runs, or from an access handler.
        """
        for vcpu in self._vcpus:
            vcpu.invalidate_code(address, length)

    def signal_msi(self, address: int, data: int) -> None:
        raise VmmError("this backend has no local APIC: messages go to the board's")

    def connect_end_of_interrupt(self, handler: EndOfInterruptHandler) -> None:
        raise VmmError("this backend has no local APIC: the board's reports ends of interrupts")

    def watch_vectors(self, routes: Mapping[int, tuple[int, int]]) -> None:
        raise VmmError("this backend has no local APIC: the board's reports ends of interrupts")

    def create_gic(self, version: int, distributor: int, cpu_or_redistributor: int) -> None:
        raise VmmError("this backend has no interrupt controller: the board adds one")

    def interrupt_line(self, intid: int) -> InterruptLine:
        raise VmmError("this backend has no interrupt controller: the board adds one")

    def close(self) -> None:
        """Close the vCPUs. The guest's RAM stays the caller's."""
        for vcpu in self._vcpus:
            signal_watch.remove(vcpu.kick)
            vcpu.close()
        self._vcpus.clear()
