"""Numbers of the KVM API that only x86_64 has, spelled as in <linux/kvm.h>."""

from __future__ import annotations

from vmm.backends.kvm.abi import READ, WRITE, SystemRequest, VcpuRequest, VmRequest, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

KVM_GET_SUPPORTED_CPUID: Final = SystemRequest(encode(0x05, READ | WRITE, 8))

KVM_SET_TSS_ADDR: Final = VmRequest(encode(0x47))
KVM_SET_GSI_ROUTING: Final = VmRequest(encode(0x6A, WRITE, 8))
KVM_SIGNAL_MSI: Final = VmRequest(encode(0xA5, WRITE, 32))

KVM_GET_REGS: Final = VcpuRequest(encode(0x81, READ, 144))
KVM_SET_REGS: Final = VcpuRequest(encode(0x82, WRITE, 144))
KVM_GET_SREGS: Final = VcpuRequest(encode(0x83, READ, 312))
KVM_SET_SREGS: Final = VcpuRequest(encode(0x84, WRITE, 312))
KVM_TRANSLATE: Final = VcpuRequest(encode(0x85, READ | WRITE, 24))
KVM_INTERRUPT: Final = VcpuRequest(encode(0x86, WRITE, 4))
KVM_SET_MSRS: Final = VcpuRequest(encode(0x89, WRITE, 8))
KVM_SET_CPUID2: Final = VcpuRequest(encode(0x90, WRITE, 8))
KVM_GET_VCPU_EVENTS: Final = VcpuRequest(encode(0x9F, READ, 64))
KVM_SET_VCPU_EVENTS: Final = VcpuRequest(encode(0xA0, WRITE, 64))
KVM_GET_XSAVE: Final = VcpuRequest(encode(0xA4, READ, 4096))
KVM_SET_XSAVE: Final = VcpuRequest(encode(0xA5, WRITE, 4096))
KVM_GET_XCRS: Final = VcpuRequest(encode(0xA6, READ, 392))

KVM_VCPUEVENT_VALID_SHADOW: Final = 0x4

# Of a vCPU; of a machine since Linux 5.18.
KVM_GET_TSC_KHZ: Final = encode(0xA3)

KVM_CAP_TSC_DEADLINE_TIMER: Final = 72
KVM_CAP_SPLIT_IRQCHIP: Final = 121

KVM_IRQ_ROUTING_MSI: Final = 2
