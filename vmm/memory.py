"""Guest RAM: one shared mapping of a memfd, and the only way to reach it from Python.

Backends map the same pages into the guest; devices get bounds-checked views of them, never an
address. All multi-byte values are little-endian, as both guest architectures are.
"""

from __future__ import annotations

import mmap
import os
from struct import Struct

from vmm.errors import GuestMemoryError, UsageError
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Final, NewType

    Gpa = NewType("Gpa", int)
    Buffer = bytes | bytearray | memoryview
else:

    def Gpa(address):  # noqa: N802 - the run-time side of a NewType
        """A guest-physical address."""
        return address


PAGE_SIZE: Final = 4096

_U16: Final = Struct("<H")
_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")


@value
class RamRegion:
    """A range of guest-physical addresses backed by RAM.

    Attributes:
        base: first guest-physical address; a multiple of the page size.
        size: length in bytes; a multiple of the page size.
        offset: where the range starts in the backing memfd, in bytes.
    """

    base: Gpa
    size: int
    offset: int

    @property
    def end(self) -> int:
        """The first guest-physical address behind the region."""
        return self.base + self.size


class GuestMemory:
    """All RAM of one machine.

    Attributes:
        regions: the ranges of RAM, ascending and disjoint.
        size: total length in bytes.
        fd: the memfd behind it; a backend or another process may map it again.
        mapping: the one host mapping of all regions, in the order of their offsets.
    """

    def __init__(self, ranges: Sequence[tuple[Gpa, int]]) -> None:
        """Reserve zeroed RAM for ``ranges`` of (base, size).

        Raises:
            ValueError: if they are not ascending, disjoint, page-aligned and non-empty.
            UsageError: if the host has no room for so much RAM.
        """
        self.regions = _lay_out(ranges)
        self.size = sum(region.size for region in self.regions)
        self.fd = os.memfd_create("guest-ram", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.fd, self.size)
            self.mapping = mmap.mmap(self.fd, self.size)
        except (OSError, OverflowError) as error:
            os.close(self.fd)
            raise UsageError(
                f"cannot reserve {self.size >> 20} MiB of RAM for the guest ({error}): "
                "give it less memory"
            ) from None
        self._dispose: Callable[[Callable[[], None]], None] = _do_now
        self._view = memoryview(self.mapping)
        # Nearly all that devices look at is in the first region, whose offset is 0.
        self._first = self.regions[0].base
        self._first_size = self.regions[0].size

    def view(self, gpa: int, length: int) -> memoryview:
        """Return a writable view of ``length`` bytes at ``gpa``, sharing the guest's pages.

        Raises:
            GuestMemoryError: if the range is not wholly inside one region of RAM.
        """
        start = gpa - self._first
        if 0 <= start and 0 <= length and start + length <= self._first_size:
            return self._view[start : start + length]
        if length >= 0:
            for region in self.regions[1:]:
                start = gpa - region.base
                if 0 <= start and start + length <= region.size:
                    start += region.offset
                    return self._view[start : start + length]
        raise GuestMemoryError(
            f"guest-physical range {gpa:#x}..{gpa + length:#x} is not inside RAM"
        )

    def contains(self, gpa: int, length: int = 1) -> bool:
        """Tell whether ``length`` bytes at ``gpa`` lie wholly inside one region of RAM."""
        if length < 0:
            return False
        return any(r.base <= gpa and gpa + length <= r.base + r.size for r in self.regions)

    def read(self, gpa: int, length: int) -> bytes:
        """Return a copy of ``length`` bytes at ``gpa``."""
        return bytes(self.view(gpa, length))

    def write(self, gpa: int, data: Buffer) -> None:
        """Copy ``data`` to ``gpa``."""
        source = memoryview(data).cast("B")
        self.view(gpa, len(source))[:] = source

    def read_u16(self, gpa: int) -> int:
        """Return the little-endian 16-bit word at ``gpa``."""
        return int(_U16.unpack_from(self.view(gpa, 2))[0])

    def read_u32(self, gpa: int) -> int:
        """Return the little-endian 32-bit word at ``gpa``."""
        return int(_U32.unpack_from(self.view(gpa, 4))[0])

    def read_u64(self, gpa: int) -> int:
        """Return the little-endian 64-bit word at ``gpa``."""
        return int(_U64.unpack_from(self.view(gpa, 8))[0])

    def write_u32(self, gpa: int, word: int) -> None:
        """Store a little-endian 32-bit word at ``gpa``."""
        _U32.pack_into(self.view(gpa, 4), 0, word)

    def write_u64(self, gpa: int, word: int) -> None:
        """Store a little-endian 64-bit word at ``gpa``."""
        _U64.pack_into(self.view(gpa, 8), 0, word)

    def load_file(self, fd: int, gpa: int, length: int, offset: int = 0) -> int:
        """Copy up to ``length`` bytes of the file ``fd`` from ``offset`` into RAM at ``gpa``.

        Returns the number of bytes copied, which is less than ``length`` only at the file's end.

        Raises:
            GuestMemoryError: if the range is not wholly inside one region of RAM.
            OSError: if the file cannot be read.
        """
        # From file to file: pages that are not mapped yet need neither a fault each nor zeros.
        os.lseek(self.fd, self._position(gpa, length), os.SEEK_SET)
        done = 0
        while done < length:
            count = os.sendfile(self.fd, fd, offset + done, length - done)
            if count == 0:
                break
            done += count
        return done

    def _position(self, gpa: int, length: int) -> int:
        """Return where a range is in the backing file."""
        for region in self.regions:
            if length >= 0 and region.base <= gpa and gpa + length <= region.end:
                return gpa - region.base + region.offset
        raise GuestMemoryError(
            f"guest-physical range {gpa:#x}..{gpa + length:#x} is not inside RAM"
        )

    def discard(self, gpa: int, length: int) -> None:
        """Give the pages of a range back to the host; read again, they are zeros.

        Where the host's pages are larger than what is asked for, nothing happens.
        """
        try:
            self.mapping.madvise(mmap.MADV_REMOVE, self._position(gpa, length), length)
        except OSError:
            pass

    def dispose_by(self, dispose: Callable[[Callable[[], None]], None]) -> None:
        """Let ``dispose`` do the work of `close`, when it likes."""
        self._dispose = dispose

    def close(self) -> None:
        """Give the memory back. The object must not be used afterwards; views of it stay valid."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        self._view.release()
        mapping = self.mapping
        del self.mapping
        self._dispose(lambda: _unmap(mapping))

    def __del__(self) -> None:
        """Give back what was dropped without `close`."""
        if hasattr(self, "mapping"):
            self.close()

    def __enter__(self) -> GuestMemory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _do_now(task: Callable[[], None]) -> None:
    task()


def _unmap(mapping: mmap.mmap) -> None:
    try:
        mapping.close()
    except BufferError:
        pass  # a device or a caller still holds a view: the pages go when the last view does


def _lay_out(ranges: Sequence[tuple[Gpa, int]]) -> tuple[RamRegion, ...]:
    """Check ``ranges`` and place them one behind the other in the backing file."""
    regions: list[RamRegion] = []
    end = offset = 0
    for base, size in ranges:
        if base % PAGE_SIZE or size % PAGE_SIZE or size <= 0:
            raise ValueError(f"RAM of {size:#x} bytes at {base:#x} is not whole pages")
        if base < end:
            raise ValueError(f"RAM at {base:#x} lies below the end of the range before, {end:#x}")
        regions.append(RamRegion(base, size, offset))
        end = base + size
        offset += size
    if not regions:
        raise ValueError("a machine needs some RAM")
    return tuple(regions)
