"""Messages of the 9P protocol, dialect 9P2000.L: little-endian, strings with their length."""

from __future__ import annotations

from struct import Struct, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

VERSION: Final = b"9P2000.L"

# Requests; a reply is numbered one higher.
RLERROR: Final = 7
TSTATFS: Final = 8
TLOPEN: Final = 12
TLCREATE: Final = 14
TSYMLINK: Final = 16
TMKNOD: Final = 18
TRENAME: Final = 20
TREADLINK: Final = 22
TGETATTR: Final = 24
TSETATTR: Final = 26
TREADDIR: Final = 40
TFSYNC: Final = 50
TLOCK: Final = 52
TGETLOCK: Final = 54
TLINK: Final = 70
TMKDIR: Final = 72
TRENAMEAT: Final = 74
TUNLINKAT: Final = 76
TVERSION: Final = 100
TATTACH: Final = 104
TFLUSH: Final = 108
TWALK: Final = 110
TREAD: Final = 116
TWRITE: Final = 118
TCLUNK: Final = 120
TREMOVE: Final = 122

# size[4] type[1] tag[2]
HEADER: Final = Struct("<IBH")

# qid: type[1] version[4] path[8]
QID: Final = Struct("<BIQ")
QID_DIRECTORY: Final = 0x80
QID_SYMLINK: Final = 0x02

_LENGTH: Final = Struct("<H")


class MalformedError(Exception):
    """A message ends in the middle of a field."""


class Reader:
    """Takes fields from the front of a message's body."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = 0

    def take(self, layout: Struct) -> tuple[Any, ...]:
        """Return the next fields, laid out as ``layout``."""
        try:
            fields = layout.unpack_from(self._body, self._position)
        except error:
            raise MalformedError from None
        self._position += layout.size
        return fields

    def string(self) -> bytes:
        """Return the next string."""
        (length,) = self.take(_LENGTH)
        start, self._position = self._position, self._position + length
        if self._position > len(self._body):
            raise MalformedError
        return self._body[start : self._position]


def string(text: bytes) -> bytes:
    """Return ``text`` as a field."""
    return _LENGTH.pack(len(text)) + text
