"""What the name of an image leads to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmm.errors import UsageError
from vmm.images.bundled import ARTIFACTS, find_image

BUNDLED = os.path.join(ARTIFACTS, "programs", "arm64", "hello")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def test_a_file_that_is_here_comes_first(here: Path) -> None:
    assert find_image("hello", "arm64") == BUNDLED
    (here / "hello").write_bytes(b"")
    assert find_image("hello", "arm64") == "hello"


def test_a_directory_hides_no_bundled_program(here: Path) -> None:
    (here / "hello").mkdir()
    assert find_image("hello", "arm64") == BUNDLED


def test_programs_on_path_come_last(here: Path) -> None:
    (here / "bin").mkdir()
    for name in ("hello", "tool"):
        (here / "bin" / name).write_bytes(b"")
        (here / "bin" / name).chmod(0o755)
    assert find_image("hello", "arm64") == BUNDLED
    assert find_image("tool", "arm64") == str(here / "bin/tool")


@pytest.mark.parametrize("name", ["", "no-such-program"])
def test_what_is_nowhere_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no such file, bundled program \\(hello\\)"):
        find_image(name, "arm64")


def test_what_is_here_and_no_file_is_left_to_whoever_opens_it(here: Path) -> None:
    (here / "folder").mkdir()
    (here / "dangling").symlink_to("nowhere")
    assert find_image("folder", "arm64") == "folder"
    assert find_image("dangling", "arm64") == "dangling"
