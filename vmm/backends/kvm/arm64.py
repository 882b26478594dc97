"""Machines of arm64: GIC, generic timers and PSCI in the kernel."""

from __future__ import annotations

import errno

from vmm.arch import ARM64
from vmm.backends.exits import Crashed, InternalError, Reset, Shutdown, Unsupported
from vmm.backends.kvm import abi, abi_arm64, stage1
from vmm.backends.kvm.arm64_registers import IDS, stack_pointer
from vmm.backends.kvm.descriptor import DeviceDescriptor, VcpuDescriptor
from vmm.backends.kvm.errors import KvmError
from vmm.backends.kvm.foreign import NULL, address_of, ffi, pointer
from vmm.backends.kvm.vcpu import KvmVcpu
from vmm.backends.kvm.vm import Vm
from vmm.errors import BackendUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.arch import Arch
    from vmm.backends.api import AccessHandler, Exit, Registers, RegisterValue
    from vmm.backends.kvm.abi import VcpuRequest
    from vmm.backends.kvm.descriptor import VmDescriptor
    from vmm.backends.kvm.foreign import CData
    from vmm.lines import InterruptLine

# Width of guest-physical addresses: what the host offers, up to what tables without LPA2 can hold.
_MAX_IPA_BITS: Final = 48

_FIRST_SPI: Final = 32
# Interrupt numbers of the GIC, in all: the first 32 belong to each vCPU.
_GIC_INTERRUPTS: Final = 256

# Which device a GIC is, and the numbers of its two addresses, by architecture version.
_GIC: Final = {
    2: (
        abi_arm64.KVM_DEV_TYPE_ARM_VGIC_V2,
        abi_arm64.KVM_VGIC_V2_ADDR_TYPE_DIST,
        abi_arm64.KVM_VGIC_V2_ADDR_TYPE_CPU,
    ),
    3: (
        abi_arm64.KVM_DEV_TYPE_ARM_VGIC_V3,
        abi_arm64.KVM_VGIC_V3_ADDR_TYPE_DIST,
        abi_arm64.KVM_VGIC_V3_ADDR_TYPE_REDIST,
    ),
}


class Arm64Vm(Vm):
    """A machine of arm64."""

    arch: Arch = ARM64
    in_kernel_gic = True
    _gic: DeviceDescriptor | None = None

    def _machine_type(self) -> int:
        # 0, where the host does not say, stands for 40 bits.
        bits = min(self._kvm.capability(abi_arm64.KVM_CAP_ARM_VM_IPA_SIZE), _MAX_IPA_BITS)
        end = self.memory.regions[-1].end
        if end > 1 << (bits or 40):
            raise BackendUnavailable(
                f"this host's KVM has {bits or 40}-bit guest-physical addresses and the RAM ends "
                f"at {end:#x}: give the machine less memory"
            )
        return bits & abi_arm64.KVM_VM_TYPE_ARM_IPA_SIZE_MASK

    def _set_up(self) -> None:
        if self._kvm.capability(abi_arm64.KVM_CAP_ARM_NISV_TO_USER):
            self._enable(abi_arm64.KVM_CAP_ARM_NISV_TO_USER, "exits without a syndrome")

    def find_counter_hz(self) -> int:
        """Return the frequency of the guest's counter: it takes a machine to find it."""
        from vmm.backends.kvm.counter_arm64 import read_counter_hz

        return read_counter_hz(self._kvm)

    def _new_vcpu(self, index: int, handler: AccessHandler) -> KvmVcpu:
        fd = self._descriptor.call(abi.KVM_CREATE_VCPU, f"vCPU {index}", pointer(index))
        return Arm64Vcpu(self, VcpuDescriptor(fd), index, self._kvm.run_size, handler)

    def preferred_target(self) -> CData:
        """Return a ``struct kvm_vcpu_init`` for the processor that suits this host."""
        init = ffi.new("struct kvm_vcpu_init *")
        self._descriptor.call(abi_arm64.KVM_ARM_PREFERRED_TARGET, "processor model", init)
        return init

    # ---- Interrupts ----

    def create_gic(self, version: int, distributor: int, cpu_or_redistributor: int) -> None:
        """Create the GIC, after all vCPUs and before the first one runs.

        Raises:
            BackendUnavailable: if this host's KVM has no GIC of that architecture version.
        """
        kind, distributor_type, other_type = _GIC[version]
        request = ffi.new("struct kvm_create_device *", (kind,))
        try:
            self._descriptor.call(abi_arm64.KVM_CREATE_DEVICE, f"GICv{version}", request)
        except KvmError as error:
            raise BackendUnavailable(f"this host's KVM has no GICv{version}: {error}") from error
        self._gic = DeviceDescriptor(request.fd)
        addresses = abi_arm64.KVM_DEV_ARM_VGIC_GRP_ADDR
        self._configure(addresses, distributor_type, ffi.new("uint64_t *", distributor))
        self._configure(addresses, other_type, ffi.new("uint64_t *", cpu_or_redistributor))
        self._configure(
            abi_arm64.KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, ffi.new("uint32_t *", _GIC_INTERRUPTS)
        )
        self._configure(
            abi_arm64.KVM_DEV_ARM_VGIC_GRP_CTRL, abi_arm64.KVM_DEV_ARM_VGIC_CTRL_INIT, NULL
        )

    def _configure(self, group: int, attribute: int, content: CData) -> None:
        assert self._gic is not None
        self._gic.call(
            abi_arm64.KVM_SET_DEVICE_ATTR,
            f"GIC, group {group}, attribute {attribute}",
            ffi.new("struct kvm_device_attr *", (0, group, attribute, address_of(content))),
        )

    def interrupt_line(self, intid: int) -> InterruptLine:
        """Return the wire of shared peripheral interrupt ``intid``."""
        if not _FIRST_SPI <= intid < _GIC_INTERRUPTS:
            raise ValueError(f"INTID {intid} is no shared peripheral interrupt of this GIC")
        return SpiLine(self._descriptor, intid)

    def close(self) -> None:
        """End the machine, its vCPUs and its GIC; harmless when repeated."""
        super().close()
        if self._gic is not None:
            self._gic.close()


