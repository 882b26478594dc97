"""An image file that is open for reading: its bytes by offset, never the whole of it."""

from __future__ import annotations

import os
from stat import S_IFMT, S_ISREG

from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Holds the headers of nearly every image, so that recognising one costs a single read.
HEAD_LENGTH: Final = 4096


class ImageFile:
    """A file by path and descriptor.

    Attributes:
        path: as the user gave it; messages begin with it.
        fd: an open descriptor, or -1 once closed.
        size: in bytes; 0 for what is not a regular file.
        mode: type bits of ``st_mode``.
        head: the first `HEAD_LENGTH` bytes, or less.
    """

    def __init__(self, path: str) -> None:
        """Open ``path``.

        Raises:
            UsageError: if it cannot be opened.
        """
        self.path = path
        try:
            # O_NONBLOCK: the other end of a FIFO need not exist for us to say what it is.
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: {_reason(error)}") from None
        try:
            status = os.fstat(self.fd)
            self.mode = S_IFMT(status.st_mode)
            self.size = status.st_size if S_ISREG(status.st_mode) else 0
            self.head = os.pread(self.fd, HEAD_LENGTH, 0) if self.size else b""
        except OSError as error:
            self.close()
            raise UsageError(f"{path}: {_reason(error)}") from None

    def read(self, offset: int, length: int, what: str) -> bytes:
        """Return exactly ``length`` bytes from ``offset``.

        Raises:
            UsageError: if the file has no such bytes; says that ``what`` is not in it.
        """
        end = offset + length
        if end <= len(self.head):
            return self.head[offset:end]
        if end <= self.size:
            try:
                data = os.pread(self.fd, length, offset)
            except OSError as error:
                raise UsageError(f"{self.path}: {_reason(error)}") from None
            if len(data) == length:
                return data
        raise UsageError(
            f"{self.path}: truncated: {what} ends at byte {end:#x}, the file at {self.size:#x}"
        )

    def close(self) -> None:
        """Close the descriptor; harmless when it is closed already."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def memory_file(path: str, content: bytes) -> ImageFile:
    """Return an `ImageFile` of ``content``, for what was unpacked; messages begin with ``path``."""
    fd = os.memfd_create("image", os.MFD_CLOEXEC)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        file = ImageFile(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    file.path = path
    return file


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
