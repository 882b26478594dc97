"""The engine's library is found, checked, and named in errors."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from vmm.backends.unicorn import build_ffi, library
from vmm.backends.unicorn.library import EngineError, Library, open_library
from vmm.errors import BackendUnavailable


def test_the_library_is_opened_once() -> None:
    assert open_library() is open_library()


def test_errors_carry_the_engines_words() -> None:
    opened = open_library()
    opened.check(0, "anything")
    with pytest.raises(EngineError, match="cannot map RAM: Invalid memory mapping") as caught:
        opened.check(11, "cannot map RAM")
    assert caught.value.code == 11


def test_the_first_entry_of_the_path_that_has_it_wins(tmp_path: Path) -> None:
    for name in ("a", "b"):
        file = tmp_path / name / "unicorn/lib/libunicorn.so.2"
        file.parent.mkdir(parents=True)
        file.touch()
    path = [str(tmp_path / "none"), str(tmp_path / "b"), str(tmp_path / "a")]
    assert library._find(path) == str(tmp_path / "b/unicorn/lib/libunicorn.so.2")


def test_a_missing_library_says_how_to_install_it() -> None:
    with pytest.raises(BackendUnavailable, match=r"not installed.*pip install unicorn==2\.1\.4"):
        library._find(["/nonexistent"])


def test_a_file_that_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "lib").write_text("no ELF")
    with pytest.raises(BackendUnavailable, match="cannot load the Unicorn engine"):
        Library(open_library().ffi, str(tmp_path / "lib"))


def test_a_library_that_is_not_unicorn() -> None:
    with pytest.raises(BackendUnavailable, match=r"cannot load the Unicorn engine.*uc_version"):
        Library(open_library().ffi, "libc.so.6")


def test_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_library()
    monkeypatch.setattr(library, "RELEASE", (2, 2, 0))
    with pytest.raises(BackendUnavailable, match=r"release 2\.1\.4"):
        Library(opened.ffi, opened.path)


def test_missing_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vmm.backends.unicorn._ffi", None)
    with pytest.raises(BackendUnavailable, match="install the package again"):
        library._bindings()


def test_functions_have_addresses() -> None:
    opened = open_library()
    assert opened.address_of("uc_open")
    assert opened.address_of("no_such_function") is None


def test_the_bindings_are_written_once(tmp_path: Path) -> None:
    path = tmp_path / "_ffi.py"
    build_ffi.main(str(path))
    written = path.stat()
    build_ffi.main(str(path))
    assert path.stat().st_ino == written.st_ino
    assert path.stat().st_mtime_ns == written.st_mtime_ns
    path.write_text("# an older version\n")
    build_ffi.main(str(path))
    spec = importlib.util.spec_from_file_location("_ffi", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.ffi.sizeof("struct register_info") == 136
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["_ffi.py"]


def test_only_light_modules_are_imported_to_run_a_guest() -> None:
    """Each of these takes longer to import than a whole machine takes to make."""
    heavy = "typing enum dataclasses re signal threading collections functools contextlib cffi"
    code = (
        "import sys\n"
        f"sys.path[:] = {sys.path!r}\n"
        "from vmm.backends.unicorn import open_unicorn\n"
        "import vmm.backends.unicorn.arm64.vcpu, vmm.backends.unicorn.x86.vcpu\n"
        "open_unicorn()\n"
        f"print(*sorted({set(heavy.split())!r} & set(sys.modules)))"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() == []


def test_the_build_id_is_that_of_the_note() -> None:
    with open(open_library().path, "rb") as file:
        (note,) = [
            note.n_desc
            for section in ELFFile(file).iter_sections("SHT_NOTE")
            for note in section.iter_notes()
            if note.n_type == "NT_GNU_BUILD_ID"
        ]
    assert open_library().build_id == note


def test_a_file_without_a_build_id() -> None:
    assert library._build_id(b"\x7fELF") == ""
