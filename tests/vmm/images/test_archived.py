"""Programs are found in an archive as in a root directory; what is damaged has none."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vmm.images.newc import Archive
from vmm.errors import UsageError
from vmm.images.archived import open_archived
from vmm.images.bundled import kernel_path

PROGRAM = b"\x7fELF and more"


def content() -> bytes:
    archive = Archive()
    archive.directory("usr")
    archive.directory("usr/bin")
    archive.symlink("bin", "usr/bin")
    archive.file("usr/bin/text", b"#!/bin/sh")
    archive.file("usr/bin/python3.11", PROGRAM)
    archive.symlink("usr/bin/python3", "python3.11")
    archive.symlink("usr/bin/python", "/../bin/./python3")
    archive.symlink("usr/bin/loop", "loop")
    return archive.build()


@pytest.mark.parametrize("name", ["python3.11", "python3", "python", "../bin/python3"])
@pytest.mark.parametrize("folder", ["/usr/bin", "/bin", "//usr/./bin"])
def test_found_through_links(folder: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(content())
    file = open_archived(str(tmp_path / "archive"), f"{folder}/{name}")
    assert file is not None
    assert file.head == PROGRAM
    assert file.path == f"{folder}/{name}"
    file.close()


@pytest.mark.parametrize("name", ["/bin/text", "/bin", "/bin/loop", "/none", "bin/python3", "/"])
def test_nothing_else_is_found(name: str, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(content())
    assert open_archived(str(tmp_path / "archive"), name) is None


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_found_in_a_compressed_archive(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    packed = pack(content())
    (tmp_path / "archive").write_bytes(packed)
    file = open_archived(str(tmp_path / "archive"), "/bin/python")
    assert file is not None
    assert (file.head, file.path) == (PROGRAM, "/bin/python")
    file.close()
    assert open_archived(str(tmp_path / "archive"), "/none") is None
    (tmp_path / "archive").write_bytes(packed[:-30])
    with pytest.raises(UsageError, match="archive: "):
        open_archived(str(tmp_path / "archive"), "/bin/python")


def test_a_kernel_of_the_host_needs_no_compressed_archive(tmp_path: Path) -> None:
    """Its ramdisk may be large, or of a form that nothing here can unpack."""
    (tmp_path / "archive").write_bytes(gzip.compress(content())[:-30])
    assert open_archived(str(tmp_path / "archive"), str(kernel_path("x86_64"))) is None


@settings(max_examples=30)
@given(data=st.data())
def test_damage_ends_the_search(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = bytearray(content())
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=20)):
        whole[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "archive"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    file = open_archived(str(path), "/bin/python")
    if file is not None:
        file.close()
