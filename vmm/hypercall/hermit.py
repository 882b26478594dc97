"""The hypercalls by which a Hermit unikernel speaks to uhyve (its interface, version 1).

The guest writes the 32-bit physical address of the call's structure to the call's port. There are
the console, the arguments and the exit; a unikernel that opens files is told that there are none.
"""

from __future__ import annotations

from errno import EBADF, ENOENT
from struct import Struct

from vmm.errors import GuestMemoryError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final, Protocol

    from vmm.bus import Bus
    from vmm.console import Console
    from vmm.memory import GuestMemory

    class Host(Protocol):
        """What a machine does for the hypercalls."""

        def exit(self, status: int) -> None: ...
        def crash(self, message: str) -> None: ...
        def translate(self, address: int) -> int | None: ...


FILE_WRITE: Final = 0x400
FILE_OPEN: Final = 0x440
FILE_CLOSE: Final = 0x480
FILE_READ: Final = 0x500
EXIT: Final = 0x540
FILE_LSEEK: Final = 0x580
CMDSIZE: Final = 0x740
CMDVAL: Final = 0x780
UART: Final = 0x800
FILE_UNLINK: Final = 0x840
SERIAL_BUFFER_WRITE: Final = 0x880

MAX_STRINGS: Final = 128
MAX_TRANSFER: Final = 1 << 20
_PAGE: Final = 0x1000
_STANDARD_STREAMS: Final = (1, 2)

_I32: Final = Struct("<i")
_CMDSIZE: Final = Struct("<i128ii128i")  # number and sizes of arguments, and of the environment
_CMDVAL: Final = Struct("<QQ")  # arrays of pointers
_WRITE: Final = Struct("<iQQ")  # descriptor, virtual address, length
_READ: Final = Struct("<iQQq")  # likewise, and the result
_OPEN: Final = Struct("<Qiii")
_CLOSE: Final = Struct("<ii")
_LSEEK: Final = Struct("<iqi")
_UNLINK: Final = Struct("<Qi")
_BUFFER: Final = Struct("<QQ")  # address, length


class HermitCalls:
    """The hypercalls of one machine.

    Args:
        arguments: of the program, its name first.
        environment: its variables, as ``NAME=CONTENT``.

    Raises:
        UsageError: if there are more than the interface has room for.
    """

    def __init__(
        self,
        memory: GuestMemory,
        console: Console,
        host: Host,
        arguments: Sequence[str],
        environment: Sequence[str],
    ) -> None:
        self._memory = memory
        self._console = console
        self._host = host
        if max(len(arguments), len(environment)) > MAX_STRINGS:
            raise UsageError(f"a Hermit unikernel takes {MAX_STRINGS} arguments and variables each")
        self._arguments = _encode(arguments)
        self._environment = _encode(environment)
        self.calls: dict[int, Callable[[int], None]] = {
            FILE_WRITE: self._write,
            FILE_OPEN: self._open,
            FILE_CLOSE: self._close,
            FILE_READ: self._read,
            EXIT: self._exit,
            FILE_LSEEK: self._lseek,
            CMDSIZE: self._tell_sizes,
            CMDVAL: self._tell_strings,
            UART: self._put_character,
            FILE_UNLINK: self._unlink,
            SERIAL_BUFFER_WRITE: self._put_buffer,
        }

    def attach(self, bus: Bus) -> None:
        """Put a register for each call on the bus."""
        for port, function in self.calls.items():
            bus.pio.attach(port, 1, f"uhyve {port:#x}", CallRegister(function, self._host))

    # ---- Console ----

    def _put_character(self, character: int) -> None:
        self._print(bytes([character & 0xFF]))

    def _put_buffer(self, gpa: int) -> None:
        address, length = _BUFFER.unpack(self._memory.read(gpa, _BUFFER.size))
        self._print(self._memory.read(address, min(length, MAX_TRANSFER)))

    def _print(self, data: bytes) -> None:
        try:
            self._console.write(data)
        except OSError:
            pass  # nobody listens at the host's end: the guest is not told

    # ---- Arguments ----

    def _tell_sizes(self, gpa: int) -> None:
        arguments, environment = self._arguments, self._environment
        sizes = [[len(text) for text in texts] for texts in (arguments, environment)]
        fields = [(len(each), *each, *[0] * (MAX_STRINGS - len(each))) for each in sizes]
        self._memory.write(gpa, _CMDSIZE.pack(*fields[0], *fields[1]))

    def _tell_strings(self, gpa: int) -> None:
        arrays = _CMDVAL.unpack(self._memory.read(gpa, _CMDVAL.size))
        for array, texts in zip(arrays, (self._arguments, self._environment), strict=True):
            for index, text in enumerate(texts):
                self._memory.write(self._memory.read_u64(array + 8 * index), text)

    # ---- Files: there are the standard streams ----

    def _write(self, gpa: int) -> None:
        descriptor, address, length = _WRITE.unpack(self._memory.read(gpa, _WRITE.size))
        if descriptor in _STANDARD_STREAMS:
            self._print(self._read_virtual(address, min(length, MAX_TRANSFER)))

    def _read_virtual(self, address: int, length: int) -> bytes:
        parts = []
        while length:
            part = min(length, _PAGE - address % _PAGE)
            where = self._host.translate(address)
            if where is None:
                raise GuestMemoryError(f"virtual address {address:#x} is not mapped")
            parts.append(self._memory.read(where, part))
            address += part
            length -= part
        return b"".join(parts)

    def _open(self, gpa: int) -> None:
        self._answer(gpa, _OPEN, -ENOENT)

    def _unlink(self, gpa: int) -> None:
        self._answer(gpa, _UNLINK, -ENOENT)

    def _close(self, gpa: int) -> None:
        self._answer(gpa, _CLOSE, 0)

    def _lseek(self, gpa: int) -> None:
        fields = _LSEEK.unpack(self._memory.read(gpa, _LSEEK.size))
        self._memory.write(gpa, _LSEEK.pack(fields[0], -EBADF, fields[2]))

    def _read(self, gpa: int) -> None:
        self._answer(gpa, _READ, 0)

    def _answer(self, gpa: int, layout: Struct, result: int) -> None:
        """Set the last field of the structure at ``gpa``."""
        fields = layout.unpack(self._memory.read(gpa, layout.size))
        self._memory.write(gpa, layout.pack(*fields[:-1], result))

    def _exit(self, gpa: int) -> None:
        self._host.exit(_I32.unpack(self._memory.read(gpa, _I32.size))[0] & 0xFF)


def _encode(texts: Sequence[str]) -> list[bytes]:
    return [text.encode("utf-8", "surrogateescape") + b"\0" for text in texts]


class CallRegister:
    """The port of one hypercall."""

    def __init__(self, call: Callable[[int], None], host: Host) -> None:
        self._call = call
        self._host = host

    def read(self, offset: int, size: int) -> int:
        """There is nothing to read."""
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Make the call with the structure at address ``value``."""
        try:
            self._call(value)
        except GuestMemoryError as error:
            self._host.crash(f"a hypercall of uhyve's: {error}")
