"""Numbers of the KVM API that both architectures share, spelled as in <linux/kvm.h>.

A test compares each with the kernel's header.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NewType

    # What a request may be made on, so that a type checker tells them apart.
    SystemRequest = NewType("SystemRequest", int)
    VmRequest = NewType("VmRequest", int)
    VcpuRequest = NewType("VcpuRequest", int)
    DeviceRequest = NewType("DeviceRequest", int)
    Request = SystemRequest | VmRequest | VcpuRequest | DeviceRequest
else:
    SystemRequest = VmRequest = VcpuRequest = DeviceRequest = int

# A request's number (<asm-generic/ioctl.h>): direction, size of the argument, type, number.
_NONE: Final = 0
WRITE: Final = 1
READ: Final = 2
KVMIO: Final = 0xAE


def encode(number: int, direction: int = _NONE, size: int = 0) -> int:
    """Return the number of the KVM request ``number`` whose argument has ``size`` bytes."""
    return direction << 30 | size << 16 | KVMIO << 8 | number


KVM_API_VERSION: Final = 12

KVM_GET_API_VERSION: Final = SystemRequest(encode(0x00))
KVM_CREATE_VM: Final = SystemRequest(encode(0x01))
KVM_CHECK_EXTENSION: Final = SystemRequest(encode(0x03))
KVM_GET_VCPU_MMAP_SIZE: Final = SystemRequest(encode(0x04))

KVM_CREATE_VCPU: Final = VmRequest(encode(0x41))
KVM_SET_USER_MEMORY_REGION: Final = VmRequest(encode(0x46, WRITE, 32))
KVM_IRQFD: Final = VmRequest(encode(0x76, WRITE, 32))
KVM_IOEVENTFD: Final = VmRequest(encode(0x79, WRITE, 64))
KVM_ENABLE_CAP: Final = VmRequest(encode(0xA3, WRITE, 104))

KVM_RUN: Final = VcpuRequest(encode(0x80))

KVM_CAP_MAX_VCPUS: Final = 66
KVM_CAP_IMMEDIATE_EXIT: Final = 136

KVM_IRQFD_FLAG_DEASSIGN: Final = 1 << 0
KVM_IRQFD_FLAG_RESAMPLE: Final = 1 << 1

KVM_IOEVENTFD_FLAG_DATAMATCH: Final = 1 << 0
KVM_IOEVENTFD_FLAG_PIO: Final = 1 << 1
KVM_IOEVENTFD_FLAG_DEASSIGN: Final = 1 << 2

KVM_EXIT_IO: Final = 2
KVM_EXIT_MMIO: Final = 6
KVM_EXIT_IRQ_WINDOW_OPEN: Final = 7
KVM_EXIT_SHUTDOWN: Final = 8
KVM_EXIT_FAIL_ENTRY: Final = 9
KVM_EXIT_INTERNAL_ERROR: Final = 17
KVM_EXIT_SYSTEM_EVENT: Final = 24
KVM_EXIT_IOAPIC_EOI: Final = 26
KVM_EXIT_ARM_NISV: Final = 28

KVM_EXIT_IO_IN: Final = 0
KVM_EXIT_IO_OUT: Final = 1

KVM_INTERNAL_ERROR_EMULATION: Final = 1
KVM_INTERNAL_ERROR_SIMUL_EX: Final = 2
KVM_INTERNAL_ERROR_DELIVERY_EV: Final = 3
KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: Final = 4
KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES: Final = 1 << 0

KVM_SYSTEM_EVENT_SHUTDOWN: Final = 1
KVM_SYSTEM_EVENT_RESET: Final = 2
KVM_SYSTEM_EVENT_CRASH: Final = 3
