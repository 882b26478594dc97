"""Keeps the engine's translated code within reach of its library.

Each translated block calls functions of the library. A call or jump of x86_64 reaches 2 GiB, and
what is farther takes an address in a register, in code that is larger and slower by some percent.
An engine has its buffer for translated code mapped wherever the kernel likes, which is near an
ordinary library, but far from one that is placed (see `placed`).

So in a placed copy a routine of ours stands before the C library's ``mmap``. Asked for memory that
may be executed, anywhere, it maps that within reach. Where exactly varies with the address of the
stack, which the kernel draws at random for each process and thread; what is there already stays
(``MAP_FIXED_NOREPLACE``; a kernel before 4.17 takes the address as a hint), the places behind it
are tried, and in the end any. So each engine gets a buffer, and nearly always one within reach.
"""

from __future__ import annotations

from struct import pack

from vmm.backends.unicorn.shared_object import DT_JMPREL, DT_PLTRELSZ, WORD, SharedObject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_MMAP: Final = frozenset(("mmap", "mmap64"))

# Both counted from the library's first byte. Buffers start before the second; then they end within
# 2 GiB. That they start at a huge page, as the kernel would have it, saves faults on their pages.
_HUGE_PAGE: Final = 2 << 20
_LAST: Final = (2 << 30) - (128 << 20)

# mmap(rdi = address, rsi = length, edx = protection, ecx = flags, r8d = file, r9 = offset)
_ROUTINE: Final = (
    "4885ff",  #               test  rdi, rdi
    "7555",  #                 jnz   3f
    "f6c204",  #               test  dl, PROT_EXEC
    "7450",  #                 jz    3f
    "f6c120",  #               test  cl, MAP_ANONYMOUS
    "744b",  #                 jz    3f
    "4189ca",  #               mov   r10d, ecx
    "4181ca00001000",  #       or    r10d, MAP_FIXED_NOREPLACE
    "89e7",  #                 mov   edi, esp
    "81e70000e03f",  #         and   edi, 0x3fe00000
    ("488d05", "first"),  #    lea   rax, [rip + first]
    "4801c7",  #               add   rdi, rax
    "b809000000",  #        1: mov   eax, SYS_mmap
    "0f05",  #                 syscall
    "483d00f0ffff",  #         cmp   rax, -4096
    "7626",  #                 jbe   4f
    "4883f8ef",  #             cmp   rax, -EEXIST
    "750f",  #                 jne   2f
    "4801f7",  #               add   rdi, rsi
    ("488d05", "last"),  #     lea   rax, [rip + last]
    "4839c7",  #               cmp   rdi, rax
    "72dc",  #                 jb    1b
    "31ff",  #              2: xor   edi, edi
    "4489d1",  #               mov   ecx, r10d
    "81e1ffffefff",  #         and   ecx, ~MAP_FIXED_NOREPLACE
    ("ff25", "slot"),  #    3: jmp   [rip + slot]
    "c3",  #                4: ret
)

# An entry of the procedure linkage table before the slot is bound (System V ABI, x86_64, 5.2):
# jmp [rip + slot]; push number, where the slot points to; jmp.
_JUMP_BY_SLOT: Final = b"\xff\x25"
_JUMP: Final = b"\xe9"
_DISPLACEMENT: Final = 4


def map_code_near(library: SharedObject, image: bytearray) -> None:
    """Let the library whose file is ``image`` map memory for code near itself.

    Raises:
        ValueError: if something in it is not as expected.
    """
    slot = _slot(library)
    entry = WORD.unpack_from(image, library.offset(slot))[0] - len(_JUMP_BY_SLOT) - _DISPLACEMENT
    at = library.offset(entry)
    call = _JUMP_BY_SLOT + _displacement(entry + len(_JUMP_BY_SLOT), slot)
    if image[at : at + len(call)] != call:
        raise ValueError("the entry for mmap is not as expected")
    routine = library.code_end
    jump = _JUMP + _displacement(entry + len(_JUMP), routine)
    image[at : at + len(jump)] = jump
    first = library.end + -library.end % _HUGE_PAGE
    library.append_code(_assemble(routine, {"first": first, "last": _LAST, "slot": slot}))


def _slot(library: SharedObject) -> int:
    """Return the address of the word by which the library calls the C library's ``mmap``."""
    for offset, info, _ in library.relocations(DT_JMPREL, DT_PLTRELSZ):
        if library.name(info >> 32) in _MMAP:
            return offset
    raise ValueError("the library does not call mmap")


def _assemble(start: int, targets: dict[str, int]) -> bytes:
    """Return the routine for address ``start``."""
    code = b""
    for instruction in _ROUTINE:
        if isinstance(instruction, str):
            code += bytes.fromhex(instruction)
            continue
        opcode, target = instruction
        code += bytes.fromhex(opcode)
        code += _displacement(start + len(code), targets[target])
    return code


def _displacement(at: int, target: int) -> bytes:
    """Return what ends an instruction, at address ``at``, so that it refers to ``target``."""
    return pack("<i", target - at - _DISPLACEMENT)
