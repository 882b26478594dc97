"""The host's file system gets full: the guest has an error, and all that it had before."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tmpfs import tmpfs
from tests.vmm.devices.virtio.p9.client import Client, P9Error
from tests.vmm.devices.virtio.test_block import FLUSH, IOERR, OK, Blocks
from vmm.devices.virtio.disk import Disk
from vmm.devices.virtio.p9.share import Share

PIECE = 16 << 10
SECTORS = PIECE // 512


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a dozen pieces, and something of which to make more."""
    try:
        with tmpfs(tmp_path, "256k") as directory:
            (directory / "ballast").write_bytes(bytes(64 << 10))
            yield directory
    except OSError as error:
        pytest.skip(str(error))


def piece(number: int) -> bytes:
    return bytes([number + 1]) * PIECE


def test_a_disk_without_room_keeps_what_was_flushed(small: Path) -> None:
    path = small / "disk"
    path.touch()
    os.truncate(path, 1 << 20)
    blocks = Blocks(Disk(str(path)))
    written = 0
    while (status := blocks.write(written * SECTORS, piece(written))) == OK:
        assert blocks.request(FLUSH, 0)[0] == OK
        written += 1
    assert status == IOERR
    assert blocks.device.failure == "No space left on device"
    assert 8 <= written <= 12
    assert not blocks.guest.needs_reset
    flushed = b"".join(map(piece, range(written)))
    assert path.read_bytes()[: len(flushed)] == flushed
    assert blocks.read(0, SECTORS) == piece(0)
    # What takes no more room can still be written; and all, once there is room.
    assert blocks.write(0, piece(77)) == OK
    (small / "ballast").unlink()
    assert blocks.write(written * SECTORS, piece(written)) == OK
    assert blocks.request(FLUSH, 0)[0] == OK
    expected = piece(77) + flushed[PIECE:] + piece(written)
    assert path.read_bytes()[: len(expected)] == expected


def fill(client: Client, fid: int) -> tuple[bytes, int]:
    """Write until that fails; return what could be written, and the error."""
    content = b""
    while len(content) < 1 << 20:
        data = piece(len(content) // 4096)[:4096]
        try:
            content += data[: client.write(fid, data, len(content))]
        except P9Error as error:
            return content, error.number
    return content, 0


def test_a_directory_without_room_keeps_what_was_written(small: Path) -> None:
    client = Client(Share(str(small), writable=True))
    fid = client.create(client.walk(), "new")
    content, error = fill(client, fid)
    assert error == errno.ENOSPC
    assert 128 << 10 <= len(content) <= 192 << 10
    assert (small / "new").read_bytes() == content
    (small / "ballast").unlink()
    assert client.write(fid, b"more", len(content)) == 4
    assert (small / "new").read_bytes() == content + b"more"
