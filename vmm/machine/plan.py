"""What a machine is before it starts, for people: memory map, devices, start state."""

from __future__ import annotations

from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.machine.machine import Machine

# As both boot layouts call it.
DEVICE_TREE: Final = "device tree"

# What a boot protocol tells its guest in memory, as the modules of `vmm.boot` call it. Calypso's
# includes all that the bootinfo points to.
BOOT_INFORMATION: Final = (
    "boot",
    "boot information",
    "boot parameters",
    "multiboot information",
    "multiboot 2 information",
    "PVH start information",
)

# In the header of a flattened device tree, big-endian.
_TOTAL_SIZE: Final = slice(4, 8)


def describe_plan(machine: Machine) -> list[str]:
    """Return the lines: what is where in memory, which devices there are, the start registers."""
    places = sorted(machine.loaded.places, key=lambda place: place.physical)
    lines = [
        "memory:",
        *[f"  {_range(region.base, region.end)}  RAM" for region in machine.memory.regions],
        *[f"  {_range(place.physical, place.end)}    {place.name}" for place in places],
        "devices:",
    ]
    for space in (machine.bus.pio, machine.bus.mmio):
        for mapping in space.mappings:
            end = mapping.base + mapping.size
            lines.append(f"  {space.name:4} {_range(mapping.base, end)}  {mapping.name}")
    lines.append("start:")
    for name, content in machine.loaded.registers.items():
        lines.append(f"  {name:6} {f'{content:#x}' if isinstance(content, int) else content}")
    return lines


def read_device_tree(machine: Machine) -> bytes:
    """Return the device tree as it was put into the machine's RAM.

    Raises:
        UsageError: if its guest is told of devices in another way.
    """
    for place in machine.loaded.places:
        if place.name == DEVICE_TREE:
            header = machine.memory.read(place.physical, 8)
            size = int.from_bytes(header[_TOTAL_SIZE], "big")
            return machine.memory.read(place.physical, size)
    raise UsageError("there is no device tree in this machine")


def read_boot_information(machine: Machine) -> bytes:
    """Return what the boot protocol tells the guest, as it was put into the machine's RAM.

    Raises:
        UsageError: if its guest is told by a device tree alone.
    """
    for place in machine.loaded.places:
        if place.name in BOOT_INFORMATION:
            return machine.memory.read(place.physical, place.end - place.physical)
    raise UsageError("this guest is told by its device tree alone: --dump-dtb writes that")


def _range(start: int, end: int) -> str:
    return f"{start:#012x}..{end:#012x}"
