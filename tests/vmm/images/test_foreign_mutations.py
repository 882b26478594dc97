"""Whatever is in a file, opening and loading it gives an image, or one line that says why not."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.descriptors import open_descriptors
from tests.foreign import hermit, images, solo5
from vmm.arch import ARCHITECTURES, X86_64
from vmm.boot.placement import BootRequest, Placement
from vmm.errors import UsageError
from vmm.images.foreign import ForeignKernel
from vmm.images.image import HERMIT, SOLO5_HVT
from vmm.images.recognise import open_image
from vmm.memory import Gpa, GuestMemory

MIB = 1 << 20
FORMS = (*images.X86_FORMS, *images.ARM64_FORMS)
GOOD = {form: images.build(form, b"\xf4" * 64) for form in FORMS}
GOOD |= {
    f"solo5-{arch}": solo5.unikernel(arch, [solo5.halt(0)], ("disk", solo5.BLOCK))
    for arch in ARCHITECTURES
}
GOOD["hermit"] = hermit.unikernel()
GOOD["gzip"] = gzip.compress(GOOD["arm64-image"])

TREE = b"\xd0\x0d\xfe\xed" + bytes(100)
BOARDS = {
    arch: SimpleNamespace(
        arch=arch,
        device_tree=lambda _line, _initrd: TREE,
        doorbell=0x500 if arch == X86_64 else 1 << 32,
        counter_hz=1,
        properties={},
        places=(),
    )
    for arch in ARCHITECTURES
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("mutations") / "image")


@pytest.fixture(scope="module")
def memories() -> Iterator[dict[str, GuestMemory]]:
    open_descriptors()  # waits until earlier machines have closed theirs
    with GuestMemory([(Gpa(0), 32 * MIB)]) as pc, GuestMemory([(Gpa(1 << 30), 32 * MIB)]) as arm:
        yield {"x86_64": pc, "arm64": arm}


def open_and_load(path: str, content: bytes, memories: dict[str, GuestMemory]) -> None:
    with open(path, "wb") as file:
        file.write(content)
    before = len(os.listdir("/proc/self/fd"))
    complaint = ""
    try:
        with open_image(path) as image:
            image.describe()
            if isinstance(image, ForeignKernel):
                assert image.arch is not None
                board: Any = BOARDS[image.arch]
                solo = image.kind in (SOLO5_HVT, HERMIT)
                request = BootRequest("kernel", "line", None if solo else path, board)
                memory = memories[X86_64 if solo else image.arch]
                registers = image.load(Placement(memory), request)
                assert set(registers) & {"rip", "pc"}
    except UsageError as error:
        complaint = str(error)
    assert "\n" not in complaint
    assert len(os.listdir("/proc/self/fd")) == before


@given(
    form=st.sampled_from(sorted(GOOD)),
    changes=st.lists(
        st.tuples(st.integers(0, 0x1100), st.integers(0, 255)), min_size=1, max_size=8
    ),
    cut=st.none() | st.integers(0, 0x1200),
)
def test_mutated_kernels(
    path: str,
    memories: dict[str, GuestMemory],
    form: str,
    changes: list[tuple[int, int]],
    cut: int | None,
) -> None:
    content = bytearray(GOOD[form])
    for position, byte in changes:
        content[position % len(content)] = byte
    open_and_load(path, bytes(content[:cut]), memories)


@given(
    form=st.sampled_from(sorted(GOOD)),
    offset=st.integers(0, 0x300),
    word=st.sampled_from([0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x10_0000, 0x2000]),
    size=st.sampled_from([2, 4, 8]),
)
def test_fields_at_their_limits(
    path: str, memories: dict[str, GuestMemory], form: str, offset: int, word: int, size: int
) -> None:
    content = bytearray(GOOD[form])
    field = (word * 0x1_0000_0001).to_bytes(12, "little")[:size]
    content[offset : offset + size] = field
    open_and_load(path, bytes(content), memories)


@given(
    magic=st.sampled_from([b"\x1f\x8b", b"\xfd7zXZ\0", b"MZ\0\0zimg", b"\x7fELF\x01\x01\x01"]),
    rest=st.binary(max_size=200),
)
def test_arbitrary_bytes_behind_a_magic(
    path: str, memories: dict[str, GuestMemory], magic: bytes, rest: bytes
) -> None:
    open_and_load(path, magic + rest, memories)
