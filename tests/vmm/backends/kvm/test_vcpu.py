from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tests.vmm.backends.kvm.machines import (
    ACCUMULATOR,
    COUNTER,
    DEVICE,
    LOAD,
    LOADS,
    PROGRAM,
    SLEEP,
    SPIN,
    STOP_CODE,
    STORE,
    Machine,
    machine,
)
from vmm.backends.exits import Interrupted
from vmm.backends.kvm.errors import KvmError

pytestmark = pytest.mark.kvm

LOAD_LENGTH = len(bytes.fromhex(LOAD))


@pytest.fixture
def guest() -> Iterator[Machine]:
    with machine() as made:
        yield made


def test_a_kick_before_the_run_ends_it_at_once(guest: Machine) -> None:
    guest.load(STORE + SPIN)
    guest.vcpu.kick()
    assert guest.vcpu.run() == Interrupted()
    assert guest.bus.accesses == []
    assert guest.vcpu.registers()[COUNTER] == PROGRAM


def test_kicks_before_a_run_count_as_one(guest: Machine) -> None:
    guest.load(STORE + STOP_CODE)
    for _ in range(5):
        guest.vcpu.kick()
    assert guest.vcpu.run() == Interrupted()
    assert guest.vcpu.run() == Interrupted()
    assert len(guest.bus.accesses) == 1


@pytest.mark.parametrize("code", [SPIN, SLEEP, LOADS], ids=["spinning", "sleeping", "reading"])
def test_a_kick_from_another_thread_ends_the_run(guest: Machine, code: str) -> None:
    guest.bus.answers[DEVICE] = Zeros()
    guest.load(code)
    alarm = threading.Timer(0.05, guest.vcpu.kick)
    alarm.start()
    assert guest.vcpu.run() == Interrupted()
    alarm.join()


class Zeros(list[int]):
    """As many zeros as are asked for."""

    def pop(self, index: object = -1) -> int:
        return 0


@pytest.mark.parametrize("code", [SPIN, SLEEP, LOADS], ids=["spinning", "sleeping", "reading"])
def test_no_kick_is_ever_lost(guest: Machine, code: str) -> None:
    """Each of a thousand kicks, at random moments around the entry, ends its run."""
    guest.bus.answers[DEVICE] = Zeros()
    guest.load(code)
    rounds = 1000
    begun = threading.Semaphore(0)
    delays = [random.Random(1).random() * 1e-4 for _ in range(rounds)]

    def kick_each() -> None:
        for delay in delays:
            begun.acquire()
            time.sleep(delay)
            guest.vcpu.kick()

    kicker = threading.Thread(target=kick_each)
    kicker.start()
    for _ in range(rounds):
        begun.release()
        assert guest.vcpu.run() == Interrupted()
    kicker.join()
    # And none was told twice: the next run ends with the next kick, not before.
    started = time.monotonic()
    alarm = threading.Timer(0.05, guest.vcpu.kick)
    alarm.start()
    assert guest.vcpu.run() == Interrupted()
    assert time.monotonic() - started > 0.04
    alarm.join()


def test_a_kick_within_an_access_completes_the_instruction_and_nothing_more(guest: Machine) -> None:
    guest.bus.answers[DEVICE] = [0x1234_5678]
    guest.bus.last = 1
    guest.run(LOAD + STORE + STOP_CODE)
    registers = guest.vcpu.registers()
    assert registers[COUNTER] == PROGRAM + LOAD_LENGTH
    assert registers[ACCUMULATOR] == 0x1234_5678
    assert guest.vcpu.run() == Interrupted()
    assert guest.bus.accesses == [
        ("load", DEVICE, 4, 0x1234_5678),
        ("store", DEVICE, 4, 0x1234_5678),
    ]


def test_an_error_of_the_handler_passes_through_and_the_guest_can_go_on(guest: Machine) -> None:
    guest.bus.answers[DEVICE] = [5]
    guest.load(STORE + LOAD + STORE + STOP_CODE, **{ACCUMULATOR: 7})

    def fail(address: int) -> None:
        raise ZeroDivisionError

    guest.bus.hook = fail
    with pytest.raises(ZeroDivisionError):
        guest.vcpu.run()
    guest.bus.hook = lambda address: None
    assert guest.vcpu.run() == Interrupted()
    assert guest.bus.accesses == [("load", DEVICE, 4, 5), ("store", DEVICE, 4, 5)]


def test_a_run_can_move_to_another_thread(guest: Machine) -> None:
    guest.load(SPIN)
    exits = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: exits.append(guest.vcpu.run()))
        thread.start()
        time.sleep(0.01)
        guest.vcpu.kick()
        thread.join()
    assert exits == [Interrupted()] * 3


def test_a_thread_with_all_signals_blocked_can_be_kicked(guest: Machine) -> None:
    guest.load(SPIN)
    exits = []

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        exits.append(guest.vcpu.run())

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.05)
    guest.vcpu.kick()
    thread.join()
    assert exits == [Interrupted()]


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("code", [SPIN, SLEEP], ids=["spinning", "sleeping"])
def test_ctrl_c_interrupts_the_main_thread(guest: Machine, code: str) -> None:
    guest.load(code)
    alarm = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    alarm.start()
    with pytest.raises(KeyboardInterrupt):
        guest.vcpu.run()
    alarm.join()
    guest.vcpu.kick()
    assert guest.vcpu.run() == Interrupted()


def test_other_signals_are_handled_without_ending_the_run(guest: Machine) -> None:
    guest.load(SPIN)
    handled = []

    def handle(number: int, frame: object) -> None:
        handled.append(number)
        if len(handled) == 3:
            guest.vcpu.kick()

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        assert guest.vcpu.run() == Interrupted()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(handled) >= 3


def test_a_program_keeps_its_own_handler_of_the_signal(guest: Machine) -> None:
    handled = []
    before = signal.signal(signal.SIGURG, lambda number, frame: handled.append(number))
    try:
        with machine() as second:
            second.load(SPIN)
            alarm = threading.Timer(0.05, second.vcpu.kick)
            alarm.start()
            assert second.vcpu.run() == Interrupted()
            alarm.join()
        assert handled == [signal.SIGURG]
    finally:
        signal.signal(signal.SIGURG, before if before is not None else signal.SIG_DFL)


def test_kicks_after_the_end_are_harmless() -> None:
    with machine() as guest:
        vcpu = guest.vcpu
    vcpu.kick()
    vcpu.close()


def test_a_closed_vcpu_says_so() -> None:
    with machine() as guest:
        vcpu = guest.vcpu
        vcpu.close()
        with pytest.raises(KvmError, match=r"KVM_RUN \(vCPU 0\) failed: EBADF"):
            vcpu.run()


def test_a_machine_does_not_work_in_a_forked_process(guest: Machine) -> None:
    guest.load(STOP_CODE)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            guest.vcpu.run()
        except KvmError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    message = os.read(reader, 1000).decode()
    os.close(reader)
    assert "EIO" in message
    assert "after fork(), make a new one" in message


def test_several_machines_run_in_as_many_threads() -> None:
    results = []

    def run(number: int) -> None:
        with machine() as guest:
            guest.run(STORE * 50 + STOP_CODE, **{ACCUMULATOR: number})
            results.append([value for _, _, _, value in guest.bus.accesses] == [number] * 50)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 6
