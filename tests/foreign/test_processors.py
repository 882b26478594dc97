"""Machines of several vCPUs: they are started as hardware's are, and run at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.foreign.images import CODE, arm64_linked, linux_elf
from tests.vmm.backends.assemble import assemble
from vmm.errors import UsageError
from vmm.machine.machine import GuestTimeout, Machine

CPUS = 3
ROUNDS = 500
# Not every arm64 KVM has a GICv2.
BOARD = {"x86_64": "", "arm64": "gic=3"}
COUNTER = {"x86_64": 0xE000, "arm64": 0x4020_0000}

# The first vCPU copies a trampoline to 0xc000 and sends INIT and SIPI to all others by its local
# APIC; then each adds to the counter. The trampoline goes from real to protected mode.
X86 = f"""
    lea rsi, [rip + trampoline]
    mov edi, 0xc000
    mov ecx, 256
    rep movsb
    mov esi, 0xfee00000
    mov dword ptr [rsi + 0xf0], 0x1ff
    mov dword ptr [rsi + 0x300], 0xc4500
    mov ecx, 10000
1:  pause
    loop 1b
    mov dword ptr [rsi + 0x300], 0xc460c
    mov dword ptr [rsi + 0x300], 0xc460c
    mov ecx, {ROUNDS}
2:  lock inc dword ptr [0xe000]
    pause
    loop 2b
3:  pause
    cmp dword ptr [0xe000], {ROUNDS} * {CPUS}
    jb 3b
    cmp byte ptr [0xe008], 0
    jne stay
    mov dx, 0x604
    mov ax, 0x2000
    out dx, ax
stay:
    pause
    jmp stay
trampoline:
    .code16
    cli
    xor ax, ax
    mov ds, ax
    .byte 0xbb # mov bx, the table's address
    .word 0xc000 + table - trampoline
    lgdt [bx]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea
    .long 0xc000 + flat - trampoline
    .word 8
    .code32
flat:
    mov ax, 16
    mov ds, ax
    mov ecx, {ROUNDS}
4:  lock inc dword ptr [0xe000]
    pause
    loop 4b
5:  hlt
    jmp 5b
    .balign 8
table:
    .word 23
    .long 0xc000 + entries - trampoline
    .balign 8
entries:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
"""

# The first vCPU calls CPU_ON for all others; each finds its number in X0.
ARM64 = f"""
    movz x20, #1
1:  movz x0, #0xc400, lsl #16
    movk x0, #3
    mov x1, x20
    adr x2, other
    mov x3, x20
    hvc #0
    cbnz x0, failed
    add x20, x20, #1
    cmp x20, #{CPUS}
    b.ne 1b
    bl count
    movz x9, #0x4020, lsl #16
    movz w11, #{ROUNDS * CPUS}
2:  yield
    ldr w10, [x9]
    cmp w10, w11
    b.ne 2b
    ldrb w10, [x9, #8]
    cbnz w10, stay
off:
    movz w0, #0x8400, lsl #16
    movk w0, #8
    hvc #0
failed:
    b failed
other:
    mrs x4, mpidr_el1
    and x4, x4, #0xff
    cmp x4, x0
    b.ne failed
    bl count
    movz w0, #0x8400, lsl #16
    movk w0, #2
    hvc #0
stay:
    yield
    b stay
count:
    movz x9, #0x4020, lsl #16
    movz w12, #{ROUNDS}
3:  mov w10, #1
    ldadd w10, w11, [x9]
    yield
    subs w12, w12, #1
    b.ne 3b
    ret
"""

# The second vCPU calls a function until it returns 1, which the first one makes it do once it has
# been called.
PATCH = """
    adr x20, function
    movz x9, #0x4020, lsl #16
    movz x0, #0xc400, lsl #16
    movk x0, #3
    mov x1, #1
    adr x2, other
    hvc #0
    cbnz x0, failed
1:  ldr w10, [x9]
    cbz w10, 1b
    ldr w11, returns_one
    str w11, [x20]
    dc cvau, x20
    dsb ish
    ic ivau, x20
    dsb ish
    isb
2:  yield
    ldr w10, [x9, #4]
    cbz w10, 2b
    movz w0, #0x8400, lsl #16
    movk w0, #8
    hvc #0
failed:
    b failed
other:
    movz x9, #0x4020, lsl #16
    mov w10, #1
3:  bl function
    str w10, [x9]
    isb
    cbz w0, 3b
    str w10, [x9, #4]
4:  wfi
    b 4b
returns_one:
    mov w0, #1
function:
    mov w0, #0
    ret
"""


@pytest.fixture
def image(tmp_path: Path, arch: str) -> Path:
    path = tmp_path / "kernel"
    if arch == "x86_64":
        path.write_bytes(linux_elf(assemble(arch, X86, CODE["linux-elf"]).code))
    else:
        path.write_bytes(arm64_linked(assemble(arch, ARM64, CODE["arm64-linked"]).code))
    return path


def test_all_processors_count(image: Path, arch: str, backend: str) -> None:
    with Machine(image, backend=backend, cpus=CPUS, board=BOARD[arch]) as machine:
        assert machine.run(timeout=20) == 0
        assert machine.memory.read_u32(COUNTER[arch]) == ROUNDS * CPUS


def test_the_end_comes_from_outside(image: Path, arch: str, backend: str) -> None:
    with Machine(image, backend=backend, cpus=CPUS, board=BOARD[arch]) as machine:
        machine.memory.write(COUNTER[arch] + 8, b"\1")
        with pytest.raises(GuestTimeout):
            machine.run(timeout=0.5)


def test_code_that_another_processor_changed(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(arm64_linked(assemble("arm64", PATCH, CODE["arm64-linked"]).code))
    with Machine(path, backend="unicorn", cpus=2) as machine:
        assert machine.run(timeout=20) == 0


@pytest.mark.parametrize("cpus", [0, 17])
def test_as_many_as_there_can_be(tmp_path: Path, cpus: int) -> None:
    with pytest.raises(UsageError, match="are not between 1 and 16"):
        Machine(tmp_path, cpus=cpus)


def test_a_gicv2_knows_eight(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(arm64_linked(b"\0" * 64))
    with pytest.raises(UsageError, match="a GICv2 has at most 8 processors, not 9"):
        Machine(path, backend="unicorn", cpus=9, board="gic=2")
