"""A shared directory: what the guest sees is what is there, and nothing else."""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from struct import pack, unpack_from

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from tests.vmm.devices.virtio.p9.client import ROOT, Client, P9Error, s
from vmm.devices.virtio.p9 import fids as p9_fids
from vmm.devices.virtio.p9.device import P9Device
from vmm.devices.virtio.p9.share import Share


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("outside")
    return tmp_path


@pytest.fixture
def tree(outside: Path) -> Path:
    tree = outside / "tree"
    (tree / "dir" / "sub").mkdir(parents=True)
    (tree / "file").write_bytes(bytes(range(256)) * 40)
    (tree / "dir" / "inner").write_text("inner")
    (tree / "link").symlink_to("dir/inner")
    (tree / "up").symlink_to("..")
    (tree / "absolute").symlink_to(outside / "secret")
    (tree / "back").symlink_to(outside)
    os.mkfifo(tree / "fifo")
    return tree


@pytest.fixture
def client(tree: Path) -> Client:
    return Client(Share(str(tree), writable=True))


def fails(number: int, call: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(P9Error) as caught:
        call(*arguments)
    assert errno.errorcode[caught.value.number] == errno.errorcode[number]


# ---- Reading ----


def test_the_tag_is_in_the_configuration(client: Client) -> None:
    assert client.guest.read(d.DEVICE_ID) == 9
    assert client.guest.transport.read(d.CONFIG, 8) == int.from_bytes(b"\x03\0tag", "little")


def test_other_dialects_are_unknown(client: Client) -> None:
    assert client.call(100, pack("<I", 1 << 30) + s("9P2000.u")) == pack("<I", 1 << 20) + s(
        "unknown"
    )


def test_files_are_read(client: Client, tree: Path) -> None:
    fid = client.open(client.walk("file"))
    assert client.read(fid, 100, 5000) == (tree / "file").read_bytes()[100:5100]
    assert client.read(fid, 10240) == b""
    assert client.read(client.open(client.walk("dir", "inner"))) == b"inner"


def test_reads_fill_scattered_buffers(client: Client, tree: Path) -> None:
    fid = client.open(client.walk("file"))
    queue = client.guest.queues[0]
    message = pack("<IBHIQI", 23, 116, 1, fid, 0, 1000)
    request = queue.allocate(23, message)
    answer = queue.allocate(2000)
    parts = [(answer, 3, True), (answer + 3, 9, True), (answer + 12, 1500, True)]
    queue.offer([(request, 23, False), *parts])
    client.guest.kick(0)
    got = client.guest.memory.read(d.Gpa(answer), 1011)
    assert got == pack("<IBHI", 1011, 117, 1, 1000) + (tree / "file").read_bytes()[:1000]


def test_attributes(client: Client, tree: Path) -> None:
    for names in [(), ("file",), ("dir",), ("link",), ("fifo",)]:
        expected = (tree / "/".join(names)).lstat()
        found = client.getattr(client.walk(*names))
        assert found["mode"] == expected.st_mode
        assert found["size"] == expected.st_size
        assert found["nlink"] == expected.st_nlink
        assert found["atime"] == expected.st_atime_ns // 10**9
    assert client.getattr(client.walk("dir"))["kind"] == 0x80
    assert client.getattr(client.walk("link"))["kind"] == 0x02


@pytest.mark.parametrize("count", [64, 100, 4096])
def test_directories_are_listed(client: Client, tree: Path, count: int) -> None:
    names = client.names(client.open(client.walk()), count)
    assert sorted(names) == sorted([b".", b"..", *map(os.fsencode, os.listdir(tree))])


def test_links_are_read_not_followed(client: Client, outside: Path) -> None:
    reply = client.call(22, pack("<I", client.walk("absolute")))
    assert reply == s(str(outside / "secret"))
    with pytest.raises(P9Error):
        client.walk("x", start=client.walk("up"))
    fails(errno.EACCES, client.open, client.walk("link"))


def test_file_systems_have_room(client: Client, tree: Path) -> None:
    reply = client.call(8, pack("<I", ROOT))
    kind, _, blocks = unpack_from("<IIQ", reply)
    assert kind == 0x0102_1997
    assert blocks == os.statvfs(tree).f_blocks


# ---- Changing ----


def test_files_are_written(client: Client, tree: Path) -> None:
    fid = client.create(ROOT, "new", mode=0o640)
    assert client.write(fid, b"hello", 3) == 5
    assert client.read(fid) == b"\0\0\0hello"
    client.call(50, pack("<II", fid, 0))
    client.clunk(fid)
    assert (tree / "new").read_bytes() == b"\0\0\0hello"
    assert (tree / "new").stat().st_mode & 0o777 & 0o640 == (tree / "new").stat().st_mode & 0o777


def test_exclusive_creation_fails_where_something_is(client: Client) -> None:
    fails(errno.EEXIST, client.create, ROOT, "file", os.O_RDWR | os.O_EXCL)


def test_names_are_changed(client: Client, tree: Path) -> None:
    inner = client.walk("dir", "inner")
    client.call(74, pack("<I", ROOT) + s("dir") + pack("<I", ROOT) + s("moved"))
    assert client.read(client.open(inner)) == b"inner"
    client.call(20, pack("<II", client.walk("file"), client.walk("moved")) + s("here"))
    client.call(70, pack("<II", ROOT, client.walk("moved", "here")) + s("hard"))
    client.call(16, pack("<I", ROOT) + s("soft") + s("../anywhere") + pack("<I", 0))
    client.call(72, pack("<I", ROOT) + s("made") + pack("<II", 0o755, 0))
    client.call(18, pack("<I", ROOT) + s("pipe") + pack("<IIII", 0o010644, 0, 0, 0))
    client.call(76, pack("<I", ROOT) + s("link") + pack("<I", 0))
    client.call(76, pack("<I", client.walk("moved")) + s("sub") + pack("<I", 0x200))
    assert (tree / "hard").stat().st_ino == (tree / "moved" / "here").stat().st_ino
    assert os.readlink(tree / "soft") == "../anywhere"
    assert sorted(os.listdir(tree)) == sorted(
        ["absolute", "back", "fifo", "hard", "made", "moved", "pipe", "soft", "up"]
    )
    assert sorted(os.listdir(tree / "moved")) == ["here", "inner"]


def test_attributes_are_set(client: Client, tree: Path) -> None:
    fid = client.walk("file")
    valid = 0x001 | 0x008 | 0x010 | 0x080 | 0x020 | 0x100
    body = pack("<IIIIIQQQQQ", fid, valid, 0o600, 0, 0, 100, 1000, 5, 2000, 6)
    client.call(26, body)
    status = (tree / "file").stat()
    assert status.st_mode & 0o777 == 0o600
    assert status.st_size == 100
    assert (status.st_atime_ns, status.st_mtime_ns) == (1000 * 10**9 + 5, 2000 * 10**9 + 6)


def test_a_removed_file_stays_open(client: Client) -> None:
    fid = client.create(ROOT, "gone")
    client.write(fid, b"still here")
    client.call(76, pack("<I", ROOT) + s("gone") + pack("<I", 0))
    assert client.read(fid) == b"still here"
    assert client.getattr(fid)["size"] == 10


def test_devices_are_not_made(client: Client) -> None:
    body = pack("<I", ROOT) + s("null") + pack("<IIII", 0o020666, 1, 3, 0)
    fails(errno.EPERM, client.call, 18, body)


CHANGES = {
    "create": lambda c: c.create(ROOT, "new"),
    "write": lambda c: c.open(c.walk("file"), os.O_RDWR),
    "truncate by open": lambda c: c.open(c.walk("file"), os.O_TRUNC),
    "rename": lambda c: c.call(74, pack("<I", ROOT) + s("file") + pack("<I", ROOT) + s("x")),
    "link": lambda c: c.call(70, pack("<II", ROOT, c.walk("file")) + s("x")),
    "symlink": lambda c: c.call(16, pack("<I", ROOT) + s("x") + s("y") + pack("<I", 0)),
    "mkdir": lambda c: c.call(72, pack("<I", ROOT) + s("x") + pack("<II", 0o755, 0)),
    "fifo": lambda c: c.call(18, pack("<I", ROOT) + s("x") + pack("<IIII", 0o010644, 0, 0, 0)),
    "unlink": lambda c: c.call(76, pack("<I", ROOT) + s("file") + pack("<I", 0)),
    "remove": lambda c: c.call(122, pack("<I", c.walk("file"))),
    **{
        f"setattr {valid:#x}": lambda c, valid=valid: c.call(
            26, pack("<IIIIIQQQQQ", c.walk("file"), valid, 0, 0, 0, 0, 0, 0, 0, 0)
        )
        for valid in (1, 2, 4, 8, 16, 32)
    },
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_read_only_share_is_not_changed(tree: Path, change: Callable[[Client], object]) -> None:
    before = snapshot(tree)
    fails(errno.EROFS, change, Client(Share(str(tree))))
    assert snapshot(tree) == before


def snapshot(tree: Path) -> list[tuple[str, os.stat_result]]:
    found = [(str(path), path.lstat()) for path in sorted(tree.rglob("*"))]
    return [(path, (status.st_mode, status.st_size, status.st_mtime_ns)) for path, status in found]  # type: ignore[misc]


# ---- Confinement ----


@pytest.mark.parametrize(
    "names",
    [
        ["up"],
        ["up", "secret"],
        ["back", "secret"],
        ["absolute"],
        ["..", "secret"],
        ["..", "..", "secret"],
        ["dir", "..", "..", "secret"],
        ["../secret"],
        ["/etc/passwd"],
        ["dir/../../secret"],
        [""],
        ["."],
        ["x" * 300],
        ["a\0b"],
    ],
)
def test_nothing_outside_is_opened(client: Client, names: list[str]) -> None:
    with pytest.raises(P9Error):
        client.read(client.open(client.walk(*names)))


@pytest.mark.parametrize("name", ["..", ".", "", "../new", "/tmp/new", "a/b"])
def test_nothing_is_made_outside(client: Client, outside: Path, name: str) -> None:
    before = snapshot(outside)
    for kind, rest in ((72, pack("<II", 0o755, 0)), (16, s("x") + pack("<I", 0))):
        fails(errno.EINVAL, client.call, kind, pack("<I", ROOT) + s(name) + rest)
    fails(errno.EINVAL, client.create, ROOT, name)
    assert snapshot(outside) == before


def test_a_directory_that_turns_into_a_link_leads_nowhere(client: Client, tree: Path) -> None:
    fid = client.walk("dir", "inner")
    (tree / "dir").rename(tree / "aside")
    (tree / "dir").symlink_to("..")
    (tree.parent / "inner").write_text("outside")
    with pytest.raises(P9Error):
        client.open(fid)


def test_no_race_leads_outside(client: Client, tree: Path) -> None:
    """Another process swaps a directory and a link to the outside as fast as it can."""
    (tree.parent / "inner").write_text("outside")
    (tree / "trap").symlink_to("..")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            os.rename(tree / "dir", tree / "aside")
            os.rename(tree / "trap", tree / "dir")
            os.rename(tree / "dir", tree / "trap")
            os.rename(tree / "aside", tree / "dir")
            time.sleep(0.0005)

    thread = threading.Thread(target=swap)
    thread.start()
    opened = refused = 0
    deadline = time.monotonic() + 30
    try:
        while (opened < 50 or refused < 50) and time.monotonic() < deadline:
            try:
                fid = client.open(client.walk("dir", "inner"))
            except P9Error:
                refused += 1
                continue
            assert client.read(fid) == b"inner"
            client.clunk(fid)
            opened += 1
    finally:
        done.set()
        thread.join()
    assert opened
    assert refused


def test_a_fifo_of_the_host_is_not_opened(client: Client) -> None:
    fails(errno.EACCES, client.open, client.walk("fifo"))


# ---- Bounds ----


def test_open_files_are_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p9_fids, "MAX_OPEN", 8)
    fids = [client.open(client.walk("file")) for _ in range(8)]
    fails(errno.EMFILE, client.open, client.walk("file"))
    client.clunk(fids[0])
    client.open(client.walk("file"))


def test_fids_are_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p9_fids, "MAX_FIDS", 8)
    for _ in range(7):
        client.walk("file")
    fails(errno.EMFILE, client.walk, "file")


