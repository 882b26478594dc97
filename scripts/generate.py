"""Writes everything that is generated from sources and shipped in the wheel.

The guest's kernels and programs, and the cffi binding modules. Each generator does nothing where
its products are up to date, so running this often is cheap. What they read is listed in `set-up`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Each generator with what must be there once it has run.
GENERATORS = {
    "guest/build.py": (
        "vmm/artifacts/kernel-x86_64.elf",
        "vmm/artifacts/kernel-arm64.elf",
        "vmm/artifacts/syscalls.def",
        "vmm/artifacts/programs/x86_64/hello",
        "vmm/artifacts/programs/arm64/hello",
    ),
    "vmm/backends/kvm/build_ffi.py": (
        "vmm/backends/kvm/_ffi_x86_64.py",
        "vmm/backends/kvm/_ffi_arm64.py",
    ),
    "vmm/backends/unicorn/build_ffi.py": ("vmm/backends/unicorn/_ffi.py",),
    "vmm/host/build_ffi.py": ("vmm/host/_ffi.py",),
}


def generate(root: Path = ROOT) -> str | None:
    """Run every generator; return what went wrong, or None."""
    for generator, products in GENERATORS.items():
        if not (root / generator).exists():
            return f"{generator} is missing"
        status = subprocess.run([sys.executable, generator], cwd=root, check=False).returncode
        if status != 0:
            return f"{generator} failed with exit status {status}"
        for product in products:
            if not (root / product).exists():
                return f"{generator} did not write {product}"
    return None


def main() -> int:
    """Generate; return the exit status."""
    problem = generate()
    if problem is not None:
        print(f"scripts/generate.py: {problem}", file=sys.stderr)
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
