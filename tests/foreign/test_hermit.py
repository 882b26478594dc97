"""Hermit unikernels start as uhyve starts them, and speak to it by its hypercalls."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import BACKENDS
from tests.foreign import hermit
from vmm.arch import host_arch
from vmm.console import Console
from vmm.errors import UsageError
from vmm.hypercall.hermit import HermitCalls
from vmm.images.recognise import open_image
from vmm.machine.machine import Machine
from vmm.memory import Gpa, GuestMemory

ON_X86 = [backend for backend in BACKENDS if backend == "unicorn" or host_arch() == "x86_64"]
BOOT_INFO = 0x2000
BASE = 0x40_0000


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "unikernel"
    path.write_bytes(hermit.unikernel())
    return path


@pytest.mark.parametrize("backend", ON_X86)
def test_a_unikernel_prints_and_exits(image: Path, backend: str) -> None:
    with Machine(image, ["one", "two"], backend=backend, memory="16M") as machine:
        assert machine.run(timeout=20) == 3
        assert machine.console.output == b">text\ntext\ntwo"
        start, end, port, tree = struct.unpack("<QQH6xQ", machine.memory.read(BOOT_INFO, 32))
        assert (start, end, tree) == (0, 16 << 20, 0)
        assert port != 0
        first, last = struct.unpack("<QQ", machine.memory.read(BOOT_INFO + 32, 16))
        kilohertz = machine.memory.read_u32(BOOT_INFO + 104)
        assert kilohertz == machine.board.counter_hz // 1000
        assert (first, last) == (BASE + hermit.CODE, BASE + hermit.DATA + 0x6000)


def test_inspection_names_the_kind(image: Path) -> None:
    with open_image(str(image)) as opened:
        assert opened.describe()["kind"] == "hermit-unikernel"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"version": b"\x03"}, "its boot interface is 03"),
        ({"relocation": 1}, "a relocation of type 1"),
        ({"offset": 0x10_0000}, "r_offset 0x100000 of a relocation is outside"),
    ],
)
def test_malformed_unikernels(tmp_path: Path, changes: dict[str, bytes], complaint: str) -> None:
    path = tmp_path / "unikernel"
    path.write_bytes(hermit.unikernel(**changes))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=complaint):
        Machine(path, backend="unicorn")


@pytest.mark.parametrize("given_options", [{"cpus": 2}, {"initrd": "/dev/null"}])
def test_what_there_is_not(image: Path, given_options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="takes no --initrd, and runs on one vCPU"):
        Machine(image, backend="unicorn", **given_options)  # type: ignore[arg-type]


class Host:
    """Notes how the run ends; maps the lower half of memory to itself."""

    def __init__(self) -> None:
        self.ends: list[object] = []

    def exit(self, status: int) -> None:
        self.ends.append(status)

    def crash(self, message: str) -> None:
        self.ends.append(message)

    def translate(self, address: int) -> int | None:
        return address if address < 0x2000 else None


WORDS = st.sampled_from([0, 1, 2, 0x1000, 0x1FFF, 0x3FFF, 0x4000, 1 << 32, (1 << 64) - 1])


@given(port=st.integers(0, 10), words=st.lists(WORDS, min_size=4, max_size=4), gpa=WORDS)
def test_no_structure_is_an_exception_of_ours(port: int, words: list[int], gpa: int) -> None:
    from vmm.bus import Bus

    host, bus = Host(), Bus()
    with GuestMemory([(Gpa(0), 0x4000)]) as memory:
        calls = HermitCalls(memory, Console(), host, ["name"], ["A=B"])
        calls.attach(bus)
        memory.write(0x1000, struct.pack("<4Q", *words))
        for address in (0x1000, gpa & 0xFFFF_FFFF):
            bus.port_write(sorted(calls.calls)[port], 4, address)
    assert all(isinstance(end, (int, str)) for end in host.ends)
