"""When `scripts/vmm` sets the checkout up again, in a small copy of one."""

from __future__ import annotations

import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

SOURCES = ("scripts/generate.py", "scripts/launch.py", "guest/arch", "guest/arch/trap.S")

PYTHON = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
SET_UP = "#!/bin/sh\necho set up\n"
COMMAND = """
import sys
print("vmm", sys.flags.isolated, sys.flags.no_site, __file__, *sys.argv[1:], sep="|")
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A set-up checkout, whose set-up and command only say that they were called."""
    (tmp_path / "scripts").mkdir()
    for name in ("vmm", "environment.sh"):
        shutil.copy(SCRIPTS / name, tmp_path / "scripts" / name)
    launch = tmp_path / ".venv/launch.pyc"
    py_compile.compile(str(SCRIPTS / "launch.py"), str(launch), doraise=True)
    executable(tmp_path / "scripts/set-up", SET_UP)
    executable(tmp_path / ".venv/bin/python", PYTHON)
    (tmp_path / "guest/arch").mkdir(parents=True)
    for source in ("pyproject.toml", *SOURCES):
        (tmp_path / source).touch()
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        os.utime(path, (1000, 1000))
    (tmp_path / "vmm/artifacts").mkdir(parents=True)
    (tmp_path / "vmm/__init__.py").touch()
    (tmp_path / "vmm/__main__.py").write_text(COMMAND)
    (tmp_path / ".venv/installed").touch()
    (tmp_path / ".venv/sources").write_text("".join(f"{name}\n" for name in SOURCES))
    for stamp in ("installed", "sources"):
        os.utime(tmp_path / ".venv" / stamp, (2000, 2000))
    return tmp_path


def vmm(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(checkout / "scripts/vmm"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)


def test_nothing_is_done_when_nothing_changed(checkout: Path) -> None:
    result = vmm(checkout, "run", "a b")
    assert result.stdout == f"vmm|1|1|{checkout}/vmm/__main__.py|run|a b\n"
    assert result.stderr == ""


def test_a_symlink_to_the_command_finds_the_checkout(checkout: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(checkout / "scripts/vmm")
    result = subprocess.run([str(link)], capture_output=True, text=True, check=True, timeout=10)
    assert f"{checkout}/vmm/__main__.py" in result.stdout


@pytest.mark.parametrize("changed", ["pyproject.toml", "scripts/launch.py", "guest/arch/trap.S"])
def test_an_edited_source_is_noticed(checkout: Path, changed: str) -> None:
    os.utime(checkout / changed, (3000, 3000))
    assert vmm(checkout).stderr == "set up\n"


def test_a_new_source_is_noticed(checkout: Path) -> None:
    (checkout / "guest/arch/cpu.S").touch()
    assert vmm(checkout).stderr == "set up\n"


def test_a_removed_source_is_noticed(checkout: Path) -> None:
    (checkout / "guest/arch/trap.S").unlink()
    assert vmm(checkout).stderr == "set up\n"


@pytest.mark.parametrize(
    "missing",
    [
        ".venv/installed",
        ".venv/bin/python",
        ".venv/sources",
        ".venv/launch.pyc",
        "vmm/artifacts",
    ],
)
def test_a_missing_product_is_noticed(checkout: Path, missing: str) -> None:
    (checkout / missing).rename(checkout / "elsewhere")
    assert "set up\n" in vmm(checkout).stderr


@pytest.mark.parametrize("changed", ["pyproject.toml", "guest/arch/trap.S"])
def test_a_failing_set_up_ends_the_command(checkout: Path, changed: str) -> None:
    executable(checkout / "scripts/set-up", "#!/bin/sh\nexit 3\n")
    os.utime(checkout / changed, (3000, 3000))
    result = vmm(checkout)
    assert result.returncode == 3
    assert result.stdout == ""
