"""Writes the binding modules ``_ffi_<arch>.py`` from the cdef files (cffi, out-of-line ABI mode).

A written module needs neither a C compiler nor cffi's parser: importing it takes a millisecond.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def sources(arch: str) -> list[Path]:
    """Return the cdef files of ``arch``, in the order in which they are read."""
    return [HERE / "cdef_common.h", HERE / f"cdef_{arch}.h"]


def build(arch: str) -> None:
    """Write the module of ``arch`` unless it is newer than what it is made from."""
    target = HERE / f"_ffi_{arch}.py"
    made_from = [*sources(arch), Path(__file__)]
    if target.exists() and target.stat().st_mtime > max(f.stat().st_mtime for f in made_from):
        return

    from cffi import FFI

    ffi = FFI()
    for source in sources(arch):
        ffi.cdef(source.read_text())
    # The module's name matters to cffi only for the name of the file and in messages.
    ffi.set_source(target.stem, None)
    ffi.compile(tmpdir=str(HERE))
    target.touch()


def main() -> int:
    """Bring the modules of both architectures up to date."""
    for arch in ("x86_64", "arm64"):
        build(arch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
