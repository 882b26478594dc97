"""What it costs a thread to interrupt a guest on KVM: by its line, and by an irqfd.

The line is what devices have: on x86_64 the I/O APIC, a device, and its message (KVM_SIGNAL_MSI);
on arm64 the kernel's GIC (KVM_IRQ_LINE). An interrupt of a device goes up and down once.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Case, print_table, run_rounds
from tests.vmm.backends.kvm.machines import Machine, machine
from vmm.arch import X86_64, host_arch

if TYPE_CHECKING:
    from vmm.lines import InterruptLine

COUNT = 5000

PIN, VECTOR = 20, 0x40
MESSAGE_ADDRESS = 0xFEE0_0000
LEVEL_TRIGGERED = 1 << 15
REDIRECTION = 0x10 + 2 * PIN

SPI = 40
GIC_DISTRIBUTOR, GIC_REDISTRIBUTOR = 0x0800_0000, 0x080A_0000


def x86_64(guest: Machine) -> tuple[InterruptLine, int]:
    """Return the wire of a level-triggered pin, and the number of an interrupt for an irqfd."""
    from vmm.devices.ioapic import IoApic

    ioapic = IoApic(messages=guest.vm.signal_msi, on_routes=guest.vm.watch_vectors)
    for register, value in ((REDIRECTION + 1, 0), (REDIRECTION, VECTOR | LEVEL_TRIGGERED)):
        ioapic.write(0x00, 4, register)
        ioapic.write(0x10, 4, value)
    line = ioapic.line(PIN)

    def pulse(level: bool) -> None:
        line(level)
        if not level:
            ioapic.end_of_interrupt(VECTOR)

    return pulse, PIN


def arm64(guest: Machine) -> tuple[InterruptLine, int]:
    """Return the wire of a shared peripheral interrupt, and its number for an irqfd."""
    guest.vm.create_gic(3, GIC_DISTRIBUTOR, GIC_REDISTRIBUTOR)
    return guest.vm.interrupt_line(SPI), SPI - 32


def repeated(call: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        start = time.perf_counter()
        for _ in range(COUNT):
            call()
        return (time.perf_counter() - start) / COUNT

    return measure


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench interrupts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with machine() as guest:
        line, gsi = (x86_64 if host_arch() == X86_64 else arm64)(guest)
        events = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        guest.vm.irqfd(events, gsi)

        def pulse() -> None:
            line(True)
            line(False)

        cases = [Case("line, up and down", repeated(pulse))]
        if host_arch() == X86_64:
            message = VECTOR | LEVEL_TRIGGERED
            send = repeated(lambda: guest.vm.signal_msi(MESSAGE_ADDRESS, message))
            cases.append(Case("its message alone", send))
        cases.append(Case("irqfd", repeated(lambda: os.eventfd_write(events, 1))))
        run_rounds(cases, arguments.rounds)
        print_table(cases, "us", 1e6, cases[-1:])
        os.close(events)


if __name__ == "__main__":
    main()
