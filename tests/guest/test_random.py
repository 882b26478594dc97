"""Random numbers: the cipher, the generator, and whom it trusts."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

import pytest
import unicorn
from elftools.elf.elffile import ELFFile
from unicorn import arm64_const, x86_const

from guest.build import ROOT
from tests.guest.systemlib import ARENA, system
from vmm import Machine

PAGE = 4096
ARGUMENTS, STACK, CALLER = 0x1_0000, 0x3_0000, 0x4_0000

CALLS = {
    "x86_64": (unicorn.UC_ARCH_X86, unicorn.UC_MODE_64),
    "arm64": (unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM),
}


@cache
def kernel_image(arch: str) -> tuple[bytes, int, dict[str, int]]:
    """Return the kernel as it is in memory, where that is, and the addresses in it by name."""
    with Path(ROOT / f"vmm/artifacts/kernel-{arch}.elf").open("rb") as file:
        elf = ELFFile(file)
        loads = list(elf.iter_segments("PT_LOAD"))
        start = loads[0]["p_vaddr"]
        image = bytearray(loads[-1]["p_vaddr"] + loads[-1]["p_memsz"] - start)
        for segment in loads:
            offset = segment["p_vaddr"] - start
            image[offset : offset + segment["p_filesz"]] = segment.data()
        symbols = elf.get_section_by_name(".symtab").iter_symbols()
        return bytes(image), start, {symbol.name: symbol["st_value"] for symbol in symbols}


def chacha20(arch: str, key: bytes, counter: int, nonce: bytes) -> bytes:
    """Run the function of the kernel image on a bare processor."""
    image, start, symbols = kernel_image(arch)
    engine = unicorn.Uc(*CALLS[arch])
    # The kernel's half of the address space may be beyond what an engine without paging reaches;
    # the code is position-independent.
    base = start & 0x7FFF_F000
    address = symbols["chacha20_block"] - start + base
    engine.mem_map(base, (len(image) + PAGE - 1) & -PAGE)
    engine.mem_write(base, image)
    for place in (ARGUMENTS, STACK, CALLER):
        engine.mem_map(place, PAGE)
    engine.mem_write(ARGUMENTS, key + nonce)
    into = ARGUMENTS + 256
    values = (ARGUMENTS, counter, ARGUMENTS + len(key), into)
    if arch == "x86_64":
        engine.mem_write(STACK + PAGE // 2, struct.pack("<Q", CALLER))
        engine.reg_write(x86_const.UC_X86_REG_RSP, STACK + PAGE // 2)
        names = [getattr(x86_const, f"UC_X86_REG_{name}") for name in ("RDI", "RSI", "RDX", "RCX")]
    else:
        engine.reg_write(arm64_const.UC_ARM64_REG_SP, STACK + PAGE // 2)
        engine.reg_write(arm64_const.UC_ARM64_REG_LR, CALLER)
        names = [getattr(arm64_const, f"UC_ARM64_REG_X{i}") for i in range(4)]
    for register, value in zip(names, values, strict=True):
        engine.reg_write(register, value)
    engine.emu_start(address, CALLER)
    return bytes(engine.mem_read(into, 64))


def test_chacha20_of_rfc_8439(arch: str) -> None:
    # Section 2.3.2.
    nonce = bytes.fromhex("000000090000004a00000000")
    assert chacha20(arch, bytes(range(32)), 1, nonce) == bytes.fromhex(
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )
    # Appendix A.1, test vectors 1 and 4.
    assert chacha20(arch, bytes(32), 0, bytes(12)) == bytes.fromhex(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    )
    assert chacha20(arch, b"\x00\xff" + bytes(30), 2, bytes(12)) == bytes.fromhex(
        "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
        "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096"
    )


def test_random_numbers_come_from_the_seed_and_do_not_repeat() -> None:
    def draw() -> list[bytes]:
        with system() as kernel:
            calls = [kernel.call("getrandom", ARENA, 40_000, 0) for _ in range(2)]
            assert calls == [40_000, 40_000]
            first = kernel.get(ARENA, 40_000)
            kernel.call("getrandom", ARENA, 40_000, 0)
            return [first, kernel.get(ARENA, 40_000)]

    first, second = draw()
    assert first != second
    # No block comes twice, within a call or between calls.
    blocks = {data[i : i + 64] for data in (first, second) for i in range(0, 40_000, 64)}
    assert len(blocks) == 2 * 40_000 // 64
    # With the same seed everywhere, the same numbers.
    assert draw() == [first, second]


def test_a_device_that_is_not_there_gives_nothing() -> None:
    with system() as kernel:
        fd = kernel.open("/dev/hwrng", 0)
        with pytest.raises(OSError, match="No such device"):
            kernel.read(fd, 8)


def draw(busybox: Path, device: str, cmdline: str = "") -> tuple[int, bytes]:
    """Boot, and read some bytes of a device: status, and the bytes as text."""
    words = ["od", "-A", "n", "-t", "x1", "-N", "13", f"/dev/{device}"]
    with Machine(busybox, words, backend="unicorn", cmdline=cmdline) as machine:
        return machine.run(timeout=20), machine.console.output


def test_the_hardware_gives_numbers(arch: str, busybox: Path) -> None:
    drawn = {draw(busybox, "hwrng") for _ in range(2)}
    assert len(drawn) == 2
    assert all(status == 0 and len(output.split()) == 13 for status, output in drawn)


def test_a_forced_seed_repeats_and_is_not_trusted(arch: str, busybox: Path) -> None:
    first = draw(busybox, "urandom", "random.seed=7")
    assert first[0] == 0
    assert draw(busybox, "urandom", "random.seed=7") == first
    assert draw(busybox, "urandom", "random.seed=8") != first
    assert draw(busybox, "random", "random.seed=7")[0] != 0
    assert draw(busybox, "random", "random.seed=7 random.insecure=1") == first


def test_only_trusted_numbers_are_given_where_they_are_asked_for() -> None:
    grnd_random = 2
    with system(command_line=b"random.seed=1") as kernel:
        assert kernel.call("getrandom", ARENA, 16, 0) == 16
        with pytest.raises(OSError, match="Input/output error"):
            kernel.call("getrandom", ARENA, 16, grnd_random)
    with system() as kernel:
        assert kernel.call("getrandom", ARENA, 16, grnd_random) == 16
