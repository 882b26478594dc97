"""The bound copy of the engine's library, in memory, is what the library itself is."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest

from vmm.backends.unicorn import library as module
from vmm.backends.unicorn.bound import bind, make_bound_copy
from vmm.backends.unicorn.library import Library, open_library
from vmm.backends.unicorn.shared_object import DT_RELA, DT_RELASZ, SharedObject

# R_X86_64_DTPMOD64, R_AARCH64_TLS_DTPMOD: tell one opened library from another.
MODULE_NUMBER = (16, 1028)


@pytest.fixture
def original() -> str:
    """The wheel's file."""
    return open_library().path


@pytest.fixture
def build_id() -> str:
    return open_library().build_id


def open_as_is(path: str, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Open ``path`` itself, whatever copy there is."""
    monkeypatch.setattr(module, "_placed_copy", lambda *_: None)
    monkeypatch.setattr(module, "_bound_copy", lambda *_: None)
    return Library(open_library().ffi, path)


def is_of_others(library: SharedObject, symbol: int) -> bool:
    """Tell whether ``symbol`` has a name and is not defined in the library."""
    return symbol != 0 and library.symbol(symbol)[2] == 0


def relocated(library: Library, offsets: list[int]) -> list[int]:
    """Return the words at ``offsets``, relative to the library where they point into it."""
    base = library.base_address()
    words = [ctypes.c_uint64.from_address(base + offset).value for offset in offsets]
    return [word - base if base <= word < base + (64 << 20) else word for word in words]


def test_every_relocated_word_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, original: str
) -> None:
    copy = str(tmp_path / "libunicorn.so.2")
    assert make_bound_copy(original, copy)
    library = SharedObject(bytearray(Path(original).read_bytes()))
    offsets = [
        offset
        for offset, info, _ in library.relocations(DT_RELA, DT_RELASZ)
        if info & 0xFFFF_FFFF not in MODULE_NUMBER and not is_of_others(library, info >> 32)
    ]
    assert len(offsets) > 50_000
    expected = relocated(open_as_is(original, monkeypatch), offsets)
    assert relocated(open_as_is(copy, monkeypatch), offsets) == expected


def test_few_names_are_left_to_look_up(original: str) -> None:
    image = bytearray(Path(original).read_bytes())
    bind(image)
    library = SharedObject(image)
    left = [info for _, info, _ in library.relocations(DT_RELA, DT_RELASZ) if info >> 32]
    assert 0 < len(left) < 50
    assert len(image) == os.path.getsize(original)


def test_the_copy_is_made_once_and_then_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, original: str, build_id: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "_placed_copy", lambda *_: None)
    copy = module._bound_copy(original, build_id)
    assert copy is not None
    assert copy.startswith(str(tmp_path))
    made = os.stat(copy)
    assert module._bound_copy(original, build_id) == copy
    assert os.stat(copy) == made
    opened = Library(open_library().ffi, original)
    assert opened.build_id == build_id
    assert copy in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("damage", ["truncated", "another user's"])
def test_a_copy_not_to_be_trusted_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, original: str, build_id: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    copy = module._bound_copy(original, build_id)
    assert copy is not None
    whole = Path(copy).read_bytes()
    if damage == "truncated":
        os.truncate(copy, 4096)
    elif os.geteuid() == 0:
        os.chown(copy, 12345, -1)
    else:
        pytest.skip("only root may give a file away")
    assert module._bound_copy(original, build_id) == copy
    assert os.stat(copy).st_uid == os.geteuid()
    assert Path(copy).read_bytes() == whole


def test_without_a_cache_the_file_itself_is_opened(
    monkeypatch: pytest.MonkeyPatch, original: str, build_id: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert module._placed_copy(original, build_id) is None
    assert module._bound_copy(original, build_id) is None
    assert Library(open_library().ffi, original).build_id == build_id


@pytest.mark.parametrize(
    "content",
    [b"", b"no ELF", b"\x7fELF\x02\x01" + bytes(200), Path(sys.executable).read_bytes()[:4096]],
)
def test_a_file_that_cannot_be_bound_has_no_copy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lib").write_bytes(content)
    assert not make_bound_copy(str(tmp_path / "lib"), str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()
