"""Boards: the machines as a guest sees them, one per architecture."""

from __future__ import annotations

from vmm.arch import X86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm.arch import Arch
    from vmm.boards.board import Board


def board_for(arch: Arch) -> type[Board]:
    """Return the board for guests of ``arch``."""
    if arch == X86_64:
        from vmm.boards.x86_64 import X86Board

        return X86Board
    from vmm.boards.arm64 import Arm64Board

    return Arm64Board
