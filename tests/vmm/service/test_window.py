"""Giving out parts of the window."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from vmm.service.window import Room, Window

SIZE = 1 << 14
BASE = 0x7000_0000


@given(st.lists(st.one_of(st.integers(0, SIZE // 3), st.none()), max_size=60))
def test_rooms_are_disjoint_and_come_back(steps: list[int | None]) -> None:
    memory = bytearray(SIZE)
    window = Window(BASE, memoryview(memory))
    rooms: list[Room] = []
    for number, length in enumerate(steps):
        if length is None and rooms:
            window.give(rooms.pop(number % len(rooms)))
        room = None if length is None else window.take(length)
        if room is not None:
            assert len(room) == length
            assert BASE <= room.address <= BASE + SIZE - len(room)
            rooms.append(room)
    taken = sorted((room.address, room.address + max(len(room), 1)) for room in rooms)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(taken))
    for room in rooms:
        window.give(room)
    whole = window.take(SIZE)
    assert whole is not None
    assert whole.address == BASE


def test_address_and_bytes_of_a_room_agree() -> None:
    memory = bytearray(SIZE)
    window = Window(BASE, memoryview(memory))
    window.take(100)
    room = window.take(5)
    assert room is not None
    room.view[:] = b"hello"
    start = room.address - BASE
    assert memory[start : start + 5] == b"hello"
    assert room.read(2) == b"he"


def test_too_much_is_none() -> None:
    window = Window(BASE, memoryview(bytearray(SIZE)))
    assert window.take(SIZE + 1) is None
    assert window.take(SIZE) is not None
    assert window.take(1) is None
