"""Translated code stays what memory says, whichever address it is written through.

The engine translates a guest's code once and watches the page for writes. It forgets to in two
cases, and then executes what is not there any more:

* It watches a page only at the virtual address where its code was first executed. A write through
  another mapping, which was written through before, is not seen. Kernels do just that: they fill a
  program's pages through a mapping of all RAM that is not executable.
* After the first write that it sees through a mapping that is not executable it does not watch
  that mapping any more, although code of the page that the write did not touch stays translated.

Both are put right where the engine calls its own functions, in the table through which a shared
library calls exported functions (the global offset table):

* ``tlb_protect_code``, which does nothing, is called when the first code of a page is translated:
  `first_block` makes the engine watch the page in *all* mappings.
* ``tlb_set_dirty``, called when a mapping is not to be watched any more: `write_unwatched` first
  drops all translations of the page, so that there is nothing left to watch. Which page that is
  was noted by `write_seen`, in a field of the engine that only MIPS uses.
* ``tlb_reset_dirty_by_vaddr`` then has nothing to do for each and every piece of code translated,
  which shortens translation by a fifth.

All engines of the process share the table; for those of others the change is as true.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from struct import pack

from vmm.backends.unicorn.shim import map_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from typing import Final

    from vmm.backends.unicorn.layout import Layout
    from vmm.backends.unicorn.library import Library

# What goes into the table of `layout`, in its order; each name ends in that of the target.
REDIRECTED: Final = (
    "tlb_protect_code",
    "tb_invalidate_phys_page_fast",
    "tlb_set_dirty",
    "tlb_reset_dirty_by_vaddr",
)

# The routines find this table of 64-bit words in front of them:
#   map_ram, reset_dirty, invalidate_fast, invalidate_range, set_dirty: functions of the engine
#   uc_cpu, cpu_uc, uc_next_pc: offsets, see `layout`
_CALLED: Final = (
    "qemu_map_ram_ptr",
    "tlb_reset_dirty",
    "tb_invalidate_phys_page_fast",
    "tb_invalidate_phys_range",
    "tlb_set_dirty",
)
_TABLE_SIZE: Final = 64

# first_block(rdi = uc, rsi = offset of the page in the engine's RAM)
_X86_64_FIRST_BLOCK: Final = (
    "53"  #               push rbx
    "488b05e0ffffff"  #   mov  rax, [rip + uc_cpu]
    "488b1c07"  #         mov  rbx, [rdi + rax]
    "4889f2"  #           mov  rdx, rsi
    "31f6"  #             xor  esi, esi
    "ff15a9ffffff"  #     call [rip + map_ram]
    "4889df"  #           mov  rdi, rbx
    "4889c6"  #           mov  rsi, rax
    "ba00100000"  #       mov  edx, 4096
    "5b"  #               pop  rbx
    "ff259fffffff"  #     jmp  [rip + reset_dirty]
)
# write_seen(rdi = uc, rsi, rdx = offset of what is written in the engine's RAM, …)
_X86_64_WRITE_SEEN: Final = (
    "488b05c8ffffff"  #   mov  rax, [rip + uc_next_pc]
    "48891407"  #         mov  [rdi + rax], rdx
    "ff2596ffffff"  #     jmp  [rip + invalidate_fast]
)
# write_unwatched(rdi = cpu, rsi = virtual address)
_X86_64_WRITE_UNWATCHED: Final = (
    "57"  #               push rdi
    "56"  #               push rsi
    "4883ec08"  #         sub  rsp, 8
    "488b05a9ffffff"  #   mov  rax, [rip + cpu_uc]
    "488b3c07"  #         mov  rdi, [rdi + rax]
    "488b05a6ffffff"  #   mov  rax, [rip + uc_next_pc]
    "488b3407"  #         mov  rsi, [rdi + rax]
    "4881e600f0ffff"  #   and  rsi, -4096
    "488d9600100000"  #   lea  rdx, [rsi + 4096]
    "ff156effffff"  #     call [rip + invalidate_range]
    "4883c408"  #         add  rsp, 8
    "5e"  #               pop  rsi
    "5f"  #               pop  rdi
    "ff256affffff"  #     jmp  [rip + set_dirty]
)
_X86_64_NOTHING: Final = "c3"  # ret

_AARCH64_FIRST_BLOCK: Final = (
    "fd7bbea9"  #         stp  x29, x30, [sp, #-32]!
    "f30b00f9"  #         str  x19, [sp, #16]
    "10ffff58"  #         ldr  x16, uc_cpu
    "136870f8"  #         ldr  x19, [x0, x16]
    "e20301aa"  #         mov  x2, x1
    "010080d2"  #         mov  x1, #0
    "50fdff58"  #         ldr  x16, map_ram
    "00023fd6"  #         blr  x16
    "e10300aa"  #         mov  x1, x0
    "e00313aa"  #         mov  x0, x19
    "020082d2"  #         mov  x2, #4096
    "f30b40f9"  #         ldr  x19, [sp, #16]
    "fd7bc2a8"  #         ldp  x29, x30, [sp], #32
    "b0fcff58"  #         ldr  x16, reset_dirty
    "00021fd6"  #         br   x16
)
_AARCH64_WRITE_SEEN: Final = (
    "f0fdff58"  #         ldr  x16, uc_next_pc
    "026830f8"  #         str  x2, [x0, x16]
    "70fcff58"  #         ldr  x16, invalidate_fast
    "00021fd6"  #         br   x16
)
_AARCH64_WRITE_UNWATCHED: Final = (
    "fd7bbea9"  #         stp  x29, x30, [sp, #-32]!
    "e00701a9"  #         stp  x0, x1, [sp, #16]
    "f0fcff58"  #         ldr  x16, cpu_uc
    "006870f8"  #         ldr  x0, [x0, x16]
    "f0fcff58"  #         ldr  x16, uc_next_pc
    "016870f8"  #         ldr  x1, [x0, x16]
    "21cc7492"  #         and  x1, x1, #-4096
    "22044091"  #         add  x2, x1, #4096
    "70fbff58"  #         ldr  x16, invalidate_range
    "00023fd6"  #         blr  x16
    "e00741a9"  #         ldp  x0, x1, [sp, #16]
    "fd7bc2a8"  #         ldp  x29, x30, [sp], #32
    "30fbff58"  #         ldr  x16, set_dirty
    "00021fd6"  #         br   x16
)
_AARCH64_NOTHING: Final = "c0035fd6"  # ret

# In the order of `REDIRECTED`.
_CODE: Final = {
    "x86_64": (
        _X86_64_FIRST_BLOCK,
        _X86_64_WRITE_SEEN,
        _X86_64_WRITE_UNWATCHED,
        _X86_64_NOTHING,
    ),
    "aarch64": (
        _AARCH64_FIRST_BLOCK,
        _AARCH64_WRITE_SEEN,
        _AARCH64_WRITE_UNWATCHED,
        _AARCH64_NOTHING,
    ),
}

# More than any build of the library takes: what its own table points to is no further away.
LIBRARY_SPAN: Final = 64 << 20

_guard = allocate_lock()
# By target, kept for the life of the process.
_pages: dict[str, mmap.mmap] = {}


def watch_all_writes(library: Library, layout: Layout, target: str) -> bool:
    """Redirect the calls for engines of ``target`` (``"aarch64"``, ``"x86_64"``), once.

    Returns False where this host does not let us run native code, or the library's table is not
    what `layout` says; then nothing has been changed.
    """
    with _guard:
        if target in _pages:
            return True
        routines = [bytes.fromhex(code) for code in _CODE.get(os.uname().machine, ())]
        table = _table(library, layout, target)
        page = map_code(table + b"".join(routines)) if table and routines else None
        slots = _slots(library, layout, target)
        if page is None or slots is None:
            return False
        ffi = library.ffi
        address = int(ffi.cast("uintptr_t", ffi.from_buffer(page))) + _TABLE_SIZE
        for slot, routine in zip(slots, routines, strict=True):
            ffi.cast("uintptr_t *", slot)[0] = address
            address += len(routine)
        _pages[target] = page
        return True


def _table(library: Library, layout: Layout, target: str) -> bytes | None:
    functions = [library.address_of(f"{name}_{target}") for name in _CALLED]
    if None in functions:
        return None
    return pack("<8Q", *functions, layout.uc_cpu, layout.cpu_uc, layout.uc_next_pc)


def _slots(library: Library, layout: Layout, target: str) -> list[int] | None:
    """Return the addresses of the table's entries, None if any does not hold a function's."""
    base = library.base_address()
    offsets = layout.got_aarch64 if target == "aarch64" else layout.got_x86_64
    slots = [base + offset for offset in offsets]
    for slot in slots:
        if not base < library.ffi.cast("uintptr_t *", slot)[0] < base + LIBRARY_SPAN:
            return None
    return slots
