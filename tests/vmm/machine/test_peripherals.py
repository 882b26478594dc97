"""A device of one's own, put on both boards, by Python and by the command line."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import vmm.devices.peripheral
from tests.foreign.images import multiboot
from tests.vmm.boot.fdt_reader import read_fdt
from tests.vmm.machine.dice import Dice, Loaded, Needy
from vmm.cli import main
from vmm.errors import UsageError
from vmm.machine.machine import Machine
from vmm.machine.plugin import load_class, load_device

HERE = "tests.vmm.machine.dice"
SIDES, RESULT, STATUS = 0, 4, 8

PLACES = {"x86_64": 0xD100_0000, "arm64": 0x0B00_0000}
ELSEWHERE = {"x86_64": 0xD200_0000, "arm64": 0x0C00_0000}


def test_the_documented_example_is_this_one() -> None:
    reference = (vmm.devices.peripheral.__doc__ or "").replace("'''", '"""')
    readme = Path(__file__).parents[3].joinpath("README.md").read_text()
    source = Path(__file__).with_name("dice.py").read_text()
    body = source[source.index("class Dice") : source.index("class NoDevice")].strip()
    assert body in readme
    for line in body.split("\n"):
        assert line.strip() in reference


def test_a_machine_takes_a_device_where_it_wants_to_be(arch: str) -> None:
    at = ELSEWHERE[arch]
    dice = Dice(at=at, seed=7)
    fallen = Random(7)
    with Machine("hello", arch=arch, backend="unicorn", devices=[dice, "rng"]) as machine:
        assert machine.bus.mmio_read(at + SIDES, 4) == 6
        for _ in range(20):
            assert machine.bus.mmio_read(at + RESULT, 4) == fallen.randint(1, 6)
        assert machine.bus.mmio_read(at + STATUS, 4) == 1
        assert dice.irq.level
        machine.bus.mmio_write(at + STATUS, 4, 1)
        assert not dice.irq.level
        assert dice.memory is machine.memory
        assert dice.clock is machine.clock


def test_else_the_board_chooses(arch: str) -> None:
    words = [f"{HERE}:Dice,seed=3", f"{HERE}:Dice"]
    with Machine("hello", arch=arch, backend="unicorn", devices=words) as machine:
        for index in range(2):
            assert machine.bus.mmio_read(PLACES[arch] + index * 0x1000, 4) == 6
        names = [mapping.name for mapping in machine.bus.mmio.mappings]
    assert {"dice", "dice1"} <= set(names)


def test_guests_are_told() -> None:
    with Machine("hello", arch="x86_64", backend="unicorn", devices=[Dice()]) as machine:
        assert "dice.device=4096@0xd1000000:5" in machine.board.kernel_words()
    with Machine("hello", arch="arm64", backend="unicorn", devices=[Dice()]) as machine:
        blob = machine.board.device_tree("", None)
        assert blob is not None
        node = read_fdt(blob).root.children["dice@b000000"]
    assert node.properties["compatible"] == b"calypso,dice\0"


@pytest.mark.parametrize("at", [0x0902_0000, 0x0902_0FFF, 0x4000_0000, 1 << 40, -4096])
def test_it_cannot_be_where_something_else_is(at: int) -> None:
    with pytest.raises(UsageError, match=r"^dice at .* (overlaps|beyond)"):
        Machine("hello", arch="arm64", backend="unicorn", devices=[Dice(at=at)])


def test_options_get_the_types_of_their_annotations() -> None:
    device = load_device(f"{HERE}:Needy,name=a=b,speed=2.5,loud=yes")
    assert isinstance(device, Needy)
    assert device.options == ("a=b", 2.5, True)
    assert load_device(f"{HERE}:Dice,at=0x1000").at == 0x1000


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no.such.module:Dice", "there is no module 'no' in /"),
        (":Dice", "cannot import ''"),
        (f"{HERE}:Nothing", "has no class 'Nothing'"),
        (f"{HERE}:", "has no class ''"),
        (f"{HERE}:NoDevice", "NoDevice is not derived from"),
        (f"{HERE}:Dice,sides=4", "'sides=4' is not one of at=, seed="),
        (f"{HERE}:Dice,seed=many", "seed=many: 'many' is no int"),
        (f"{HERE}:Needy", "it needs name="),
        (f"{HERE}:Needy,name=x,loud=perhaps", "'perhaps' is no bool"),
        (f"{HERE}:Needy,name=x,speed=-1", "it cannot go backwards"),
        (f"{HERE}:Broken", "ZeroDivisionError: division by zero (dice.py, line "),
        ("dice", "and your own as MODULE:CLASS"),
    ],
)
def test_mistakes_are_told_in_one_line(
    text: str, complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--backend", "unicorn", "--quiet", "--device", text, "hello"]) == 2
    error = capfd.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_a_module_may_lie_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lamp_of_mine.py").write_text(
        "from vmm.devices.peripheral import Peripheral\nclass Lamp(Peripheral): pass\n"
    )
    (tmp_path / "broken_of_mine.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    assert load_class("lamp_of_mine:Lamp").__name__ == "Lamp"
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        load_class("broken_of_mine:Lamp")


@pytest.mark.parametrize(("falls", "seen"), [(-1, 0xFFFF_FFFF), (1 << 32 | 5, 5), (True, 1)])
def test_guests_see_as_many_bits_as_there_are(falls: int, seen: int) -> None:
    assert Loaded(falls).read(RESULT, 4) == seen
    assert Loaded(falls).read(RESULT, 1) == seen & 0xFF


def test_a_method_that_returns_nothing_is_named() -> None:
    with pytest.raises(TypeError, match=r"loaded\.RESULT reads as None, which is no int"):
        Loaded().read(RESULT, 4)


def test_a_device_that_raises_ends_the_run_with_125_and_where(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    read = b"\xa1" + (PLACES["x86_64"] + RESULT).to_bytes(4, "little")
    kernel = tmp_path / "kernel"
    kernel.write_bytes(multiboot(read))
    words = ["--backend", "unicorn", "--quiet", "--device", f"{HERE}:Loaded", str(kernel)]
    assert main(["run", *words]) == 125
    error = capfd.readouterr().err
    assert error.splitlines()[-1] == "TypeError: loaded.RESULT reads as None, which is no int"
    assert "KeyError" not in error


def test_it_has_a_reference_page(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["device", f"{HERE}:Dice"]) == 0
    assert "| 0x4 | RESULT | 32 | RO |" in capfd.readouterr().out
