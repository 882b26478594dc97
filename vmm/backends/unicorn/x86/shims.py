"""Machine code for hooks where Python may not run, or would be too slow.

Delivery of an exception may end in a ``longjmp`` out of the hook, which must not cross a frame of
the interpreter. SYSCALL, whose work the engine leaves to a hook, and RDTSC are here for speed: 56
and 38 ns where hooks in Python take 2 us and 0.4 us.

The code of each host architecture is a module of listings, with bytes on the left of ``;`` and the
assembler's text on the right. In the bytes, ``{name}`` is the 32-bit offset of a field in the CPU
state, ``[name]`` a 64-bit word such as the address of a function, and ``>label`` a short jump. A
test assembles the text and compares.

``DELIVER_EXCEPTION`` has the engine deliver, after three repairs. The engine would abort the
process where it needs a stack from a task register that LTR loaded with the null selector: an empty
TSS gives the guest a #TS instead. It has stepped over INT n already, so that a fault during
delivery (#GP, where the gate's DPL forbids the call) would be reported behind the instruction: INT3
and INTO take one byte, others two; what a delivered INT pushes is kept in another field. And in
long mode the error codes of #NP and #GP that name a gate (bit 1) have its number times 16, not 8.

``SYSCALL`` is as in the APM, volume 3; outside long mode it is #UD, as on Intel's processors. The
engine adds the instruction's length to RIP afterwards and does not tell it, so prefixes are counted
(0F 05 ends the instruction): a program could enter its kernel behind LSTAR otherwise. At the end
the engine's hidden flags get CPL 0 and 64-bit code.

``RDTSC`` and ``RDTSCP`` give nanoseconds of CLOCK_MONOTONIC plus the state's offset, times two: see
`cpuid`. Their answer 1 keeps the engine from reading the host's own counter.

``CPUID`` answers the leaves of a table, see `cpuid`, and leaves others to the engine.

``READ_PORT`` and ``WRITE_PORT`` close ports to programs. The engine lets every ring access every
port; where CPL is greater than IOPL, its own check is called first, which looks at the I/O
permission bitmap and raises #GP.
"""

from __future__ import annotations

import os

from vmm.backends.unicorn.layout import (
    X86_CSTAR,
    X86_EFER,
    X86_EFLAGS,
    X86_EIP,
    X86_ERROR_CODE,
    X86_EXCEPTION_IS_INT,
    X86_FMASK,
    X86_HFLAGS,
    X86_LSTAR,
    X86_REGS,
    X86_SEGS,
    X86_STAR,
    X86_TR,
    X86_TSC_AUX,
    X86_TSC_OFFSET,
)
from vmm.backends.unicorn.shim import map_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Mapping
    from types import ModuleType
    from typing import Final

    from vmm.backends.unicorn.internals import EngineState
    from vmm.backends.unicorn.library import CData, Library

# Fields of the CPU state.
_CS: Final = X86_SEGS + 24
_SS: Final = X86_SEGS + 48
OFFSETS: Final = {
    "rax": X86_REGS,
    "rcx": X86_REGS + 8,
    "rdx": X86_REGS + 16,
    "rbx": X86_REGS + 24,
    "r11": X86_REGS + 88,
    "rip": X86_EIP,
    "rflags": X86_EFLAGS,
    "hflags": X86_HFLAGS,
    "efer": X86_EFER,
    "star": X86_STAR,
    "lstar": X86_LSTAR,
    "cstar": X86_CSTAR,
    "fmask": X86_FMASK,
    "tsc_aux": X86_TSC_AUX,
    "tsc_offset": X86_TSC_OFFSET,
    "tr.flags": X86_TR + 20,
    "error_code": X86_ERROR_CODE,
    "exception_is_int": X86_EXCEPTION_IS_INT,
    "cs.selector": _CS,
    "cs.base": _CS + 8,
    "cs.limit": _CS + 16,
    "cs.flags": _CS + 20,
    "ss.selector": _SS,
    "ss.base": _SS + 8,
    "ss.limit": _SS + 16,
    "ss.flags": _SS + 20,
}

_FUNCTIONS: Final = (
    "clock_gettime",
    "cpu_ldub_code_x86_64",
    "helper_read_eflags_x86_64",
    "helper_write_eflags_x86_64",
    "raise_exception_x86_64",
    "x86_cpu_do_interrupt_x86_64",
)

