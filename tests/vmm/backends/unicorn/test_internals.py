"""The engine's inside is used only where its layout is known, or has been tested."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from vmm.backends.unicorn import selftest
from vmm.backends.unicorn.internals import SWITCH, open_internals
from vmm.backends.unicorn.layout import LAYOUTS, Layout
from vmm.backends.unicorn.library import Library, open_library
from vmm.value import replace

MACHINE = os.uname().machine

pytestmark = pytest.mark.skipif(MACHINE not in LAYOUTS, reason=f"no offset table for {MACHINE}")

# The table of calls is looked up by name where a build is not known, and checked below.
OFFSETS = [name for name in Layout.__slots__ if name not in ("builds", "got_aarch64", "got_x86_64")]


@pytest.fixture
def unknown_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """The library as a build of somebody else's: with another build id, and no answer cached."""
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    original = Path(open_library().path)
    copy = tmp_path / "libunicorn.so.2"
    shutil.copy(original, copy)
    identity = bytes.fromhex(open_library().build_id)
    with open(copy, "r+b") as file:
        head = file.read(4096)
        file.seek(head.index(identity))
        file.write(b"\x55" * len(identity))
    return Library(open_library().ffi, str(copy))


def test_the_wheels_library_is_known(native: None) -> None:
    library = open_library()
    internals = open_internals(library)
    assert internals is not None
    assert internals.layout is LAYOUTS[MACHINE]


def test_the_switch_closes_the_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "0")
    assert open_internals(open_library()) is None


def test_an_unknown_host_has_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.delitem(LAYOUTS, MACHINE)
    assert open_internals(open_library()) is None


def test_an_unknown_build_is_tested_once(
    unknown_build: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    run_in_child = selftest.run_in_child

    def count(python: str, layout: Layout) -> int:
        runs.append(layout)
        return run_in_child(python, layout)

    monkeypatch.setattr(selftest, "run_in_child", count)
    for _ in range(2):
        internals = open_internals(unknown_build)
        assert internals is not None
        assert internals.layout == replace(LAYOUTS[MACHINE], builds=())
    assert len(runs) == 1


def test_an_unknown_build_that_differs_is_not_touched(
    unknown_build: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = LAYOUTS[MACHINE]
    monkeypatch.setitem(LAYOUTS, MACHINE, replace(layout, cpu_halted=layout.cpu_halted + 8))
    assert open_internals(unknown_build) is None
    assert open_internals(unknown_build) is None


def test_no_cache_directory_is_no_obstacle(
    unknown_build: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert open_internals(unknown_build) is not None


def test_no_interpreter_to_test_with_means_no(
    unknown_build: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert open_internals(unknown_build) is None


def test_the_self_test_accepts_the_table(native: None) -> None:
    assert selftest.self_test(open_library(), LAYOUTS[MACHINE]) is None
    assert selftest.run_in_child(sys.executable, LAYOUTS[MACHINE]) == 0


@pytest.mark.parametrize("name", OFFSETS)
def test_the_self_test_detects_each_wrong_offset(native: None, name: str) -> None:
    layout = LAYOUTS[MACHINE]
    for error in (-8, -4, 4, 8):
        wrong = replace(layout, **{name: getattr(layout, name) + error})
        assert selftest.run_in_child(sys.executable, wrong) != 0


def test_the_table_of_calls_is_where_the_library_says(native: None) -> None:
    layout = LAYOUTS[MACHINE]
    offsets = selftest.global_offsets(open_library().path)
    assert offsets == layout.got_aarch64 + layout.got_x86_64


@pytest.mark.parametrize("content", [b"", b"\x7fELF\x01", b"\x7fELF\x02" + bytes(100)])
def test_a_file_that_is_no_library_has_no_table_of_calls(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises((ValueError, KeyError)):
        selftest.global_offsets(str(tmp_path / "file"))
