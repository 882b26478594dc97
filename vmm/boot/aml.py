"""ACPI's machine language (ACPI 6.4, chapter 20), as much of it as describes devices.

Each function returns the bytes of one term; terms are put together by concatenation.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Opcodes (20.3).
_ZERO: Final = b"\x00"
_ONE: Final = b"\x01"
_NAME: Final = b"\x08"
_BYTE: Final = b"\x0a"
_WORD: Final = b"\x0b"
_DWORD: Final = b"\x0c"
_STRING: Final = b"\x0d"
_SCOPE: Final = b"\x10"
_BUFFER: Final = b"\x11"
_PACKAGE: Final = b"\x12"
_DEVICE: Final = b"\x5b\x82"

_SEGMENT: Final = 4  # characters of a name

# Resource descriptors (6.4): 32-bit fixed memory range, extended interrupt, end tag.
_MEMORY: Final = Struct("<BHBII")
_INTERRUPT: Final = Struct("<BHBBI")
_END: Final = b"\x79\x00"  # without a checksum
_WRITABLE: Final = 1
_CONSUMER: Final = 1 << 0  # of an interrupt, which is level-triggered and active-high by zeros
_SHARED: Final = 1 << 3


def name(path: str, content: bytes) -> bytes:
    """Give ``content`` a name."""
    return _NAME + _path(path) + content


def scope(path: str, *terms: bytes) -> bytes:
    """Put ``terms`` into a place that exists, such as the root's ``_SB``."""
    return _SCOPE + _package(_path(path) + b"".join(terms))


def device(path: str, *terms: bytes) -> bytes:
    """Describe a device."""
    return _DEVICE + _package(_path(path) + b"".join(terms))


def integer(value: int) -> bytes:
    """Return a constant of up to 32 bits."""
    if value < 2:
        return _ONE if value else _ZERO
    for opcode, size in ((_BYTE, 1), (_WORD, 2)):
        if value < 1 << 8 * size:
            return opcode + value.to_bytes(size, "little")
    return _DWORD + value.to_bytes(4, "little")


def string(text: str) -> bytes:
    """Return a constant of ASCII characters."""
    return _STRING + text.encode("ascii") + b"\0"


def package(*elements: bytes) -> bytes:
    """Return a list."""
    return _PACKAGE + _package(bytes((len(elements),)) + b"".join(elements))


def resources(*descriptors: bytes) -> bytes:
    """Return a resource template, what ``_CRS`` names."""
    content = b"".join(descriptors) + _END
    return _BUFFER + _package(integer(len(content)) + content)


def memory(base: int, size: int) -> bytes:
    """Return the resource of registers at ``base``."""
    return _MEMORY.pack(0x86, _MEMORY.size - 3, _WRITABLE, base, size)


def interrupt(number: int) -> bytes:
    """Return the resource of a global system interrupt: level-triggered, active-high, shared."""
    return _INTERRUPT.pack(0x89, _INTERRUPT.size - 3, _CONSUMER | _SHARED, 1, number)


def _path(path: str) -> bytes:
    """Return a path of one name, from the root if it begins with a backslash."""
    root = path.startswith("\\")
    segment = path[1:] if root else path
    return (b"\\" if root else b"") + segment.ljust(_SEGMENT, "_").encode("ascii")


def _package(content: bytes) -> bytes:
    """Return ``content`` after its length, which counts itself (20.2.4, PkgLength)."""
    length = len(content) + 1
    if length < 1 << 6:
        return bytes((length,)) + content
    for following in (1, 2, 3):
        length = len(content) + 1 + following
        if length < 1 << 4 + 8 * following:
            lead = following << 6 | length & 0xF
            return bytes((lead,)) + (length >> 4).to_bytes(following, "little") + content
    raise AssertionError("no table of ours is that large")
