"""Code that changes under the engine's feet: through other mappings, by the guest or the host."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vmm.backends.assemble import assemble
from tests.vmm.backends.unicorn.arm64.guest import DEVICE, Guest
from tests.vmm.backends.unicorn.x86 import guest as x86
from vmm.backends.exits import Shutdown
from vmm.backends.unicorn import coherence

# A function at X10, seen at X9 through a mapping that is not executable.
ALIAS = """
    adr x0, table_low
    load x1, 0x60000040000705
    str x1, [x0, #24]
    mmu_on
    adr x10, function
    load x11, 0x80000000
    add x9, x10, x11
"""
FUNCTION = """
    power_off
    .balign 4096
function:
    mov x0, #1
    ret
    .balign 2048
other:
    mov x0, #5
    ret
    .balign 4096
tables
"""
MOV_X0_2 = "load x3, 0xd2800040"
MOV_X0_3 = "load x3, 0xd2800060"

# Each writes through X9 and calls at X10; X20 to X22 are what the calls return.
SEQUENCES = {
    "written before it was executed": f"""
        ldr w3, [x9] \n str w3, [x9]
        blr x10 \n mov x20, x0
        {MOV_X0_2} \n str w3, [x9]
        blr x10 \n mov x21, x0
        {MOV_X0_3} \n str w3, [x9]
        blr x10 \n mov x22, x0
    """,
    "first written beside the code": f"""
        blr x10 \n mov x20, x0
        str x3, [x9, #64]
        {MOV_X0_2} \n str w3, [x9]
        blr x10 \n mov x21, x0
        {MOV_X0_3} \n str w3, [x9]
        blr x10 \n mov x22, x0
    """,
    "two functions on a page": f"""
        adr x12, other
        blr x10 \n mov x20, x0 \n blr x12
        {MOV_X0_3} \n str w3, [x9, #2048]
        blr x12 \n mov x22, x0 \n blr x10
        {MOV_X0_2} \n str w3, [x9]
        blr x10 \n mov x21, x0
    """,
    "through two other mappings": f"""
        load x11, 0xffffff8000000000 - 0x40000000
        add x13, x10, x11
        blr x10 \n mov x20, x0
        str x3, [x9, #64] \n str x3, [x13, #64]
        {MOV_X0_2} \n str w3, [x13]
        blr x10 \n mov x21, x0
        {MOV_X0_3} \n str w3, [x9]
        blr x10 \n mov x22, x0
    """,
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_arm64_code_written_through_another_mapping(native: None, name: str) -> None:
    guest = Guest(ALIAS + SEQUENCES[name] + FUNCTION)
    assert guest.run() == Shutdown()
    assert [guest.register(f"x{number}") for number in (20, 21, 22)] == [1, 2, 3]
    guest.close()


def test_x86_code_written_through_another_mapping(native: None) -> None:
    # The function is at 0x20000, and writable at 0x220000 without being executable.
    guest = x86.Guest(
        """
        start:
            mov ecx, 0xc0000080         /* EFER.NXE */
            rdmsr
            or eax, 0x800
            wrmsr
            mov rbx, 0x8000000000000083
            mov [0x3008], rbx           /* 2 MiB at 2 MiB: physical 0, not executable */
            mov rdi, 0x220000
            mov rsi, 0x20000
            mov dword ptr [rdi], 0x000001b8     /* mov eax, 1; ret */
            mov word ptr [rdi + 4], 0xc300
            call rsi
            mov r8d, eax
            mov qword ptr [rdi + 64], 0
            mov byte ptr [rdi + 1], 2
            call rsi
            mov r9d, eax
            mov byte ptr [rdi + 1], 3
            call rsi
            mov r10d, eax
            cli
            hlt
        """
    )
    guest.run()
    registers = guest.vcpu.registers()
    assert [registers[name] for name in ("r8", "r9", "r10")] == [1, 2, 3]
    guest.close()


def test_writes_beside_code_stay_possible_at_speed(native: None) -> None:
    """A page that holds data and code, written through another mapping and executed in turn."""
    guest = Guest(
        ALIAS
        + """
        load x15, 20000
    1:  str x15, [x9, #1024]
        blr x10
        add x20, x20, x0
        subs x15, x15, #1
        b.ne 1b
        """
        + FUNCTION
    )
    assert guest.run(timeout=10) == Shutdown()
    assert guest.register("x20") == 20_000
    guest.close()


WITHOUT_THE_FIX = """
import sys
sys.path[:] = {path!r}
from tests.vmm.backends.unicorn import test_coherence
from vmm.backends.unicorn.internals import Internals
Internals.prepare = lambda self, target: True
guest = test_coherence.Guest(
    test_coherence.ALIAS + test_coherence.SEQUENCES[{name!r}] + test_coherence.FUNCTION
)
guest.run()
print(guest.register("x20"), guest.register("x21"), guest.register("x22"))
"""


# With two functions the engine's cache of translations, which both mappings share a line of, hides
# the fault.
@pytest.mark.parametrize("name", [name for name in SEQUENCES if "two functions" not in name])
def test_without_the_fix(native: None, name: str) -> None:
    # The engine's own behaviour can only be seen in a process that has not changed it.
    code = WITHOUT_THE_FIX.format(path=sys.path, name=name)
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert result.stdout.split() != ["1", "2", "3"]


def test_code_written_by_the_host(arm64_guest: Callable[[str], Guest]) -> None:
    guest = arm64_guest(
        f"""
        load x9, {DEVICE:#x}
        bl function
        mov x20, x0
        str xzr, [x9]       /* the host changes the function here */
        bl function
        mov x21, x0
        """
        + FUNCTION
    )
    function = guest.address("function")

    def patch(*_: int) -> None:
        guest.memory.write_u32(function, 0xD280_0040)  # mov x0, #2
        guest.vm.invalidate_code(function, 4)

    guest.devices.on_write = patch
    assert guest.run() == Shutdown()
    assert (guest.register("x20"), guest.register("x21")) == (1, 2)


LISTING = re.compile(r"^(_\w+): Final = (\(\n.*?^\)|\"\w+\"  # .*?$)", re.MULTILINE | re.DOTALL)
LINE = re.compile(r'"([0-9a-f]+)" *# *(.*?)$', re.MULTILINE)
TABLE = "map_ram reset_dirty invalidate_fast invalidate_range set_dirty uc_cpu cpu_uc uc_next_pc"


@pytest.mark.parametrize("host", ["X86_64", "AARCH64"])
def test_bytes_and_comments_agree(host: str) -> None:
    """The routines of a host are one program behind their table."""
    arch = {"X86_64": "x86_64", "AARCH64": "arm64"}[host]
    lines = [f"{name}: .quad 0" for name in TABLE.split()]
    code = bytes(coherence._TABLE_SIZE)
    for name, listing in LISTING.findall(Path(coherence.__file__).read_text()):
        if name.startswith(f"_{host}_"):
            lines += [
                re.sub(r"\b(call|jmp) +\[", r"\1 qword ptr [", text)
                for _, text in LINE.findall(listing)
            ]
            code += bytes.fromhex(getattr(coherence, name))
    assert assemble(arch, "\n".join(lines), 0).code == code
    assert len(lines) > 30
