"""Writes ``_ffi.py``, the bindings of libc's functions that `vmm.host.libc` uses.

Out-of-line ABI mode of cffi, so that neither a compiler nor cffi's parser is needed to run.
"""

from __future__ import annotations

import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent / "_ffi.py"

DECLARATIONS = """
struct open_how {
    uint64_t flags;
    uint64_t mode;
    uint64_t resolve;
};

/* The part of struct ifreq that TUNSETIFF looks at, and the rest of its length. */
struct ifreq {
    char ifr_name[16];
    int16_t ifr_flags;
    char rest[22];
};

int fallocate(int fd, int mode, int64_t offset, int64_t length);
int flock(int fd, int operation);
int ioctl(int fd, unsigned long request, ...);
long syscall(long number, ...);
"""


def main() -> int:
    """Write the module unless it is newer than this file."""
    if TARGET.exists() and TARGET.stat().st_mtime > Path(__file__).stat().st_mtime:
        return 0

    from cffi import FFI

    ffi = FFI()
    ffi.cdef(DECLARATIONS)
    ffi.set_source("_ffi", None)
    ffi.compile(tmpdir=str(TARGET.parent))
    TARGET.touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
