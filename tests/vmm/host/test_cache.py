"""Cached files are whole or absent, and no reason to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmm.host.cache import cache_path, publish


@pytest.mark.parametrize(
    ("base", "home", "expected"),
    [
        ("/var/c", "/home/me", "/var/c/calypso/x"),
        ("", "/home/me", "/home/me/.cache/calypso/x"),
        ("relative", "/home/me", "/home/me/.cache/calypso/x"),
        ("", "relative", None),
        ("", "", None),
    ],
)
def test_where_it_is(
    monkeypatch: pytest.MonkeyPatch, base: str, home: str, expected: str | None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    monkeypatch.setenv("HOME", home)
    assert cache_path("x") == expected


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "calypso/x"
    assert publish(str(file), b"old")
    assert publish(str(file), b"new")
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_place_that_takes_no_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not publish(str(tmp_path / "file/x"), b"")


def test_a_draft_of_somebody_else_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getpid", lambda: 7)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "x.7").symlink_to(precious)
    assert not publish(str(tmp_path / "x"), b"other")
    assert precious.read_text() == "mine"
