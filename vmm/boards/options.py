"""What can differ between boards of one architecture: expected by an image, or a user's choice."""

from __future__ import annotations

from vmm.arch import X86_64
from vmm.errors import UsageError
from vmm.value import replace, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.arch import Arch
    from vmm.memory import GuestMemory

VIRT: Final = "virt"
FIRECRACKER: Final = "firecracker"
# What the user can choose; the board of Solo5's unikernels comes with these alone.
MODELS: Final = (VIRT, FIRECRACKER)
SOLO5: Final = "solo5"

# The word by which virtio devices offer packed virtqueues.
PACKED: Final = "packed"

# How far devices can be moved: up to where kernels map physical memory, and so that the low bits of
# their addresses stay. All of them usually are in the first 4 GiB.
GIB: Final = 1 << 30
MAX_DISTANCE: Final = 1 << 46
DEVICES_LENGTH: Final = 4 * GIB


@value
class BoardOptions:
    """A choice between boards; what is empty is left to others.

    Attributes:
        model: arm64: `VIRT`, the places of QEMU's "virt" machine with a PL011, or `FIRECRACKER`,
            RAM at 2 GiB and a 16550.
        gic: arm64: architecture version of the interrupt controller, 2 or 3; 0 for no choice.
        devices: what is added to the guest-physical addresses of all devices. With one high bit
            set they are where a realm of Arm's CCA sees devices of its host. On x86_64 the APICs
            stay, and ports of course.
        packed: virtio devices offer packed virtqueues (`PACKED`).
    """

    model: str = ""
    gic: int = 0
    devices: int = 0
    packed: bool = False

    def __str__(self) -> str:
        """Return the text that `parse_board` reads."""
        words = [self.model] if self.model else []
        if self.gic:
            words.append(f"gic={self.gic}")
        if self.devices:
            words.append(f"devices={self.devices:#x}")
        if self.packed:
            words.append(PACKED)
        return ",".join(words)

    def check_devices(self, memory: GuestMemory) -> None:
        """See that the devices are not where RAM is.

        Raises:
            UsageError: if they are.
        """
        start, end = self.devices, self.devices + DEVICES_LENGTH
        for region in memory.regions if self.devices else ():
            if start < region.end and region.base < end:
                raise UsageError(
                    f"devices={start:#x} would put devices into RAM, which ends at {region.end:#x}"
                )

    @property
    def is_firecracker(self) -> bool:
        """Whether the model is `FIRECRACKER`."""
        return self.model == FIRECRACKER


def parse_board(text: str) -> BoardOptions:
    """Return the options that ``text`` means: ``gic=2``, ``firecracker,devices=0x10000000000``.

    Raises:
        UsageError: if it means none.
    """
    model, gic, devices, packed = "", 0, 0, False
    for word in text.split(",") if text else ():
        if word in MODELS:
            model = word
        elif word in ("gic=2", "gic=3"):
            gic = int(word[-1])
        elif word.startswith("devices="):
            devices = _parse_distance(word.removeprefix("devices="))
        elif word == PACKED:
            packed = True
        else:
            choices = ", ".join((*MODELS, "gic=2", "gic=3", "devices=ADDRESS", PACKED))
            raise UsageError(f"board option {word!r} is not one of {choices}")
    return BoardOptions(model, gic, devices, packed)


def _parse_distance(text: str) -> int:
    try:
        distance = int(text, 0)
    except ValueError:
        raise UsageError(f"devices={text} is not a number") from None
    if not 0 <= distance < MAX_DISTANCE or distance % GIB:
        raise UsageError(
            f"devices={text} is not a multiple of {GIB:#x} (1 GiB) below {MAX_DISTANCE:#x}"
        )
    return distance


def choose(text: str, expected: BoardOptions | None, arch: Arch) -> BoardOptions:
    """Return the options of ``text``, and those that an image expects where it leaves the choice.

    Raises:
        UsageError: if ``text`` means none, or boards of ``arch`` have not that choice.
    """
    if expected is not None and expected.model == SOLO5:
        raise UsageError("the board of Solo5 unikernels has no options: leave out --board")
    options = parse_board(text)
    if arch == X86_64 and (options.model or options.gic):
        raise UsageError(f"the x86_64 board has no options but devices=ADDRESS and {PACKED}")
    if expected is None:
        return options
    return replace(options, model=options.model or expected.model, gic=options.gic or expected.gic)
