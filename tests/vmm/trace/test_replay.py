"""A recorded dialogue is held again with a fresh device, and with one that has a bug."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vmm.machine.dice import Dice
from tests.vmm.trace.machines import traced_block_machine
from vmm.cli import main
from vmm.devices.hwrng import HwRng
from vmm.devices.peripheral import Peripheral
from vmm.devices.registers import RO, Register
from vmm.errors import UsageError
from vmm.machine.machine import Machine
from vmm.trace.replay import Replay, replay
from vmm.trace.values import decode, encode

PL011, PL031, HWRNG = 0x0900_0000, 0x0901_0000, 0x0903_0000
PORTS = {"com1": (0x3F8, 8), "8254": (0x40, 4), "rtc": (0x70, 2)}
DICE = 0x0B00_0000


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "trace.jsonl")


def test_devices_of_the_arm64_board_repeat_themselves(file: str) -> None:
    dice = random.Random(7)
    with Machine("hello", arch="arm64", backend="unicorn", trace=file) as machine:
        bus = machine.bus
        bus.mmio_write(HWRNG + 0x08, 4, 1)
        bus.mmio_write(PL011 + 0x30, 4, 0x301)
        for _ in range(300):
            base = dice.choice((PL011, PL031, HWRNG))
            offset = 4 * dice.randrange(0x40 // 4)
            if base == PL011 and dice.random() < 0.1:
                machine.console.send(dice.randbytes(2))
            if base != HWRNG and dice.random() < 0.3:
                bus.mmio_write(base + offset, 4, dice.getrandbits(12))
            else:
                bus.mmio_read(base + offset, 4)
    for name in ("pl011", "pl031", "hwrng"):
        assert replay(file, name) is None


def test_devices_of_the_x86_64_board_repeat_themselves(file: str) -> None:
    dice = random.Random(7)
    with Machine("hello", arch="x86_64", backend="unicorn", trace=file) as machine:
        for _ in range(300):
            base, ports = dice.choice(list(PORTS.values()))
            port = base + dice.randrange(ports)
            if dice.random() < 0.4:
                machine.bus.port_write(port, 1, dice.getrandbits(8))
            else:
                machine.bus.port_read(port, 1)
    for name in PORTS:
        assert replay(file, name) is None


class Lamp(Peripheral):
    """Counts how often it was looked at."""

    LOOKS = Register(0x00, "Looks", RO)
    LOOKS_MANY = LOOKS.bit(1, "more than one")
    LOOKS_ONE = LOOKS.bit(0, "an odd number")

    @LOOKS.on_read
    def _look(self) -> int:
        self.LOOKS = self._count(self.LOOKS)
        return self.LOOKS

    def _count(self, looks: int) -> int:
        return looks + 1 & 3


class BrokenLamp(Lamp):
    """Forgets the second bit."""

    def _count(self, looks: int) -> int:
        return looks + 1 & 1


@pytest.fixture
def lamp_trace(file: str) -> str:
    with Machine("hello", arch="arm64", backend="unicorn", devices=[Lamp()], trace=file) as machine:
        for _ in range(8):
            machine.bus.mmio_read(DICE, 4)
    return file


def test_a_bug_is_found_at_the_first_access_that_shows_it(
    lamp_trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    difference = replay(lamp_trace, "lamp", BrokenLamp())
    assert difference is not None
    assert difference.step == 2
    assert difference.recorded is not None
    assert difference.recorded["value"] == 2
    assert difference.replayed is not None
    assert difference.replayed["value"] == 0
    assert difference.replayed["fields"] == {"MANY": 0, "ONE": 0}
    words = ["trace", lamp_trace, "--replay"]
    assert main([*words, f"lamp={__name__}:BrokenLamp"]) == 1
    shown = capsys.readouterr().out
    assert "step 2, lamp.LOOKS R 0x2 MANY=1, at 0x40010000:" in shown
    assert "recorded lamp.LOOKS R 0x2 MANY=1" in shown
    assert "replayed lamp.LOOKS R 0x0" in shown
    assert main([*words, "lamp"]) == 0
    assert "lamp: 8 steps replayed, all as recorded" in capsys.readouterr().out


@pytest.mark.parametrize("leave", ["continue", "quit"])
def test_the_debugger_stops_at_the_first_line_of_the_step(lamp_trace: str, leave: str) -> None:
    words = ["trace", lamp_trace, "--replay", f"lamp={__name__}:BrokenLamp", "--pdb"]
    done = subprocess.run(
        [sys.executable, "-m", "vmm", *words],
        input=f"p self.LOOKS, offset, size\n{leave}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "(1, 0, 4)" in done.stdout
    assert (done.returncode, done.stderr) == (1, "")


def test_the_steps_at_which_the_debugger_stops_are_told(lamp_trace: str) -> None:
    words = [sys.executable, "-m", "vmm", "trace", lamp_trace, "--replay", "lamp", "--break"]
    done = subprocess.run(
        [*words, "LOOKS"], input="c\n" * 8, capture_output=True, text=True, check=True
    )
    assert "step 3, lamp.LOOKS R 0x3 MANY=1 ONE=1:\n> " in done.stdout
    assert done.stderr == ""
    done = subprocess.run([*words, "9"], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == "vmm: none of 8 steps is the one to stop at\n"


def test_a_device_is_replayed_from_the_state_it_was_in(file: str) -> None:
    lamp = Lamp()
    lamp.read(0, 4)
    with Machine("hello", arch="arm64", backend="unicorn", devices=[lamp], trace=file) as machine:
        assert machine.bus.mmio_read(DICE, 4) == 2
    assert replay(file, "lamp") is None
    assert replay(file, "lamp", Lamp()) is not None


def test_what_cannot_be_replayed_is_told(file: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(512))
    with traced_block_machine(file, disk) as machine:
        machine.bus.mmio_read(0x0800_0000, 4)
    with pytest.raises(UsageError, match=r"virtio0 reads RAM.* record it with --trace FILE,replay"):
        Replay(file, "virtio0")
    with pytest.raises(UsageError, match="no device 'lamp'; it has gicd, virtio0"):
        Replay(file, "lamp")


def test_a_device_is_made_again_as_the_option_said(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    device = "tests.vmm.machine.dice:Dice,seed=7"
    with Machine("hello", arch="arm64", backend="unicorn", devices=[device], trace=file) as machine:
        for _ in range(9):
            machine.bus.mmio_read(DICE + 4, 4)
    assert main(["trace", file, "--replay", "dice"]) == 0
    assert "9 steps replayed" in capsys.readouterr().out
    assert main(["trace", file, "--replay", "dice=tests.vmm.machine.dice:Dice,seed=8"]) == 1


class Particular(Lamp):
    def __init__(self, at: int, *, colour: str) -> None:
        super().__init__(at)


def test_a_device_that_needs_more_is_to_be_given(file: str) -> None:
    lamp = Particular(DICE, colour="red")
    with Machine("hello", arch="arm64", backend="unicorn", devices=[lamp], trace=file) as machine:
        machine.bus.mmio_read(DICE, 4)
    with pytest.raises(UsageError, match="a Particular needs at; give replay"):
        Replay(file, "particular")
    assert replay(file, "particular", Particular(DICE, colour="blue")) is None


def test_states_survive_being_written_down() -> None:
    device = HwRng(irq=lambda level: None, source=bytes)
    device.write(0x08, 4, 1)
    for state in (device.save(), Dice().save()):
        assert decode(encode(state)) == state
