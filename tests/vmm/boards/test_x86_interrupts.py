"""Interrupt controllers of the PC as a kernel finds them."""

from __future__ import annotations

from vmm.boards.x86_64 import X86Board
from vmm.boards.x86_interrupts import Interrupts
from vmm.machine.machine import Machine

MASTER, SLAVE = 0x20, 0xA0


def interrupts_of(machine: Machine) -> Interrupts:
    assert isinstance(machine.board, X86Board)
    return machine.board._interrupts


def test_the_8259_pair_is_silent_until_a_kernel_gives_it_vectors() -> None:
    with Machine("hello", arch="x86_64", backend="unicorn") as machine:
        interrupts = interrupts_of(machine)
        interrupts.line(5)(True)
        interrupts.line(10)(True)
        assert not interrupts.pic.pending()
        for port, base, cascade in ((MASTER, 0x20, 4), (SLAVE, 0x28, 2)):
            machine.bus.port_write(port, 1, 0x11)  # ICW1: ICW4 follows
            for word in (base, cascade, 1):
                machine.bus.port_write(port + 1, 1, word)
        interrupts.line(5)(False)
        interrupts.line(5)(True)
        assert interrupts.pic.pending()
        assert interrupts.pic.acknowledge() == 0x25
