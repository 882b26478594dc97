"""Instructions are sorted by their encodings; the examples are assembled, not written by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.backends.assemble import assemble
from vmm.backends.x86_opcodes import (
    PLAIN,
    SYSTEM,
    VECTOR,
    XGETBV,
    XRSTOR,
    XSAVE,
    XSAVEOPT,
    classify,
    decode,
    state_access,
)

EXAMPLES = {
    PLAIN: [
        *("mov rax, [rbx]", "lock xadd [rcx], r9", "rep movsb", "call rax", "jmp [r12]", "ret"),
        *("cmpxchg8b [rdi]", "rdrand rax", "rdseed r9d", "bsf eax, ecx", "clflush [rax]"),
        *("mfence", "push fs:[8]", "bswap r10", "imul rax, rbx, 7", "setc al", "pushfq"),
        *("pause", "ud2"),
    ],
    VECTOR: [
        *("ldmxcsr [rax]", "stmxcsr [rax]", "pxor xmm8, xmm9", "movups [rsp], xmm0", "fld1"),
        *("popcnt rax, rbx", "cmpxchg16b [rdi]", "crc32 eax, cl", "andn rax, rbx, rcx"),
        *("vpxor ymm0, ymm0, ymm0", "movq rax, xmm3", "fxsave [rax]", "emms", "fwait"),
        *("vaddpd zmm0, zmm1, zmm2", "cvtsi2sd xmm0, rax"),
    ],
    SYSTEM: [
        *("hlt", "cli", "sti", "in al, dx", "out 0x80, eax", "rep outsb", "int 0x80", "int3"),
        *("iretq", "syscall", "sysretq", "cpuid", "rdtsc", "rdtscp", "rdmsr", "wrmsr", "popfq"),
        *("mov cr3, rax", "mov rax, dr7", "lgdt [rax]", "ltr ax", "swapgs", "invlpg [rax]"),
        *("mov ds, eax", "pop fs", "lss rsp, [rax]", "retfq", "call fword ptr [rax]", "clts"),
        *("xsave [rax]", "xrstor [rax]", "xsaveopt64 [rax]", "xgetbv", "xsetbv", "wbinvd"),
        *("rdfsbase rax", "wrgsbase rbx", "xsaves [rax]", "rdpmc"),
    ],
}


def encode(text: str) -> bytes:
    return assemble("x86_64", text, 0x1000).code


@pytest.mark.parametrize("kind", EXAMPLES)
def test_each_kind(kind: str) -> None:
    # One call of the assembler for all, each at its own label.
    lines = [f"i{number}: {text}" for number, text in enumerate(EXAMPLES[kind])]
    program = assemble("x86_64", "\n".join([*lines, "end:"]), 0x1000)
    for number, text in enumerate(EXAMPLES[kind]):
        code = program.code[program.symbols[f"i{number}"] - 0x1000 :]
        assert classify(code, long_mode=True) == kind, text


def test_the_same_bytes_in_32_bit_mode() -> None:
    assert classify(b"\x48\x0f\xa2", long_mode=True) == SYSTEM  # cpuid with REX.W
    assert classify(b"\x48\x0f\xa2", long_mode=False) == PLAIN  # dec eax
    assert classify(b"\x07", long_mode=False) == SYSTEM  # pop es


def test_accesses_to_the_extended_state() -> None:
    expected = {
        "xsave [rax]": XSAVE,
        "xsave64 fs:[r8 + 4 * rcx + 64]": XSAVE,
        "xsaveopt [rip + 64]": XSAVEOPT,
        "xrstor64 [rsp]": XRSTOR,
        "xgetbv": XGETBV,
        "lfence": None,
        "clflush [rax]": None,
        "xsetbv": None,
    }
    found = {text: state_access(decode(encode(text), long_mode=True)) for text in expected}
    assert found == expected


@given(st.binary(max_size=15), st.booleans())
def test_any_bytes_are_of_some_kind(code: bytes, long_mode: bool) -> None:
    assert classify(code, long_mode=long_mode) in (PLAIN, VECTOR, SYSTEM)
    front = decode(code, long_mode=long_mode)
    assert front.modrm_at >= len(front.prefixes) + 1
