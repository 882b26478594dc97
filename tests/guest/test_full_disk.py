"""Programs of the guest hear of the host's full file system as Linux tells: EIO, ENOSPC."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.test_devices import program
from tests.tmpfs import tmpfs
from vmm.machine.machine import Machine

PIECE = 4096


@pytest.fixture
def filler(arch: str) -> Path:
    """The guest's program, compiled even where nothing can be mounted: the lab has no compiler."""
    return program("full.c", arch)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system, most of which is taken by two files that the guest can remove."""
    try:
        with tmpfs(tmp_path, "256k") as directory:
            for name in ("first", "second"):
                (directory / name).write_bytes(bytes(64 << 10))
            yield directory
    except OSError as error:
        pytest.skip(str(error))


def test_a_full_host(filler: Path, backend: str, small: Path) -> None:
    disk = small / "disk"
    disk.touch()
    os.truncate(disk, 1 << 20)
    with Machine(
        filler,
        backend=backend,
        disks=[str(disk)],
        shares=[f"{small}:small:rw"],
        stdin=b"",
    ) as machine:
        assert machine.run(timeout=60) == 0
        output = machine.console.output.decode()
        assert machine.complaints == [
            f"disk {disk}: No space left on device: the guest was given an I/O error"
        ]
    written = [int(number) for number in re.findall(r"(\d+) pieces", output)]
    assert re.sub(r"\d+ pieces", "some pieces", output).splitlines() == [
        "disk: I/O error",
        "disk: some pieces",
        "disk: kept 1",
        "disk: goes on 1",
        "file: No space left on device",
        "file: some pieces",
        "file: kept 1",
        "file: goes on 1",
    ]
    # Half of it was free.
    assert 16 <= written[0] <= 32
    content = b"".join(bytes([ord("a") + n % 26]) * PIECE for n in range(written[0]))
    assert disk.read_bytes()[: len(content)] == content