_PORT_CHECKS: Final = (
    "helper_check_iob_x86_64",
    "helper_check_iow_x86_64",
    "helper_check_iol_x86_64",
)

_LISTINGS: Final = (
    "DELIVER_EXCEPTION",
    "SYSCALL",
    "RDTSC",
    "RDTSCP",
    "CPUID",
    "READ_PORT",
    "WRITE_PORT",
)
_ALIGNMENT: Final = 64


class Shims:
    """Where the machine code is. A hook's user data is the address of the CPU state, or else said.

    Attributes:
        deliver_exception: for ``UC_HOOK_INTR``.
        syscall: for SYSCALL.
        rdtsc: for RDTSC.
        rdtscp: for RDTSCP.
        cpuid: for CPUID, with `cpuid.table`.
        read_port: for IN, with `new_port_guard`.
        write_port: for OUT, with `new_port_guard`.
    """

    def __init__(self, addresses: list[int]) -> None:
        (
            self.deliver_exception,
            self.syscall,
            self.rdtsc,
            self.rdtscp,
            self.cpuid,
            self.read_port,
            self.write_port,
        ) = addresses


# Kept for the life of the process, once loaded: engines hold addresses in the page.
_loaded: list[tuple[Shims, mmap.mmap]] = []


def load_shims(library: Library, state: EngineState) -> Shims | None:
    """Return the shims, or None where this host cannot run them or does not allow it."""
    if not _loaded:
        _load(library, state.cpu - state.env)
    return _loaded[0][0] if _loaded else None


def new_port_guard(library: Library, env: int, python: CData) -> CData:
    """Return the user data of a port hook: the state, what to call, checks by an access's size."""
    byte, word, double = [library.address_of(name) or 0 for name in _PORT_CHECKS]
    target = int(library.ffi.cast("uintptr_t", python))
    return library.ffi.new("uint64_t[6]", [env, target, byte, word, 0, double])


def _load(library: Library, cpu: int) -> None:
    listings = _listings(os.uname().machine)
    words = {name: library.address_of(name) or 0 for name in (*_FUNCTIONS, *_PORT_CHECKS)}
    if listings is None or not all(words.values()):
        return
    words["cpu"] = cpu & 0xFFFF_FFFF_FFFF_FFFF
    offsets = {**OFFSETS, "cpu": cpu}
    code = b""
    starts = []
    for name in _LISTINGS:
        starts.append(len(code))
        shim = assemble(getattr(listings, name), offsets, words)
        code += shim + bytes(-len(shim) % _ALIGNMENT)
    page = map_code(code)
    if page is not None:
        base = int(library.ffi.cast("uintptr_t", library.ffi.from_buffer(page)))
        _loaded.append((Shims([base + start for start in starts]), page))


def _listings(machine: str) -> ModuleType | None:
    if machine == "x86_64":
        from vmm.backends.unicorn.x86 import shims_x86_64

        return shims_x86_64
    if machine == "aarch64":
        from vmm.backends.unicorn.x86 import shims_aarch64

        return shims_aarch64
    return None


def assemble(listing: str, offsets: Mapping[str, int], words: Mapping[str, int]) -> bytes:
    """Return the machine code of ``listing``; it may be placed anywhere."""
    code = bytearray()
    labels: dict[str, int] = {}
    jumps: list[tuple[int, str]] = []
    fromhex = bytes.fromhex
    for line in listing.splitlines():
        left = line.partition(";")[0].strip()
        if left.endswith(":"):
            labels[left[:-1]] = len(code)
            continue
        for token in left.split():
            kind = token[0]
            if kind == "{":
                field, _, extra = token[1:-1].partition("+")
                offset = offsets[field] + int(extra or 0)
                code += offset.to_bytes(4, "little", signed=True)
            elif kind == "[":
                code += words[token[1:-1]].to_bytes(8, "little")
            elif kind == ">":
                jumps.append((len(code), token[1:]))
                code.append(0)
            else:
                code += fromhex(token)
    for place, label in jumps:
        distance = labels[label] - (place + 1)
        code[place : place + 1] = distance.to_bytes(1, "little", signed=True)
    return bytes(code)
