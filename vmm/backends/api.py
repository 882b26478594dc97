"""The contract between a machine and what executes it: `Hypervisor`, `VirtualMachine`, `Vcpu`.

For type checkers only: nothing imports this module at run time. A backend knows nothing of
devices; it maps RAM, runs vCPUs, and carries accesses, interrupts and registers across.

Registers have the same names on every backend, lower case as in the architecture manuals:

* x86_64: ``rax rbx rcx rdx rsi rdi rbp rsp r8``…``r15 rip rflags cr0 cr2 cr3 cr4 efer`` (ints),
  ``cs ds es fs gs ss tr ldt`` (`Segment`), ``gdtr idtr`` (`DescriptorTable`);
* arm64: ``x0``…``x30 sp pc pstate`` (``sp`` is that of the current exception level), and the EL1
  system registers ``sctlr_el1 ttbr0_el1 ttbr1_el1 tcr_el1 mair_el1 vbar_el1 elr_el1 spsr_el1
  esr_el1 far_el1 sp_el0 sp_el1 tpidr_el0 tpidr_el1 cpacr_el1`` (ints).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from vmm.arch import Arch
from vmm.backends.exits import (
    Crashed,
    Halted,
    InternalError,
    Interrupted,
    Reset,
    Shutdown,
    Unsupported,
)
from vmm.backends.registers import DescriptorTable, Segment
from vmm.lines import Clock, InterruptLine, InterruptSource
from vmm.memory import GuestMemory

Exit = Halted | Shutdown | Reset | Crashed | Interrupted | InternalError | Unsupported
RegisterValue = int | Segment | DescriptorTable
Registers = Mapping[str, RegisterValue]


class AccessHandler(Protocol):
    """Who answers device accesses; the machine's bus. ``size`` is 1, 2, 4 or 8.

    Attributes:
        lock: held during each access. A backend holds it too whenever it calls a line, an
            `InterruptSource`, an `EndOfInterruptHandler` or a `SystemRegisterHandler`.
    """

    @property
    def lock(self) -> AbstractContextManager[object]: ...
    def mmio_read(self, address: int, size: int) -> int: ...
    def mmio_write(self, address: int, size: int, value: int) -> None: ...
    def port_read(self, port: int, size: int) -> int: ...
    def port_write(self, port: int, size: int, value: int) -> None: ...


class SystemRegisterHandler(Protocol):
    """A device behind arm64 system registers (the GICv3 CPU interface ICC_*_EL1).

    ``encoding`` is (op0, op1, CRn, CRm, op2).
    """

    def encodings(self) -> tuple[tuple[int, int, int, int, int], ...]: ...
    def read_register(self, encoding: tuple[int, int, int, int, int]) -> int: ...
    def write_register(self, encoding: tuple[int, int, int, int, int], value: int) -> None: ...


class Sleep(Protocol):
    """How a vCPU's thread spends the time in which its guest waits for an interrupt."""

    def sleep(self, over: Callable[[], bool]) -> None:
        """Return at `wake`, or earlier; at once if ``over``, asked when `wake` has an effect."""
        ...

    def wake(self) -> None:
        """End the sleep that is going on, if one is. Any thread."""
        ...

    def insist(self, act: Callable[[], None]) -> None:
        """Call ``act``, which waits until the vCPU has left the guest: now, or soon in this thread.

        Later is better with the bus lock held, as the vCPU then may want it first. Any thread.
        """
        ...


class Vcpu(Protocol):
    """One virtual processor. Except for `kick`, only the thread that runs it may call it.

    All but the first are off until another one starts them: by INIT and start-up messages of local
    APICs, by PSCI CPU_ON. `run` sleeps until then.

    Attributes:
        index: its number from 0; the APIC id, and Aff0 of MPIDR_EL1.
    """

    index: int

    def run(self) -> Exit:
        """Execute the guest until something needs the machine; answers accesses on the way.

        A vCPU that waits for an interrupt (HLT, WFI) sleeps here and is woken by one.
        """
        ...

    def kick(self) -> None:
        """Make `run` return `Interrupted` soon, or at once when it is not running yet.

        From any thread, and from within an access handler; then no further guest instruction
        with an effect on memory outside the current block is executed (KVM: none at all).
        """
        ...

    def sleep_by(self, sleep: Sleep) -> bool:
        """Spend by ``sleep`` the time in which the guest waits for an interrupt.

        Returns False if that is not for this process to do. Before the first run.
        """
        ...

    def registers(self) -> dict[str, RegisterValue]:
        """Return all registers named in this module."""
        ...

    def program_counter(self) -> int:
        """Return the address of the instruction that is being executed, or of the next one.

        Within an access handler an emulator may give that of the block instead.
        """
        ...

    def follow_program_counter(self) -> None:
        """Make `program_counter` exact within access handlers, at a price in speed.

        Before the first run.
        """
        ...

    def set_registers(self, registers: Registers) -> None:
        """Set the registers given; the others keep their values."""
        ...

    def translate(self, address: int) -> int | None:
        """Return the guest-physical address that virtual ``address`` maps to now, or None."""
        ...

    def close(self) -> None: ...


