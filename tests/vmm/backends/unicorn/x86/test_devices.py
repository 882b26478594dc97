"""The x86_64 vCPU and devices: ports, memory-mapped registers, kicks."""

from __future__ import annotations

import pytest

from tests.vmm.backends.unicorn.conftest import MakeGuest
from tests.vmm.backends.unicorn.x86.guest import ENTER_USER, MMIO, SCRATCH
from vmm.backends.exits import Halted, Interrupted

# ---- Ports ----


def test_ports_of_all_sizes(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        """
        start:
            movabs rax, 0x1122334455667788
            mov edx, 0xC0DE
            out dx, al
            out dx, ax
            out dx, eax
            out 0x80, al
            out 0x81, eax
            in al, dx
            mov rbx, rax
            in ax, dx
            mov rcx, rax
            in eax, dx
            hlt
        """
    )
    guest.bus.answer = lambda _port, size: 0xA1B2_C3D4 & (1 << 8 * size) - 1
    assert guest.run() == Halted()
    assert guest.bus.accesses == [
        ("out", 0xC0DE, 1, 0x88),
        ("out", 0xC0DE, 2, 0x7788),
        ("out", 0xC0DE, 4, 0x5566_7788),
        ("out", 0x80, 1, 0x88),
        ("out", 0x81, 4, 0x5566_7788),
        ("in", 0xC0DE, 1, 0xD4),
        ("in", 0xC0DE, 2, 0xC3D4),
        ("in", 0xC0DE, 4, 0xA1B2_C3D4),
    ]
    assert guest.register("rbx") == 0x1122_3344_5566_77D4
    assert guest.register("rcx") == 0x1122_3344_5566_C3D4
    assert guest.register("rax") == 0xA1B2_C3D4


def test_string_ports(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            lea rsi, [rip + text]
            mov ecx, 5
            mov edx, 0x3F8
            rep outsb
            mov ecx, 2
            rep outsw
            mov edi, {SCRATCH}
            mov ecx, 3
            mov edx, 0x1F0
            rep insd
            hlt
        text:
            .ascii "hello"
            .word 0x1234, 0x5678
        """
    )
    words = iter((0x0403_0201, 0x0807_0605, 0x0C0B_0A09))
    guest.bus.answer = lambda _port, _size: next(words)
    assert guest.run() == Halted()
    out = [(port, size, value) for kind, port, size, value in guest.bus.accesses if kind == "out"]
    assert out[:5] == [(0x3F8, 1, byte) for byte in b"hello"]
    assert out[5:] == [(0x3F8, 2, 0x1234), (0x3F8, 2, 0x5678)]
    assert guest.memory.read(SCRATCH, 12) == bytes(range(1, 13))
    assert guest.register("rcx") == 0
    assert guest.register("rsi") == guest["text"] + 9


@pytest.mark.parametrize("instruction", ["out 0x80, al", "in eax, 0x80", "rep outsb"])
def test_ports_are_closed_to_ring_3(x86_guest: MakeGuest, core: str, instruction: str) -> None:
    guest = x86_guest(
        f"""
        start:
            {ENTER_USER}
        user:
            mov esi, {SCRATCH}
            mov ecx, 3
            mov edx, 0x80
        access:
            {instruction}
            ud2
        on_6:
            hlt
        on_13:
            pop rax
            pop rbx
            hlt
        """
    )
    assert guest.run() == Halted()
    assert guest.bus.accesses == []
    if core == "native":
        assert guest.register("rax") == 0
        assert guest.register("rbx") == guest["access"]


def test_iopl_opens_ports_to_ring_3(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            {ENTER_USER.replace("0x202", "0x3202")}
        user:
            out 0x80, al
            ud2
        on_6:
            hlt
        """
    )
    assert guest.run() == Halted()
    assert [access[:2] for access in guest.bus.accesses] == [("out", 0x80)]


# ---- Memory-mapped devices ----