def test_listings_are_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p9_fids, "MAX_LISTED", 16)
    first = client.open(client.walk())
    client.names(first)
    fails(errno.EMFILE, client.names, client.open(client.walk()))
    client.clunk(first)
    client.names(client.open(client.walk()))


def test_deep_paths_end(client: Client) -> None:
    def descend(fid: int, levels: int) -> int:
        for _ in range(levels):
            client.call(72, pack("<I", fid) + s("d" * 200) + pack("<II", 0o755, 0))
            fid = client.walk("d" * 200, start=fid)
        return fid

    fails(errno.ENAMETOOLONG, descend, descend(ROOT, 20), 1)


def test_a_host_without_room_fails_the_write_only(client: Client, tree: Path) -> None:
    """The kernel refuses to let a file grow, as where its file system is full."""
    fid = client.create(client.walk(), "new")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        fails(errno.EFBIG, client.write, fid, b"too far", 4096)
        assert client.write(fid, b"x" * 8, 4092) == 4
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert client.write(fid, b"too far", 4096) == 7
    assert (tree / "new").read_bytes()[4092:] == b"xxxxtoo far"


def test_reset_and_a_new_session_close_everything(client: Client, tree: Path) -> None:
    def ours() -> int:
        fds = [Path("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd")]
        return sum(fd.is_symlink() and os.readlink(fd) == str(tree / "file") for fd in fds)

    for end in (lambda: client.call(100, pack("<I", 8192) + s("9P2000.L")), client.device.reset):
        for _ in range(5):
            client.open(client.walk("file"))
        assert ours() == 5
        end()
        assert ours() == 0
        client.restart()


