"""Block device (section 5.2)."""

from __future__ import annotations

from struct import Struct

from vmm.devices.device import internal
from vmm.devices.virtio.device import VirtioDevice
from vmm.devices.virtio.disk import SECTOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final

    from vmm.devices.virtio.chain import Chain
    from vmm.devices.virtio.disk import Disk
    from vmm.memory import GuestMemory

# Feature bits (5.2.3).
F_SEG_MAX: Final = 1 << 2
F_RO: Final = 1 << 5
F_BLK_SIZE: Final = 1 << 6
F_FLUSH: Final = 1 << 9
F_TOPOLOGY: Final = 1 << 10
F_CONFIG_WCE: Final = 1 << 11
F_DISCARD: Final = 1 << 13
F_WRITE_ZEROES: Final = 1 << 14

# Types of request and their status (5.2.6).
T_IN: Final = 0
T_OUT: Final = 1
T_FLUSH: Final = 4
T_GET_ID: Final = 8
T_DISCARD: Final = 11
T_WRITE_ZEROES: Final = 13
S_OK: Final = 0
S_IOERR: Final = 1
S_UNSUPP: Final = 2

# type, reserved, sector
HEADER: Final = Struct("<IIQ")
# struct virtio_blk_discard_write_zeroes: sector, number of sectors, flags
RANGE: Final = Struct("<QII")
RANGE_UNMAP: Final = 1

ID_BYTES: Final = 20

QUEUE_SIZE: Final = 256

# Header and status take a descriptor each.
SEG_MAX: Final = QUEUE_SIZE - 2

# Largest transfer: with no limit, one request over buffers that overlap could read 4 GiB, and the
# machine would stand still meanwhile. Drivers split what is longer than SEG_MAX pieces of 64 KiB.
MAX_TRANSFER: Final = 32 << 20

# Ranges of one request, and sectors of one range. Zeros may have to be written out.
MAX_RANGES: Final = 32
MAX_DISCARD_SECTORS: Final = 1 << 22
MAX_ZERO_SECTORS: Final = MAX_TRANSFER // SECTOR

# struct virtio_blk_config (5.2.4) up to write_zeroes_may_unmap and its padding.
_CONFIG: Final = Struct("<QII4xI8xBxHIIIIIB3x")
_WRITEBACK: Final = 32


