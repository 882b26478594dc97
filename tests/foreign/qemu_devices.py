"""Compares devices with QEMU's, which get the same random accesses and changes of their inputs.

    python -m tests.foreign.qemu_devices [--rounds N] [--first SEED] [8259] [ioapic] [16550] [gicv2]

Each case says what the two do differently by design, and keeps away from it.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping

from tests.foreign.qemu import Case, Difference, Qemu
from vmm.devices.gicv2 import GicV2
from vmm.devices.i8259 import I8259Pair
from vmm.devices.ioapic import IoApic
from vmm.devices.ns16550 import Ns16550

STEPS = 500

# What a finding shows of what went before.
HISTORY = 25

# As many bits of priority as ours has.
PRIORITY_BITS = ("-global", "arm_gic.num-priority-bits=5")


class PicCase(Case):
    """One chip of the pair: QEMU latches the slave's request at the master, ours is a level."""

    CHIPS = ("/machine/unattached/device[6]", "/machine/unattached/device[7]")
    EOIS = (0x20, 0x20, 0x60, 0xA0, 0xC0, 0xE0, 0x80, 0x00, 0x40)

    def __init__(self, qemu: Qemu, dice: random.Random) -> None:
        super().__init__(qemu, dice)
        self.pair = I8259Pair()
        master, slave, elcr = self.pair.regions
        self.regions = {
            range(0x20, 0x22): master,
            range(0xA0, 0xA2): slave,
            range(0x4D0, 0x4D2): elcr,
        }
        self.chip = dice.randrange(2)
        self.CHIP = self.CHIPS[self.chip]
        self.base = (0x20, 0xA0)[self.chip]
        # QEMU lets a level that was high through an initialization, so all are low for that.
        self.write(0x4D0 + self.chip, 0xFF)
        self.clear_lines({8 * self.chip + n: n for n in range(8) if (self.chip, n) != (0, 2)})
        self.write(0x4D0 + self.chip, dice.choice((0, dice.getrandbits(8))))
        modes = dice.choice((0x01, 0x03, 0x11))
        for port, value in ((0, 0x11), (1, 0x20), (1, 4), (1, modes)):
            self.write(self.base + port, value)

    def drive(self, line: int, level: bool) -> None:
        self.pair.set_line(line, level)

    def step(self) -> None:
        dice, base = self.dice, self.base
        action = dice.randrange(6)
        if action == 0:
            self.turn(dice.choice(list(self.lines)))
        elif action == 1:
            self.write(base, dice.choice(self.EOIS) | dice.randrange(8))
        elif action == 2:
            # Not the special mask mode: QEMU's EOI ends masked interrupts, too, there.
            self.write(base, 8 | dice.choice((2, 3, 4)))
        elif action == 3:
            self.write(base + 1, dice.choice((0, 0xFF, dice.getrandbits(8))))
        else:
            self.read(base + dice.randrange(2))


class IoApicCase(Case):
    """QEMU keeps reserved bits, and forgets a level that rose while its pin was edge-triggered.

    Its input 0 is another one of pin 2.
    """

    CHIP = "/machine/i440fx/ioapic"
    READ, WRITE, SIZE = "readl", "writel", 4
    BASE = 0xFEC0_0000

    def __init__(self, qemu: Qemu, dice: random.Random) -> None:
        super().__init__(qemu, dice)
        self.device = IoApic(messages=lambda address, data: None)
        self.regions = {range(self.BASE, self.BASE + 0x1000): self.device}
        self.clear_lines({pin: pin for pin in range(1, 24)})
        self.select(0)
        self.write(self.BASE + 0x10, 0)
        for self.level in (0, dice.getrandbits(24)):
            for pin in range(24):
                self.redirect(pin, 0x1_0000)
                self.aim(pin, 0)

    def drive(self, line: int, level: bool) -> None:
        self.device.set_line(line, level)

    def select(self, index: int) -> None:
        self.write(self.BASE, index)

    def redirect(self, pin: int, low: int) -> None:
        self.select(0x10 + 2 * pin)
        self.write(self.BASE + 0x10, low | (self.level >> pin & 1) << 15)

    def aim(self, pin: int, destination: int) -> None:
        self.select(0x11 + 2 * pin)
        self.write(self.BASE + 0x10, destination << 24)

    def step(self) -> None:
        dice = self.dice
        action = dice.randrange(6)
        pin = dice.randrange(24)
        if action == 0:
            self.turn(dice.choice(list(self.lines)))
        elif action == 1:
            self.redirect(pin, dice.getrandbits(17) & 0x1_78FF)
        elif action == 2:
            self.aim(pin, dice.getrandbits(8))
        elif action == 3:
            self.write(self.BASE + 0x40, self.device.IOREDTBL[pin] & 0xFF)
        else:
            self.select(dice.choice((0, 1, 2, *range(0x10, 0x40))))
            self.read(self.BASE + 0x10)


