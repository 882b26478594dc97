"""Random sequences of calls on files: the kernel answers as the Linux that the tests run on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guest.oracle import Call, Oracle, Result, oracle, run_calls
from tests.guest.privileges import needs_chroot
from tests.guest.systemlib import System, system

pytestmark = needs_chroot

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
KEEP_SIZE = 1
PUNCH = KEEP_SIZE | 2
BLOCKS = 5  # the place of st_blocks in what stat gives


@pytest.fixture(scope="module")
def linux() -> Iterator[Oracle]:
    with oracle() as child:
        yield child


COMPONENTS = st.sampled_from(["a", "b", "c", "a", "b", "c", "..", "."])
RELATIVE = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)
PATHS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "", "", "/"]),
    RELATIVE,
    st.sampled_from(["", "", "", "/"]),
) | st.sampled_from(["", "/", "x" * 255, "x" * 256, "a/" * 3000])

FDS = st.integers(3, 8) | st.just(77)
MODES = st.sampled_from([0o777, 0o644, 0, 0o7777])
SIZES = st.integers(0, 20_000) | st.sampled_from([4096, 8192, 1 << 33, -1, (1 << 63) - 1])
LENGTHS = st.integers(0, 9_000) | st.just(4096)
DATA = st.builds(lambda byte, count: bytes([byte]) * count, st.integers(1, 255), LENGTHS)

FLAGS = st.builds(
    lambda access, *bits: access | sum(bits),
    st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR]),
    st.sampled_from([0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL]),
    st.sampled_from([0, 0, os.O_TRUNC]),
    st.sampled_from([0, 0, os.O_APPEND]),
    st.sampled_from([0, 0, 0, os.O_DIRECTORY]),
    st.sampled_from([0, 0, 0, os.O_NOFOLLOW]),
)


def call(name: str, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(name), *arguments)


NAMES = [
    call("mkdir", PATHS, MODES),
    call("rmdir", PATHS),
    call("unlink", PATHS),
    call("link", PATHS, PATHS),
    call("symlink", RELATIVE | PATHS, PATHS),
    call("readlink", PATHS),
    call("rename", PATHS, PATHS, st.sampled_from([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE])),
    call("chdir", PATHS),
    call("getcwd"),
    call("listdir", PATHS),
]
ATTRIBUTES = [
    call("stat", PATHS),
    call("lstat", PATHS),
    call("chmod", PATHS, MODES),
    call("chown", PATHS, st.sampled_from([-1, 0, 5]), st.sampled_from([-1, 0, 7])),
    call("access", PATHS, st.integers(0, 7)),
    call("umask", st.sampled_from([0, 0o22, 0o77])),
    call("truncate", PATHS, SIZES),
]
DESCRIPTORS = [
    call("open", PATHS, FLAGS, MODES),
    call("close", FDS),
    call("dup", FDS),
    call("dup2", FDS, FDS),
    call("fstat", FDS),
]
CONTENT = [
    call("read", FDS, LENGTHS),
    call("write", FDS, DATA),
    call("pread", FDS, LENGTHS, SIZES),
    call("pwrite", FDS, DATA, SIZES.filter(lambda size: size < 1 << 40)),
    call("lseek", FDS, SIZES | st.just(-5), st.integers(0, 5)),
    call("ftruncate", FDS, SIZES),
    call("sendfile", FDS, FDS, LENGTHS),
    call(
        "fallocate",
        FDS,
        st.sampled_from([0, KEEP_SIZE, PUNCH]),
        st.integers(-1, 20_000),
        st.integers(-1, 20_000),
    ),
]

ANY_CALL = st.one_of(*NAMES, *ATTRIBUTES, *DESCRIPTORS, *CONTENT)
OPENED = [("open", f"f{i}", os.O_CREAT | os.O_RDWR, 0o666) for i in range(2)]


def compare(linux: Oracle, calls: list[Call]) -> None:
    expected = linux.run(calls)
    with system() as kernel:
        # Root, /dev and /proc, made at the first use, are not what is compared.
        kernel.stat("/")
        results = run_calls(kernel, calls)
    # The kernel sets no memory aside for a file, so blocks are not counted before they are written.
    reserves = any(call[0] == "fallocate" and call[2] != PUNCH for call in calls)
    for number, (here, there) in enumerate(zip(results, expected, strict=True)):
        assert normal(here, reserves) == normal(there, reserves), f"call {number}: {calls[number]}"


def normal(result: Result, without_blocks: bool) -> Result:
    """What can be compared."""
    if not isinstance(result, (list, tuple)):
        return result
    result = tuple(result)
    return (*result[:BLOCKS], *result[BLOCKS + 1 :]) if without_blocks else result


@settings(max_examples=400)
@given(st.lists(st.one_of(*NAMES, *ATTRIBUTES), max_size=30))
def test_names(linux: Oracle, calls: list[Call]) -> None:
    compare(linux, calls)


@settings(max_examples=400)
@given(st.lists(st.one_of(*DESCRIPTORS, *CONTENT), max_size=30))
def test_content(linux: Oracle, calls: list[Call]) -> None:
    compare(linux, OPENED + calls)


@settings(max_examples=400)
@given(st.lists(ANY_CALL, max_size=50))
def test_everything(linux: Oracle, calls: list[Call]) -> None:
    compare(linux, calls)


def tidy(kernel: System, path: str) -> None:
    for name in kernel.listdir(path)[2:]:
        entry = f"{path}/{name}"
        if entry in ("//dev", "//proc"):
            continue
        if stat.S_ISDIR(kernel.lstat(entry).mode):
            tidy(kernel, entry)
            kernel.rmdir(entry)
        else:
            kernel.unlink(entry)


@settings(max_examples=25)
@given(st.lists(ANY_CALL, min_size=5, max_size=30))
def test_nothing_leaks(calls: list[Call]) -> None:
    with system() as kernel:
        used = []
        for _ in range(60):
            run_calls(kernel, OPENED + calls)
            for fd in range(3, 20):
                run_calls(kernel, [("close", fd)])
            kernel.chdir("/")
            tidy(kernel, "/")
            used.append(kernel.lib.frame_statistics().used)
        # What the heap keeps for the next time, it has after a few times.
        assert used[-1] == used[15], used