@pytest.mark.parametrize("kind", [0, 1, 30, 32, 102, 255])
def test_unknown_messages_are_refused(client: Client, kind: int) -> None:
    fails(errno.EOPNOTSUPP, client.call, kind, bytes(64))


@pytest.mark.parametrize("kind", [8, 12, 14, 16, 24, 26, 40, 72, 74, 100, 104, 110, 116, 118, 120])
def test_cut_messages_are_refused(client: Client, kind: int) -> None:
    fails(errno.EINVAL, client.call, kind, b"\xff\xff\xff")


def test_fids_that_are_not_there_are_refused(client: Client) -> None:
    for kind in (8, 12, 22, 24, 50, 120, 122):
        fails(errno.EBADF, client.call, kind, pack("<IQ", 77, 0))
    fails(errno.EBADF, client.read, client.walk("file"))


def test_numbers_that_no_file_has_are_refused(client: Client) -> None:
    fid = client.open(client.walk("file"), os.O_RDWR)
    fails(errno.EINVAL, client.read, fid, 1 << 63)
    fails(errno.EINVAL, client.write, fid, b"x", (1 << 64) - 1)
    for valid in (8, 0x1B0):
        body = pack("<IIIIIQQQQQ", fid, valid, 0, 0, 0, *[(1 << 64) - 1] * 5)
        fails(errno.EINVAL, client.call, 26, body)


