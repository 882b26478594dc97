"""Random sequences of calls by several users: the kernel lets each do what Linux does.

Nobody makes links or sticky directories here: what Linux does with those depends on settings of the
host (fs.protected_hardlinks and so on).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guest.oracle import Call, Oracle, oracle, run_calls
from tests.guest.privileges import needs_chroot
from tests.guest.systemlib import system

pytestmark = needs_chroot

RENAME_EXCHANGE = 2
SHARED = [("chmod", "/", 0o777), ("mkdir", "a", 0o777), ("chmod", "a", 0o777)]


@pytest.fixture(scope="module")
def linux() -> Iterator[Oracle]:
    with oracle() as child:
        yield child


def call(name: str, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(name), *arguments)


USERS = st.sampled_from([0, 1000, 1000, 2000])
GROUPS = st.sampled_from([0, 1000, 3000])
PATHS = st.sampled_from(["a", "b", "a/a", "a/b", "a/b/c", "b/a", "b/a/", "a/..", ".", "/", "../b"])
MODES = st.sampled_from(
    [
        0o777,
        0o755,
        0o700,
        0o750,
        0o070,
        0o007,
        0o640,
        0o311,
        0o444,
        0,
        0o2777,
        0o4755,
        0o6775,
        0o2766,
    ]
)
FLAGS = st.builds(
    lambda access, *bits: access | sum(bits),
    st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR]),
    st.sampled_from([0, os.O_CREAT, os.O_CREAT | os.O_EXCL]),
    st.sampled_from([0, 0, os.O_TRUNC]),
    st.sampled_from([0, 0, 0, os.O_NOATIME, os.O_DIRECTORY, os.O_PATH]),
)

ANY_CALL = st.one_of(
    call("become", USERS, GROUPS, st.sampled_from([[], [], [3000], [2000, 1000]])),
    call("become", USERS, GROUPS, st.just([])),
    call("setfsuid", USERS),
    call("mkdir", PATHS, MODES),
    call("rmdir", PATHS),
    call("unlink", PATHS),
    call("symlink", PATHS, PATHS),
    call("rename", PATHS, PATHS, st.sampled_from([0, 0, RENAME_EXCHANGE])),
    call("chdir", PATHS),
    call("listdir", PATHS),
    call("lstat", PATHS),
    call("chmod", PATHS, MODES),
    call("chmod", PATHS, MODES),
    call("chown", PATHS, st.sampled_from([-1, 1000, 2000]), st.sampled_from([-1, 1000, 3000])),
    call("access", PATHS, st.integers(0, 7)),
    call("truncate", PATHS, st.sampled_from([0, 10])),
    call("open", PATHS, FLAGS, MODES),
    call("write", st.integers(3, 6), st.just(b"x")),
)


@settings(max_examples=400)
@given(st.lists(ANY_CALL, max_size=40))
def test_each_may_do_the_same(linux: Oracle, calls: list[Call]) -> None:
    calls = SHARED + calls
    expected = linux.run(calls)
    with system() as kernel:
        kernel.stat("/")  # makes the root, /dev and /proc
        results = run_calls(kernel, calls)
    for number, (here, there) in enumerate(zip(results, expected, strict=True)):
        told = f"call {number}: {calls[number]} of {calls[:number]}"
        assert normal(here) == normal(there), told


def normal(result: object) -> object:
    """What can be compared: of directories, not how many entries there are."""
    if isinstance(result, list):
        return sorted(result)
    if isinstance(result, tuple) and result[0] != "error" and stat.S_ISDIR(result[0]):
        mode, _, user, group, *_ = result
        return mode, user, group
    return result
