"""Where things are in the guest-physical address space when a Calypso kernel starts.

    x86_64                                    arm64
    0x0000_0000  never used, never mapped     0x4000_0000  device tree (up to 64 KiB)
    0x0000_1000  boot area                    0x4001_0000  boot area; firmware in its first page
    0x0009_0000  free                         0x4008_0000  kernel
    0x0010_0000  kernel, the program behind it     ...     the program behind it
         ...     free                              ...     free
     top of RAM  initrd                        top of RAM  initrd

The boot area holds page tables, bootinfo, the region array, the command line, the arguments and,
on x86_64, the GDT. The kernel sees every physical address at one distance: the direct map.
"""

from __future__ import annotations

from vmm.arch import ARM64, X86_64
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.arch import Arch


@value
class MemoryMap:
    """The fixed addresses of one architecture.

    Attributes:
        ram: where RAM starts.
        unusable: bytes from there that hold nothing.
        device_tree_room: bytes from there for the device tree.
        boot: where the boot area starts.
        boot_end: the first address behind it.
        kernel: the lowest physical address of a kernel.
        direct_map: what to add to a physical address to get the kernel's virtual one.
    """

    ram: int
    unusable: int
    device_tree_room: int
    boot: int
    boot_end: int
    kernel: int
    direct_map: int


MEMORY_MAPS: Final[dict[Arch, MemoryMap]] = {
    X86_64: MemoryMap(
        ram=0,
        unusable=0x1000,
        device_tree_room=0,
        boot=0x1000,
        boot_end=0x9_0000,
        kernel=0x10_0000,
        # The first 512 GiB of the upper half are the host's own under one kind of KVM.
        direct_map=0xFFFF_9000_0000_0000,
    ),
    ARM64: MemoryMap(
        ram=0x4000_0000,
        unusable=0,
        device_tree_room=0x1_0000,
        boot=0x4001_0000,
        boot_end=0x4008_0000,
        kernel=0x4008_0000,
        direct_map=0xFFFF_0000_0000_0000,
    ),
}
