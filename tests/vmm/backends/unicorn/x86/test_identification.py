"""What an x86_64 vCPU says of itself: CPUID, model-specific registers."""

from __future__ import annotations

import threading

import pytest

from tests.vmm.backends.unicorn.conftest import MakeGuest
from vmm.backends.exits import Interrupted
from vmm.backends.unicorn.x86.vcpu import COUNTER_HZ
from vmm.errors import BackendUnavailable

CPUID = """
    start:
        mov eax, {leaf}
        xor ecx, ecx
        cpuid
        hlt
"""


def cpuid(x86_guest: MakeGuest, leaf: int) -> tuple[int, int, int, int]:
    guest = x86_guest(CPUID.format(leaf=leaf))
    guest.run()
    eax, ebx, ecx, edx = [guest.register(name) for name in ("rax", "rbx", "rcx", "rdx")]
    return eax, ebx, ecx, edx


def test_features(x86_guest: MakeGuest) -> None:
    _, ebx, ecx, edx = cpuid(x86_guest, 1)
    assert ebx >> 24 == 0
    for bit in (0, 9, 13, 19, 20, 23, 25, 30, 31):  # SSE3 to RDRAND, hypervisor
        assert ecx >> bit & 1
    for bit in (12, 21, 24, 28):  # FMA, x2APIC, TSC deadline, AVX
        assert not ecx >> bit & 1
    for bit in (4, 5, 6, 8, 9, 23, 24, 25, 26):  # TSC MSR PAE CX8 APIC MMX FXSR SSE SSE2
        assert edx >> bit & 1
    eax, _, ecx, edx = cpuid(x86_guest, 0x8000_0001)
    assert eax == cpuid(x86_guest, 1)[0]
    assert edx >> 29 & 1  # long mode
    assert not ecx >> 2 & 1  # SVM
    _, ebx, _, _ = cpuid(x86_guest, 7)
    assert not ebx >> 5 & 1  # AVX2
    assert edx >> 26 & 1  # 1 GiB pages
    assert ebx >> 18 & 1  # RDSEED
    assert ebx & ~(1 << 18) == 0x0018_0189
    assert not ebx >> 9 & 1  # ERMS


def test_a_native_vcpu_is_one_without_speculation(x86_guest: MakeGuest, core: str) -> None:
    eax, _, _, _ = cpuid(x86_guest, 1)
    assert eax == {"native": 0x0001_06CA, "public": 0x0005_06E3}[core]


def test_subleaves_are_the_engines(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: mov eax, 7\n mov ecx, 1\n cpuid\n hlt")
    guest.run()
    assert guest.register("rbx") == 0


def test_frequencies_are_told(x86_guest: MakeGuest) -> None:
    assert cpuid(x86_guest, 0)[0] >= 0x15
    denominator, numerator, crystal, _ = cpuid(x86_guest, 0x15)
    assert crystal * numerator // denominator == COUNTER_HZ
    assert cpuid(x86_guest, 0x16)[0] * 1_000_000 == COUNTER_HZ
    last, *signature = cpuid(x86_guest, 0x4000_0000)
    assert b"".join(word.to_bytes(4, "little") for word in signature) == b"TCGTCGTCGTCG"
    assert last == 0x4000_0010
    assert cpuid(x86_guest, 0x4000_0010)[:2] == (COUNTER_HZ // 1000, crystal // 1000)


def test_apic_id_is_the_vcpus_number(x86_guest: MakeGuest, core: str) -> None:
    guest = x86_guest(CPUID.format(leaf=1))
    if core == "public":
        with pytest.raises(BackendUnavailable, match="use one vCPU"):
            guest.vm.create_vcpu(5, guest.bus)
        return
    vcpu = guest.vm.create_vcpu(5, guest.bus)
    vcpu.parked = False
    vcpu.set_registers(guest.vcpu.registers())
    # It halts, and goes on waiting for an INIT.
    threading.Timer(0.1, vcpu.kick).start()
    assert vcpu.run() == Interrupted()
    ebx = vcpu.registers()["rbx"]
    assert isinstance(ebx, int)
    assert ebx >> 24 == 5


def test_random_numbers(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        """
        start:
            rdrand rax
            setc cl
            rdseed rbx
            setc ch
            hlt
        """
    )
    guest.run()
    assert guest.register("rcx") & 0xFFFF == 0x0101
    assert guest.register("rax") != guest.register("rbx")


MSRS = {
    "STAR": (0xC000_0081, 0x0018_0008_0000_0000),
    "LSTAR": (0xC000_0082, 0xFFFF_FFFF_8000_0000),
    "FMASK": (0xC000_0084, 0x4_7700),
    "FS_BASE": (0xC000_0100, 0x1234_5678_9000),
    "GS_BASE": (0xC000_0101, 0xFFFF_8000_0000_0000),
    "KERNEL_GS_BASE": (0xC000_0102, 0x7777_0000),
    "TSC_AUX": (0xC000_0103, 3),
    "PAT": (0x277, 0x0007_0406_0007_0406),
    "SYSENTER_ESP": (0x175, 0x8000),
}


@pytest.mark.parametrize("name", MSRS)
def test_model_specific_registers_are_kept(x86_guest: MakeGuest, name: str) -> None:
    number, value = MSRS[name]
    guest = x86_guest(
        f"""
        start:
            mov ecx, {number:#x}
            mov eax, {value & 0xFFFF_FFFF:#x}
            mov edx, {value >> 32:#x}
            wrmsr
            xor eax, eax
            xor edx, edx
            rdmsr
            hlt
        """
    )
    guest.run()
    assert guest.register("rdx") << 32 | guest.register("rax") == value
