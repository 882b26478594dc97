"""A small Hermit unikernel for uhyve's interface, position-independent, built field by field."""

from __future__ import annotations

import struct

from tests.vmm.backends.assemble import assemble
from tests.vmm.images.elf_maker import PT_LOAD, PT_NOTE, ElfMaker, Part, R, W, X, note

PT_DYNAMIC = 2
CODE, DATA = 0x1000, 0x2000
# In the data segment: a pointer to the text, relocated; room for arguments; dynamic section, table.
TEXT, SIZES, ARRAYS, STRINGS, DYNAMIC, TABLE = (
    *(DATA + 0x40, DATA + 0x1000, DATA + 0x2000, DATA + 0x3000),
    *(DATA + 0x100, DATA + 0x200),
)
RELATIVE = 8

# Prints the text by its relocated pointer, its own address of it as a descriptor's write, and the
# last argument; exits with the number of arguments.
_SOURCE = f"""
    mov al, 0x3e
    mov dx, 0x800
    out dx, al
    lea rax, [rip + {DATA - CODE} - 14]

    mov rbp, rax
    mov dx, 0x880
    out dx, eax
    lea rax, [rbp + 0x20]
    mov dword ptr [rax], 1
    mov rcx, [rbp]
    mov [rax + 4], rcx
    mov qword ptr [rax + 12], 5
    mov dx, 0x400
    out dx, eax
    lea rax, [rbp + {SIZES - DATA}]
    mov dx, 0x740
    out dx, eax
    mov ecx, [rax]
    lea rsi, [rbp + {STRINGS - DATA}]
    lea rdi, [rbp + {ARRAYS - DATA} + 16]
    mov [rbp + {ARRAYS - DATA}], rdi
    mov [rbp + {ARRAYS - DATA} + 8], rdi
1:  mov [rdi], rsi
    add rsi, 64
    add rdi, 8
    loop 1b
    lea rax, [rbp + {ARRAYS - DATA}]
    mov dx, 0x780
    out dx, eax
    lea rsi, [rsi - 64]
2:  lodsb
    test al, al
    jz 3f
    mov dx, 0x800
    out dx, al
    jmp 2b
3:  lea rax, [rbp + {SIZES - DATA}]
    mov dx, 0x540
    out dx, eax
    hlt
"""


def unikernel(version: bytes = b"\x04", relocation: int = RELATIVE, offset: int = DATA) -> bytes:
    """A unikernel with one relocation of the type ``relocation`` at ``offset``."""
    code = assemble("x86_64", _SOURCE, CODE).code
    data = bytearray(0x400)
    struct.pack_into("<QQ", data, 0, 0, 5)
    data[TEXT - DATA : TEXT - DATA + 5] = b"text\n"
    struct.pack_into("<6Q", data, DYNAMIC - DATA, 7, TABLE, 8, 24, 0, 0)
    struct.pack_into("<QQq", data, TABLE - DATA, offset, relocation, TEXT)
    return ElfMaker(
        type=3,
        entry=CODE,
        parts=[
            Part(PT_LOAD, R | X, CODE, code),
            Part(PT_LOAD, R | W, DATA, bytes(data), memory_size=0x6000),
            Part(PT_DYNAMIC, R | W, DYNAMIC, bytes(data[DYNAMIC - DATA :][:48]), alignment=8),
            Part(PT_NOTE, R, 0, note(b"HERMIT", 0x5A00, version), alignment=4),
        ],
    ).build()
