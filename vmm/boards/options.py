"""What can differ between boards of one architecture: expected by an image, or a user's choice."""

from __future__ import annotations

from vmm.arch import X86_64
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

    @property
    def is_firecracker(self) -> bool:
        """Whether the model is `FIRECRACKER`."""
        return self.model == FIRECRACKER


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


def choose(text: str, expected: BoardOptions | None, arch: Arch) -> BoardOptions:
    """Return the options of ``text``, and those that an image expects where it leaves the choice.

    Raises:
        UsageError: if ``text`` means none, or boards of ``arch`` have none.
    """
    if arch == X86_64:
        raise UsageError("the x86_64 board has no options: leave out --board")
    options = parse_board(text)
    if expected is None:
        return options
    return BoardOptions(options.model or expected.model, options.gic or expected.gic)
