"""The initrd: archives become the tree that they describe, whatever is in them."""

from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guest.systemlib import PAGE, System, system
from tests.guest.tree import directory, hard_link, make_archive, member, regular, symlink

TRAILER = member("TRAILER!!!", 0)
FILE = stat.S_IFREG | 0o644

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
CONTENT = st.binary(max_size=40) | st.sampled_from([b"x" * 4096, b"y" * 10_000])


def read_all(kernel: System, path: str) -> bytes:
    fd = kernel.open(path, os.O_RDONLY)
    data = b""
    while part := kernel.read(fd, 5000):
        data += part
    kernel.close(fd)
    return data


def test_all_kinds_of_files() -> None:
    entries = [
        directory("d", 0o751),
        regular("d/file", b"content", 0o4640),
        symlink("d/link", "file"),
        hard_link("d/again", "d/file"),
    ]
    with system(initrd=make_archive(entries)) as kernel:
        assert kernel.stat("/d")[:2] == (stat.S_IFDIR | 0o751, 2)
        assert kernel.lstat("/d/file")[:2] == (stat.S_IFREG | 0o4640, 2)
        assert kernel.readlink("/d/link") == "file"
        assert read_all(kernel, "/d/again") == b"content"
        # As from a tmpfs, the newest first.
        assert kernel.listdir("/d") == [".", "..", "again", "link", "file"]


def test_special_files() -> None:
    archive = member("null", stat.S_IFCHR | 0o666, device=(1, 3)) + TRAILER
    with system(initrd=archive) as kernel:
        assert kernel.stat("/null").device == os.makedev(1, 3)
        assert kernel.write(kernel.open("/null", os.O_WRONLY), b"gone") == 4


def test_times_are_the_archives() -> None:
    entries = [directory("d"), regular("d/file", b"", time=1_234_567_890)]
    with system(initrd=make_archive(entries)) as kernel:
        for path, expected in (("/d/file", 1_234_567_890), ("/d", 1_600_000_000)):
            kernel.call("stat", kernel.path(path), 0x10_0000_0000 + 8192)
            modified = int.from_bytes(kernel.get(0x10_0000_0000 + 8192 + 88, 8), "little")
            assert modified == expected


def test_missing_directories_are_made() -> None:
    with system(initrd=member("a/b/c", FILE, b"deep") + TRAILER) as kernel:
        assert read_all(kernel, "/a/b/c") == b"deep"
        assert kernel.stat("/a/b").mode == stat.S_IFDIR | 0o755


def test_paths_may_start_with_slash_or_dot() -> None:
    archive = member("/a", FILE, b"1") + member("./b", FILE, b"2") + TRAILER
    with system(initrd=archive) as kernel:
        assert (read_all(kernel, "/a"), read_all(kernel, "/b")) == (b"1", b"2")


def test_a_path_cannot_leave_the_root() -> None:
    with system(initrd=member("../../up", FILE, b"x") + TRAILER) as kernel:
        assert read_all(kernel, "/up") == b"x"


def test_later_members_replace_earlier_ones() -> None:
    archive = member("a", FILE, b"old") + member("a", FILE, b"newer") + TRAILER
    with system(initrd=archive) as kernel:
        assert read_all(kernel, "/a") == b"newer"


def test_archives_may_follow_each_other() -> None:
    archive = member("a", FILE, b"1") + TRAILER + bytes(1000) + member("b", FILE, b"2") + TRAILER
    with system(initrd=archive) as kernel:
        assert (read_all(kernel, "/a"), read_all(kernel, "/b")) == (b"1", b"2")


def test_writing_does_not_change_the_archive() -> None:
    content = bytes(range(256)) * 40
    with system(initrd=member("a", FILE, content) + member("b", FILE, content)) as kernel:
        assert read_all(kernel, "/a") == content
        used = kernel.lib.frame_statistics().used
        fd = kernel.open("/a", os.O_RDWR)
        assert kernel.pwrite(fd, b"!", 5000) == 1
        changed = content[:5000] + b"!" + content[5001:]
        assert (read_all(kernel, "/a"), read_all(kernel, "/b")) == (changed, content)
        kernel.unlink("/a")
        kernel.close(fd)
        # One page was written, and given back; the heap may keep one for itself.
        assert kernel.lib.frame_statistics().used <= used + 1


@pytest.mark.parametrize(
    "archive",
    [
        b"junk" * 100,
        member("a", FILE, b"x" * 2 * PAGE)[:-PAGE],
        member("a", FILE).replace(b"00000000", b"0000000g", 1),
        member("", FILE),
        member("a" * 300, FILE),
        member("a", 0o170000),
        b"070701" + b"F" * 104,
        b"\x1f\x8b",
    ],
    ids=["junk", "cut", "digit", "no-name", "long-name", "no-type", "huge", "gzip"],
)
def test_malformed_archives_leave_a_working_system(archive: bytes) -> None:
    with system(initrd=archive) as kernel:
        assert set(kernel.listdir("/")) <= {".", "..", "dev", "proc"}


@settings(max_examples=300)
@given(st.lists(st.tuples(PATHS, CONTENT, st.booleans()), max_size=20))
def test_trees(files: list[tuple[str, bytes, bool]]) -> None:
    archive = b""
    expected: dict[str, bytes | None] = {}
    for path, content, is_directory in files:
        parents = ["/".join(path.split("/")[:i]) for i in range(1, path.count("/") + 1)]
        if any(expected.get(parent) is not None for parent in parents):
            continue  # below a file
        existing = [known for known in expected if known == path or known.startswith(path + "/")]
        if existing and (is_directory or existing != [path] or expected[path] is None):
            continue
        for parent in parents:
            expected.setdefault(parent, None)
        expected[path] = None if is_directory else content
        mode = stat.S_IFDIR | 0o755 if is_directory else FILE
        archive += member(path, mode, b"" if is_directory else content)
    with system(initrd=archive + TRAILER) as kernel:
        for path, content in expected.items():
            if content is None:
                assert stat.S_ISDIR(kernel.stat(f"/{path}").mode)
            else:
                assert read_all(kernel, f"/{path}") == content


@settings(max_examples=300)
@given(st.data())
def test_damaged_archives_do_no_harm(data: st.DataObject) -> None:
    entries = [directory("d"), regular("d/f", b"data" * 50), symlink("l", "d/f"), directory("e")]
    archive = bytearray(make_archive(entries))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(archive) - 1))
        archive[at] = data.draw(st.sampled_from(b"0123456789ABCDEFf\0/.\xff"))
    with system(initrd=bytes(archive)) as kernel:
        kernel.listdir("/")
        for name in kernel.listdir("/"):
            kernel.lstat(f"/{name}")


def test_initrd_is_not_touched_before_a_file_is_named() -> None:
    with system(initrd=make_archive([regular("a", b"x" * PAGE)])) as kernel:
        kernel.write(1, b"memory for the call itself")
        used = kernel.lib.frame_statistics().used
        kernel.write(1, b"no file was named")
        assert kernel.lib.frame_statistics().used == used
