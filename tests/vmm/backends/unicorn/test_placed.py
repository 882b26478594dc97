"""The placed copy of the engine's library lies at its address, and is there what the library is."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from vmm.backends.unicorn import library as module
from vmm.backends.unicorn.library import Library, open_library
from vmm.backends.unicorn.placed import make_placed_copy, place
from vmm.backends.unicorn.shared_object import (
    DT_JMPREL,
    DT_PLTRELSZ,
    DT_RELA,
    DT_RELASZ,
    SharedObject,
)

pytestmark = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="placed copies are for hosts of x86_64"
)

R_X86_64_DTPMOD64 = 16  # tells one opened library from another
EXTENT = 64 << 20  # of the library in memory, and more
MAP_FIXED_NOREPLACE = 0x10_0000


@pytest.fixture
def original() -> str:
    """The wheel's file."""
    return open_library().path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without copies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def placed_copy(original: str) -> str:
    copy = module._placed_copy(original, open_library().build_id)
    assert copy is not None
    return copy


def named_address(copy: str) -> int:
    """Return the address that the copy asks for."""
    with open(copy, "rb") as file:
        return int(ELFFile(file).get_segment(0)["p_vaddr"])


@pytest.fixture
def placed(cache: Path, original: str) -> Library:
    """The library by its placed copy."""
    copy = placed_copy(original)
    library = Library(open_library().ffi, original)
    if library.base_address() != named_address(copy):
        pytest.skip("this dynamic linker loads a library anywhere but where it asks for")
    return library


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, original: str) -> Library:
    """The library by the wheel's own file."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "_placed_copy", lambda *_: None)
        patch.setattr(module, "_bound_copy", lambda *_: None)
        return Library(open_library().ffi, original)


def test_every_relocated_word_is_the_same(placed: Library, plain: Library, original: str) -> None:
    library = SharedObject(bytearray(Path(original).read_bytes()))
    offsets = [
        offset
        for offset, info, _ in library.relocations(DT_RELA, DT_RELASZ)
        if info & 0xFFFF_FFFF != R_X86_64_DTPMOD64 and not is_of_others(library, info >> 32)
    ]
    assert len(offsets) > 50_000
    assert relocated(placed, offsets) == relocated(plain, offsets)


def is_of_others(library: SharedObject, symbol: int) -> bool:
    """Tell whether ``symbol`` has a name and is not defined in the library."""
    return symbol != 0 and library.symbol(symbol)[2] == 0


def relocated(library: Library, offsets: list[int]) -> list[int]:
    """Return the words at ``offsets``, relative to the library where they point into it."""
    base = library.base_address()
    words = [ctypes.c_uint64.from_address(base + offset).value for offset in offsets]
    return [word - base if base <= word < base + EXTENT else word for word in words]


def test_its_own_functions_are_called_without_being_looked_up(
    placed: Library, original: str
) -> None:
    library = SharedObject(bytearray(Path(original).read_bytes()))
    own = {
        offset: library.symbol(info >> 32)[3]
        for offset, info, _ in library.relocations(DT_JMPREL, DT_PLTRELSZ)
        if info >> 32 and not is_of_others(library, info >> 32)
    }
    assert len(own) > 5_000
    assert relocated(placed, list(own)) == list(own.values())


def test_few_relocations_are_left(original: str) -> None:
    image = bytearray(Path(original).read_bytes())
    place(image)
    library = SharedObject(image)
    assert 0 < len(list(library.relocations(DT_RELA, DT_RELASZ))) < 150
    assert list(library.relocations(DT_JMPREL, DT_PLTRELSZ)) == []
    assert len(image) == os.path.getsize(original)


def test_each_copy_has_an_address_of_its_own(tmp_path: Path, original: str) -> None:
    copies = [str(tmp_path / "one"), str(tmp_path / "other")]
    for copy in copies:
        assert make_placed_copy(original, copy)
    addresses = [named_address(copy) for copy in copies]
    assert len({*addresses}) == 2
    assert all(16 << 40 <= address < 80 << 40 for address in addresses)


@pytest.fixture
def taken(cache: Path, original: str) -> Iterator[str]:
    """A placed copy whose address is in use."""
    copy = placed_copy(original)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    address = named_address(copy)
    length = ctypes.c_size_t(EXTENT)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
    assert libc.mmap(ctypes.c_void_p(address), length, 0, flags, -1, 0) == address
    yield copy
    assert libc.munmap(ctypes.c_void_p(address), length) == 0


def test_where_its_address_is_taken_the_bound_copy_is_opened(
    taken: str, original: str, cache: Path
) -> None:
    opened = Library(open_library().ffi, original)
    assert opened.base_address() != named_address(taken)
    files = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    assert module._bound_copy(original, opened.build_id) in files
    assert taken not in files


class Replacing:
    """cffi's view, but another process replaces each file that is opened, then or just before."""

    def __init__(self, original: str, moment: str) -> None:
        self._ffi = open_library().ffi
        self._original = original
        self._moment = moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ffi, name)

    def dlopen(self, file: str | None, flags: int = 0) -> Any:
        if file is None:
            return self._ffi.dlopen(None)
        if self._moment == "before":
            assert make_placed_copy(self._original, file)
        opened = self._ffi.dlopen(file, flags)
        if self._moment == "after":
            assert make_placed_copy(self._original, file)
        return opened


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_address_is_that_of_the_copy_that_was_opened(
    cache: Path, original: str, moment: str
) -> None:
    placed_copy(original)
    library = Library(Replacing(original, moment), original)
    function = library.address_of("uc_version")
    with open(original, "rb") as file:
        (symbol,) = ELFFile(file).get_section_by_name(".dynsym").get_symbol_by_name("uc_version")
    assert function == library.base_address() + symbol["st_value"]


@pytest.mark.parametrize(
    "content",
    [b"", b"no ELF", b"\x7fELF\x02\x01" + bytes(200), Path(sys.executable).read_bytes()[:4096]],
)
def test_a_file_that_cannot_be_placed_has_no_copy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lib").write_bytes(content)
    assert not make_placed_copy(str(tmp_path / "lib"), str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()
