"""Programs in a directory that is to be a machine's root file system."""

from __future__ import annotations

import os
from errno import ENOENT, ENOTDIR

from vmm.errors import UsageError
from vmm.host import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Where a program is looked for that is named without a slash.
FOLDERS: Final = ("usr/local/bin", "usr/bin", "bin", "usr/local/sbin", "usr/sbin", "sbin")


def find_in_root(directory: str, name: str) -> tuple[str, str]:
    """Return the absolute path of program ``name`` in ``directory``, and its path on this host.

    Symbolic links lead where they would lead in the machine.

    Raises:
        UsageError: if there is no such file.
    """
    paths = [name] if "/" in name else [f"{folder}/{name}" for folder in FOLDERS]
    try:
        top = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"--root {directory}: {error.strerror}") from None
    try:
        for path in paths:
            found = _resolve(top, path)
            if found:
                return os.path.normpath(f"/{path}"), found
    except OSError as error:
        raise UsageError(f"{name} in {directory}: {error.strerror}") from None
    finally:
        os.close(top)
    raise UsageError(f"{name}: no such program in {directory}")


def _resolve(top: int, path: str) -> str:
    """Return the path on this host of a file beneath ``top``, "" if there is none."""
    name = os.fsencode(path)
    try:
        fd = libc.openat2(top, name, os.O_PATH, 0, libc.RESOLVE_IN_ROOT)
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR):
            return ""
        raise
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
