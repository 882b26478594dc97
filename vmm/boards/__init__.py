"""Boards: the machines as a guest sees them, one per architecture."""

from __future__ import annotations

from vmm.arch import X86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm.arch import Arch
    from vmm.boards.board import Board
    from vmm.boards.options import BoardOptions


def board_for(arch: Arch, options: BoardOptions | None = None) -> type[Board]:
    """Return the board for guests of ``arch`` that expect ``options``."""
    if options is not None and options.model == "solo5":
        from vmm.boards.solo5 import Solo5Board

        return Solo5Board
    if arch == X86_64:
        from vmm.boards.x86_64 import X86Board

        return X86Board
    from vmm.boards.arm64 import Arm64Board

    return Arm64Board
