"""Starts the `vmm` command of this checkout in an interpreter without `site`."""

import sys

root = __file__.rpartition("/scripts/")[0]
version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
sys.path.insert(0, root)
sys.path.append(f"{root}/.venv/lib/{version}/site-packages")
sys.argv[0] = "vmm"

import vmm.__main__  # noqa: E402, F401 - runs the command and ends the process