class Block(VirtioDevice):
    """A disk.

    Args:
        memory: the guest's RAM.
        disk: its content.
        serial: what the driver is told as its identity; at most 20 bytes of it.

    Attributes:
        failure: why the host could not execute a request, the first of those; "" if there is none.
    """

    DEVICE_ID: ClassVar[int] = 2
    QUEUE_SIZES: ClassVar[tuple[int, ...]] = (QUEUE_SIZE,)

    # Cache mode (5.2.5): 1 if what is written becomes stable by a flush only.
    _writeback = internal(1)

    def __init__(self, memory: GuestMemory, *, disk: Disk, serial: str = "") -> None:
        self._disk = disk
        self.failure = ""
        self._serial = serial.encode()[:ID_BYTES]
        features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH
        if disk.read_only:
            features |= F_RO
        else:
            features |= F_CONFIG_WCE | F_DISCARD | F_WRITE_ZEROES
        super().__init__(memory, features)

    def config(self) -> bytes:
        return _CONFIG.pack(
            self._disk.sectors,
            0,
            SEG_MAX,
            SECTOR,
            self._writeback,
            1,
            MAX_DISCARD_SECTORS,
            MAX_RANGES,
            1,
            MAX_ZERO_SECTORS,
            1,
            1,
        )

    def write_config(self, offset: int, size: int, value: int) -> None:
        """Take the cache mode, the only field that a driver may write."""
        if offset == _WRITEBACK and size == 1 and self.features & F_CONFIG_WCE:
            self._writeback = value & 1

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        for chain in queue:
            queue.push(chain, self._answer(chain))
        self.notify(queue)

    def _answer(self, chain: Chain) -> int:
        """Execute a request; return how many bytes were written from the front on."""
        # Header and status are found by their place in the bytes, however they are cut (2.7.4.1).
        status = chain.writable.take_last(1)
        header = chain.readable.read(HEADER.size)
        if not status:
            return 0  # no room to answer in
        room = chain.writable.length
        kind, _, sector = HEADER.unpack(header) if len(header) == HEADER.size else (-1, 0, 0)
        try:
            result = self._execute(kind, sector, chain)
        except OSError as error:
            result = S_IOERR
            self.failure = self.failure or error.strerror or str(error)
        status[0][0] = result
        if result == S_OK:
            return room + 1
        return 0 if room else 1

    def _execute(self, kind: int, sector: int, chain: Chain) -> int:
        if kind == T_IN:
            return self._read(sector, chain)
        if kind == T_OUT:
            return self._write(sector, chain)
        if kind == T_FLUSH:
            self._disk.flush()
            return S_OK
        if kind == T_GET_ID:
            chain.writable.write(self._serial.ljust(ID_BYTES, b"\0"))
            return S_OK
        if kind == T_DISCARD and self.features & F_DISCARD:
            return self._discard(chain)
        if kind == T_WRITE_ZEROES and self.features & F_WRITE_ZEROES:
            return self._write_zeroes(chain)
        return S_UNSUPP

    def _read(self, sector: int, chain: Chain) -> int:
        length = chain.writable.length
        if not self._can_transfer(sector, length):
            return S_IOERR
        self._disk.read(chain.writable.take(length), sector * SECTOR)
        return S_OK

    def _write(self, sector: int, chain: Chain) -> int:
        length = chain.readable.length
        # 5.2.6.2: a write to a read-only device fails.
        if self._disk.read_only or not self._can_transfer(sector, length):
            return S_IOERR
        self._disk.write(chain.readable.take(length), sector * SECTOR)
        self._written()
        return S_OK

    def _discard(self, chain: Chain) -> int:
        result, ranges = self._ranges(chain, MAX_RANGES, MAX_DISCARD_SECTORS, 0)
        for sector, count, _ in ranges:
            self._disk.discard(sector * SECTOR, count * SECTOR)
        return result

    def _write_zeroes(self, chain: Chain) -> int:
        result, ranges = self._ranges(chain, 1, MAX_ZERO_SECTORS, RANGE_UNMAP)
        for sector, count, flags in ranges:
            unmap = bool(flags & RANGE_UNMAP)
            self._disk.write_zeroes(sector * SECTOR, count * SECTOR, unmap=unmap)
        if ranges:
            self._written()
        return result

    def _ranges(
        self, chain: Chain, most: int, sectors: int, flags: int
    ) -> tuple[int, list[tuple[int, int, int]]]:
        """Return the ranges that a request names and `S_OK`, or none and what is wrong."""
        length = chain.readable.length
        if not length or length % RANGE.size or length > most * RANGE.size:
            return S_IOERR, []
        ranges = list(RANGE.iter_unpack(chain.readable.read(length)))
        # 5.2.6.2: unknown flags, and unmap in a discard, are unsupported.
        if any(given & ~flags for _, _, given in ranges):
            return S_UNSUPP, []
        if any(count > sectors or not self._inside(first, count) for first, count, _ in ranges):
            return S_IOERR, []
        return S_OK, ranges

    def _can_transfer(self, sector: int, length: int) -> bool:
        count, rest = divmod(length, SECTOR)
        return not rest and length <= MAX_TRANSFER and self._inside(sector, count)

    def _inside(self, sector: int, count: int) -> bool:
        return sector + count <= self._disk.sectors

    def _written(self) -> None:
        """Make a write stable if the driver cannot ask for that, or chose not to (5.2.6.2)."""
        if not self._writeback or not self.features & F_FLUSH:
            self._disk.flush()
