"""The PL011: one behaviour a test, as DDI 0183 words it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.parts import Screen, Wire
from vmm.devices.pl011 import FIFO_DEPTH, Pl011

DR, RSR, FR, ILPR, IBRD, FBRD, LCR_H = 0x00, 0x04, 0x18, 0x20, 0x24, 0x28, 0x2C
CR, IFLS, IMSC, RIS, MIS, ICR, DMACR = 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44, 0x48

RX, TX, RT, BE, OE, CTSM = 1 << 4, 1 << 5, 1 << 6, 1 << 9, 1 << 10, 1 << 1
ALL = 0x7FF
FEN, LBE = 1 << 4, 1 << 7
RXFE, RXFF = 1 << 4, 1 << 6


class Port:
    """A PL011 and what is on its pins."""

    def __init__(self) -> None:
        self.irq = Wire()
        self.screen = Screen()
        self.rooms = 0
        self.uart = Pl011(irq=self.irq, sink=self.screen, on_room=self._on_room)

    def _on_room(self) -> None:
        self.rooms += 1

    def read(self, offset: int, size: int = 4) -> int:
        return self.uart.read(offset, size)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        self.uart.write(offset, size, value)


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def fifo_port() -> Port:
    port = Port()
    port.write(LCR_H, FEN | 0x60)
    port.write(CR, 0x301)
    return port


def test_registers_after_reset(port: Port) -> None:
    expected = {FR: 0x97, LCR_H: 0, CR: 0x300, IFLS: 0x12, IMSC: 0, RIS: 0, MIS: 0, DMACR: 0}
    assert {offset: port.read(offset) for offset in expected} == expected


def test_identification_is_that_of_revision_r1p5(port: Port) -> None:
    identity = bytes(port.read(offset) for offset in range(0xFE0, 0x1000, 4))
    assert identity.hex() == "111034000df005b1"


@pytest.mark.parametrize("size", [1, 2, 4])
def test_what_is_written_to_dr_goes_out(port: Port, size: int) -> None:
    for byte in b"ok\xff":
        port.write(DR, byte, size)
    assert port.screen.text == b"ok\xff"


def test_a_wide_write_to_dr_sends_the_low_byte(port: Port) -> None:
    port.write(DR, 0x1234_5641)
    assert port.screen.text == b"A"


def test_the_transmitter_is_always_ready(port: Port) -> None:
    port.write(DR, 0x41)
    assert port.read(FR) & 0b1010_1000 == 0b1000_0000


@pytest.mark.parametrize(
    ("offset", "kept"),
    [
        (ILPR, 0xFF),
        (IBRD, 0xFFFF),
        (FBRD, 0x3F),
        (LCR_H, 0xFF),
        (CR, 0xFF87),
        (IFLS, 0x3F),
        (IMSC, 0x7FF),
        (DMACR, 0x7),
    ],
)
def test_registers_keep_their_bits_and_no_others(port: Port, offset: int, kept: int) -> None:
    port.write(offset, 0xFFFF_FFFF)
    assert port.read(offset) == kept


@pytest.mark.parametrize("offset", [FR, RIS, MIS, 0xFE0, 0xFF0])
def test_status_and_identity_cannot_be_written(port: Port, offset: int) -> None:
    before = port.read(offset)
    port.write(offset, 0)
    port.write(offset, 0xFFFF)
    assert port.read(offset) == before


def test_unused_offsets_read_as_zero(port: Port) -> None:
    port.write(0x80, 0xFFFF)
    assert (port.read(0x80), port.read(0x1C), port.read(0xFDC)) == (0, 0, 0)


# ---- Receiving ----


def test_a_received_character_is_ready_until_read(port: Port) -> None:
    assert port.uart.receive(b"A") == 1
    assert not port.read(FR) & RXFE
    assert port.read(DR) == 0x41
    assert port.read(FR) & RXFE
    assert port.read(DR) == 0


def test_without_fifo_one_character_is_accepted_at_a_time(port: Port) -> None:
    assert (port.uart.room(), port.uart.receive(b"AB"), port.uart.room()) == (1, 1, 0)
    assert port.read(FR) & RXFF
    assert port.read(DR) == 0x41


def test_the_fifo_accepts_thirty_two_and_loses_none(fifo_port: Port) -> None:
    data = bytes(range(40))
    assert fifo_port.uart.receive(data) == FIFO_DEPTH
    assert fifo_port.read(FR) & RXFF
    assert bytes(fifo_port.read(DR) for _ in range(FIFO_DEPTH)) == data[:FIFO_DEPTH]


def test_room_is_announced_when_the_guest_has_read_all(fifo_port: Port) -> None:
    fifo_port.uart.receive(b"AB")
    before = fifo_port.rooms
    fifo_port.read(DR)
    assert fifo_port.rooms == before
    fifo_port.read(DR)
    assert fifo_port.rooms == before + 1


def test_switching_the_fifo_keeps_what_was_received(fifo_port: Port) -> None:
    fifo_port.uart.receive(b"ABC")
    fifo_port.write(LCR_H, 0)
    assert fifo_port.read(FR) & RXFF
    assert fifo_port.uart.room() == 0
    assert bytes(fifo_port.read(DR) for _ in range(3)) == b"ABC"


def test_a_break_is_a_zero_with_its_flag(fifo_port: Port) -> None:
    fifo_port.uart.receive(b"A")
    fifo_port.uart.receive_break()
    assert fifo_port.read(RIS) & BE
    assert (fifo_port.read(DR), fifo_port.read(RSR)) == (0x41, 0)
    assert (fifo_port.read(DR), fifo_port.read(RSR)) == (0x400, 4)
    fifo_port.write(RSR, 0)
    assert fifo_port.read(RSR) == 0


# ---- Interrupts ----


def test_interrupts_are_masked_after_reset(port: Port) -> None:
    port.uart.receive(b"A")
    port.write(DR, 0x41)
    assert port.read(RIS) == RX | TX
    assert (port.read(MIS), port.irq.level) == (0, False)
    port.write(IMSC, RX)
    assert (port.read(MIS), port.irq.level) == (RX, True)


def test_sending_raises_the_transmit_interrupt_until_cleared(port: Port) -> None:
    port.write(IMSC, TX)
    assert not port.irq.level, "it is no level: an empty FIFO alone does not interrupt"
    port.write(DR, 0x41)
    assert port.irq.level
    port.write(ICR, TX)
    assert (port.irq.level, port.read(RIS)) == (False, 0)


@pytest.mark.parametrize(("select", "trigger"), [(0, 4), (1, 8), (2, 16), (3, 24), (4, 28)])
def test_the_receive_interrupt_follows_the_trigger_level(select: int, trigger: int) -> None:
    port = Port()
    port.write(LCR_H, FEN)
    port.write(IFLS, select << 3)
    port.write(IMSC, RX)
    for count in range(1, FIFO_DEPTH + 1):
        port.uart.receive(b"A")
        assert port.irq.level == (count >= trigger)
    for count in range(FIFO_DEPTH - 1, -1, -1):
        port.read(DR)
        assert port.irq.level == (count >= trigger)


def test_data_below_the_trigger_raises_the_time_out_until_all_is_read(fifo_port: Port) -> None:
    fifo_port.write(IMSC, RT)
    fifo_port.uart.receive(b"AB")
    assert fifo_port.irq.level
    fifo_port.read(DR)
    assert fifo_port.irq.level
    fifo_port.read(DR)
    assert not fifo_port.irq.level


def test_without_fifo_there_is_no_time_out(port: Port) -> None:
    port.uart.receive(b"A")
    assert port.read(RIS) == RX


def test_clearing_an_interrupt_leaves_the_others(port: Port) -> None:
    port.uart.receive(b"A")
    port.write(DR, 0x41)
    port.write(ICR, RX)
    assert port.read(RIS) == TX


def test_a_change_of_the_modem_inputs_interrupts(port: Port) -> None:
    port.write(IMSC, CTSM)
    port.uart.set_modem_inputs(cts=False, dsr=True, ri=False, dcd=True)
    assert port.irq.level
    assert port.read(FR) & 0x107 == 0x006
    port.write(ICR, CTSM)
    assert not port.irq.level


# ---- Loopback ----


def test_loopback_connects_the_transmitter_to_the_receiver(port: Port) -> None:
    port.write(IMSC, RX)
    port.write(CR, 0x301 | LBE)
    port.write(DR, 0x41)
    assert (port.screen.text, port.irq.level) == (b"", True)
    assert port.read(DR) == 0x41


def test_loopback_cuts_the_host_off(port: Port) -> None:
    port.write(CR, 0x301 | LBE)
    assert (port.uart.room(), port.uart.receive(b"A")) == (0, 0)
    before = port.rooms
    port.write(CR, 0x301)
    assert (port.uart.room(), port.rooms) == (1, before + 1)


@pytest.mark.parametrize(
    ("outputs", "inputs"), [(1 << 10, 0x002), (1 << 11, 0x001), (1 << 12, 0x004), (1 << 13, 0x100)]
)
def test_loopback_connects_modem_outputs_to_inputs(outputs: int, inputs: int) -> None:
    port = Port()
    port.write(CR, LBE | outputs)
    assert port.read(FR) & 0x107 == inputs


def test_loopback_hears_a_break_once(fifo_port: Port) -> None:
    fifo_port.write(CR, 0x301 | LBE)
    fifo_port.write(IMSC, BE)
    fifo_port.write(DR, 0x41)
    for line in (FEN | 0x61, FEN | 0x61, FEN | 0x60):
        fifo_port.write(LCR_H, line)
    assert fifo_port.irq.level
    assert [fifo_port.read(DR) for _ in range(3)] == [0x41, 0x400, 0]


def test_an_overrun_is_told_at_once_and_with_the_next_character(fifo_port: Port) -> None:
    fifo_port.write(CR, 0x301 | LBE)
    fifo_port.write(IMSC, OE)
    for byte in range(FIFO_DEPTH + 1):
        fifo_port.write(DR, byte)
    assert fifo_port.irq.level
    assert fifo_port.read(RSR) == 8
    assert fifo_port.read(DR) == 0
    for byte in (0x41, 0x42):
        fifo_port.write(DR, byte)
        fifo_port.read(DR)
    assert fifo_port.read(RSR) == 8
    fifo_port.write(RSR, 0)
    assert fifo_port.read(RSR) == 0
    received = [fifo_port.read(DR) for _ in range(FIFO_DEPTH - 1)]
    assert received == [*range(3, FIFO_DEPTH), 0x841, 0x42]
    assert fifo_port.read(RSR) == 8, "read with the character before the last"


# ---- Whole device ----


def test_narrow_accesses_to_dr_have_their_effect_once(fifo_port: Port) -> None:
    fifo_port.uart.receive(b"AB")
    fifo_port.write(DR, 0x58, 1)
    assert fifo_port.screen.text == b"X"
    assert (fifo_port.read(DR, 1), fifo_port.read(DR, 2)) == (0x41, 0x42)


def test_reset_lowers_the_line_and_empties_the_receiver(fifo_port: Port) -> None:
    fifo_port.write(IMSC, ALL)
    fifo_port.uart.receive(b"A")
    fifo_port.uart.reset()
    assert not fifo_port.irq.level
    assert fifo_port.read(FR) & RXFE


def test_a_restored_port_interrupts_as_the_saved_one(fifo_port: Port) -> None:
    fifo_port.write(IMSC, RT)
    fifo_port.uart.receive(b"ABC")
    new = Port()
    new.uart.load(fifo_port.uart.save())
    assert new.irq.level
    assert bytes(new.read(DR) for _ in range(3)) == b"ABC"


OFFSETS = st.one_of(st.integers(0, 0x50), st.integers(0xFD0, 0xFFF))


@given(st.lists(st.tuples(OFFSETS, st.sampled_from((1, 2, 4, 8)), st.binary(max_size=8))))
def test_no_sequence_of_accesses_breaks_it(steps: list[tuple[int, int, bytes]]) -> None:
    port = Port()
    for offset, size, data in steps:
        port.uart.write(offset, size, int.from_bytes(data[:size], "little"))
        assert 0 <= port.uart.read(offset, size) < 1 << 8 * size
        port.uart.receive(data)
        assert port.uart.room() >= 0
        assert port.irq.level == bool(port.read(MIS))
