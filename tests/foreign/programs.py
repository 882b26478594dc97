"""What the stand-in kernels do, in assembly: say what they were told, answer a key, end.

On x86 each prints its command line as its own protocol passes it, then a byte of its initrd; on
arm64 the magic number of the device tree's place, and the architecture version of the GIC.
Both then echo one key.
"""

from __future__ import annotations

from tests.foreign.images import CODE
from tests.vmm.backends.assemble import assemble

# How a PC is told to end, and the exit status of that.
X86_ENDS = {
    "acpi": ("mov dx, 0x604; mov ax, 0x2000; out dx, ax", 0),
    "debug-exit": ("mov dx, 0x501; mov al, 41; out dx, al", 83),
    "debug-exit-f4": ("mov dx, 0xf4; mov al, 3; out dx, al", 7),
    "i8042": ("mov dx, 0x64; mov al, 0xfe; out dx, al", 0),
}
ARM64_ENDS = {
    "off-hvc": ("movz w0, #0x8400, lsl #16; movk w0, #8; hvc #0", 0),
    "reset-hvc": ("movz w0, #0x8400, lsl #16; movk w0, #9; hvc #0", 0),
}

# Leave the command line's address in (R|E)SI, the initrd's in (R|E)DI, or end by 0x501 with the
# number of the check that failed.
_X86_PROLOGUES = {
    "multiboot": """
        .code32
        mov ecx, 1
        cmp eax, 0x2badb002
        jne wrong
        mov ecx, 2
        mov eax, [ebx]
        and eax, 0x24d
        cmp eax, 0x24d
        jne wrong
        mov esi, [ebx + 16]
        mov edi, [ebx + 24]
        mov edi, [edi]
    """,
    "multiboot2": """
        .code32
        mov ecx, 1
        cmp eax, 0x36d76289
        jne wrong
        lea ebp, [ebx + 8]
    next:
        mov eax, [ebp]
        test eax, eax
        jz found
        cmp eax, 1
        jne 1f
        lea esi, [ebp + 8]
    1:  cmp eax, 3
        jne 2f
        mov edi, [ebp + 8]
    2:  mov eax, [ebp + 4]
        add eax, 7
        and eax, -8
        add ebp, eax
        jmp next
    found:
    """,
    "pvh": """
        .code32
        mov ecx, 1
        cmp dword ptr [ebx], 0x336ec578
        jne wrong
        mov esi, [ebx + 24]
        mov edi, [ebx + 16]
        mov edi, [edi]
    """,
    "linux-elf": """
        mov ecx, 1
        cmp dword ptr [rsi + 0x202], 0x53726448
        jne wrong
        mov ecx, 2
        cmp word ptr [rsi + 0x1fe], 0xaa55
        jne wrong
        mov ecx, 3
        cmp byte ptr [rsi + 0x1e8], 4
        jne wrong
        mov edi, [rsi + 0x218]
        mov esi, [rsi + 0x228]
    """,
}
_X86_PROLOGUES["multiboot-flat"] = _X86_PROLOGUES["multiboot"]
_X86_PROLOGUES["bzimage"] = _X86_PROLOGUES["linux-elf"]

_X86 = """
    {prologue}
        mov dx, 0x3f8
    line:
        lodsb
        test al, al
        jz 1f
        out dx, al
        jmp line
    1:  mov al, 0x2c
        out dx, al
        mov al, [{di}]
        out dx, al
        mov dx, 0x3fd
    key:
        in al, dx
        test al, 1
        jz key
        mov dx, 0x3f8
        in al, dx
        out dx, al
        {end}
    1:  hlt
        jmp 1b
    wrong:
        mov dx, 0x501
        mov al, cl
        out dx, al
        jmp 1b
"""

_ARM64 = """
        ldr w10, [x{tree}]
        rev w10, w10
        movz w11, #0xd00d, lsl #16
        movk w11, #0xfeed
        cmp w10, w11
        mov w12, #0x44
        b.eq 1f
        mov w12, #0x3f
    1:  movz x8, #{uart_high}, lsl #16
        movk x8, #{uart_low}
        strb w12, [x8]
        movz x7, #0x0800, lsl #16
        mov w6, #{pidr2}
        ldr w5, [x7, x6]
        ubfx w5, w5, #4, #4
        add w5, w5, #0x30
        strb w5, [x8]
    key:
        ldrb w4, [x8, #{status}]
        {wait}
        ldrb w4, [x8]
        strb w4, [x8]
        {end}
    2:  wfi
        b 2b
"""


def x86(form: str, end: str) -> bytes:
    """Return the code for an image of ``form`` that ends by ``end``."""
    wide = "code32" not in _X86_PROLOGUES[form]
    source = _X86.format(
        prologue=_X86_PROLOGUES[form], end=X86_ENDS[end][0], di="rdi" if wide else "edi"
    )
    return assemble("x86_64", source, CODE[form]).code


def arm64(form: str, end: str) -> bytes:
    """Return the code for an image of ``form`` that ends by ``end``."""
    firecracker = form == "arm64-firecracker"
    source = _ARM64.format(
        # QEMU leaves the tree of an ELF kernel at the start of RAM and says nothing.
        tree="15" if form == "fixed-elf" else "0",
        uart_high="0x4000" if firecracker else "0x0900",
        uart_low="0x2000" if firecracker else "0",
        status=5 if firecracker else 0x18,
        wait="tbz w4, #0, key" if firecracker else "tbnz w4, #4, key",
        pidr2="0xfe8" if form in ("fixed-elf", "arm64-linked") else "0xffe8",
        end=ARM64_ENDS[end][0],
    )
    start = "movz x15, #0x4000, lsl #16\n" if form == "fixed-elf" else ""
    return assemble("arm64", start + source, CODE[form]).code
