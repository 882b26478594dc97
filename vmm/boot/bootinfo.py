"""Bootinfo and the region array as bytes; see ``guest/include/calypso/abi.h``."""

from __future__ import annotations

from vmm.boot.layout import Region
from vmm.hypercall import abi
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final


@value
class Controller:
    """The interrupt controller that a kernel is told of.

    Attributes:
        kind: ``abi.CONTROLLER_*``.
        distributor: (gpa, length) of the GIC's distributor.
        processor_frames: (gpa, length) of its CPU interface (version 2) or redistributors (3).
    """

    kind: int
    distributor: tuple[int, int]
    processor_frames: tuple[int, int]


NO_CONTROLLER: Final = Controller(abi.CONTROLLER_NONE, (0, 0), (0, 0))


@value
class Bootinfo:
    """What the VMM tells the kernel; fields as in ``abi.h``, whose first three are constants."""

    features: int
    regions: int
    region_count: int
    region_capacity: int
    command_line: int
    command_line_length: int
    device_tree: int
    device_tree_length: int
    arguments: int
    arguments_length: int
    argc: int
    envc: int
    doorbell: int
    counter_hz: int
    wall_clock: int
    console: int
    seed: bytes
    generation: int
    stack_guard: int
    controller: int
    distributor: int
    distributor_length: int
    processor_frames: int
    processor_frames_length: int

    def pack(self) -> bytes:
        """Return the structure as the kernel reads it."""
        return abi.BOOTINFO.pack(
            abi.BOOTINFO_MAGIC,
            abi.ABI_VERSION,
            abi.BOOTINFO.size,
            self.features,
            self.regions,
            self.region_count,
            self.region_capacity,
            self.command_line,
            self.command_line_length,
            self.device_tree,
            self.device_tree_length,
            self.arguments,
            self.arguments_length,
            self.argc,
            self.envc,
            self.doorbell,
            self.counter_hz,
            self.wall_clock,
            self.console,
            self.seed,
            self.generation,
            self.stack_guard,
            self.controller,
            self.distributor,
            self.distributor_length,
            self.processor_frames,
            self.processor_frames_length,
        )


def unpack_bootinfo(data: bytes) -> Bootinfo:
    """Return the bootinfo that ``data`` begins with.

    Raises:
        ValueError: if magic, version or size are not those of this ABI.
    """
    magic, version, size, *fields = abi.BOOTINFO.unpack_from(data)
    if magic != abi.BOOTINFO_MAGIC:
        raise ValueError(f"bootinfo: magic {magic:#x} is not {abi.BOOTINFO_MAGIC:#x}")
    if version != abi.ABI_VERSION or size != abi.BOOTINFO.size:
        raise ValueError(f"bootinfo: version {version} of {size} bytes is not of this ABI")
    return Bootinfo(*fields)


def pack_regions(regions: Sequence[Region]) -> bytes:
    """Return the region array as the kernel reads it."""
    pack = abi.REGION.pack
    return b"".join(
        [pack(r.physical, r.virtual, r.length, r.type, r.flags, r.name.encode()) for r in regions]
    )


def unpack_regions(data: bytes) -> list[Region]:
    """Return the regions of an array; ``data`` is a whole number of them."""
    return [
        Region(
            physical, virtual, length, kind, flags, name.rstrip(b"\0").decode("ascii", "replace")
        )
        for physical, virtual, length, kind, flags, name in abi.REGION.iter_unpack(data)
    ]
