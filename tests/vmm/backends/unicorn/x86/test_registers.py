"""Registers and page tables of an x86_64 vCPU, as the machine sees them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vmm.backends.unicorn.conftest import MakeGuest
from tests.vmm.backends.unicorn.x86.guest import (
    RAM,
    SCRATCH,
)
from vmm.backends.registers import DescriptorTable, Segment

# ---- Registers ----

GENERAL = [*"rax rcx rdx rbx rsp rbp rsi rdi rip cr2".split(), *(f"r{n}" for n in range(8, 16))]
WORDS = st.integers(0, (1 << 64) - 1)


def test_registers_are_kept(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: nop")

    @settings(max_examples=30)
    @given(st.dictionaries(st.sampled_from(GENERAL), WORDS))
    def check(values: dict[str, int]) -> None:
        before = guest.vcpu.registers()
        guest.vcpu.set_registers(values)
        assert guest.vcpu.registers() == {**before, **values}

    check()


def test_segments_tables_and_flags_are_kept(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: nop")
    values = {
        "fs": Segment(0x2B, 0x1234_5678_9ABC, 0xFFFF, 0x80F3),
        "gs": Segment(0, 0xFFFF_8000_0000_0000, 0, 0),
        "tr": Segment(0x30, 0x7000, 0x67, 0x8B),
        "ldt": Segment(0x48, 0x9000, 0xF, 0x82),
        "gdtr": DescriptorTable(0xFFFF_FFFF_8000_0000, 0x7F),
        "idtr": DescriptorTable(0x6000, 0xFFF),
        "rflags": 0x0024_0CD7,
        "cr0": 0x8001_0033,
        "cr3": 0x1000,
        "cr4": 0x6A0,
        "efer": 0xD01,
    }
    guest.vcpu.set_registers(values)
    registers = guest.vcpu.registers()
    assert {name: registers[name] for name in values} == values


def test_an_unknown_register_is_refused(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: nop")
    with pytest.raises(ValueError, match="no register 'x0'"):
        guest.vcpu.set_registers({"x0": 1})


def test_all_registers_reach_the_guest(x86_guest: MakeGuest) -> None:
    names = [name for name in GENERAL if name not in ("rip", "rsp", "cr2")]
    stores = "\n".join(f"mov [{SCRATCH} + {8 * i}], {name}" for i, name in enumerate(names))
    guest = x86_guest(
        f"""
        start:
            {stores}
            pushfq
            pop rax
            mov rbx, cr2
            mov rcx, gs:[8]
            hlt
        """
    )
    values = {name: 0x0101_0101_0101_0101 * (i + 1) for i, name in enumerate(names)}
    special = {"rflags": 0xCD7, "cr2": 0xDEAD_BEEF, "gs": Segment(0, SCRATCH, 0, 0)}
    guest.vcpu.set_registers({**values, **special})
    guest.run()
    found = {n: guest.memory.read_u64(SCRATCH + 8 * i) for i, n in enumerate(names)}
    assert found == values
    assert guest.register("rax") == 0xCD7
    assert guest.register("rbx") == 0xDEAD_BEEF
    assert guest.register("rcx") == values[names[1]]


def test_flags_set_by_instructions_are_read(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: std\n mov eax, 0x7FFFFFFF\n add eax, 1\n hlt")
    guest.run()
    # OF DF SF AF PF, and bit 1
    assert guest.register("rflags") == 0x800 | 0x400 | 0x80 | 0x10 | 0x4 | 2


# ---- Address translation ----


def test_translate(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: hlt")
    memory = guest.memory
    memory.write_u64(0x1000 + 8 * 511, 0x9000 | 3)
    memory.write_u64(0x9000 + 8 * 511, 0x4000_0000 | 0x83)  # 1 GiB
    memory.write_u64(0x9000 + 8 * 510, 0xA000 | 3)
    memory.write_u64(0xA000 + 8 * 3, 0xB000 | 3)
    memory.write_u64(0xB000 + 8 * 7, 0x12_3000 | 1 << 63 | 3)  # 4 KiB, no execution
    translate = guest.vcpu.translate
    assert translate(0x1234) == 0x1234
    assert translate(0x1F_FFFF) == 0x1F_FFFF
    assert translate(0x40_0000) is None
    assert translate(0xFFFF_FFFF_C123_4567) == 0x4123_4567
    assert translate(0xFFFF_FFFF_8000_0000 + (3 << 21) + (7 << 12) + 0xABC) == 0x12_3ABC
    assert translate(0x8000_0000_0000) is None  # not canonical
    assert translate(0x0000_7FFF_FFFF_FFFF) is None


def test_translate_without_paging(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: hlt", "protected")
    assert guest.vcpu.translate(0xFEE0_0000) == 0xFEE0_0000


def test_translate_in_the_legacy_modes(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: hlt", "protected")
    memory = guest.memory
    memory.write_u32(0x9000 + 4 * 1, 0xA000 | 3)
    memory.write_u32(0xA000 + 4 * 5, 0x12_3000 | 3)
    memory.write_u32(0x9000 + 4 * 768, 0x40_0000 | 0x83)  # 4 MiB
    guest.vcpu.set_registers({"cr0": 0x8000_0011, "cr3": 0x9000, "cr4": 0x10})
    assert guest.vcpu.translate(0x40_5678) == 0x12_3678
    assert guest.vcpu.translate(0xC012_3456) == 0x52_3456
    assert guest.vcpu.translate(0x5000_0000) is None
    memory.write_u64(0xB000 + 8 * 3, 0xC000 | 1)
    memory.write_u64(0xC000 + 8 * 1, 0x20_0000 | 0x83)  # 2 MiB
    guest.vcpu.set_registers({"cr3": 0xB000, "cr4": 0x20})
    assert guest.vcpu.translate(0xC020_1234) == 0x20_1234
    assert guest.vcpu.translate(0x1000) is None


def test_tables_outside_ram_map_nothing(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: hlt")
    guest.vcpu.set_registers({"cr3": RAM + 0x10_0000})
    assert guest.vcpu.translate(0) is None
