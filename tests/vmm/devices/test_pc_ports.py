"""The small ports of a PC: keyboard controller, power-off, debug exit, debug console."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.parts import Screen
from vmm.devices.i8042 import I8042
from vmm.devices.pc_exits import AcpiEvents, AcpiPowerControl, DebugConsole, DebugExit


class Keyboard:
    """A keyboard controller in a machine that counts resets."""

    def __init__(self) -> None:
        self.resets = 0
        self.controller = I8042(reset=self._reset)

    def _reset(self) -> None:
        self.resets += 1

    def command(self, value: int) -> None:
        self.controller.command_port.write(0, 1, value)

    def data(self, value: int) -> None:
        self.controller.data_port.write(0, 1, value)

    @property
    def status(self) -> int:
        return self.controller.command_port.read(0, 1)

    def answer(self) -> int:
        return self.controller.data_port.read(0, 1)


@pytest.fixture
def keyboard() -> Keyboard:
    return Keyboard()


def test_the_status_is_ready_and_empty(keyboard: Keyboard) -> None:
    assert keyboard.status & 0x03 == 0
    assert keyboard.status & 0x04


def test_the_reset_pulse_resets_the_machine(keyboard: Keyboard) -> None:
    keyboard.command(0xFE)
    assert keyboard.resets == 1


def test_other_pulses_do_not(keyboard: Keyboard) -> None:
    for pulse in (0xF1, 0xFD, 0xFF):
        keyboard.command(pulse)
    assert keyboard.resets == 0


def test_the_output_port_can_reset_too(keyboard: Keyboard) -> None:
    keyboard.command(0xD1)
    keyboard.data(0xDF)
    assert keyboard.resets == 0
    keyboard.command(0xD0)
    assert keyboard.answer() == 0xDF
    keyboard.command(0xD1)
    keyboard.data(0xFE & ~1)
    assert keyboard.resets == 1


@pytest.mark.parametrize(("command", "answer"), [(0xAA, 0x55), (0xAB, 0x00), (0xA9, 0x00)])
def test_self_tests_pass(keyboard: Keyboard, command: int, answer: int) -> None:
    keyboard.command(command)
    assert keyboard.status & 0x01
    assert keyboard.answer() == answer
    assert not keyboard.status & 0x01


def test_the_configuration_can_be_written_and_read(keyboard: Keyboard) -> None:
    keyboard.command(0x60)
    keyboard.data(0x41)
    for command, expected in ((0xAD, 0x51), (0xA7, 0x71), (0xAE, 0x61), (0xA8, 0x41)):
        keyboard.command(command)
        keyboard.command(0x20)
        assert keyboard.answer() == expected


def test_what_is_sent_to_the_keyboard_is_not_answered(keyboard: Keyboard) -> None:
    keyboard.data(0xF4)
    assert not keyboard.status & 0x01


def test_unknown_commands_are_counted(keyboard: Keyboard) -> None:
    keyboard.command(0xC0)
    assert keyboard.controller.unmodelled == {"command 0xc0": 1}


@pytest.mark.parametrize(
    ("value", "ends"), [(0x2000, [0]), (0x2001, [0]), (0x3C00, []), (0x0000, []), (0x1C00, [])]
)
def test_soft_off_powers_off(value: int, ends: list[int]) -> None:
    statuses: list[int] = []
    power = AcpiPowerControl(shutdown=statuses.append)
    power.write(0, 2, value)
    assert statuses == ends
    assert power.read(0, 2) == value & 0x1C00 | 1


def test_events_can_be_enabled_and_never_happen() -> None:
    events = AcpiEvents()
    events.write(0, 2, 0xFFFF)
    events.write(2, 2, 0x0120)
    assert (events.read(0, 2), events.read(2, 2)) == (0, 0x0120)


def test_soft_off_by_the_high_byte_alone() -> None:
    statuses: list[int] = []
    AcpiPowerControl(shutdown=statuses.append).write(1, 1, 0x20)
    assert statuses == [0]


@pytest.mark.parametrize(("value", "status"), [(0, 1), (41, 83), (42, 85), (0x10, 33)])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_debug_exit_is_never_success(size: int, value: int, status: int) -> None:
    statuses: list[int] = []
    DebugExit(shutdown=statuses.append).write(0, size, value)
    assert statuses == [status]


def test_the_debug_console_prints_and_is_recognised() -> None:
    screen = Screen()
    console = DebugConsole(sink=screen)
    for byte in b"ok\n":
        console.write(0, 1, byte)
    assert screen.text == b"ok\n"
    assert console.read(0, 1) == 0xE9


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 5),
            st.sampled_from((1, 2, 4, 8)),
            st.integers(0, 2**64 - 1),
        )
    )
)
def test_no_sequence_of_accesses_breaks_them(steps: list[tuple[int, int, int, int]]) -> None:
    statuses: list[int] = []
    ports = (
        Keyboard().controller,
        AcpiPowerControl(shutdown=statuses.append),
        DebugExit(shutdown=statuses.append),
        DebugConsole(sink=Screen()),
    )
    for port, offset, size, value in steps:
        ports[port].write(offset, size, value & ((1 << 8 * size) - 1))
        assert 0 <= ports[port].read(offset, size) < 1 << 8 * size
    assert all(0 <= status <= 0xFF for status in statuses)
