"""The I/O APIC: one behaviour a test."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.devices.ioapic import IoApic

MASKED, LEVEL, REMOTE_IRR, LOGICAL = 1 << 16, 1 << 15, 1 << 14, 1 << 11


class Board:
    """An I/O APIC and what it said."""

    def __init__(self, version: int = 0x20) -> None:
        self.messages: list[tuple[int, int]] = []
        self.routes: Mapping[int, tuple[int, int]] = {}
        self.announcements = 0
        self.ioapic = IoApic(messages=self._message, on_routes=self._routes, version=version)

    def _message(self, address: int, data: int, /) -> None:
        self.messages.append((address, data))

    def _routes(self, routes: Mapping[int, tuple[int, int]]) -> None:
        self.routes = dict(routes)
        self.announcements += 1

    def read(self, index: int) -> int:
        self.ioapic.write(0x00, 4, index)
        return self.ioapic.read(0x10, 4)

    def write(self, index: int, value: int) -> None:
        self.ioapic.write(0x00, 4, index)
        self.ioapic.write(0x10, 4, value)

    def route(self, pin: int, low: int, destination: int = 0) -> None:
        self.write(0x11 + 2 * pin, destination << 24)
        self.write(0x10 + 2 * pin, low)

    def entry(self, pin: int) -> int:
        return self.read(0x10 + 2 * pin) | self.read(0x11 + 2 * pin) << 32


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.mark.parametrize("version", [0x11, 0x20])
def test_identity_and_version(version: int) -> None:
    board = Board(version)
    board.write(0, 0xFFFF_FFFF)
    assert (board.read(0), board.read(1), board.read(2)) == (
        0x0F00_0000,
        0x0017_0000 | version,
        0x0F00_0000,
    )


def test_all_pins_are_masked_after_reset(board: Board) -> None:
    assert [board.entry(pin) for pin in range(24)] == [0x1_0000] * 24
    for pin in range(24):
        board.ioapic.line(pin)(True)
    assert board.messages == []


def test_halves_of_an_entry_are_written_apart(board: Board) -> None:
    board.write(0x12, 0x0001_2345 & ~0x5000)
    board.write(0x13, 0xAB00_0000)
    assert board.entry(1) == 0xAB00_0000_0001_2345 & ~0x5000


def test_status_bits_cannot_be_written(board: Board) -> None:
    board.route(0, MASKED | REMOTE_IRR | 1 << 12)
    assert board.entry(0) == MASKED


def test_index_registers_that_are_not_there_read_as_zero(board: Board) -> None:
    board.write(0x40, 0xFFFF_FFFF)
    assert [board.read(index) for index in (3, 0xF, 0x40, 0xFF)] == [0, 0, 0, 0]


def test_an_edge_sends_one_message(board: Board) -> None:
    board.route(4, 0x0931, destination=3)
    line = board.ioapic.line(4)
    line(True)
    line(True)
    assert board.messages == [(0xFEE0_3004, 0x0131)]
    line(False)
    line(True)
    assert len(board.messages) == 2


def test_an_edge_at_a_masked_pin_is_lost(board: Board) -> None:
    board.ioapic.line(4)(True)
    board.route(4, 0x31)
    assert board.messages == []


def test_a_level_sends_once_until_its_end_of_interrupt(board: Board) -> None:
    board.route(9, LEVEL | 0x41)
    line = board.ioapic.line(9)
    line(True)
    assert board.messages == [(0xFEE0_0000, 0xC041)]
    assert board.entry(9) & REMOTE_IRR
    line(False)
    line(True)
    assert len(board.messages) == 1
    board.ioapic.end_of_interrupt(0x41)
    assert len(board.messages) == 2, "the line is still asserted"
    line(False)
    board.ioapic.end_of_interrupt(0x41)
    assert len(board.messages) == 2
    assert not board.entry(9) & REMOTE_IRR


def test_a_level_at_a_masked_pin_is_sent_when_unmasked(board: Board) -> None:
    board.ioapic.line(9)(True)
    board.route(9, LEVEL | 0x41)
    assert board.messages == [(0xFEE0_0000, 0xC041)]


def test_the_end_of_another_vector_changes_nothing(board: Board) -> None:
    board.route(9, LEVEL | 0x41)
    board.ioapic.line(9)(True)
    board.ioapic.end_of_interrupt(0x42)
    assert board.entry(9) & REMOTE_IRR


def test_turning_to_edge_mode_ends_a_level_interrupt(board: Board) -> None:
    board.route(9, LEVEL | 0x41)
    board.ioapic.line(9)(True)
    board.route(9, MASKED | 0x41)
    board.route(9, LEVEL | 0x41)
    assert len(board.messages) == 2


def test_the_eoi_register_exists_since_version_0x20() -> None:
    for version, sent in ((0x11, 1), (0x20, 2)):
        board = Board(version)
        board.route(9, LEVEL | 0x41)
        board.ioapic.line(9)(True)
        board.ioapic.write(0x40, 4, 0x41)
        assert len(board.messages) == sent


def test_routes_are_announced_when_they_change(board: Board) -> None:
    assert board.announcements == 0
    board.route(4, 0x31, destination=1)
    board.route(9, LEVEL | LOGICAL | 0x41)
    assert board.routes == {4: (0xFEE0_1000, 0x31), 9: (0xFEE0_0004, 0xC041)}
    before = board.announcements
    board.route(9, LEVEL | LOGICAL | 0x41)
    assert board.announcements == before
    board.write(0x10 + 2 * 4, 0x32)
    assert board.routes[4] == (0xFEE0_1000, 0x32)


def test_a_masked_pin_keeps_its_route_for_the_end_of_what_it_sent(board: Board) -> None:
    board.route(9, LEVEL | 0x41)
    board.ioapic.line(9)(True)
    before = board.announcements
    board.write(0x10 + 2 * 9, MASKED | LEVEL | 0x41)
    assert (board.routes, board.announcements) == ({9: (0xFEE0_0000, 0xC041)}, before)
    new = Board()
    new.ioapic.load(board.ioapic.save())
    for each in board, new:
        assert each.routes == {9: (0xFEE0_0000, 0xC041)}
        each.ioapic.end_of_interrupt(0x41)
        each.write(0x10 + 2 * 9, LEVEL | 0x41)
        assert each.messages[-1] == (0xFEE0_0000, 0xC041), "its line is still asserted"
    board.ioapic.reset()
    assert board.routes == {}


def test_a_restored_one_announces_its_routes(board: Board) -> None:
    board.route(9, LEVEL | 0x41)
    board.ioapic.line(9)(True)
    new = Board()
    new.ioapic.load(board.ioapic.save())
    assert new.routes == {9: (0xFEE0_0000, 0xC041)}
    new.ioapic.end_of_interrupt(0x41)
    assert len(new.messages) == 1


def test_a_trace_names_the_register_behind_the_window(board: Board) -> None:
    board.ioapic.write(0x00, 4, 0x12)
    name, fields = board.ioapic.decode(0x10, LEVEL | 0x31, True)
    assert (name, fields["VECTOR"], fields["TRIGGER"]) == ("IOREDTBL[1]", 0x31, 1)
    assert board.ioapic.decode(0x00, 0x12, True) == ("IOREGSEL", {"ADDRESS": 0x12})


def test_there_are_24_pins(board: Board) -> None:
    for pin in (-1, 24):
        with pytest.raises(ValueError, match="no pin"):
            board.ioapic.line(pin)


OFFSETS = st.sampled_from((0x00, 0x04, 0x10, 0x11, 0x12, 0x40, 0xFF8))


@given(st.lists(st.tuples(OFFSETS, st.sampled_from((1, 2, 4, 8)), st.integers(0, 2**64 - 1))))
def test_no_sequence_of_accesses_breaks_it(steps: list[tuple[int, int, int]]) -> None:
    board = Board()
    for offset, size, value in steps:
        board.ioapic.write(offset, size, value & ((1 << 8 * size) - 1))
        assert 0 <= board.ioapic.read(offset, size) < 1 << 8 * size
        board.ioapic.line(value % 24)(bool(value & 1 << 40))
    for address, data in board.messages:
        assert address & ~0x000F_F004 == 0xFEE0_0000
        assert data & ~0xC7FF == 0
