"""The keyboard controller of a PC (Intel 8042) with nothing plugged in.

Kernels use it to reset the machine and to find out that there is no keyboard.
"""

from __future__ import annotations

from vmm.devices.registers import RO, WO, Register, RegisterDevice, internal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

READ_CONFIGURATION: Final = 0x20
WRITE_CONFIGURATION: Final = 0x60
DISABLE_AUXILIARY: Final = 0xA7
ENABLE_AUXILIARY: Final = 0xA8
TEST_AUXILIARY: Final = 0xA9
TEST_CONTROLLER: Final = 0xAA
TEST_KEYBOARD: Final = 0xAB
DISABLE_KEYBOARD: Final = 0xAD
ENABLE_KEYBOARD: Final = 0xAE
READ_OUTPUT_PORT: Final = 0xD0
WRITE_OUTPUT_PORT: Final = 0xD1
PULSE: Final = 0xF0  # to 0xFF: the low four bits that are 0 are pulsed low

TEST_PASSED: Final = 0x55
NO_ERROR: Final = 0x00

# Bits of the configuration byte that the commands above set and clear.
KEYBOARD_OFF: Final = 0x10
AUXILIARY_OFF: Final = 0x20

# Output port: not reset, address line 20 open.
OUTPUT_PORT: Final = 0x03
NOT_RESET: Final = 0x01


class I8042(RegisterDevice, width=8):
    """The controller. Between its two ports are some that belong to others.

    Args:
        reset: resets the machine.

    Attributes:
        data_port: a region of one port, at 0x60.
        command_port: a region of one port, at 0x64.
    """

    DATA = Register(0, "Data")
    STATUS = Register(4, "Status", RO, reset=0x1C)
    STATUS_INH = STATUS.bit(4, "the keyboard is not locked")
    STATUS_A2 = STATUS.bit(3, "the last write was a command")
    STATUS_SYS = STATUS.bit(2, "the self-test has passed")
    STATUS_IBF = STATUS.bit(1, "input buffer full")
    STATUS_OBF = STATUS.bit(0, "output buffer full: DATA holds an answer")
    COMMAND = Register(4, "Command", WO)

    _configuration = internal(0x30)
    _output_port = internal(OUTPUT_PORT)
    _expects = internal(0)  # the command whose argument DATA takes next

    def __init__(self, *, reset: Callable[[], None]) -> None:
        self._reset_machine = reset
        self.data_port = _Port(self, 0)
        self.command_port = _Port(self, 4)
        super().__init__()

    @DATA.on_read
    def _read_data(self) -> int:
        self.STATUS &= ~self.STATUS_OBF
        return self.DATA

    @DATA.on_write
    def _write_data(self, value: int) -> None:
        self.STATUS &= ~self.STATUS_A2
        command, self._expects = self._expects, 0
        if command == WRITE_CONFIGURATION:
            self._configuration = value
        elif command == WRITE_OUTPUT_PORT:
            self._output_port = value
            if not value & NOT_RESET:
                self._reset_machine()

    @COMMAND.on_write
    def _command(self, value: int) -> None:
        self.STATUS |= self.STATUS_A2
        self._expects = 0
        if value >= PULSE:
            if not value & NOT_RESET:
                self._reset_machine()
        elif value in (WRITE_CONFIGURATION, WRITE_OUTPUT_PORT):
            self._expects = value
        elif value in (TEST_KEYBOARD, TEST_AUXILIARY):
            self._answer(NO_ERROR)
        elif value == TEST_CONTROLLER:
            self._answer(TEST_PASSED)
        elif value == READ_CONFIGURATION:
            self._answer(self._configuration)
        elif value == READ_OUTPUT_PORT:
            self._answer(self._output_port)
        elif value in (DISABLE_KEYBOARD, DISABLE_AUXILIARY):
            self._configuration |= KEYBOARD_OFF if value == DISABLE_KEYBOARD else AUXILIARY_OFF
        elif value in (ENABLE_KEYBOARD, ENABLE_AUXILIARY):
            self._configuration &= ~(KEYBOARD_OFF if value == ENABLE_KEYBOARD else AUXILIARY_OFF)
        else:
            self.note(f"command {value:#04x}")

    def _answer(self, byte: int) -> None:
        self.DATA = byte
        self.STATUS |= self.STATUS_OBF


class _Port:
    """One of the ports as a region of its own."""

    def __init__(self, controller: I8042, offset: int) -> None:
        self._controller = self.whole = controller
        self._offset = offset

    def read(self, offset: int, size: int) -> int:
        return self._controller.read(self._offset + offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self._controller.write(self._offset + offset, size, value)

    def decode(self, offset: int, value: int, write: bool) -> tuple[str, dict[str, int]]:
        return self._controller.decode(self._offset, value, write)
