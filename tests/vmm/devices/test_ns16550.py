"""The 16550: one behaviour a test, as the PC16550D data sheet words it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.parts import Screen, Wire
from vmm.devices.ns16550 import FIFO_DEPTH, TRIGGER_LEVELS, Ns16550

RBR = THR = DLL = 0
IER = DLM = 1
IIR = FCR = 2
LCR, MCR, LSR, MSR, SCR = 3, 4, 5, 6, 7

ERBFI, ETBEI, ELSI, EDSSI = 1, 2, 4, 8
LOOP = 0x10
NONE, MODEM, EMPTY, DATA, LINE, TIMEOUT = 1, 0, 2, 4, 6, 12


class Port:
    """A 16550 and what is on its pins."""

    def __init__(self, stride: int = 1) -> None:
        self.irq = Wire()
        self.screen = Screen()
        self.rooms = 0
        self.uart = Ns16550(irq=self.irq, sink=self.screen, on_room=self._on_room, stride=stride)
        self.rooms = 0

    def _on_room(self) -> None:
        self.rooms += 1

    def read(self, register: int) -> int:
        return self.uart.read(register, 1)

    def write(self, register: int, value: int) -> None:
        self.uart.write(register, 1, value)

    @property
    def cause(self) -> int:
        return self.read(IIR) & 0x0F


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def fifo_port() -> Port:
    port = Port()
    port.write(FCR, 0x01)
    return port


def test_registers_after_reset(port: Port) -> None:
    assert [port.read(register) for register in range(1, 8)] == [0, 1, 0, 0, 0x60, 0xB0, 0]


def test_what_is_written_to_thr_goes_out(port: Port) -> None:
    for byte in b"ok\xff":
        port.write(THR, byte)
    assert port.screen.text == b"ok\xff"


def test_the_transmitter_is_always_empty(port: Port) -> None:
    port.write(THR, 0x41)
    assert port.read(LSR) & 0x60 == 0x60


def test_dlab_shows_the_divisor_in_front_of_data_and_ier(port: Port) -> None:
    port.write(IER, ERBFI)
    port.write(LCR, 0x83)
    port.write(DLL, 0x34)
    port.write(DLM, 0x12)
    assert (port.read(DLL), port.read(DLM)) == (0x34, 0x12)
    port.write(LCR, 0x03)
    assert (port.read(RBR), port.read(IER), port.screen.text) == (0, ERBFI, b"")
    port.write(LCR, 0x80)
    assert (port.read(DLL), port.read(DLM)) == (0x34, 0x12)


def test_scratch_keeps_any_byte(port: Port) -> None:
    for value in (0x00, 0x5A, 0xFF):
        port.write(SCR, value)
        assert port.read(SCR) == value


def test_reserved_bits_read_as_zero(port: Port) -> None:
    port.write(IER, 0xFF)
    port.write(MCR, 0xFF)
    assert (port.read(IER), port.read(MCR)) == (0x0F, 0x1F)


def test_status_registers_cannot_be_written(port: Port) -> None:
    port.write(LSR, 0xFF)
    port.write(MSR, 0xFF)
    assert (port.read(LSR), port.read(MSR)) == (0x60, 0xB0)


# ---- Receiving ----


def test_a_received_character_is_ready_until_read(port: Port) -> None:
    assert port.uart.receive(b"A") == 1
    assert port.read(LSR) & 1
    assert port.read(RBR) == 0x41
    assert not port.read(LSR) & 1
    assert port.read(RBR) == 0


def test_without_fifo_one_character_is_accepted_at_a_time(port: Port) -> None:
    assert (port.uart.room(), port.uart.receive(b"AB"), port.uart.room()) == (1, 1, 0)
    assert port.uart.receive(b"B") == 0
    assert port.read(RBR) == 0x41


def test_the_fifo_accepts_sixteen_and_loses_none(fifo_port: Port) -> None:
    data = bytes(range(20))
    assert fifo_port.uart.receive(data) == FIFO_DEPTH
    assert bytes(fifo_port.read(RBR) for _ in range(16)) == data[:16]


def test_room_is_announced_when_the_guest_has_read_all(fifo_port: Port) -> None:
    before = fifo_port.rooms
    fifo_port.uart.receive(b"AB")
    fifo_port.read(RBR)
    assert fifo_port.rooms == before
    fifo_port.read(RBR)
    assert fifo_port.rooms == before + 1


def test_room_can_be_filled_from_the_announcement() -> None:
    source = bytearray(range(100))
    uart: Ns16550 | None = None

    def feed() -> None:
        if uart:
            del source[: uart.receive(bytes(source))]

    uart = Ns16550(irq=Wire(), sink=Screen(), on_room=feed)
    uart.write(FCR, 1, 0x01)
    received = []
    while uart.read(LSR, 1) & 1:
        received.append(uart.read(RBR, 1))
    assert received == list(range(100))


def test_a_break_is_a_zero_with_its_flag(fifo_port: Port) -> None:
    fifo_port.uart.receive(b"A")
    fifo_port.uart.receive_break()
    assert fifo_port.read(LSR) == 0xE1, "the kind of error shows when its character is on top"
    fifo_port.read(RBR)
    assert fifo_port.read(LSR) == 0xF1
    assert fifo_port.read(LSR) == 0x61
    assert fifo_port.read(RBR) == 0


def test_fifo_reset_drops_what_was_received(fifo_port: Port) -> None:
    fifo_port.uart.receive(b"ABC")
    fifo_port.write(FCR, 0x03)
    assert (fifo_port.read(LSR), fifo_port.uart.room()) == (0x60, 16)


def test_switching_the_fifo_drops_what_was_received(fifo_port: Port) -> None:
    fifo_port.uart.receive(b"ABC")
    fifo_port.write(FCR, 0x00)
    assert (fifo_port.read(LSR), fifo_port.uart.room()) == (0x60, 1)
    assert fifo_port.read(IIR) >> 6 == 0


def test_fifo_bits_count_only_with_fifo_enable(port: Port) -> None:
    port.uart.receive(b"A")
    port.write(FCR, 0xC6)
    assert port.read(RBR) == 0x41
    assert port.read(IIR) == NONE


def test_iir_tells_that_the_fifos_are_enabled(fifo_port: Port) -> None:
    assert fifo_port.read(IIR) == 0xC1


# ---- Interrupts ----


def test_no_interrupt_without_enable(port: Port) -> None:
    port.uart.receive(b"A")
    port.write(THR, 0x41)
    assert (port.irq.level, port.cause) == (False, NONE)


def test_received_data_interrupts_until_read(port: Port) -> None:
    port.write(IER, ERBFI)
    port.uart.receive(b"A")
    assert (port.irq.level, port.cause) == (True, DATA)
    port.read(RBR)
    assert (port.irq.level, port.cause) == (False, NONE)


@pytest.mark.parametrize(("code", "level"), list(enumerate(TRIGGER_LEVELS)))
def test_the_trigger_level_divides_data_from_time_out(code: int, level: int) -> None:
    port = Port()
    port.write(FCR, code << 6 | 1)
    port.write(IER, ERBFI)
    for count in range(1, FIFO_DEPTH + 1):
        port.uart.receive(b"A")
        assert port.irq.level
        assert port.cause == (DATA if count >= level else TIMEOUT)
    for count in range(FIFO_DEPTH - 1, 0, -1):
        port.read(RBR)
        assert port.cause == (DATA if count >= level else TIMEOUT)
    port.read(RBR)
    assert (port.irq.level, port.cause) == (False, NONE)


def test_enabling_the_empty_interrupt_raises_it(port: Port) -> None:
    port.write(IER, ETBEI)
    assert port.irq.level
    assert port.cause == EMPTY


def test_reading_iir_withdraws_the_empty_interrupt(port: Port) -> None:
    port.write(IER, ETBEI)
    port.read(IIR)
    assert (port.irq.level, port.cause) == (False, NONE)


def test_each_character_sent_raises_the_empty_interrupt_again(port: Port) -> None:
    port.write(IER, ETBEI)
    for _ in range(3):
        assert port.cause == EMPTY
        assert not port.irq.level
        port.write(THR, 0x41)
        assert port.irq.level


def test_reading_iir_for_another_cause_keeps_the_empty_interrupt(port: Port) -> None:
    port.write(IER, ETBEI | ERBFI)
    port.uart.receive(b"A")
    assert port.cause == DATA
    port.read(RBR)
    assert port.cause == EMPTY


def test_priorities(fifo_port: Port) -> None:
    port = fifo_port
    port.write(IER, ERBFI | ETBEI | ELSI | EDSSI)
    port.uart.set_modem_inputs(cts=False, dsr=True, ri=False, dcd=True)
    port.uart.receive_break()
    causes = [port.cause]
    port.read(LSR)
    causes.append(port.cause)
    port.read(RBR)
    causes.append(port.cause)
    causes.append(port.cause)
    port.read(MSR)
    causes.append(port.cause)
    assert causes == [LINE, DATA, EMPTY, MODEM, NONE]
    assert not port.irq.level


def test_disabling_an_interrupt_lowers_the_line(port: Port) -> None:
    port.write(IER, ERBFI)
    port.uart.receive(b"A")
    port.write(IER, 0)
    assert not port.irq.level
    port.write(IER, ERBFI)
    assert port.irq.level


# ---- Modem ----


def test_modem_inputs_and_their_changes(port: Port) -> None:
    port.write(IER, EDSSI)
    port.uart.set_modem_inputs(cts=False, dsr=False, ri=True, dcd=False)
    assert port.irq.level
    assert port.read(MSR) == 0x4B
    assert not port.irq.level
    assert port.read(MSR) == 0x40
    port.uart.set_modem_inputs(cts=True, dsr=False, ri=False, dcd=False)
    assert port.read(MSR) == 0x15


# ---- Loopback ----


def test_loopback_connects_the_transmitter_to_the_receiver(port: Port) -> None:
    port.write(MCR, LOOP)
    port.write(THR, 0x41)
    assert port.screen.text == b""
    assert port.read(RBR) == 0x41


def test_loopback_cuts_the_host_off(port: Port) -> None:
    port.write(MCR, LOOP)
    assert (port.uart.room(), port.uart.receive(b"A")) == (0, 0)
    rooms = port.rooms
    port.write(MCR, 0)
    assert (port.uart.room(), port.rooms) == (1, rooms + 1)


@pytest.mark.parametrize(
    ("outputs", "inputs"), [(0x1, 0x20), (0x2, 0x10), (0x4, 0x40), (0x8, 0x80), (0xA, 0x90)]
)
def test_loopback_connects_modem_outputs_to_inputs(outputs: int, inputs: int) -> None:
    port = Port()
    port.write(MCR, LOOP | outputs)
    assert port.read(MSR) & 0xF0 == inputs


def test_loopback_interrupts_as_the_line_does(port: Port) -> None:
    port.write(MCR, LOOP)
    port.write(IER, ERBFI)
    port.write(THR, 0x41)
    assert port.irq.level
    assert port.cause == DATA


def test_loopback_hears_a_break_once(fifo_port: Port) -> None:
    fifo_port.write(LCR, 0x43)
    fifo_port.write(LCR, 0x03)
    fifo_port.write(MCR, LOOP)
    fifo_port.write(THR, 0x41)
    for lcr in (0x43, 0x43, 0x03):
        fifo_port.write(LCR, lcr)
    assert (fifo_port.read(LSR), fifo_port.read(RBR)) == (0xE1, 0x41)
    assert (fifo_port.read(LSR), fifo_port.read(RBR)) == (0xF1, 0x00)
    assert fifo_port.read(LSR) == 0x60


def test_an_overrun_replaces_the_character_without_fifo(port: Port) -> None:
    port.write(MCR, LOOP)
    port.write(IER, ELSI)
    port.write(THR, 0x41)
    port.write(THR, 0x42)
    assert port.irq.level
    assert port.read(LSR) == 0x63
    assert port.read(LSR) == 0x61
    assert port.read(RBR) == 0x42


def test_an_overrun_keeps_the_fifo(fifo_port: Port) -> None:
    fifo_port.write(MCR, LOOP)
    for byte in range(FIFO_DEPTH + 4):
        fifo_port.write(THR, byte)
    assert fifo_port.read(LSR) & 0x02
    assert [fifo_port.read(RBR) for _ in range(FIFO_DEPTH)] == list(range(FIFO_DEPTH))
    assert fifo_port.read(LSR) == 0x60


# ---- Whole device ----


def test_reset_lowers_the_line_and_empties_the_receiver(fifo_port: Port) -> None:
    fifo_port.write(IER, ERBFI)
    fifo_port.uart.receive(b"A")
    fifo_port.uart.reset()
    assert not fifo_port.irq.level
    assert fifo_port.read(LSR) == 0x60


def test_a_restored_port_interrupts_as_the_saved_one() -> None:
    old = Port()
    old.write(FCR, 0x81)
    old.write(IER, ERBFI)
    old.write(LCR, 0x80)
    old.uart.receive(b"ABC")
    new = Port()
    new.uart.load(old.uart.save())
    assert new.irq.level
    assert new.cause == TIMEOUT
    new.write(LCR, 0)
    assert bytes(new.read(RBR) for _ in range(3)) == b"ABC"


def test_a_stride_of_four_takes_words() -> None:
    port = Port(stride=4)
    port.uart.write(4 * SCR, 4, 0x1234_5678)
    assert port.uart.read(4 * SCR, 4) == 0x78
    port.uart.write(0, 4, 0x41)
    assert port.screen.text == b"A"


def test_a_word_written_to_the_ports_reaches_two_registers(port: Port) -> None:
    port.uart.write(LCR, 2, 0x0F03)
    assert (port.read(LCR), port.read(MCR)) == (0x03, 0x0F)


OPERATIONS = st.one_of(
    st.tuples(st.just("receive"), st.binary(max_size=20)),
    st.tuples(st.just("read"), st.just(b"")),
    st.tuples(st.just("status"), st.just(b"")),
)


@given(st.lists(OPERATIONS), st.booleans())
def test_the_receiver_is_a_queue(operations: list[tuple[str, bytes]], fifo: bool) -> None:
    port = Port()
    port.write(FCR, fifo)
    port.write(IER, ERBFI)
    queue: list[int] = []
    depth = FIFO_DEPTH if fifo else 1
    for operation, data in operations:
        if operation == "receive":
            accepted = port.uart.receive(data)
            assert accepted == min(len(data), depth - len(queue))
            queue += data[:accepted]
        elif operation == "read":
            assert port.read(RBR) == (queue.pop(0) if queue else 0)
        assert port.uart.room() == depth - len(queue)
        assert port.read(LSR) & 1 == bool(queue)
        assert port.irq.level == bool(queue)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from((1, 2, 4, 8)), st.binary(max_size=8))))
def test_no_sequence_of_accesses_breaks_it(steps: list[tuple[int, int, bytes]]) -> None:
    port = Port()
    for offset, size, data in steps:
        port.uart.write(offset, size, int.from_bytes(data[:size], "little"))
        assert 0 <= port.uart.read(offset, size) < 1 << 8 * size
        port.uart.receive(data)
        assert port.uart.room() >= 0
        pending = bool(port.uart.read(IIR, 1) & 1 == 0)
        assert port.irq.level <= pending, "a raised line always has a cause"
