"""A virtual machine, as far as both architectures agree: RAM, vCPUs, event descriptors."""

from __future__ import annotations

from vmm.backends.kvm import abi
from vmm.backends.kvm.descriptor import VmDescriptor
from vmm.backends.kvm.disposal import disposal
from vmm.backends.kvm.foreign import address_of, ffi, pointer
from vmm.errors import BackendUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmm.arch import Arch
    from vmm.backends.api import AccessHandler, EndOfInterruptHandler
    from vmm.backends.kvm.hypervisor import Kvm
    from vmm.backends.kvm.vcpu import KvmVcpu
    from vmm.lines import InterruptLine
    from vmm.memory import GuestMemory


class Vm:
    """One machine in the kernel.

    Attributes:
        arch: the guest's architecture.
        local_apic: whether the kernel emulates local APICs.
        in_kernel_gic: whether the kernel emulates a GIC.
        counter_hz: frequency of the guest's counter, 0 where that is to be found first.
        ioeventfds: whether writes of the guest can signal eventfds.
        memory: the guest's RAM.
    """

    arch: Arch
    local_apic = False
    in_kernel_gic = False
    ioeventfds = True

    def __init__(self, kvm: Kvm, memory: GuestMemory) -> None:
        """Make a machine with RAM, without vCPUs.

        Raises:
            KvmError: if the kernel refuses; nothing is left behind.
        """
        self.counter_hz = 0
        self.memory = memory
        self._kvm = kvm
        self._vcpus: list[KvmVcpu] = []
        self._descriptor = VmDescriptor(
            kvm.descriptor.call(abi.KVM_CREATE_VM, "machine", pointer(self._machine_type()))
        )
        # While the machine exists, its RAM must not vanish from this process.
        self._host_ram = ffi.from_buffer(memory.mapping)
        try:
            self._map_ram()
            self._set_up()
        except BaseException:
            self.close()
            raise

    def current_cpu(self) -> int:
        """Return 0: no interrupt controller outside of the kernel has a view for each vCPU."""
        return 0

    def find_counter_hz(self) -> int:
        """Return the frequency of the guest's counter."""
        return self.counter_hz

    def _machine_type(self) -> int:
        """Return the argument of KVM_CREATE_VM."""
        return 0

    def _set_up(self) -> None:
        """Do what the architecture needs before the first vCPU is created."""

    def _new_vcpu(self, index: int, handler: AccessHandler) -> KvmVcpu:
        raise NotImplementedError

    def _map_ram(self) -> None:
        host = address_of(self._host_ram)
        for slot, region in enumerate(self.memory.regions):
            self._descriptor.call(
                abi.KVM_SET_USER_MEMORY_REGION,
                f"RAM of {region.size:#x} bytes at {region.base:#x}",
                ffi.new(
                    "struct kvm_userspace_memory_region *",
                    (slot, 0, region.base, region.size, host + region.offset),
                ),
            )

    def _enable(self, capability: int, subject: str, argument: int = 0) -> None:
        request = ffi.new("struct kvm_enable_cap *")
        request.cap = capability
        request.args[0] = argument
        self._descriptor.call(abi.KVM_ENABLE_CAP, subject, request)

    def create_vcpu(self, index: int, handler: AccessHandler) -> KvmVcpu:
        """Create vCPU ``index``, whose device accesses ``handler`` answers.

        Raises:
            BackendUnavailable: if the host allows fewer vCPUs.
            KvmError: if the kernel refuses otherwise; nothing is left behind.
        """
        limit = self._kvm.capability(abi.KVM_CAP_MAX_VCPUS)
        if index >= limit:
            raise BackendUnavailable(
                f"this host's KVM allows {limit} vCPUs in a machine: use fewer (--cpus)"
            )
        vcpu = self._new_vcpu(index, handler)
        self._vcpus.append(vcpu)
        return vcpu

    # ---- Event descriptors: guest and devices meet without an exit to this process ----

    def ioeventfd(
        self, fd: int, address: int, size: int = 0, *, port: bool = False, value: int | None = None
    ) -> None:
        """Let a guest's write to ``address`` signal eventfd ``fd`` instead of leaving the guest.

        Args:
            fd: an eventfd.
            address: guest-physical address, or port where ``port`` is true.
            size: of the access in bytes; 0 matches any.
            port: whether ``address`` is an I/O port.
            value: the only value that matches; by default every one does.
        """
        self._set_ioeventfd(fd, address, size, port, value, 0)

    def remove_ioeventfd(
        self, fd: int, address: int, size: int = 0, *, port: bool = False, value: int | None = None
    ) -> None:
        """Undo the `ioeventfd` made with the same arguments."""
        self._set_ioeventfd(fd, address, size, port, value, abi.KVM_IOEVENTFD_FLAG_DEASSIGN)

    def _set_ioeventfd(
        self, fd: int, address: int, size: int, port: bool, value: int | None, flags: int
    ) -> None:
        if port:
            flags |= abi.KVM_IOEVENTFD_FLAG_PIO
        if value is not None:
            flags |= abi.KVM_IOEVENTFD_FLAG_DATAMATCH
        space = "port" if port else "address"
        self._descriptor.call(
            abi.KVM_IOEVENTFD,
            f"eventfd {fd} at {space} {address:#x}, {size} bytes",
            ffi.new("struct kvm_ioeventfd *", (value or 0, address, size, fd, flags)),
        )

    def irqfd(self, fd: int, gsi: int, resample_fd: int | None = None) -> None:
        """Let a write to eventfd ``fd`` interrupt the guest.

        Args:
            fd: an eventfd.
            gsi: x86_64: a pin of the I/O APIC or a number given to ``route_message``; arm64: the
                number of the shared peripheral interrupt, INTID less 32.
            resample_fd: makes the interrupt level-triggered: it stays asserted until the guest's
                EOI, which lowers it and signals this eventfd.
        """
        flags = 0 if resample_fd is None else abi.KVM_IRQFD_FLAG_RESAMPLE
        self._set_irqfd(fd, gsi, flags, resample_fd or 0)

    def remove_irqfd(self, fd: int, gsi: int) -> None:
        """Undo an `irqfd`."""
        self._set_irqfd(fd, gsi, abi.KVM_IRQFD_FLAG_DEASSIGN, 0)

    def _set_irqfd(self, fd: int, gsi: int, flags: int, resample_fd: int) -> None:
        self._descriptor.call(
            abi.KVM_IRQFD,
            f"eventfd {fd} on interrupt {gsi}",
            ffi.new("struct kvm_irqfd *", (fd, gsi, flags, resample_fd)),
        )

    # ---- Interrupt controllers: an architecture overrides what it has ----

    def signal_msi(self, address: int, data: int) -> None:
        """Deliver a message-signalled interrupt to the local APICs (x86_64)."""
        raise NotImplementedError("this machine has no local APICs")

    def connect_end_of_interrupt(self, handler: EndOfInterruptHandler) -> None:
        """Tell ``handler`` of each EOI of a watched vector (x86_64)."""
        raise NotImplementedError("this machine has no local APICs")

    def watch_vectors(self, routes: Mapping[int, tuple[int, int]]) -> None:
        """Take the I/O APIC's routes, so that EOIs are seen (x86_64)."""
        raise NotImplementedError("this machine has no local APICs")

    def create_gic(self, version: int, distributor: int, cpu_or_redistributor: int) -> None:
        """Create the kernel's GIC (arm64)."""
        raise NotImplementedError("this machine has no GIC")

    def interrupt_line(self, intid: int) -> InterruptLine:
        """Return the wire of a shared peripheral interrupt (arm64)."""
        raise NotImplementedError("this machine has no GIC")

    def close(self) -> None:
        """End the machine and its vCPUs, none of which may be running; harmless when repeated."""
        for vcpu in self._vcpus:
            vcpu.close()
        self._vcpus.clear()
        self._descriptor.close()
        ffi.release(self._host_ram)
        # Unmapped behind the machine, RAM need not be taken out of it page by page.
        self.memory.dispose_by(disposal.follow)
