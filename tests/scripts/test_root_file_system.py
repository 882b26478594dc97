"""Root file systems of packages: what is in the cache, and the form of archives."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from scripts.debian import DebianError
from scripts.root_file_system import make_initrd, root_file_system, write_archive
from tests.guest.tree import directory, make_archive, make_directory, regular, symlink

TREE = [directory("a"), regular("a/b", b"text", 0o600), symlink("link", "a/b")]


def test_an_archive_holds_each_file_with_its_mode_time_and_content(tmp_path: Path) -> None:
    make_directory(tmp_path, TREE)
    os.utime(tmp_path / "a", (1_600_000_000, 1_600_000_000))
    archive = io.BytesIO()
    write_archive(tmp_path, archive)
    assert _members(archive.getvalue()) == _members(make_archive(TREE))


def _members(archive: bytes) -> dict[bytes, tuple[int, int, bytes]]:
    members, at = {}, 0
    while b"TRAILER!!!" not in members:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        start = at + 110
        data = start + fields[11] + -(start + fields[11]) % 4
        content = archive[data : data + fields[6]]
        members[archive[start : start + fields[11] - 1]] = (fields[1], fields[5], content)
        at = data + fields[6] + -fields[6] % 4
    assert at == len(archive)
    del members[b"TRAILER!!!"]
    return members


def test_what_is_in_the_cache_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALYPSO_CACHE", str(tmp_path))
    root = tmp_path / "roots/bookworm-arm64/lua5.4+python3"
    root.mkdir(parents=True)
    assert root_file_system(["python3", "lua5.4"], "arm64") == root
    assert make_initrd(["python3", "lua5.4"], "arm64") == root.with_name(root.name + ".cpio")


def test_what_cannot_be_fetched_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALYPSO_CACHE", str(tmp_path))
    monkeypatch.setenv("CALYPSO_DEBIAN_ARCHIVE", f"file://{tmp_path}/nothing")
    with pytest.raises(DebianError, match=r"Debian's lua5.4 for arm64 cannot be had: "):
        make_initrd(["lua5.4"], "arm64")
