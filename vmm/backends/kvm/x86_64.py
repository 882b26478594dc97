"""Machines of x86_64: local APICs in the kernel, I/O APIC and 8259 as devices (split irqchip).

The kernel's own 8259 and I/O APIC would cost every machine 7 to 24 ms.
"""

from __future__ import annotations

import errno

from vmm.arch import X86_64
from vmm.backends.kvm import abi, abi_x86_64
from vmm.backends.kvm.cpuid import entries_for, extended_components
from vmm.backends.kvm.descriptor import VcpuDescriptor
from vmm.backends.kvm.errors import raise_failed
from vmm.backends.kvm.foreign import NULL, ffi, libc, pointer
from vmm.backends.kvm.vcpu import KvmVcpu
from vmm.backends.kvm.vm import Vm
from vmm.backends.kvm.x86_registers import (
    CONTROL,
    GENERAL,
    SEGMENTS,
    TABLES,
    read_general,
    read_special,
    write_general,
    write_special,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from vmm.arch import Arch
    from vmm.backends.api import (
        AccessHandler,
        EndOfInterruptHandler,
        Exit,
        Registers,
        RegisterValue,
    )
    from vmm.backends.kvm.foreign import CData
    from vmm.lines import InterruptLine, InterruptSource

# Interrupts below this number are the pins of the I/O APIC (82093AA: 24 of them).
IOAPIC_PINS: Final = 24

# Three pages that KVM needs on Intel processors which cannot run real mode without paging. Below
# the last 256 KiB of the first 4 GiB, where firmware lives, and outside any RAM.
_TSS_ADDRESS: Final = 0xFFFB_D000

# What firmware would have set: string instructions by whole cache lines, and all memory write-back.
_IA32_MISC_ENABLE: Final = 0x1A0
_FAST_STRINGS: Final = 1 << 0
_IA32_MTRR_DEF_TYPE: Final = 0x2FF
_MTRR_ENABLED_WRITE_BACK: Final = 1 << 11 | 6


class X86Vm(Vm):
    """A machine of x86_64."""

    arch: Arch = X86_64
    local_apic = True

    def _set_up(self) -> None:
        self._routes: dict[int, tuple[int, int]] = {}
        self._eoi_handler: EndOfInterruptHandler | None = None
        self._enable(abi_x86_64.KVM_CAP_SPLIT_IRQCHIP, "local APICs without I/O APIC", IOAPIC_PINS)
        self._descriptor.call(
            abi_x86_64.KVM_SET_TSS_ADDR, "task state segment", pointer(_TSS_ADDRESS)
        )
        self.counter_hz = self._tsc_hz(self._descriptor.fd)

    def _new_vcpu(self, index: int, handler: AccessHandler) -> KvmVcpu:
        fd = self._descriptor.call(abi.KVM_CREATE_VCPU, f"vCPU {index}", pointer(index))
        vcpu = X86Vcpu(self, VcpuDescriptor(fd), index, self._kvm.run_size, handler)
        if not self.counter_hz:
            # Before Linux 5.18 only a vCPU can be asked.
            self.counter_hz = self._tsc_hz(fd)
        return vcpu

    def _tsc_hz(self, fd: int) -> int:
        return max(libc.ioctl(fd, abi_x86_64.KVM_GET_TSC_KHZ, NULL), 0) * 1000

    def cpuid(self, index: int) -> CData:
        """Return the ``struct kvm_cpuid2`` for vCPU ``index``."""
        return entries_for(self._kvm, index)

    def extended_components(self) -> dict[int, tuple[int, int]]:
        """Return offset and size of each component of the extended state, by its bit in XCR0."""
        return extended_components(self._kvm)

    def signal_msi(self, address: int, data: int) -> None:
        """Deliver a message-signalled interrupt. Any thread.

        One that no local APIC takes is lost, as on hardware: its contents are the guest's. So is
        one that comes after the machine's end.
        """
        if self._descriptor.fd < 0:
            return
        message = ffi.new(
            "struct kvm_msi *", (address & 0xFFFF_FFFF, address >> 32, data & 0xFFFF_FFFF)
        )
        if libc.ioctl(self._descriptor.fd, abi_x86_64.KVM_SIGNAL_MSI, message) < 0:
            error = ffi.errno
            # A destination that does not exist gives -1, which reads as EPERM.
            if error not in (errno.EPERM, errno.EINVAL):
                raise_failed(abi_x86_64.KVM_SIGNAL_MSI, f"message to {address:#x}", error)

    def connect_end_of_interrupt(self, handler: EndOfInterruptHandler) -> None:
        """Tell ``handler`` of each EOI of a watched vector, from the vCPU's thread."""
        self._eoi_handler = handler

    def end_of_interrupt(self, vector: int) -> None:
        """Pass on that a vCPU has signalled the end of ``vector``."""
        if self._eoi_handler is not None:
            self._eoi_handler.end_of_interrupt(vector)

    def watch_vectors(self, routes: Mapping[int, tuple[int, int]]) -> None:
        """Take the I/O APIC's routes, pin -> (address, data); pins not named have none.

        EOIs are seen of level-triggered ones. An irqfd on a pin sends the pin's message.
        """
        others = {gsi: route for gsi, route in self._routes.items() if gsi >= IOAPIC_PINS}
        self._set_routes({**others, **routes})

    def route_message(self, gsi: int, address: int, data: int) -> None:
        """Let interrupt ``gsi`` (`IOAPIC_PINS` and up) be this message, for irqfds on it."""
        self._set_routes({**self._routes, gsi: (address, data)})

    def _set_routes(self, routes: dict[int, tuple[int, int]]) -> None:
        if routes == self._routes:
            return
        table = ffi.new("struct kvm_irq_routing *", {"entries": len(routes)})
        table.nr = len(routes)
        for entry, (gsi, (address, data)) in zip(table.entries, routes.items(), strict=True):
            entry.gsi = gsi
            entry.type = abi_x86_64.KVM_IRQ_ROUTING_MSI
            entry.u.msi.address_lo = address & 0xFFFF_FFFF
            entry.u.msi.address_hi = address >> 32
            entry.u.msi.data = data & 0xFFFF_FFFF
        self._descriptor.call(
            abi_x86_64.KVM_SET_GSI_ROUTING, f"{len(routes)} interrupt routes", table
        )
        self._routes = routes


class X86Vcpu(KvmVcpu):
    """A vCPU of x86_64, in the state after a reset until its registers are set."""

    def __init__(
        self,
        vm: X86Vm,
        descriptor: VcpuDescriptor,
        index: int,
        run_size: int,
        handler: AccessHandler,
    ) -> None:
        self._vm = vm
        self._source: InterruptSource | None = None
        self._interrupt_requested = False
        super().__init__(descriptor, index, run_size, handler)

    def _set_up(self) -> None:
        self._descriptor.call(
            abi_x86_64.KVM_SET_CPUID2, f"CPUID of vCPU {self.index}", self._vm.cpuid(self.index)
        )
        msrs = ffi.new("struct kvm_msrs *", {"entries": 2})
        msrs.nmsrs = 2
        msrs.entries = [
            (_IA32_MISC_ENABLE, 0, _FAST_STRINGS),
            (_IA32_MTRR_DEF_TYPE, 0, _MTRR_ENABLED_WRITE_BACK),
        ]
        self._descriptor.call(abi_x86_64.KVM_SET_MSRS, f"MSRs of vCPU {self.index}", msrs)

    # ---- External interrupts: the 8259 behind LINT0 ----

    def connect_interrupts(self, source: InterruptSource) -> InterruptLine:
        """Connect the INTR pin; ``source`` answers the acknowledge cycle, in the vCPU's thread."""
        self._source = source
        return self._drive_interrupt_pin

    def _drive_interrupt_pin(self, level: bool) -> None:
        self._interrupt_requested = level
        if level:
            with self._guard:
                self._call_up()

    def _attend(self) -> None:
        """Inject the requested interrupt if the processor takes it now, else ask to be told.

        KVM says when: interrupts are enabled, none is half delivered, and the local APIC lets the
        8259 through (LINT0 unmasked in ExtINT mode, or the APIC switched off).
        """
        run = self._run
        if self._interrupt_requested and run.ready_for_interrupt_injection and self._source:
            with self._handler.lock:
                vector = self._source.acknowledge()
            interrupt = ffi.new("struct kvm_interrupt *", (vector,))
            self._descriptor.call(abi_x86_64.KVM_INTERRUPT, f"vector {vector}", interrupt)
        # The acknowledge cycle has updated the pin: there may be a further request.
        run.request_interrupt_window = self._interrupt_requested

    def _on_exit(self, reason: int) -> Exit | None:
        if reason == abi.KVM_EXIT_IRQ_WINDOW_OPEN:
            self._attend()
            return None
        if reason == abi.KVM_EXIT_IOAPIC_EOI:
            with self._handler.lock:
                self._vm.end_of_interrupt(self._run.eoi.vector)
            return None
        return super()._on_exit(reason)

    # ---- Registers ----

    def registers(self) -> dict[str, RegisterValue]:
        """Return all registers, by their names in `vmm.backends.api`."""
        return {**read_general(self._general()), **read_special(self._special())}

    def program_counter(self) -> int:
        """Return the register rip."""
        return int(self._general().rip)

    def set_registers(self, registers: Registers) -> None:
        """Set the registers given; the others keep their values.

        Raises:
            KvmError: if they contradict each other, such as EFER.LMA and CR0.PG.
        """
        unknown = registers.keys() - {*GENERAL, *CONTROL, *SEGMENTS, *TABLES}
        if unknown:
            raise ValueError(f"x86_64 has no register {min(unknown)!r}")
        special = self._special()
        if write_special(special, registers):
            self._descriptor.call(abi_x86_64.KVM_SET_SREGS, self._words("control"), special)
        general = self._general()
        if write_general(general, registers):
            self._descriptor.call(abi_x86_64.KVM_SET_REGS, self._words("general"), general)

    # ---- State that only an emulator beside KVM needs ----

    def extended_state(self) -> bytearray:
        """Return the registers of x87, SSE and their successors in the standard format of XSAVE.

        SDM volume 1, 13.4: the area of FXSAVE, a header, the other components.
        """
        area = ffi.new("struct kvm_xsave *")
        self._descriptor.call(abi_x86_64.KVM_GET_XSAVE, self._words("extended"), area)
        return bytearray(ffi.buffer(area, ffi.sizeof("struct kvm_xsave")))

    def set_extended_state(self, image: bytes | bytearray) -> None:
        """Set what `extended_state` returns.

        Raises:
            KvmError: if the image sets bits that must be zero.
        """
        area = ffi.new("struct kvm_xsave *")
        ffi.buffer(area, len(image))[:] = image
        self._descriptor.call(abi_x86_64.KVM_SET_XSAVE, self._words("extended"), area)

    def extended_control(self) -> int:
        """Return XCR0: the components of the extended state that the guest has enabled."""
        registers = ffi.new("struct kvm_xcrs *")
        self._descriptor.call(abi_x86_64.KVM_GET_XCRS, self._words("control"), registers)
        return int(registers.xcrs[0].value)

    def extended_components(self) -> dict[int, tuple[int, int]]:
        """Return offset and size of each component of the extended state, by its bit in XCR0.

        Without the first two, x87 and SSE, whose places are those of FXSAVE.
        """
        return self._vm.extended_components()

    def end_interrupt_shadow(self) -> None:
        """Note that the instruction after STI or MOV SS has been executed elsewhere."""
        events = ffi.new("struct kvm_vcpu_events *")
        words = self._words("event")
        self._descriptor.call(abi_x86_64.KVM_GET_VCPU_EVENTS, words, events)
        if events.interrupt.shadow:
            events.interrupt.shadow = 0
            events.flags = abi_x86_64.KVM_VCPUEVENT_VALID_SHADOW
            self._descriptor.call(abi_x86_64.KVM_SET_VCPU_EVENTS, words, events)

    def _general(self) -> CData:
        regs = ffi.new("struct kvm_regs *")
        self._descriptor.call(abi_x86_64.KVM_GET_REGS, self._words("general"), regs)
        return regs

    def _special(self) -> CData:
        sregs = ffi.new("struct kvm_sregs *")
        self._descriptor.call(abi_x86_64.KVM_GET_SREGS, self._words("control"), sregs)
        return sregs

    def _words(self, kind: str) -> str:
        return f"{kind} registers of vCPU {self.index}"

    def translate(self, address: int) -> int | None:
        """Return the guest-physical address that virtual ``address`` maps to now, or None."""
        result = ffi.new("struct kvm_translation *", (address,))
        self._descriptor.call(abi_x86_64.KVM_TRANSLATE, f"address {address:#x}", result)
        return int(result.physical_address) if result.valid else None
