"""The engine's traps that corrupt an arm64 guest silently: each fix, and what is without it.

The numbers are those of the package's description: 1 and 5 are here, 3 here and in
test_arm64_exceptions.py, 6 in test_coherence.py; 2 and 4 concern x86_64 only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.vmm.backends.unicorn.arm64.guest import CODE, DEVICE, RAM_BASE, STACK, Guest
from vmm.backends.exits import Interrupted, Shutdown
from vmm.backends.unicorn.arm64.registers import Registers
from vmm.backends.unicorn.internals import EngineState
from vmm.backends.unicorn.turn import Turn

Boot = Callable[[str], Guest]

ROUNDS = 400_000

# Adds 1 to a word in RAM, X1 times, in blocks that hold accesses besides.
ADDITIONS = f"""
    adr x8, word
    mov x2, #1
    load x1, {ROUNDS}
1:  ldadd x2, x3, [x8]
    ldr x4, [x8, #8]
    add x4, x4, #1
    str x4, [x8, #8]
    subs x1, x1, #1
    b.ne 1b
    power_off
    .balign 16
    word: .quad 0, 0
"""


def run_under_kicks(guest: Guest) -> int:
    """Run to the end while another thread kicks all the time; return how often that hit."""
    done = threading.Event()

    def kick() -> None:
        while not done.wait(0.0003):
            guest.vcpu.kick()

    kicker = threading.Thread(target=kick)
    kicker.start()
    hits = 0
    try:
        while (reason := guest.vcpu.run()) == Interrupted():
            hits += 1
    finally:
        done.set()
        kicker.join()
    assert reason == Shutdown()
    return hits


def test_trap_1_stops_repeat_no_instruction(arm64_guest: Boot) -> None:
    guest = arm64_guest(ADDITIONS)
    hits = run_under_kicks(guest)
    assert hits > 10
    assert guest.words("word", 2) == [ROUNDS, ROUNDS]


def test_trap_1_without_the_fix(native: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EngineState, "stop_only_between_blocks", lambda state: None)
    guest = Guest(ADDITIONS)
    run_under_kicks(guest)
    assert guest.words("word", 1) != [ROUNDS]
    guest.close()


def test_trap_1_a_kick_in_an_access_does_not_repeat_it(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        f"load x9, {DEVICE:#x} \n mov x20, #1 \n str x20, [x9] \n add x20, x20, #1 \n"
        "b 1f \n 1: str x20, [x9, #8] \n b 2f \n 2: power_off"
    )
    guest.devices.on_write = lambda address, size, value: guest.vcpu.kick()
    assert guest.run() == Interrupted()
    # The block goes on to its end; nothing of the next has happened.
    assert guest.register("x20") == 2
    written = [address for kind, address, _, _ in guest.devices.accesses]
    assert set(written) <= {DEVICE, DEVICE + 4}
    count = len(written)
    assert guest.run() == Interrupted()
    assert len(guest.devices.accesses) == 2 * count
    assert guest.run() == Shutdown()


@pytest.mark.parametrize("missing", [(3, 6, 1, 1, 0), (3, 4, 1, 1, 0)], ids=["SCR", "HCR"])
def test_trap_3_without_the_fix(
    native: None, monkeypatch: pytest.MonkeyPatch, missing: tuple[int, int, int, int, int]
) -> None:
    write = Registers.write_system

    def omit(self: Registers, encoding: tuple[int, int, int, int, int], value: int) -> None:
        if encoding != missing:
            write(self, encoding, value)

    monkeypatch.setattr(Registers, "write_system", omit)
    guest = Guest("mmu_on \n power_off \n tables")
    guest.run(timeout=0.05)
    high = 0xFFFF_FF80_0000_0000
    assert guest.vcpu.translate(high + CODE - RAM_BASE) != CODE
    guest.close()


def run_two(guest: Guest, separate: bool) -> int:
    """Run the program on two vCPUs in two threads; return the word."""
    vcpus = [guest.vcpu, guest.new_vcpu(1)]
    if separate:
        for vcpu in vcpus:
            vcpu.turn = Turn()
    started = threading.Barrier(2)

    def run(number: int) -> None:
        started.wait()
        while vcpus[number].run() == Interrupted():
            pass

    threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return guest.words("word", 1)[0]


def test_trap_5_vcpus_take_turns(arm64_guest: Boot) -> None:
    guest = arm64_guest(ADDITIONS)
    assert run_two(guest, separate=False) == 2 * ROUNDS


def test_trap_5_without_the_fix(native: None) -> None:
    lost = 0
    for _ in range(10):
        guest = Guest(ADDITIONS)
        lost += 2 * ROUNDS - run_two(guest, separate=True)
        guest.close()
        if lost:
            return
    pytest.fail("no addition was lost although two engines ran at the same time")


def test_a_vcpu_that_waits_for_its_turn_can_be_kicked(arm64_guest: Boot) -> None:
    guest = arm64_guest("b .")
    second = guest.new_vcpu(1)
    first = threading.Thread(target=guest.vcpu.run)
    first.start()
    while not guest.vcpu.turn.taken:
        pass
    kicker = threading.Timer(0.05, second.kick)
    kicker.start()
    assert second.run() == Interrupted()
    kicker.join()
    assert first.is_alive()
    guest.vcpu.kick()
    first.join(5)
    assert not first.is_alive()


def test_vcpus_know_their_number(arm64_guest: Boot) -> None:
    guest = arm64_guest("mrs x20, mpidr_el1 \n power_off")
    for index in (0, 1, 3):
        vcpu = guest.new_vcpu(index)
        assert vcpu.run() == Shutdown()
        assert vcpu.registers()["x20"] == 1 << 31 | index
        assert vcpu.registers()["sp"] == STACK
