"""A machine of QEMU whose devices are driven from here, each beside one of ours.

Its processor stands still, and its time with it: what comes by the qtest protocol is all that
happens.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmm.lines import Region


class Difference(Exception):
    """A read answered differently."""


class Qemu:
    """A machine of QEMU, driven by the qtest protocol."""

    def __init__(self, arch: str, *options: str) -> None:
        command = f"qemu-system-{arch}"
        if shutil.which(command) is None:
            sys.exit(f"there is no {command} here")
        fixed = ("-S", "-qtest", "stdio", "-display", "none", "-nodefaults", "-accel", "tcg")
        self._process = subprocess.Popen(
            [command, *fixed, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def command(self, text: str) -> str:
        """Have a command executed; return its result."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(text, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().split(maxsplit=1)
        assert answer[:1] == ["OK"], answer
        return answer[1] if len(answer) > 1 else ""

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


class Case:
    """A device of ours beside one of QEMU's.

    Attributes:
        ARCH: the machine's.
        OPTIONS: of QEMU.
        CHIP: QEMU's path of the device whose inputs are driven, "" if it has none.
        READ: the protocol's command for a read.
        WRITE: the protocol's command for a write.
    """

    ARCH = "x86_64"
    OPTIONS: tuple[str, ...] = ("-machine", "pc,hpet=off")
    CHIP = ""
    READ, WRITE, SIZE = "inb", "outb", 1

    def __init__(self, qemu: Qemu, dice: random.Random) -> None:
        self.qemu = qemu
        self.dice = dice
        self.history: list[str] = []
        self.regions: Mapping[range, Region] = {}
        self.lines: dict[int, bool] = {}

    def step(self) -> None:
        """Do something at random."""
        raise NotImplementedError

    def drive(self, line: int, level: bool) -> None:
        """Drive an input of our device."""
        raise NotImplementedError

    def clear_lines(self, lines: Mapping[int, int]) -> None:
        """Lower all inputs: ours by number, with QEMU's number of each."""
        self._numbers = lines
        self.lines = dict.fromkeys(lines, True)
        for line in lines:
            self.turn(line)

    def turn(self, line: int) -> None:
        """Turn over an input on both sides."""
        self.lines[line] = level = not self.lines[line]
        self.history.append(f"line {line} {'rises' if level else 'falls'}")
        number = self._numbers[line]
        self.qemu.command(f"set_irq_in {self.CHIP} unnamed-gpio-in {number} {int(level)}")
        self.drive(line, level)

    def write(self, address: int, value: int) -> None:
        """Write to both."""
        self.history.append(f"write {address:#x} {value:#x}")
        self.qemu.command(f"{self.WRITE} {address:#x} {value:#x}")
        region, offset = self._place(address)
        region.write(offset, self.SIZE, value)

    def read(self, address: int, mask: int = 0xFFFF_FFFF) -> int:
        """Read from both, and compare what is in ``mask``."""
        theirs = int(self.qemu.command(f"{self.READ} {address:#x}"), 16) & mask
        region, offset = self._place(address)
        ours = region.read(offset, self.SIZE) & mask
        self.history.append(f"read {address:#x} {ours:#x}")
        if ours != theirs:
            raise Difference(f"QEMU has {theirs:#x}")
        return ours

    def _place(self, address: int) -> tuple[Region, int]:
        return next(
            (r, address - place[0]) for place, r in self.regions.items() if address in place
        )
