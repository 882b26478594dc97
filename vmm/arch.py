"""The two architectures of hosts and guests, by one name each."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal

    Arch = Literal["x86_64", "arm64"]

X86_64: Final = "x86_64"
ARM64: Final = "arm64"
ARCHITECTURES: Final[tuple[Arch, ...]] = (X86_64, ARM64)

# What `uname -m`, Debian, LLVM and people call them.
_ALIASES: Final[dict[str, Arch]] = {
    "x86_64": X86_64,
    "amd64": X86_64,
    "x86-64": X86_64,
    "arm64": ARM64,
    "aarch64": ARM64,
}


def parse_arch(name: str) -> Arch | None:
    """Return the architecture that ``name`` means, or None if it is not one of ours."""
    return _ALIASES.get(name.lower())


_HOST: Final = parse_arch(os.uname().machine)


def host_arch() -> Arch | None:
    """Return the architecture of this host, or None where no KVM guest of ours can run."""
    return _HOST
