"""What can differ between boards of one architecture: expected by an image, or a user's choice."""

from __future__ import annotations

from vmm.errors import UsageError
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.arch import Arch

VIRT: Final = "virt"
FIRECRACKER: Final = "firecracker"
MODELS: Final = (VIRT, FIRECRACKER)


@value
class BoardOptions:
    """A choice between boards; what is empty is left to others.

    Attributes:
        model: arm64: `VIRT`, the places of QEMU's "virt" machine with a PL011, or `FIRECRACKER`,
            RAM at 2 GiB and a 16550.
        gic: arm64: architecture version of the interrupt controller, 2 or 3; 0 for no choice.
    """

    model: str = ""
    gic: int = 0

    def __str__(self) -> str:
        """Return the text that `parse_board` reads."""
        words = [self.model] if self.model else []
        return ",".join([*words, *([f"gic={self.gic}"] if self.gic else [])])

    def over(self, expected: BoardOptions) -> BoardOptions:
        """Return these options, and those of ``expected`` where these leave the choice."""
        return BoardOptions(self.model or expected.model, self.gic or expected.gic)


NO_OPTIONS: Final = BoardOptions()


def parse_board(text: str) -> BoardOptions:
    """Return the options that ``text`` means: ``gic=2``, ``firecracker``, ``virt,gic=3``.

    Raises:
        UsageError: if it means none.
    """
    model, gic = "", 0
    for word in text.split(",") if text else ():
        if word in MODELS:
            model = word
        elif word in ("gic=2", "gic=3"):
            gic = int(word[-1])
        else:
            raise UsageError(
                f"board option {word!r} is not one of {', '.join(MODELS)}, gic=2, gic=3"
            )
    return BoardOptions(model, gic)


def check_options(options: BoardOptions, arch: Arch) -> None:
    """Raise a `UsageError` if boards of ``arch`` have no such options."""
    if arch == "x86_64" and options != NO_OPTIONS:
        raise UsageError("the x86_64 board has no options: leave out --board")
