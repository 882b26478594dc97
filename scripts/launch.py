"""Starts the `vmm` command of this checkout in an interpreter without `site`."""

import os
import sys


def is_current(root: str) -> bool:
    """Tell whether nothing that the generators read changed since they last ran.

    A directory is newer when a file in it came or went.
    """
    try:
        with open(f"{root}/.venv/sources") as file:
            generated = os.fstat(file.fileno()).st_mtime_ns
            names = file.read().splitlines()
        return all(os.stat(f"{root}/{name}").st_mtime_ns <= generated for name in names)
    except OSError:
        return False


def set_up(root: str) -> None:
    """Generate anew; what that prints is not the guest's output."""
    import subprocess

    status = subprocess.run([f"{root}/scripts/set-up"], stdout=2, check=False).returncode
    if status:
        sys.exit(status)


root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if not is_current(root):
    set_up(root)
version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
sys.path.insert(0, root)
sys.path.append(f"{root}/.venv/lib/{version}/site-packages")
sys.argv[0] = "vmm"

import vmm.__main__  # noqa: E402, F401 - runs the command and ends the process
