"""Buffers of a chain, used up from either end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmm.devices.virtio.chain import Buffers, copy_to

PARTS = st.lists(st.binary(min_size=1, max_size=20), max_size=8)


def buffers(parts: list[bytes]) -> Buffers:
    views = [memoryview(bytearray(part)) for part in parts]
    return Buffers(views, sum(map(len, views)))


@given(PARTS, st.lists(st.integers(0, 60), max_size=6))
def test_reads_take_from_the_front(parts: list[bytes], lengths: list[int]) -> None:
    subject, rest = buffers(parts), b"".join(parts)
    for length in lengths:
        assert subject.read(length) == rest[:length]
        rest = rest[length:]
        assert subject.length == len(rest) == sum(map(len, subject.views))


@given(PARTS, st.integers(0, 200))
def test_the_end_can_be_taken_alone(parts: list[bytes], length: int) -> None:
    subject, whole = buffers(parts), b"".join(parts)
    cut = max(len(whole) - length, 0)
    assert b"".join(subject.take_last(length)) == whole[cut:]
    assert b"".join(subject.views) == whole[:cut]
    assert subject.length == cut


@given(PARTS, st.binary(max_size=100), st.binary(max_size=100))
def test_writes_fill_the_front(parts: list[bytes], first: bytes, second: bytes) -> None:
    subject = buffers(parts)
    views, room = list(subject.views), subject.length
    assert subject.write(first) + subject.write(second) == min(room, len(first + second))
    content = b"".join(views)
    data = (first + second)[:room]
    assert content == data + b"".join(parts)[len(data) :]


def test_what_does_not_fit_is_left_out() -> None:
    view = memoryview(bytearray(3))
    assert copy_to([view], b"abcdef") == 3
    assert view == b"abc"
