"""Counting instructions: exactly, on both architectures, also when the run is interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.vmm.backends.unicorn.arm64.guest import Guest
from tests.vmm.backends.unicorn.x86 import guest as x86
from vmm.backends.exits import Halted, Interrupted, Shutdown

ROUNDS = 100_000


def test_a_straight_line_and_a_loop(arm64_guest: Callable[[str], Guest]) -> None:
    guest = arm64_guest(
        f"load x1, {ROUNDS} \n 1: add x2, x2, #1 \n subs x1, x1, #1 \n b.ne 1b \n power_off"
    )
    with guest.vcpu.count_instructions() as counter:
        assert guest.run() == Shutdown()
    assert counter.value == 4 + 3 * ROUNDS + 4 + 1


def test_only_while_open(arm64_guest: Callable[[str], Guest]) -> None:
    guest = arm64_guest("1: psci 0x84000008 \n b 1b")
    assert guest.run() == Shutdown()
    counter = guest.vcpu.count_instructions()
    assert guest.run() == Shutdown()
    assert counter.value == 6
    counter.close()
    counter.close()
    assert guest.run() == Shutdown()
    assert counter.value == 6


def test_an_instruction_that_faults_counts_each_time(arm64_guest: Callable[[str], Guest]) -> None:
    guest = arm64_guest(
        """
        adr x0, vectors
        msr vbar_el1, x0
        .word 0
    handler:
        power_off
        vectors handler
        """
    )
    with guest.vcpu.count_instructions() as counter:
        assert guest.run() == Shutdown()
    assert counter.value == 2 + 1 + 1 + 4 + 1


def test_kicks_neither_repeat_nor_skip(arm64_guest: Callable[[str], Guest]) -> None:
    guest = arm64_guest(
        f"load x1, {ROUNDS} \n 1: bl 2f \n subs x1, x1, #1 \n b.ne 1b \n power_off \n 2: ret"
    )
    done = threading.Event()

    def kick() -> None:
        while not done.wait(0.0003):
            guest.vcpu.kick()

    kicker = threading.Thread(target=kick)
    with guest.vcpu.count_instructions() as counter:
        kicker.start()
        while guest.vcpu.run() == Interrupted():
            pass
        done.set()
        kicker.join()
    assert counter.value == 4 + 4 * ROUNDS + 4 + 1


def test_x86(core: str) -> None:
    guest = x86.Guest(
        f"start: mov ecx, {ROUNDS} \n 1: call 2f \n dec ecx \n jnz 1b \n cli \n hlt \n 2: ret"
    )
    with guest.vcpu.count_instructions() as counter:
        assert guest.run() == Halted()
    assert counter.value == 1 + 4 * ROUNDS + 2
    guest.close()
