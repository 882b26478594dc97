"""The block device, over real files."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from struct import pack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from vmm.devices.virtio import block
from vmm.devices.virtio.block import Block
from vmm.devices.virtio.disk import Disk
from vmm.errors import UsageError

SECTORS = 64
IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPP = 0, 1, 2


class Blocks:
    """A driver of a block device."""

    def __init__(self, disk: Disk, features: int | None = None, serial: str = "") -> None:
        self.disk = disk
        memory = d.ram()
        self.device = Block(memory, disk=disk, serial=serial)
        self.guest = Guest(self.device, memory)
        self.guest.start(features)

    def request(
        self, kind: int, sector: int, data: bytes = b"", room: int = 0
    ) -> tuple[int, bytes]:
        """Return the status and what was read."""
        queue = self.guest.queues[0]
        if queue._buffers > queue._end - (1 << 19):
            self.guest.start(self.guest.device.features)
        header = pack("<IIQ", kind, 0, sector)
        answer, used = self.guest.request(0, header + data, room + 1)
        assert used in (0, 1, room + 1)
        return answer[-1], answer[:-1]

    def read(self, sector: int, count: int = 1) -> bytes:
        status, data = self.request(IN, sector, room=512 * count)
        assert status == OK
        return data

    def write(self, sector: int, data: bytes) -> int:
        return self.request(OUT, sector, data)[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(byte for sector in range(SECTORS) for byte in [sector] * 512))
    return path


@pytest.fixture
def blocks(path: Path) -> Blocks:
    return Blocks(Disk(str(path)), serial="a serial number that is too long")


def test_the_configuration_tells_the_size(blocks: Blocks) -> None:
    read = blocks.guest.transport.read
    assert blocks.guest.read(d.DEVICE_ID) == 2
    assert read(d.CONFIG, 8) == SECTORS
    assert read(d.CONFIG + 12, 4) == block.SEG_MAX
    assert read(d.CONFIG + 20, 4) == 512
    assert read(d.CONFIG + 34, 2) == 1
    assert read(d.CONFIG + 36, 4) == block.MAX_DISCARD_SECTORS
    assert read(d.CONFIG + 48, 4) == block.MAX_ZERO_SECTORS
    assert read(d.CONFIG + 56, 1) == 1


def test_sectors_are_read(blocks: Blocks) -> None:
    assert blocks.read(5, 2) == bytes([5] * 512 + [6] * 512)


def test_sectors_are_written(blocks: Blocks, path: Path) -> None:
    assert blocks.write(7, b"x" * 1024) == OK
    content = path.read_bytes()
    assert content[7 * 512 : 9 * 512] == b"x" * 1024
    assert content[6 * 512] == 6
    assert content[9 * 512] == 9


@pytest.mark.parametrize(
    ("sector", "length"),
    [(SECTORS, 512), (SECTORS - 1, 1024), (1 << 63, 512), ((1 << 64) - 1, 1024), (0, 511), (0, 1)],
)
@pytest.mark.parametrize("kind", [IN, OUT])
def test_transfers_outside_the_disk_fail(
    blocks: Blocks, path: Path, kind: int, sector: int, length: int
) -> None:
    before = path.read_bytes()
    data = b"x" * length if kind == OUT else b""
    assert blocks.request(kind, sector, data, 0 if kind == OUT else length)[0] == IOERR
    assert path.read_bytes() == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, 16 + 1024), max_size=6),
    room=st.lists(st.integers(1, 1024), min_size=0, max_size=5),
)
def test_requests_may_be_cut_anywhere(blocks: Blocks, cuts: list[int], room: list[int]) -> None:
    """2.7.4.1: a device relies on no particular arrangement of descriptors."""
    blocks.guest.start()
    queue = blocks.guest.queues[0]
    sent = pack("<IIQ", OUT, 0, 3) + bytes(range(256)) * 4
    edges = [0, *sorted(cuts), len(sent)]
    parts = [sent[a:b] for a, b in pairwise(edges)]
    chain = [(queue.allocate(len(part), part), len(part), False) for part in parts]
    status = queue.allocate(1, b"\xff")
    queue.offer([*chain, (status, 1, True)])
    blocks.guest.kick(0)
    assert blocks.guest.memory.read(d.Gpa(status), 1) == b"\0"

    edges = [0, *sorted(offset for offset in room if offset < 1025), 1025]
    answer = queue.allocate(1025)
    header = queue.allocate(16, pack("<IIQ", IN, 0, 3))
    pieces = [(answer + a, b - a, True) for a, b in pairwise(edges)]
    queue.offer([(header, 16, False), *pieces], indirect=True)
    blocks.guest.kick(0)
    assert blocks.guest.memory.read(d.Gpa(answer), 1025) == sent[16:] + b"\0"


def test_a_flush_makes_writes_stable(blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    blocks.write(0, bytes(512))
    assert not synced
    assert blocks.request(FLUSH, 0)[0] == OK
    assert len(synced) == 1


@pytest.mark.parametrize("how", ["no flush negotiated", "write-through chosen"])
def test_writes_are_stable_at_once_where_the_driver_cannot_flush(
    path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = d.VERSION_1
    if how == "write-through chosen":
        features |= block.F_FLUSH | block.F_CONFIG_WCE
    blocks = Blocks(Disk(str(path)), features)
    if how == "write-through chosen":
        blocks.guest.transport.write(d.CONFIG + 32, 1, 0)
        assert blocks.guest.transport.read(d.CONFIG + 32, 1) == 0
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    blocks.write(0, bytes(512))
    assert len(synced) == 1


def test_the_serial_number_is_cut(blocks: Blocks) -> None:
    assert blocks.request(GET_ID, 0, room=20) == (OK, b"a serial number that")


def test_a_read_only_disk_is_not_written(path: Path) -> None:
    blocks = Blocks(Disk(str(path), read_only=True))
    before = path.read_bytes()
    assert blocks.guest.features() & block.F_RO
    assert blocks.write(0, b"x" * 512) == IOERR
    assert blocks.request(DISCARD, 0, pack("<QII", 0, 8, 0))[0] == UNSUPP
    assert path.read_bytes() == before
    assert blocks.read(1) == bytes([1] * 512)


@pytest.mark.parametrize("kind", [2, 3, 9, 14, 0xFFFF_FFFF])
def test_unknown_requests_are_unsupported(blocks: Blocks, kind: int) -> None:
    assert blocks.request(kind, 0, room=512)[0] == UNSUPP


@pytest.mark.parametrize("unmap", [0, 1])
def test_zeroes_are_written(blocks: Blocks, path: Path, unmap: int) -> None:
    assert blocks.request(WRITE_ZEROES, 0, pack("<QII", 8, 16, unmap))[0] == OK
    content = path.read_bytes()
    assert content[8 * 512 : 24 * 512] == bytes(16 * 512)
    assert content[7 * 512], content[24 * 512] == (7, 24)
    assert len(content) == SECTORS * 512


def test_zeroes_are_written_where_no_hole_can_be(
    blocks: Blocks, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmm.host.libc.fallocate", failing(errno.EOPNOTSUPP))
    assert blocks.request(WRITE_ZEROES, 0, pack("<QII", 1, 2, 1))[0] == OK
    assert path.read_bytes()[512:1536] == bytes(1024)
    assert blocks.request(DISCARD, 0, pack("<QII", 1, 2, 0))[0] == OK


def test_discarded_storage_is_given_back(blocks: Blocks, path: Path) -> None:
    before = path.stat().st_blocks
    ranges = pack("<QIIQII", 0, 8, 0, 16, 8, 0)
    assert blocks.request(DISCARD, 0, ranges)[0] == OK
    assert path.stat().st_blocks == before - 16
    assert path.stat().st_size == SECTORS * 512
    assert blocks.read(8) == bytes([8] * 512)


@pytest.mark.parametrize(
    ("kind", "ranges", "status"),
    [
        (DISCARD, b"", IOERR),
        (DISCARD, bytes(15), IOERR),
        (DISCARD, pack("<QII", 0, 1, 1), UNSUPP),
        (DISCARD, pack("<QII", 0, 1, 2), UNSUPP),
        (DISCARD, pack("<QII", SECTORS, 1, 0), IOERR),
        (DISCARD, pack("<QII", (1 << 64) - 1, 1, 0), IOERR),
        (DISCARD, pack("<QII", 0, 0xFFFF_FFFF, 0), IOERR),
        (DISCARD, pack("<QII", 0, 1, 0) * (block.MAX_RANGES + 1), IOERR),
        (WRITE_ZEROES, pack("<QII", 0, 1, 2), UNSUPP),
        (WRITE_ZEROES, pack("<QII", 0, 1, 0) * 2, IOERR),
        (WRITE_ZEROES, pack("<QII", SECTORS - 1, 2, 0), IOERR),
    ],
)
def test_ranges_that_cannot_be_change_nothing(
    blocks: Blocks, path: Path, kind: int, ranges: bytes, status: int
) -> None:
    before = path.read_bytes()
    assert blocks.request(kind, 0, ranges)[0] == status
    assert path.read_bytes() == before


def failing(number: int) -> Callable[..., int]:
    def call(*arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EBADF])
def test_an_error_of_the_host_is_the_guests(
    blocks: Blocks, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for name in ("preadv", "pwritev", "fdatasync"):
        monkeypatch.setattr(os, name, failing(number))
    assert blocks.request(IN, 0, room=512)[0] == IOERR
    assert blocks.write(0, bytes(512)) == IOERR
    assert blocks.request(FLUSH, 0)[0] == IOERR
    assert blocks.request(GET_ID, 0, room=20)[0] == OK


def test_a_host_without_room_fails_the_write_only(path: Path) -> None:
    """The kernel refuses to let a sparse image grow, as where its file system is full."""
    path.write_bytes(b"")
    os.truncate(path, 64 << 10)
    blocks = Blocks(Disk(str(path)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, hard))
    try:
        assert blocks.write(64, bytes(512)) == IOERR
        assert blocks.write(0, b"\x5a" * 512) == OK
        assert blocks.request(FLUSH, 0)[0] == OK
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert blocks.write(64, bytes(512)) == OK
    assert path.read_bytes()[:512] == b"\x5a" * 512


def test_a_file_that_became_shorter_fails(blocks: Blocks, path: Path) -> None:
    os.truncate(path, 512)
    assert blocks.request(IN, 0, room=512)[0] == OK
    assert blocks.request(IN, 1, room=512)[0] == IOERR


def test_short_transfers_of_the_host_are_continued(
    blocks: Blocks, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {"preadv": os.preadv, "pwritev": os.pwritev}

    def short(name: str) -> Callable[[int, Sequence[memoryview], int], int]:
        return lambda fd, views, offset: whole[name](fd, [views[0][:100]], offset)

    monkeypatch.setattr(os, "preadv", short("preadv"))
    monkeypatch.setattr(os, "pwritev", short("pwritev"))
    data = bytes(range(256)) * 4
    assert blocks.write(2, data) == OK
    assert blocks.read(2, 2) == data


def test_a_transfer_that_is_too_long_fails(blocks: Blocks) -> None:
    queue = blocks.guest.queues[0]
    header = queue.allocate(16, pack("<IIQ", IN, 0, 0))
    status = queue.allocate(1, b"\xff")
    large = (d.RAM + (1 << 20), 2 << 20, True)
    queue.offer([(header, 16, False), *[large] * 17, (status, 1, True)])
    blocks.guest.kick(0)
    assert blocks.guest.memory.read(d.Gpa(status), 1) == bytes([IOERR])


def test_a_request_without_room_for_its_status_comes_back(blocks: Blocks) -> None:
    assert blocks.guest.request(0, pack("<IIQ", FLUSH, 0, 0), 0) == (b"", 0)
    assert blocks.guest.request(0, b"short", 1) == (bytes([UNSUPP]), 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing", "No such file"), (".", "neither a file"), ("/dev/full", "neither a file")],
)
def test_a_disk_that_cannot_be_is_a_users_error(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Disk(str(tmp_path / name), read_only=True)


@pytest.mark.parametrize(
    ("first_reads", "second_reads"), [(False, False), (False, True), (True, False)]
)
def test_a_file_that_is_written_is_one_disk_only(
    tmp_path: Path, first_reads: bool, second_reads: bool
) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(512))
    first = Disk(str(path), read_only=first_reads)
    with pytest.raises(UsageError, match="another disk, of this or another process"):
        Disk(str(path), read_only=second_reads)
    first.close()
    Disk(str(path), read_only=second_reads).close()


def test_several_disks_may_read_a_file(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(512))
    disks = [Disk(str(path), read_only=True) for _ in range(2)]
    for disk in disks:
        disk.close()


def test_a_part_of_a_sector_at_the_end_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(bytes(1500))
    assert Disk(str(path)).sectors == 2
