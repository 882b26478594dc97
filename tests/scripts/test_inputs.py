"""The cache of programs from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import inputs
from scripts.debian import DebianError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no archive to fill it from."""
    monkeypatch.setenv("CALYPSO_CACHE", str(tmp_path))
    monkeypatch.setenv("CALYPSO_DEBIAN_ARCHIVE", f"file://{tmp_path}/nothing")
    return tmp_path


@pytest.mark.parametrize(("arch", "debian"), [("x86_64", "amd64"), ("arm64", "arm64")])
def test_what_is_in_the_cache_is_not_fetched(cache: Path, arch: str, debian: str) -> None:
    unpacked = cache / f"inputs/bookworm-{debian}/busybox-static"
    unpacked.mkdir(parents=True)
    assert inputs.busybox(arch) == unpacked / "bin/busybox"


def test_what_cannot_be_fetched_is_named_and_leaves_nothing(cache: Path) -> None:
    with pytest.raises(DebianError, match=r"Debian's busybox-static for arm64 cannot be had: "):
        inputs.busybox("arm64")
    assert [path for path in cache.rglob("*") if path.is_file()] == []
