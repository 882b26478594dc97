"""Exceptions between EL0 and EL1 set ESR, FAR, ELR and SPSR as the Arm ARM says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.vmm.backends.unicorn.arm64.guest import RAM_BASE, Guest
from vmm.backends.exits import Crashed, Interrupted, Shutdown
from vmm.backends.unicorn.arm64 import registers as arm64_registers

Boot = Callable[[str], Guest]

# Each exception appends vector offset, ESR, FAR, ELR and SPSR to `log`, of 64 bytes an entry, and

RECORDER = """
.balign 2048
vectors_at:
.rept 16
    stp x0, x1, [sp, #-16]!
    bl record
    ldp x0, x1, [sp], #16
    eret
    .balign 128
.endr
record:
    stp x2, x3, [sp, #-16]!
    adr x0, log_next
    ldr x1, [x0]
    add x2, x1, #64
    str x2, [x0]
    adr x2, vectors_at
    sub x2, x30, x2
    and x2, x2, #0x780
    mrs x3, esr_el1
    stp x2, x3, [x1]
    mrs x2, far_el1
    mrs x0, elr_el1
    stp x2, x0, [x1, #16]
    mrs x2, spsr_el1
    str x2, [x1, #32]
    lsr x2, x3, #26
    cmp x2, #0x15           /* SVC: ELR is behind it already */
    b.eq 3f
    cmp x2, #0x21           /* instruction abort: return as from a call */
    b.eq 1f
    cmp x2, #0x20
    b.eq 1f
    add x0, x0, #4
    b 2f
1:  mov x0, x29
2:  msr elr_el1, x0
    ldp x2, x3, [sp], #16
    ret
3:  and x3, x3, #0xffff
    cmp x3, #0xff           /* SVC #0xff ends the test */
    b.ne 2b
    power_off
.balign 8
log_next: .quad log
.balign 4096
log: .space 4096
tables
"""


def entries(guest: Guest, count: int) -> list[tuple[int, ...]]:
    return [tuple(guest.words("log", 8 * count)[8 * n : 8 * n + 5]) for n in range(count)]


def test_exceptions_within_el1(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        """
        adr x0, vectors_at
        msr vbar_el1, x0
        mmu_on
        load x9, 0xdead0000
        adr x29, back
        svc #0x123
        undefined: .word 0
        breakpoint: brk #0x77
        read: ldr x10, [x9, #8]
        write: str x10, [x9, #16]
        ret x9
        back: power_off
        """
        + RECORDER
    )
    assert guest.run() == Shutdown()
    el1h = 0x3C5
    at = guest.address
    svc, undefined, brk, read, write, fetch = entries(guest, 6)
    assert svc[1] == 0x15 << 26 | 1 << 25 | 0x123
    assert svc[3] == at("undefined")
    assert undefined[1] == 1 << 25
    assert undefined[3] == at("undefined")
    assert brk[1] == 0x3C << 26 | 1 << 25 | 0x77
    assert brk[3] == at("breakpoint")
    # Translation faults of level 1; WnR (bit 6) tells the write. ISV details are not checked.
    assert read[1] & 0xFC00_007F == 0x25 << 26 | 0b000101
    assert (read[2], read[3]) == (0xDEAD_0008, at("read"))
    assert write[1] & 0xFC00_007F == 0x25 << 26 | 1 << 6 | 0b000101
    assert (write[2], write[3]) == (0xDEAD_0010, at("write"))
    assert fetch[1] & 0xFC00_003F == 0x21 << 26 | 0b000101
    assert (fetch[2], fetch[3]) == (0xDEAD_0000, 0xDEAD_0000)
    for entry in (svc, undefined, brk, read, write, fetch):
        assert entry[0] == 0x200
        assert entry[4] == el1h


def test_exceptions_from_el0(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        f"""
        adr x0, vectors_at
        msr vbar_el1, x0
        mmu_on
        load x0, 0x40200000
        adr x1, user
        adr x2, user_end
    1:  ldr w3, [x1], #4
        str w3, [x0], #4
        cmp x1, x2
        b.lo 1b
        load x0, 0x80100000
        msr sp_el0, x0
        mov x0, #0x60000000         /* Z and C set */
        msr spsr_el1, x0
        load x0, 0x80000000
        msr elr_el1, x0
        mov x9, #{RAM_BASE}
        eret
    user:
        svc #7                      /* + 0x0 */
        mrs x0, sctlr_el1           /* + 0x4 */
        ldr x1, [x9]                /* + 0x8: RAM of EL1 only */
        str x1, [sp, #-16]!         /* + 0xc: allowed */
        adr x29, 1f
        ret x9                      /* + 0x14 */
    1:  svc #0xff
    user_end:
        """
        + RECORDER
    )
    assert guest.run() == Shutdown()
    svc, register, read, fetch = entries(guest, 4)
    assert svc[1] == 0x15 << 26 | 1 << 25 | 7
    assert svc[3] == 0x8000_0004
    assert register[1] in (1 << 25, 0x18 << 26 | 1 << 25 | 0x30_0021)
    assert register[3] == 0x8000_0004
    assert read[1] & 0xFC00_003F == 0x24 << 26 | 0b001101  # permission fault, level 1
    assert (read[2], read[3]) == (RAM_BASE, 0x8000_0008)
    assert fetch[1] & 0xFC00_003F == 0x20 << 26 | 0b001101
    assert (fetch[2], fetch[3]) == (RAM_BASE, RAM_BASE)
    for entry in (svc, register, read, fetch):
        assert entry[0] == 0x400
        assert entry[4] == 0x6000_0000


def test_the_stack_pointer_is_banked(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        """
        adr x0, vectors_at
        msr vbar_el1, x0
        msr spsel, #0
        load x0, 0x40060000
        mov sp, x0
        svc #0
        mov x20, sp
        power_off
        """
        + RECORDER
    )
    assert guest.run() == Shutdown()
    ((vector, _, _, _, saved),) = entries(guest, 1)
    assert vector == 0x000
    assert saved == 0x3C4  # EL1t
    assert guest.register("x20") == 0x4006_0000


def test_high_half_addresses_are_translated(arm64_guest: Boot) -> None:
    # Trap 3: with SCR_EL3.RW or HCR_EL2.RW clear, the engine walks the tables as AArch32's and the
    # jump to the high half faults.
    guest = arm64_guest(
        """
        adr x0, vectors_at
        msr vbar_el1, x0
        mmu_on
        load x0, 0xffffff8000000000
        adr x1, high
        load x2, 0x40000000
        sub x1, x1, x2
        add x0, x0, x1
        adr x29, failed
        br x0
    high:
        adr x20, high
        power_off
    failed:
        power_off
        """
        + RECORDER
    )
    assert guest.run() == Shutdown()
    expected = 0xFFFF_FF80_0000_0000 + guest.address("high") - RAM_BASE
    assert guest.register("x20") == expected
    assert guest.vcpu.translate(expected) == guest.address("high")
    assert guest.vcpu.translate(RAM_BASE + 0x1234) == RAM_BASE + 0x1234
    assert guest.vcpu.translate(0xDEAD_0000) is None


def test_a_loop_of_exceptions_can_be_stopped(arm64_guest: Boot) -> None:
    # With translation on, the vector itself cannot be fetched: each abort aborts again.
    guest = arm64_guest("mmu_on \n load x0, 0xdead0000 \n msr vbar_el1, x0 \n svc #0 \n tables")
    assert guest.run(timeout=0.05) == Interrupted()


def test_executing_device_memory_crashes(arm64_guest: Boot) -> None:
    guest = arm64_guest("load x0, 0x9000000 \n br x0")
    assert guest.run() == Crashed("instruction fetch from 0x9000000, where there is no RAM")


def test_a_vector_in_device_memory_crashes(arm64_guest: Boot) -> None:
    guest = arm64_guest("load x0, 0x9000000 \n msr vbar_el1, x0 \n svc #0")
    assert guest.run() == Crashed("instruction fetch from 0x9000200, where there is no RAM")


def test_sve_works_where_el1_allows_it(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        """
        load x0, 3 << 16 | 3 << 20
        msr cpacr_el1, x0
        isb
        rdvl x20, #1
        ptrue p0.d
        mov z0.d, #5
        uaddv d1, p0, z0.d
        fmov x21, d1
        power_off
        """
    )
    assert guest.run() == Shutdown()
    assert guest.register("x21") == 5 * guest.register("x20") // 8


def test_pointer_authentication_is_not_trapped(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        """
        load x0, 0x1234
        msr s3_0_c2_c1_0, x0    /* APIAKeyLo_EL1 */
        mrs x20, s3_0_c2_c1_0
        power_off
        """
    )
    assert guest.run() == Shutdown()
    assert guest.register("x20") == 0x1234


def test_an_exception_to_a_level_that_is_not_there_crashes(
    native: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hcr = (3, 4, 1, 1, 0)
    trap_wfi = 1 << 13
    reset = arm64_registers._RESET_SYSTEM
    monkeypatch.setitem(reset, hcr, reset[hcr] | trap_wfi)
    guest = Guest("wfi")
    assert guest.run() == Crashed("an exception to EL2 or EL3, which this machine does not have")
    guest.close()
