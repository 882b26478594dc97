"""Native code of ours: hooks that are called too often, or from where Python must not be.

A hook in Python costs half a microsecond, at each system call of a guest or at each block. And the
engine may leave the delivery of an exception by ``longjmp`` (when pushing an x86 exception frame
faults), which must not cross Python's frames. A few instructions each do it instead:

* ``dispatch``, an exception hook, hands most exceptions to the engine's own delivery and a chosen
  few to Python;
* ``stop``, a block hook, ends the run before the block if somebody has asked for that;
* ``count``, an instruction hook, counts;
* ``nothing``, for what must have a hook.

The code is position independent. What it needs is in the hook's user data::

    struct dispatch {
        uint64_t to_python[4];      /* bit n: exception n goes to Python; all above 255 do */
        void *cpu;                  /* CPUState */
        void (*deliver)(void *cpu); /* the engine's do_interrupt */
        uc_cb_hookintr_t python;
    };
    struct stop {
        uint64_t asked;
        uc_err (*uc_emu_stop)(uc_engine *);
        uint64_t made;              /* how often it was done */
    };
    uint64_t count;
"""

from __future__ import annotations

import mmap
import os
from errno import EMFILE

from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.unicorn.library import CData, Library

# dispatch(rdi = engine, esi = exception, rdx = struct dispatch *)
# stop and count(rdi = engine, rsi = address, edx = size, rcx = user data)
_X86_64_DISPATCH: Final = (
    "81feff000000"  # cmp  esi, 255
    "770c"  #         ja   1f
    "0fa332"  #       bt   [rdx], esi
    "7207"  #         jc   1f
    "488b7a20"  #     mov  rdi, [rdx + 32]
    "ff6228"  #       jmp  [rdx + 40]
    "ff6230"  #    1: jmp  [rdx + 48]
)
_X86_64_STOP: Final = (
    "48833900"  #     cmp  qword [rcx], 0
    "7501"  #         jne  1f
    "c3"  #           ret
    "48ff4110"  #  1: inc  qword [rcx + 16]
    "ff6108"  #       jmp  [rcx + 8]
)
_X86_64_COUNT: Final = (
    "48ff01"  #       inc  qword [rcx]
    "c3"  #           ret
)
_X86_64_NOTHING: Final = "c3"  # ret

# dispatch(x0 = engine, w1 = exception, x2 = struct dispatch *)
# stop and count(x0 = engine, x1 = address, w2 = size, x3 = user data)
_AARCH64_DISPATCH: Final = (
    "3ffc0371"  #     cmp  w1, #255
    "e8000054"  #     b.hi 1f
    "237c0653"  #     lsr  w3, w1, #6
    "445863f8"  #     ldr  x4, [x2, w3, uxtw #3]
    "8424c19a"  #     lsr  x4, x4, x1      (by x1 modulo 64)
    "64000037"  #     tbnz w4, #0, 1f
    "401042a9"  #     ldp  x0, x4, [x2, #32]
    "80001fd6"  #     br   x4
    "441840f9"  #  1: ldr  x4, [x2, #48]
    "80001fd6"  #     br   x4
)
_AARCH64_STOP: Final = (
    "640040f9"  #     ldr  x4, [x3]
    "440000b5"  #     cbnz x4, 1f
    "c0035fd6"  #     ret
    "640840f9"  #  1: ldr  x4, [x3, #16]
    "84040091"  #     add  x4, x4, #1
    "640800f9"  #     str  x4, [x3, #16]
    "640440f9"  #     ldr  x4, [x3, #8]
    "80001fd6"  #     br   x4
)
_AARCH64_COUNT: Final = (
    "640040f9"  #     ldr  x4, [x3]
    "84040091"  #     add  x4, x4, #1
    "640000f9"  #     str  x4, [x3]
    "c0035fd6"  #     ret
)
_AARCH64_NOTHING: Final = "c0035fd6"  # ret

_CODE: Final = {
    "x86_64": (_X86_64_DISPATCH, _X86_64_STOP, _X86_64_COUNT, _X86_64_NOTHING),
    "aarch64": (_AARCH64_DISPATCH, _AARCH64_STOP, _AARCH64_COUNT, _AARCH64_NOTHING),
}

_HOST: Final = os.uname().machine

# Bytes between the starts of two routines.
_SPACING: Final = 64


@value
class Shims:
    """Addresses of the routines."""

    dispatch: int
    stop: int
    count: int
    nothing: int


# The page that they are in, kept for the life of the process because engines hold its address.
_pages: list[mmap.mmap] = []


def load_shims(library: Library) -> Shims | None:
    """Return the routines, or None where this host cannot run them or does not allow it."""
    if not _pages:
        routines = _CODE.get(_HOST, ())
        page = map_code(b"".join(bytes.fromhex(code).ljust(_SPACING, b"\0") for code in routines))
        if page is None:
            return None
        _pages.append(page)
    ffi = library.ffi
    base = int(ffi.cast("uintptr_t", ffi.from_buffer(_pages[0])))
    return Shims(*(base + number * _SPACING for number in range(len(_CODE[_HOST]))))


def map_code(code: bytes) -> mmap.mmap | None:
    """Return pages that hold ``code`` and may be executed, or None where this is not possible.

    They are never writable: the bytes come from a file in memory.

    Raises:
        OSError: EMFILE, if this process may open no more files.
    """
    if not code:
        return None
    size = len(code) + -len(code) % mmap.PAGESIZE
    fd = os.memfd_create("unicorn-shim", os.MFD_CLOEXEC)
    try:
        os.write(fd, code.ljust(size, b"\0"))
        return mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    except OSError as error:
        if error.errno == EMFILE:
            raise
        return None
    finally:
        os.close(fd)


def new_dispatch(
    library: Library, cpu: int, deliver: int, python: CData, exceptions: tuple[int, ...]
) -> CData:
    """Return a ``struct dispatch``; only ``exceptions`` and those above 255 go to ``python``."""
    words = [0, 0, 0, 0, cpu, deliver, int(library.ffi.cast("uintptr_t", python))]
    for number in exceptions:
        words[number // 64] |= 1 << number % 64
    return library.ffi.new("uint64_t[7]", words)
