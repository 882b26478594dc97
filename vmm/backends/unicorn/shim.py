"""Native code of ours: the hook that hands exceptions to the engine's own delivery.

A hook in Python costs half a microsecond, for each system call of a guest, and the engine may leave
the delivery with a ``longjmp`` (when pushing an x86 exception frame faults), which must not cross
Python's frames. So a few instructions decide: most exceptions go straight to the engine, a chosen
few to Python.

The code is position independent and reads what it needs from the hook's user data::

    struct dispatch {
        uint64_t to_python[4];      /* bit n: exception n goes to Python; all above 255 do */
        void *cpu;                  /* CPUState */
        void (*deliver)(void *cpu); /* the engine's do_interrupt */
        uc_cb_hookintr_t python;
    };
"""

from __future__ import annotations

import mmap
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.unicorn.library import CData, Library

# hook(rdi = engine, esi = exception, rdx = struct dispatch *)
_X86_64: Final = bytes.fromhex(
    "81feff000000"  # cmp  esi, 255
    "770c"  #         ja   python
    "0fa332"  #       bt   [rdx], esi
    "7207"  #         jc   python
    "488b7a20"  #     mov  rdi, [rdx + 32]
    "ff6228"  #       jmp  [rdx + 40]
    "ff6230"  # python: jmp [rdx + 48]
)

# hook(x0 = engine, w1 = exception, x2 = struct dispatch *)
_AARCH64: Final = bytes.fromhex(
    "3ffc0371"  # cmp  w1, #255
    "e8000054"  # b.hi python
    "237c0653"  # lsr  w3, w1, #6
    "445863f8"  # ldr  x4, [x2, w3, uxtw #3]
    "8424c19a"  # lsr  x4, x4, x1          (by x1 modulo 64)
    "64000037"  # tbnz w4, #0, python
    "401042a9"  # ldp  x0, x4, [x2, #32]
    "80001fd6"  # br   x4
    "441840f9"  # python: ldr x4, [x2, #48]
    "80001fd6"  # br   x4
)

_CODE: Final = {"x86_64": _X86_64, "aarch64": _AARCH64}

# Kept for the life of the process: engines hold its address.
_page: mmap.mmap | None = None


def load_dispatcher(library: Library) -> int | None:
    """Return the address of the hook, or None where this host cannot run or does not allow it."""
    global _page
    if _page is None:
        code = _CODE.get(os.uname().machine)
        _page = map_code(code) if code else None
    if _page is None:
        return None
    ffi = library.ffi
    return int(ffi.cast("uintptr_t", ffi.from_buffer(_page)))


def map_code(code: bytes) -> mmap.mmap | None:
    """Return pages that hold ``code`` and may be executed, or None where this is not allowed.

    They are never writable: the bytes come from a file in memory.
    """
    size = len(code) + -len(code) % mmap.PAGESIZE
    fd = os.memfd_create("unicorn-shim", os.MFD_CLOEXEC)
    try:
        os.write(fd, code.ljust(size, b"\0"))
        return mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    except OSError:
        return None
    finally:
        os.close(fd)


def new_dispatch(
    library: Library, cpu: int, deliver: int, python: CData, exceptions: tuple[int, ...]
) -> CData:
    """Return the hook's user data; only ``exceptions`` and those above 255 go to ``python``."""
    words = [0, 0, 0, 0, cpu, deliver, int(library.ffi.cast("uintptr_t", python))]
    for number in exceptions:
        words[number // 64] |= 1 << number % 64
    return library.ffi.new("uint64_t[7]", words)