def test_times_before_1970(client: Client, tree: Path) -> None:
    fid = client.walk("file")
    client.call(26, pack("<IIIIIQqQqQ", fid, 0x1B0, 0, 0, 0, 0, -1, 500_000_000, -(10**9), 1))
    status = (tree / "file").stat()
    assert status.st_atime_ns == -500_000_000
    assert status.st_mtime_ns == -(10**18) + 1


def test_a_reply_without_room_is_an_error(client: Client) -> None:
    fails(errno.EIO, client.call, 24, pack("<IQ", ROOT, 0x7FF), 32)
    assert client.guest.request(0, pack("<IBHI", 11, 120, 1, ROOT), 4) == (bytes(4), 0)


BODIES = st.one_of(
    st.binary(max_size=80),
    st.lists(
        st.one_of(
            st.sampled_from((0, 1, 2, 3, 0xFFFF_FFFF)).map(lambda n: pack("<I", n)),
            st.sampled_from(("dir", "file", "link", "..", "new", "up", "\udcff")).map(s),
            st.integers(0, 0xFFFF_FFFF).map(lambda n: pack("<I", n)),
        ),
        max_size=8,
    ).map(b"".join),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(6, 124), BODIES), max_size=20))
def test_wild_messages_stay_inside(
    client: Client, outside: Path, requests: list[tuple[int, bytes]]
) -> None:
    client.restart()
    for kind, body in requests:
        try:
            client.call(kind, body)
        except P9Error:
            pass
    assert (outside / "secret").read_text() == "outside"
    assert sorted(os.listdir(outside)) == ["secret", "tree"]


def test_open_files_are_restored(tree: Path) -> None:
    share = Share(str(tree), writable=True)
    client = Client(share)
    kept = client.open(client.walk("dir", "inner"), os.O_RDWR)
    closed = client.walk("file")
    gone = client.create(ROOT, "gone")
    (tree / "gone").unlink()
    memory = d.ram()
    memory.write(d.Gpa(d.RAM), client.guest.memory.view(d.RAM, d.RAM_SIZE))
    guest = Guest(P9Device(memory, share=share, tag="tag"), memory)
    guest.transport.load(client.guest.transport.save())
    guest.queues = client.guest.queues
    for queue in guest.queues:
        queue.memory = memory
    client.guest = guest
    assert client.read(kept) == b"inner"
    assert client.write(kept, b"other") == 5
    assert client.read(client.open(closed), 0, 2) == b"\0\x01"
    fails(errno.EBADF, client.read, gone)
