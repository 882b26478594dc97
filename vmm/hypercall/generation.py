"""The generation number (``struct calypso_generation``): it tells that RAM was restored.

It is what ACPI's VM Generation ID is to other guests, with the entropy for the new start beside it.
"""

from __future__ import annotations

import os

from vmm.hypercall import abi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.memory import GuestMemory

_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


def renew(memory: GuestMemory, gpa: int) -> None:
    """Begin a new generation in the structure at ``gpa``, with a fresh seed.

    The number counts on from the one in RAM, which the guest, with whatever past, knows at most.
    """
    memory.write(gpa + abi.GENERATION_SEED_OFFSET, os.urandom(abi.SEED_LENGTH))
    memory.write_u64(gpa, memory.read_u64(gpa) + 1 & _MASK)
