"""How foreign kernels for arm64 are entered: MMU off, interrupts masked, with a device tree."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import RegisterValue
    from vmm.boot.placement import BootRequest, Placement

# The device tree of our board is smaller; QEMU keeps 1 MiB free for its own.
DEVICE_TREE_ROOM: Final = 0x1_0000

_PSTATE: Final = 0x3C5  # EL1h; D, A, I and F masked


def put_device_tree(placement: Placement, request: BootRequest, gpa: int | None = None) -> int:
    """Put initrd and device tree high in RAM, or the tree at ``gpa``; return where the tree is."""
    initrd = placement.load_initrd(request.initrd)
    tree = request.board.device_tree(request.command_line, initrd) or b""
    if gpa is None:
        gpa = placement.take_high(len(tree), "device tree")
        placement.memory.write(gpa, tree)
        return gpa
    return placement.put(gpa, tree, "device tree")


def enter(entry: int, device_tree: int) -> dict[str, RegisterValue]:
    """Return the start state of Linux's protocol (Documentation/arch/arm64/booting.rst)."""
    return {"pc": entry, "x0": device_tree, "x1": 0, "x2": 0, "x3": 0, "pstate": _PSTATE}