class SpiLine:
    """The wire of a shared peripheral interrupt, an `InterruptLine`."""

    def __init__(self, descriptor: VmDescriptor, intid: int) -> None:
        self._descriptor = descriptor
        self._intid = intid
        self._level = False
        irq = abi_arm64.KVM_ARM_IRQ_TYPE_SPI << abi_arm64.KVM_ARM_IRQ_TYPE_SHIFT | intid
        self._requests = [ffi.new("struct kvm_irq_level *", (irq, level)) for level in (0, 1)]

    def __call__(self, level: bool, /) -> None:
        """Set the wire's level; after the machine's end, to no effect."""
        if level == self._level or self._descriptor.fd < 0:
            return
        self._level = level
        self._descriptor.call(
            abi_arm64.KVM_IRQ_LINE, f"interrupt {self._intid}", self._requests[level]
        )


class Arm64Vcpu(KvmVcpu):
    """A vCPU of arm64; all but the first wait for PSCI CPU_ON."""

    def __init__(
        self,
        vm: Arm64Vm,
        descriptor: VcpuDescriptor,
        index: int,
        run_size: int,
        handler: AccessHandler,
    ) -> None:
        self._vm = vm
        super().__init__(descriptor, index, run_size, handler)

    def _set_up(self) -> None:
        init = self._vm.preferred_target()
        init.features[0] = 1 << abi_arm64.KVM_ARM_VCPU_PSCI_0_2
        if self.index > 0:
            init.features[0] |= 1 << abi_arm64.KVM_ARM_VCPU_POWER_OFF
        self._descriptor.call(abi_arm64.KVM_ARM_VCPU_INIT, f"reset of vCPU {self.index}", init)

    # ---- Exits ----

    def _on_exit(self, reason: int) -> Exit | None:
        if reason == abi.KVM_EXIT_SYSTEM_EVENT:
            return self._system_event()
        if reason == abi.KVM_EXIT_ARM_NISV:
            return self._undescribed_access(f"at {self._run.arm_nisv.fault_ipa:#x}")
        return super()._on_exit(reason)

    def _system_event(self) -> Exit:
        kind = self._run.system_event.type
        if kind == abi.KVM_SYSTEM_EVENT_SHUTDOWN:
            return Shutdown()
        if kind == abi.KVM_SYSTEM_EVENT_RESET:
            return Reset()
        if kind == abi.KVM_SYSTEM_EVENT_CRASH:
            return Crashed("KVM_SYSTEM_EVENT_CRASH")
        return Unsupported(abi.KVM_EXIT_SYSTEM_EVENT)

    def _failed(self, error: int) -> Exit:
        # Without KVM_CAP_ARM_NISV_TO_USER, KVM_RUN itself fails where it would be that exit.
        if error == errno.ENOSYS:
            return self._undescribed_access("outside RAM")
        return super()._failed(error)

    def _undescribed_access(self, where: str) -> InternalError:
        """Report an access for which the processor gives no syndrome (ESR_EL2.ISV = 0)."""
        return InternalError(
            f"an access to a device {where} by an instruction that KVM cannot decode: only single "
            "general registers without write-back can be loaded and stored there",
            self._instruction(),
        )

    def _instruction(self) -> bytes:
        memory = self._vm.memory
        pc = self.translate(self._get("pc"))
        return memory.read(pc, 4) if pc is not None and memory.contains(pc, 4) else b""

    # ---- Registers ----

    def registers(self) -> dict[str, RegisterValue]:
        """Return all registers, by their names in `vmm.backends.api`."""
        values: dict[str, RegisterValue] = {name: self._get(name) for name in IDS}
        values["sp"] = self._get(stack_pointer(self._get("pstate")))
        return values

    def program_counter(self) -> int:
        """Return the register pc."""
        return self._get("pc")

    def set_registers(self, registers: Registers) -> None:
        """Set the registers given; the others keep their values."""
        unknown = registers.keys() - {*IDS, "sp"}
        if unknown:
            raise ValueError(f"arm64 has no register {min(unknown)!r}")
        for name, number in registers.items():
            if name != "sp":
                self._set(name, number)
        if "sp" in registers:
            self._set(stack_pointer(self._get("pstate")), registers["sp"])

    def _get(self, name: str) -> int:
        content = ffi.new("uint64_t *")
        self._one_register(abi_arm64.KVM_GET_ONE_REG, name, content)
        return int(content[0])

    def _set(self, name: str, number: RegisterValue) -> None:
        self._one_register(abi_arm64.KVM_SET_ONE_REG, name, ffi.new("uint64_t *", number))

    def _one_register(self, request: VcpuRequest, name: str, content: CData) -> None:
        self._descriptor.call(
            request,
            f"register {name} of vCPU {self.index}",
            ffi.new("struct kvm_one_reg *", (IDS[name], address_of(content))),
        )

    def translate(self, address: int) -> int | None:
        """Return the guest-physical address that virtual ``address`` maps to now, or None."""
        registers = stage1.TranslationRegisters(
            sctlr=self._get("sctlr_el1"),
            tcr=self._get("tcr_el1"),
            ttbr0=self._get("ttbr0_el1"),
            ttbr1=self._get("ttbr1_el1"),
        )
        return stage1.translate(self._vm.memory, registers, address)
