"""The notes of Solo5's unikernels: what they say, and what is wrong with malformed ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.foreign import solo5
from tests.foreign.solo5 import BLOCK, NETWORK, RESERVED_FIRST, entry, manifest
from vmm.errors import UsageError
from vmm.images.recognise import open_image
from vmm.images.solo5_notes import (
    BlockProperties,
    DeviceRequest,
    NetworkProperties,
    pack_manifest,
    parse_abi,
    parse_manifest,
)

NAMES = st.text("abcXYZ019", min_size=1, max_size=67)
DEVICES = st.lists(st.tuples(NAMES, st.sampled_from([BLOCK, NETWORK])), max_size=63, unique=True)


@given(DEVICES)
def test_a_manifest_comes_back_as_it_was(devices: list[tuple[str, int]]) -> None:
    parsed = parse_manifest(manifest(*devices))
    assert parsed == [None, *[DeviceRequest(name, kind) for name, kind in devices]]
    assert pack_manifest(parsed, {}) == manifest(*devices)[4:]


def test_properties_are_packed_where_the_unikernel_looks() -> None:
    devices = [None, DeviceRequest("disk", BLOCK), DeviceRequest("net", NETWORK)]
    told = {1: BlockProperties(0x1122, 512), 2: NetworkProperties(b"\2\0\0\0\0\1", 1500)}
    packed = pack_manifest(devices, told)
    disk, net = packed[8 + 104 : 8 + 208], packed[8 + 208 :]
    assert disk[:5] == b"disk\0"
    assert disk[72:88] == (0x1122).to_bytes(8, "little") + (512).to_bytes(8, "little")
    assert net[72:80] == b"\2\0\0\0\0\1" + (1500).to_bytes(2, "little")
    assert (disk[96], net[96]) == (1, 1)


FIRST = entry(b"", RESERVED_FIRST)


@pytest.mark.parametrize(
    ("description", "complaint"),
    [
        (b"", "holds no manifest"),
        (manifest(version=2), "version is 2"),
        (manifest(count=0), "entries are 0"),
        (manifest(count=65), "entries are 65"),
        (manifest(count=2), "2 entries take 216"),
        (manifest() + b"\0", "113 bytes, 1 entries take 112"),
        (manifest(count=1)[:12] + entry(b"", BLOCK), "entry 0 is not the reserved one"),
        (manifest(count=1)[:12] + entry(b"x", RESERVED_FIRST), "entry 0 is not the reserved one"),
        (manifest(count=2)[:12] + FIRST + entry(b"", BLOCK), "entry 1 has no name"),
        (manifest(count=2)[:12] + FIRST + entry(b"x" * 68, BLOCK), "a name without an end"),
        (manifest(count=2)[:12] + FIRST + entry(b"x", 3), "is of type 3"),
        (manifest(count=2)[:12] + FIRST + entry(b"x", BLOCK, True), "says that it is attached"),
        (manifest(("x", BLOCK), ("x", BLOCK)), "asks for block 'x' twice"),
    ],
)
def test_malformed_manifests(description: bytes, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_manifest(description)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_manifest_or_refused(content: bytes) -> None:
    for parse in (parse_abi, parse_manifest):
        complaint = ""
        try:
            parse(content)
        except UsageError as error:
            complaint = str(error)
        assert "\n" not in complaint


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"abi_note": solo5.abi(target=2)}, "for the target spt"),
        ({"abi_note": solo5.abi(version=1)}, "its ABI is hvt 1"),
        ({"abi_note": b"\1"}, "the note ABI1 has 1 bytes"),
        ({"manifest_note": b"\1"}, "holds no manifest"),
    ],
)
def test_what_is_refused_names_the_file(
    tmp_path: Path, changes: dict[str, bytes], complaint: str
) -> None:
    path = tmp_path / "unikernel"
    path.write_bytes(solo5.unikernel("x86_64", **changes))
    with pytest.raises(UsageError) as problem:
        open_image(str(path))
    assert str(problem.value).startswith(f"{path}: ")
    assert complaint in str(problem.value)