class X86Vcpu(Vcpu, Protocol):
    """What a vCPU of x86_64 has besides."""

    def connect_interrupts(self, source: InterruptSource) -> InterruptLine:
        """Connect the INTR pin.

        ``source`` answers the acknowledge cycle, exactly when the processor takes the interrupt.
        Returns the pin: the controller drives it with its request level, from any thread that
        holds the bus lock. Where the local APIC is the backend's (`VirtualMachine.local_apic`),
        this is the 8259 behind LINT0 in ExtINT mode; else it is everything.
        """
        ...

    def receive_init(self) -> None:
        """Take an INIT; from a local APIC of the board."""
        ...

    def receive_startup(self, page: int) -> None:
        """Take a start-up message (SIPI) for the page number ``page``; likewise."""
        ...


class Arm64Vcpu(Vcpu, Protocol):
    """What a vCPU of arm64 has besides, where the backend has no interrupt controller."""

    def irq_line(self) -> InterruptLine:
        """Return the IRQ input, to be driven by a GIC device."""
        ...

    def connect_timer(self, virtual: InterruptLine, physical: InterruptLine) -> None:
        """Connect the outputs of the generic timers to PPIs (INTID 27 and 30)."""
        ...

    def attach_system_registers(self, handler: SystemRegisterHandler) -> None:
        """Route accesses to the handler's system registers to it."""
        ...


class VirtualMachine(Protocol):
    """One machine: RAM, vCPUs, and the interrupt controllers that the backend itself has.

    Attributes:
        arch: the guest's architecture.
        local_apic: True where the backend has local APICs (x86_64 KVM, split irqchip); then
            messages go to `signal_msi`. Else the board adds `LocalApic` devices.
        in_kernel_gic: True where the backend has a GIC (arm64 KVM); then the board calls
            `create_gic` and wires devices to `interrupt_line`. Else it adds GIC devices.
        counter_hz: frequency of the guest's counter (TSC; CNTFRQ_EL0), 0 where that is to be
            found first.
        ioeventfds: True where `ioeventfd` exists.
    """

    @property
    def arch(self) -> Arch: ...
    @property
    def local_apic(self) -> bool: ...
    @property
    def in_kernel_gic(self) -> bool: ...
    @property
    def counter_hz(self) -> int: ...
    @property
    def ioeventfds(self) -> bool: ...

    def current_cpu(self) -> int:
        """Return the number of the vCPU that makes the access under way.

        For the board's interrupt controllers; where they are the backend's own, always 0.
        """
        ...

    def find_counter_hz(self) -> int:
        """Return the frequency of the guest's counter, which may take a millisecond to find."""
        ...

    def create_vcpu(self, index: int, handler: AccessHandler) -> Vcpu: ...

    def signal_msi(self, address: int, data: int) -> None:
        """Deliver a message-signalled interrupt to the backend's local APICs. Any thread."""
        ...

    def connect_end_of_interrupt(self, handler: EndOfInterruptHandler) -> None:
        """Tell ``handler`` of each EOI of a vector given to `watch_vectors` (split irqchip)."""
        ...

    def watch_vectors(self, routes: Mapping[int, tuple[int, int]]) -> None:
        """Give the backend the I/O APIC's routes, pin -> (address, data), so that EOIs are seen."""
        ...

    def create_gic(self, version: int, distributor: int, cpu_or_redistributor: int) -> None:
        """Create the backend's GIC of architecture ``version`` (2 or 3) at these addresses.

        Call after all vCPUs are created, before the first runs.
        """
        ...

    def ioeventfd(
        self, fd: int, address: int, size: int = 0, *, port: bool = False, value: int | None = None
    ) -> None:
        """Let a guest's write to ``address`` signal eventfd ``fd``, and not reach the bus.

        ``size`` in bytes, 0 for any; ``port`` if the address is one; ``value`` the only one that
        matches.
        """
        ...

    def interrupt_line(self, intid: int) -> InterruptLine:
        """Return the wire of shared peripheral interrupt ``intid`` (32 and up) of that GIC."""
        ...

    def close(self) -> None: ...


class EndOfInterruptHandler(Protocol):
    """Who hears of ends of interrupts: the I/O APIC."""

    def end_of_interrupt(self, vector: int) -> None: ...


class Hypervisor(Protocol):
    """A backend that can make machines.

    Attributes:
        name: ``"kvm"`` or ``"unicorn"``.
    """

    @property
    def name(self) -> str: ...

    def create_vm(self, arch: Arch, memory: GuestMemory, clock: Clock) -> VirtualMachine:
        """Create a machine whose RAM is ``memory``, mapped without a copy.

        Raises:
            BackendUnavailable: if this backend cannot run ``arch`` here; says why and what to do.
        """
        ...

    def close(self) -> None: ...