def test_device_memory_of_all_sizes(x86_guest: MakeGuest, core: str) -> None:
    guest = x86_guest(
        f"""
        start:
            movabs rax, 0x1122334455667788
            mov edi, {MMIO}
            mov [rdi + 1], al
            mov [rdi + 2], ax
            mov [rdi + 4], eax
            mov [rdi + 8], rax
            movzx ebx, byte ptr [rdi + 1]
            movzx ecx, word ptr [rdi + 2]
            mov edx, [rdi + 4]
            mov rsi, [rdi + 8]
            hlt
        """
    )
    pattern = 0xF1E2_D3C4_B5A6_9788
    guest.bus.answer = lambda _address, size: pattern & (1 << 8 * size) - 1
    assert guest.run() == Halted()
    expected = [
        ("mmio write", MMIO + 1, 1, 0x88),
        ("mmio write", MMIO + 2, 2, 0x7788),
        ("mmio write", MMIO + 4, 4, 0x5566_7788),
        ("mmio write", MMIO + 8, 8, 0x1122_3344_5566_7788),
        ("mmio read", MMIO + 1, 1, 0x88),
        ("mmio read", MMIO + 2, 2, 0x9788),
        ("mmio read", MMIO + 4, 4, 0xB5A6_9788),
        ("mmio read", MMIO + 8, 8, pattern),
    ]
    if core == "native":
        assert guest.bus.accesses == expected
        assert guest.register("rsi") == pattern
    assert guest.bus.accesses[:3] == expected[:3]
    assert guest.register("rbx") == 0x88
    assert guest.register("rcx") == 0x9788
    assert guest.register("rdx") == 0xB5A6_9788


def test_an_error_of_a_device_comes_out_of_run(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: in al, 0x10\n hlt")

    def fail(_port: int, _size: int) -> int:
        raise KeyError("of the device")

    guest.bus.answer = fail
    with pytest.raises(KeyError, match="of the device"):
        guest.run()


# ---- Kicks ----


def test_a_kick_ends_a_loop(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: jmp start")
    assert guest.run(0.05) == Interrupted()
    assert guest.register("rip") == guest["start"]


def test_a_kick_before_the_run_is_not_lost(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: hlt")
    guest.vcpu.kick()
    assert guest.run() == Interrupted()
    assert guest.run() == Halted()


def test_a_kick_by_a_device_ends_the_run_after_the_access(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            out 0x10, al
            jmp next
        next:
            mov qword ptr [{SCRATCH}], 1
            hlt
        """
    )
    guest.bus.on_write = lambda _port, _value: guest.vcpu.kick()
    assert guest.run() == Interrupted()
    assert guest.memory.read_u64(SCRATCH) == 0
    assert guest.run() == Halted()
    assert guest.memory.read_u64(SCRATCH) == 1


def test_stops_do_not_repeat_instructions(x86_guest: MakeGuest) -> None:
    """By default the engine executes an instruction twice when a stop comes in its midst."""
    rounds = 2_000_000
    guest = x86_guest(
        f"""
        start:
            mov ecx, {rounds}
            mov edi, {SCRATCH}
            mov eax, 1
        again:
            lock add qword ptr [rdi], 1
            lock xadd [rdi + 8], rbx
            inc qword ptr [rdi + 16]
            dec ecx
            jnz again
            hlt
        """
    )
    interruptions = 0
    while guest.run(0.000_2) == Interrupted():
        interruptions += 1
    assert interruptions > 20
    assert guest.memory.read_u64(SCRATCH) == rounds
    assert guest.memory.read_u64(SCRATCH + 16) == rounds


def test_no_address_ends_a_run(x86_guest: MakeGuest) -> None:
    """The engine takes an address to stop at, 0 if need be, and acts as if HLT were there."""
    guest = x86_guest("start: xor eax, eax\n jmp rax\n zero: mov ebx, 7\n hlt")
    guest.memory.write(0, guest.memory.read(guest["zero"], 16))
    assert guest.run() == Halted()
    assert guest.register("rbx") == 7


def test_undefined_instructions_reach_the_guest(x86_guest: MakeGuest) -> None:
    """The engine keeps #UD to itself unless told otherwise."""
    guest = x86_guest("start: .byte 0x0F, 0xFF\n jmp start\n on_6: hlt")
    assert guest.run() == Halted()