class UartCase(Case):
    """In loopback. QEMU has no modem changes there; its time-out needs time; it keeps RBR."""

    OPTIONS = (*Case.OPTIONS, "-serial", "null")
    BASE = 0x3F8

    def __init__(self, qemu: Qemu, dice: random.Random) -> None:
        super().__init__(qemu, dice)
        self.device = Ns16550(irq=lambda level: None, sink=lambda data: None)
        self.regions = {range(self.BASE, self.BASE + 8): self.device}
        for register, value in ((3, 0), (1, 0), (2, 1), (2, 0), (4, 0x10), (7, 0)):
            self.write(self.BASE + register, value)
        for register, value in ((3, 0x80), (0, 0), (1, 0), (3, 0)):
            self.write(self.BASE + register, value)
        for register in (0, 5, 6):
            qemu.command(f"inb {self.BASE + register:#x}")
            self.device.read(register, 1)

    def step(self) -> None:
        dice, base = self.dice, self.BASE
        values = {
            0: dice.getrandbits(8),
            1: dice.getrandbits(3),
            2: dice.choice((1, 3, 0x41, 0x81, 0xC1, 0xC3)),
            3: dice.choice((3, 3, 0x83)),
            4: 0x10 | dice.getrandbits(4),
            7: dice.getrandbits(8),
        }
        if dice.random() < 0.4:
            register = dice.choice((0, 0, 0, *values))
            # A change of the FIFO's enable has QEMU report that the transmitter became empty.
            self.write(base + register, values[register] | (register == 2))
            return
        register = dice.randrange(8)
        received, divisor = self.device.LSR & 1, self.device.LCR & 0x80
        if register == 0 and not received and not divisor:
            return
        if register == 2 and received:
            return
        self.read(base + register, 0xF0 if register == 6 else 0xFF)


