"""Numbers of the KVM API that only arm64 has, spelled as in <linux/kvm.h> and <asm/kvm.h>."""

from __future__ import annotations

from vmm.backends.kvm.abi import READ, WRITE, DeviceRequest, VcpuRequest, VmRequest, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

KVM_IRQ_LINE: Final = VmRequest(encode(0x61, WRITE, 8))
KVM_ARM_PREFERRED_TARGET: Final = VmRequest(encode(0xAF, READ, 32))
KVM_CREATE_DEVICE: Final = VmRequest(encode(0xE0, READ | WRITE, 12))

KVM_GET_ONE_REG: Final = VcpuRequest(encode(0xAB, WRITE, 16))
KVM_SET_ONE_REG: Final = VcpuRequest(encode(0xAC, WRITE, 16))
KVM_ARM_VCPU_INIT: Final = VcpuRequest(encode(0xAE, WRITE, 32))

KVM_SET_DEVICE_ATTR: Final = DeviceRequest(encode(0xE1, WRITE, 24))

KVM_CAP_ARM_VM_IPA_SIZE: Final = 165
KVM_CAP_ARM_NISV_TO_USER: Final = 177

KVM_VM_TYPE_ARM_IPA_SIZE_MASK: Final = 0xFF

# Bits of kvm_vcpu_init.features[0].
KVM_ARM_VCPU_POWER_OFF: Final = 0
KVM_ARM_VCPU_PSCI_0_2: Final = 2

KVM_DEV_TYPE_ARM_VGIC_V2: Final = 5
KVM_DEV_TYPE_ARM_VGIC_V3: Final = 7

KVM_DEV_ARM_VGIC_GRP_ADDR: Final = 0
KVM_DEV_ARM_VGIC_GRP_NR_IRQS: Final = 3
KVM_DEV_ARM_VGIC_GRP_CTRL: Final = 4
KVM_DEV_ARM_VGIC_CTRL_INIT: Final = 0

KVM_VGIC_V2_ADDR_TYPE_DIST: Final = 0
KVM_VGIC_V2_ADDR_TYPE_CPU: Final = 1
KVM_VGIC_V3_ADDR_TYPE_DIST: Final = 2
KVM_VGIC_V3_ADDR_TYPE_REDIST: Final = 3

KVM_ARM_IRQ_TYPE_SHIFT: Final = 24
KVM_ARM_IRQ_TYPE_SPI: Final = 1

KVM_REG_ARM64: Final = 0x6000_0000_0000_0000
KVM_REG_SIZE_U64: Final = 0x0030_0000_0000_0000
KVM_REG_ARM_CORE: Final = 0x0010 << 16
KVM_REG_ARM64_SYSREG: Final = 0x0013 << 16
