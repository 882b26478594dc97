"""The text screen of a PC: 80 x 25 cells of character and attribute at 0xB8000, as a VGA has it.

There is no VGA; what a guest writes there stays in RAM, and can be read.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.memory import GuestMemory

ADDRESS: Final = 0xB_8000
COLUMNS: Final = 80
ROWS: Final = 25


def read_screen(memory: GuestMemory) -> str:
    """Return the screen's lines, without what is blank at their ends and below them."""
    cells = memory.read(ADDRESS, 2 * COLUMNS * ROWS)
    # The adapter's own character set is code page 437; NUL shows as a blank.
    text = cells[::2].replace(b"\0", b" ").decode("cp437")
    lines = [text[start : start + COLUMNS].rstrip() for start in range(0, len(text), COLUMNS)]
    return "\n".join(lines).rstrip("\n")
