"""The numbers of Linux's system calls by name, from the guest kernel's own table.

The table is ``guest/process/syscalls.def``; the build puts a copy of it beside the kernels.
"""

from __future__ import annotations

from vmm.arch import X86_64
from vmm.images.bundled import artifact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.arch import Arch

TABLE: Final = "syscalls.def"

_known: dict[Arch, dict[str, int]] = {}


def syscall_numbers(arch: Arch) -> dict[str, int]:
    """Return the number of each call that Linux has on ``arch``."""
    if arch not in _known:
        _known[arch] = _read(arch)
    return _known[arch]


def _read(arch: Arch) -> dict[str, int]:
    numbers = {}
    with open(artifact(TABLE), encoding="ascii") as file:
        for line in file:
            kind, _, rest = line.partition("(")
            fields = rest.partition(")")[0].split(", ")
            if kind in ("SYSCALL", "MISSING"):
                numbers[fields[0]] = int(fields[1 if arch == X86_64 else 2])
            elif kind in ("LEGACY_SYSCALL", "LEGACY_MISSING") and arch == X86_64:
                numbers[fields[0]] = int(fields[1])
    return numbers