class GicCase(Case):
    """One processor. QEMU masks HPPIR, has no aliases, and preempts by full priorities.

    So there is no sense in other binary points than those for which these are the same.
    """

    ARCH = "aarch64"
    OPTIONS = ("-machine", "virt,gic-version=2", "-cpu", "cortex-a57", *PRIORITY_BITS)
    CHIP = "/machine/unattached/device[1]"
    READ, WRITE, SIZE = "readl", "writel", 4
    DISTRIBUTOR, INTERFACE = 0x0800_0000, 0x0801_0000
    CTLR, PMR, BPR, IAR, EOIR, RPR, ABPR, DIR = 0, 4, 8, 0xC, 0x10, 0x14, 0x1C, 0x1000
    CLEAR = (0x180, 0x280, 0x380)
    SPIS = 64

    def __init__(self, qemu: Qemu, dice: random.Random) -> None:
        super().__init__(qemu, dice)
        self.gic = GicV2(irq_lines=[lambda level: None], interrupts=32 + self.SPIS)
        self.regions = {
            range(self.DISTRIBUTOR, self.DISTRIBUTOR + 0x1000): self.gic.distributor,
            range(self.INTERFACE, self.INTERFACE + 0x2000): self.gic.cpu_interface,
        }
        self.clear_lines({32 + spi: spi for spi in range(self.SPIS)})
        self.put(self.INTERFACE, {self.CTLR: 0, self.PMR: 0xF8, self.BPR: 2, self.ABPR: 3})
        self.put(self.INTERFACE, {0xD0: 0, 0xE0: 0})
        state = {base + 4 * word: 0xFFFF_FFFF for base in self.CLEAR for word in range(3)}
        state |= {0xF10 + 4 * n: 0xFFFF_FFFF for n in range(4)}
        state |= {0x400 + 4 * n: 0 for n in range(24)} | {0xC00 + 4 * n: 0 for n in range(6)}
        state |= {0x080 + 4 * word: dice.choice((0, dice.getrandbits(32))) for word in range(3)}
        self.put(self.DISTRIBUTOR, {0: 0, **state})
        self.put(self.DISTRIBUTOR, {0: 3})
        self.put(self.INTERFACE, {self.CTLR: dice.choice((0x007, 0x017, 0x207, 0x217))})

    def put(self, base: int, values: Mapping[int, int]) -> None:
        for offset, value in values.items():
            self.write(base + offset, value)

    def drive(self, line: int, level: bool) -> None:
        self.gic.set_shared(line, level)

    def step(self) -> None:
        action = self.dice.randrange(8)
        if action == 0:
            self.turn(self.dice.choice(list(self.lines)))
        elif action < 3:
            self.read(self.INTERFACE + self.IAR)
        elif action == 3:
            self.end_one()
        elif action < 6:
            self.write_state()
        else:
            words = [base + 4 * word for base in range(0x080, 0x400, 0x80) for word in range(3)]
            words += [0x400 + 4 * self.dice.randrange(24), 0xF10 + 4 * self.dice.randrange(4)]
            self.read(self.DISTRIBUTOR + self.dice.choice(words))
            registers = (self.CTLR, self.PMR, self.BPR, self.RPR, self.ABPR)
            self.read(self.INTERFACE + self.dice.choice(registers))

    def write_state(self) -> None:
        dice = self.dice
        word = 4 * dice.randrange(3)
        few = dice.getrandbits(32) & dice.getrandbits(32) & dice.getrandbits(32)
        base, offset, value = dice.choice(
            (
                (self.DISTRIBUTOR, 0x100 + word, dice.getrandbits(32)),
                (self.DISTRIBUTOR, 0x180 + word, few),
                (self.DISTRIBUTOR, 0x200 + word, few),
                (self.DISTRIBUTOR, 0x280 + word, few),
                (self.DISTRIBUTOR, 0x400 + 4 * dice.randrange(24), dice.getrandbits(32)),
                (
                    self.DISTRIBUTOR,
                    0xC08 + 4 * dice.randrange(4),
                    dice.getrandbits(32) & 0xAAAA_AAAA,
                ),
                (self.DISTRIBUTOR, 0xF00, 0x200_0000 | dice.randrange(16)),
                (self.INTERFACE, self.PMR, dice.choice((0xF8, 0xF8, dice.getrandbits(8)))),
            )
        )
        self.write(base + offset, value)

    def end_one(self) -> None:
        """End an interrupt of the group whose priority is running."""
        group = self.gic.interfaces[0].active.running_group_1()
        active = [
            bank.first_intid + bit
            for bank in (self.gic.private[0], self.gic.shared)
            for bit in range(bank.all.bit_length())
            if bank.active >> bit & 1 and bool(bank.group >> bit & 1) == group
        ]
        if active:
            intid = self.dice.choice(active)
            self.write(self.INTERFACE + self.EOIR, intid)
            self.write(self.INTERFACE + self.DIR, intid)


CASES: dict[str, type[Case]] = {
    "8259": PicCase,
    "ioapic": IoApicCase,
    "16550": UartCase,
    "gicv2": GicCase,
}


def play(case: type[Case], qemu: Qemu, seed: int) -> None:
    """Play one round; say what was found."""
    pair = case(qemu, random.Random(seed))
    try:
        for _ in range(STEPS):
            pair.step()
    except Difference as difference:
        print(f"  seed {seed}: {difference}, behind:")
        for line in pair.history[-HISTORY:]:
            print(f"    {line}")


def main() -> None:
    """Play what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[])
    options = parser.parse_args()
    for name in options.cases or CASES:
        case = CASES[name]
        qemu = Qemu(case.ARCH, *case.OPTIONS)
        print(f"{name}: {options.rounds} rounds of {STEPS} steps", flush=True)
        try:
            for seed in range(options.first, options.first + options.rounds):
                play(case, qemu, seed)
        finally:
            qemu.close()


if __name__ == "__main__":
    main()
