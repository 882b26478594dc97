"""The file of modules gives what the sources say, and is done without where it cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vmm

PACKAGE = Path(vmm.__file__).parent

# Tells how the module `vmm.errors` got here, and what is in it.
REPORT = """
import sys
sys.path.insert(0, sys.argv[1])
from vmm.cli import module_cache
cache = module_cache.install()
import vmm.backends.exits, vmm.machine.outcome
module = vmm.machine.outcome
print(type(module.__spec__.loader).__name__, module.STATUS_TIMEOUT, module.__file__)
if cache is not None:
    cache.complete()
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's sources, and an empty cache."""
    place = tmp_path / "installed"
    ignore = shutil.ignore_patterns("__pycache__", "artifacts")
    shutil.copytree(PACKAGE, place / "vmm", ignore=ignore)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return place


def load(place: Path, *options: str) -> tuple[str, str, str]:
    """Return the loader, the constant and the file of the module in a new process."""
    command = [sys.executable, *options, "-c", REPORT, str(place)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    loader, constant, file = result.stdout.split()
    return loader, constant, file


def cached_files(place: Path) -> list[Path]:
    return sorted((place.parent / "cache/calypso").glob("modules-*"))


def test_the_second_process_takes_it_from_the_file(installed: Path) -> None:
    file = str(installed / "vmm/machine/outcome.py")
    assert load(installed) == ("SourceFileLoader", "124", file)
    assert load(installed) == ("ModuleCache", "124", file)


def test_an_edited_source_is_noticed(installed: Path) -> None:
    load(installed)
    source = installed / "vmm/machine/outcome.py"
    source.write_text(source.read_text().replace("= 124", "= 1240"))
    assert load(installed)[:2] == ("SourceFileLoader", "1240")
    assert load(installed)[:2] == ("ModuleCache", "1240")


def test_a_touched_source_is_noticed(installed: Path) -> None:
    load(installed)
    os.utime(installed / "vmm/machine/outcome.py", (1, 1))
    assert load(installed)[0] == "SourceFileLoader"


def test_nothing_is_written_twice(installed: Path) -> None:
    load(installed)
    (file,) = cached_files(installed)
    before = file.stat()
    load(installed)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_installations_and_optimizations_have_files_of_their_own(installed: Path) -> None:
    load(installed)
    load(installed, "-O")
    other = installed.parent / "other"
    shutil.copytree(installed, other)
    assert load(other)[2] == str(other / "vmm/machine/outcome.py")
    assert len(cached_files(installed)) == 3


@pytest.mark.parametrize("damage", ["empty", "short", "text", "index", "other"])
def test_damage_changes_nothing(installed: Path, damage: str) -> None:
    load(installed)
    (file,) = cached_files(installed)
    content = bytearray(file.read_bytes())
    if damage == "other":
        if os.geteuid():
            pytest.skip("only root may give a file away")
        os.chown(file, 12345, -1)
    else:
        content[16:24] = b"\xff" * 8
        damaged = {"empty": b"", "short": content[:-1], "text": b"text" * 9, "index": content}
        file.write_bytes(damaged[damage])
    assert load(installed)[:2] == ("SourceFileLoader", "124")
    assert load(installed)[:2] == ("ModuleCache", "124")


@pytest.mark.parametrize("place", ["/dev/null", "/proc/nowhere"])
def test_without_a_cache(installed: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    for _ in range(2):
        assert load(installed)[:2] == ("SourceFileLoader", "124")


def test_without_bytecode_there_is_nothing_to_keep(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for _ in range(2):
        assert load(installed)[0] == "SourceFileLoader"
    assert cached_files(installed) == []
