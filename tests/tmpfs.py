"""File systems of a few hundred kilobytes, to see what becomes of a guest when one is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# It is mounted where nobody else sees it; who ends the shell unmounts it.
_SCRIPT = 'mount -t tmpfs -o size="$1" none "$2" && echo mounted && read -r _'


@contextmanager
def tmpfs(directory: Path, size: str) -> Iterator[Path]:
    """Mount a tmpfs of ``size`` on ``directory``, and give the path by which to reach it.

    Raises:
        OSError: if this process may not mount anything, not even in a namespace of its own.
    """
    flags = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
    command = ["unshare", *flags, "sh", "-c", _SCRIPT, "sh", size, str(directory)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        assert shell.stderr is not None
        if shell.stdout.readline() != "mounted\n":
            raise OSError(f"cannot mount a tmpfs: {shell.stderr.read().strip()}")
        try:
            yield Path(f"/proc/{shell.pid}/root{directory}")
        finally:
            shell.stdin.close()
