"""Images by name: the programs and kernels that come with the VMM, and programs on PATH."""

from __future__ import annotations

import os

from vmm.arch import X86_64, host_arch
from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.arch import Arch

ARTIFACTS: Final = os.path.join(os.path.dirname(os.path.dirname(__file__)), "artifacts")


def kernel_path(arch: Arch) -> str:
    """Return the path of our guest kernel for ``arch``."""
    return artifact(f"kernel-{arch}.elf")


def firmware_path(name: str) -> str:
    """Return the path of a firmware blob, for example ``entry-arm64.bin``."""
    return artifact(name)


def find_image(name: str, arch: Arch | None) -> str:
    """Return the path of the image's file.

    A name with a slash, or of a file that exists here, is a path; else a bundled program for
    ``arch`` (by default the host's); else a program on PATH.

    Raises:
        UsageError: if there is none.
    """
    if "/" in name or os.path.isfile(name):
        return name
    bundled = os.path.join(ARTIFACTS, "programs", arch or host_arch() or X86_64, name)
    if os.path.isfile(bundled):
        return bundled
    for folder in os.get_exec_path():
        candidate = os.path.join(folder, name)
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    if os.path.lexists(name):
        return name
    known = ", ".join(bundled_programs()) or "none"
    raise UsageError(f"{name}: no such file, bundled program ({known}) or program on PATH")


def bundled_programs() -> list[str]:
    """Return the names of the programs that come with the VMM."""
    folder = os.path.join(ARTIFACTS, "programs", X86_64)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def artifact(name: str) -> str:
    """Return the path of something that the build has made.

    Raises:
        UsageError: if it is not there.
    """
    path = os.path.join(ARTIFACTS, name)
    if not os.path.exists(path):
        raise UsageError(f"{path} is missing: build it with scripts/vmm, or install the package")
    return path
