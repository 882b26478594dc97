"""The time-stamp counter of an x86_64 vCPU."""

from __future__ import annotations

import threading
import time

from tests.vmm.backends.unicorn.conftest import MakeGuest
from vmm.backends.exits import Halted
from vmm.backends.unicorn.x86.cpuid import TICKS_PER_NS
from vmm.backends.unicorn.x86.vcpu import COUNTER_HZ
from vmm.machine.clock import MachineClock

SAMPLE = """
    rdtsc
    shl rdx, 32
    or rax, rdx
"""


def test_counter_never_goes_back(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            mov ecx, 20000
            xor ebx, ebx
        again:
            {SAMPLE}
            cmp rax, rbx
            jb backwards
            mov rbx, rax
            dec ecx
            jnz again
            hlt
        backwards:
            ud2
        """
    )
    assert guest.run() == Halted()


def test_counter_runs_at_the_rate_told(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            {SAMPLE}
            mov rbx, rax
            out 0x10, al
            {SAMPLE}
            sub rax, rbx
            hlt
        """
    )
    times = []

    def pause(_port: int, _value: int) -> None:
        times.append(time.monotonic_ns())
        time.sleep(0.2)
        times.append(time.monotonic_ns())

    guest.bus.on_write = pause
    started = time.monotonic_ns()
    guest.run()
    whole = time.monotonic_ns() - started
    assert guest.vm.counter_hz == COUNTER_HZ
    counted = guest.register("rax") * 1e9 / COUNTER_HZ
    assert 0.98 * (times[1] - times[0]) <= counted <= 1.02 * whole


def test_counter_is_the_machines_clock(x86_guest: MakeGuest) -> None:
    guest = x86_guest(f"start: {SAMPLE}\n hlt")
    before = guest.clock.now()
    guest.run()
    now = guest.register("rax") // TICKS_PER_NS
    assert before - 1_000 <= now <= guest.clock.now() + 1_000


class LeapingClock(MachineClock):
    """A clock that can be set."""

    def __init__(self) -> None:
        super().__init__(threading.RLock())
        self.leap = 0

    def now(self) -> int:
        return super().now() + self.leap


def test_counter_follows_a_clock_that_is_set(x86_guest: MakeGuest) -> None:
    clock = LeapingClock()
    guest = x86_guest(f"start: {SAMPLE}\n hlt\n {SAMPLE}\n hlt", clock=clock)
    guest.run()
    clock.leap = 10**12
    guest.vcpu.set_registers({"rip": guest.register("rip")})
    guest.run()
    assert abs(guest.register("rax") // TICKS_PER_NS - clock.now()) < 5_000_000


def test_rdtscp_tells_the_processor(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: mov ecx, 7\n rdtscp\n hlt")
    guest.run()
    assert guest.register("rcx") == 0
    ticks = guest.register("rdx") << 32 | guest.register("rax")
    assert ticks <= guest.clock.now() * TICKS_PER_NS
