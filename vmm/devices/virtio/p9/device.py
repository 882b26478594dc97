"""9P transport (device 9) with a 9P2000.L server for one directory behind it.

The protocol is that of Linux's client (Documentation/filesystems/9p.rst; the operations are
described in diod's protocol.md). Symbolic links are read by the guest and followed by it, never
here. Extended attributes and locks among guests are not offered: a lock is always granted, as a
guest keeps account of its own.
"""

from __future__ import annotations

import os
import stat
from errno import EINVAL, EIO, EOPNOTSUPP, EPERM
from struct import Struct

from vmm.devices.device import internal
from vmm.devices.virtio.chain import copy_to
from vmm.devices.virtio.device import VirtioDevice
from vmm.devices.virtio.p9 import message as p9
from vmm.devices.virtio.p9.fids import FidTable
from vmm.devices.virtio.p9.file import DT_DIR, DT_LNK, identity
from vmm.devices.virtio.p9.message import HEADER, QID, MalformedError, Reader, string
from vmm.devices.virtio.p9.share import child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final

    from vmm.devices.device import State
    from vmm.devices.virtio.chain import Chain
    from vmm.devices.virtio.p9.fids import Fid
    from vmm.devices.virtio.p9.share import Path, Share
    from vmm.memory import GuestMemory

F_MOUNT_TAG: Final = 1

QUEUE_SIZE: Final = 128

MIN_MESSAGE: Final = 4096
MAX_MESSAGE: Final = 1 << 20
# Everything but the data of a write fits here: names and paths.
MAX_BODY: Final = 64 << 10

# Names in one walk (MAXWELEM).
MAX_WALK: Final = 16

_AT_REMOVEDIR: Final = 0x200

# Tsetattr: which fields are valid.
_SET_MODE: Final = 0x001
_SET_UID: Final = 0x002
_SET_GID: Final = 0x004
_SET_SIZE: Final = 0x008
_SET_ATIME: Final = 0x010
_SET_MTIME: Final = 0x020
_SET_ATIME_TO: Final = 0x080
_SET_MTIME_TO: Final = 0x100

# Rgetattr: all but birth time, generation and data version are valid.
_GET_BASIC: Final = 0x7FF

_U32: Final = Struct("<I")
_TWO_U32: Final = Struct("<II")
_WALK: Final = Struct("<IIH")
_IO: Final = Struct("<IQI")
# The seconds of times may be negative: before 1970.
_SETATTR: Final = Struct("<IIIIIQqQqQ")
_GETATTR: Final = Struct("<Q13sIIIQQQQQQQQQQQQQQQ")
_STATFS: Final = Struct("<IIQQQQQQI")
_ENTRY: Final = Struct("<13sQB")
_MODE_GID: Final = Struct("<II")
_CREATE: Final = Struct("<III")
_MKNOD: Final = Struct("<IIII")
_GETLOCK: Final = Struct("<BQQI")

_SECOND: Final = 1_000_000_000

_V9FS_MAGIC: Final = 0x0102_1997


class P9Device(VirtioDevice):
    """A shared directory.

    Args:
        memory: the guest's RAM.
        share: the directory.
        tag: the name by which the guest mounts it.
    """

    DEVICE_ID: ClassVar[int] = 9
    QUEUE_SIZES: ClassVar[tuple[int, ...]] = (QUEUE_SIZE,)

    _message_size = internal(MIN_MESSAGE)
    # (number, path, flags) of each fid, as of the last save.
    _saved_fids: tuple[tuple[int, Path, int], ...] = internal(())

    def __init__(self, memory: GuestMemory, *, share: Share, tag: str) -> None:
        self._share = share
        self._tag = tag.encode()
        self._fids = FidTable(share)
        super().__init__(memory, F_MOUNT_TAG)

    def close(self) -> None:
        """Close all files of the guest."""
        self._fids.clear()

    def reset(self) -> None:
        self.close()
        super().reset()

    def save(self) -> State:
        self._saved_fids = self._fids.snapshot()
        return super().save()

    def loaded(self) -> None:
        self._fids.restore(self._saved_fids)

    def config(self) -> bytes:
        return string(self._tag)

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        for chain in queue:
            queue.push(chain, self._answer(chain))
        self.notify(queue)

    # ---- Messages ----

    def _answer(self, chain: Chain) -> int:
        """Execute a request; return the length of the reply."""
        head = chain.readable.read(HEADER.size)
        if len(head) < HEADER.size or chain.writable.length < HEADER.size + _U32.size:
            return 0
        _, kind, tag = HEADER.unpack(head)
        try:
            if kind == p9.TREAD:
                return self._read(tag, chain)
            if kind == p9.TWRITE:
                body = self._write(chain)
            else:
                handler = _HANDLERS.get(kind)
                if handler is None:
                    raise _error(EOPNOTSUPP)
                body = handler(self, Reader(chain.readable.read(MAX_BODY)))
            if HEADER.size + len(body) > chain.writable.length:
                raise _error(EIO)
            kind += 1
        except MalformedError:
            kind, body = p9.RLERROR, _U32.pack(EINVAL)
        except OSError as error:
            kind, body = p9.RLERROR, _U32.pack(error.errno or EIO)
        except (OverflowError, ValueError):
            # A number that no file can have: a length, time or owner beyond the host's types.
            kind, body = p9.RLERROR, _U32.pack(EINVAL)
        return chain.writable.write(HEADER.pack(HEADER.size + len(body), kind, tag) + body)

    def _read(self, tag: int, chain: Chain) -> int:
        """Read straight into the guest's buffers, behind the room for the reply's front."""
        number, offset, count = Reader(chain.readable.read(_IO.size)).take(_IO)
        front = chain.writable.take(HEADER.size + _U32.size)
        count = min(count, MAX_MESSAGE, chain.writable.length)
        try:
            done = self._fids.opened(number).read(chain.writable.take(count), offset)
        except (OSError, OverflowError):
            chain.writable.views = front + chain.writable.views
            chain.writable.length = sum(map(len, chain.writable.views))
            raise
        size = HEADER.size + _U32.size + done
        copy_to(front, HEADER.pack(size, p9.TREAD + 1, tag) + _U32.pack(done))
        return size

    def _write(self, chain: Chain) -> bytes:
        number, offset, count = Reader(chain.readable.read(_IO.size)).take(_IO)
        views = chain.readable.take(min(count, MAX_MESSAGE))
        file = self._fids.opened(number)
        return _U32.pack(file.write(views, offset) if views else 0)

    # ---- Sessions and names ----

    def _version(self, request: Reader) -> bytes:
        (size,) = request.take(_U32)
        version = request.string()
        self.close()
        self._message_size = max(min(size, MAX_MESSAGE), MIN_MESSAGE)
        known = version == p9.VERSION
        return _U32.pack(self._message_size) + string(p9.VERSION if known else b"unknown")

    def _attach(self, request: Reader) -> bytes:
        number, _ = request.take(_TWO_U32)
        result = self._qid(())
        self._fids.add(number, ())
        return result

    def _flush(self, request: Reader) -> bytes:
        """Nothing is left to be flushed: requests are executed one after the other."""
        return b""

    def _walk(self, request: Reader) -> bytes:
        number, new, count = request.take(_WALK)
        if count > MAX_WALK:
            raise _error(EINVAL)
        path = self._fids.find(number).path
        qids = []
        for position in range(count):
            name = request.string()
            try:
                step = path[:-1] if name == b".." else child(path, name)
                qids.append(self._qid(step))
            except OSError:
                # The names before the one that is not there are reported; none at all is an error.
                if not position:
                    raise
                break
            path = step
        if len(qids) == count:
            self._fids.add(new, path, replaces=number)
        return len(qids).to_bytes(2, "little") + b"".join(qids)

    def _clunk(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        self._fids.find(number)
        self._fids.forget(number)
        return b""

    # ---- Attributes ----

    def _getattr(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        status = self._fids.stat(self._fids.find(number))
        times: list[int] = []
        for nanoseconds in (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns):
            times += divmod(nanoseconds, _SECOND)
        return _GETATTR.pack(
            _GET_BASIC,
            _qid_of(status),
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_nlink,
            status.st_rdev,
            status.st_size,
            status.st_blksize,
            status.st_blocks,
            *[part & 0xFFFF_FFFF_FFFF_FFFF for part in times],
            0,
            0,
            0,
            0,
        )

    def _setattr(self, request: Reader) -> bytes:
        number, valid, mode, user, group, size, *times = request.take(_SETATTR)
        fid = self._fids.find(number)
        share, path = self._share, fid.path
        if valid & _SET_MODE:
            share.chmod(path, mode)
        if valid & (_SET_UID | _SET_GID):
            share.chown(path, user if valid & _SET_UID else -1, group if valid & _SET_GID else -1)
        if valid & _SET_SIZE:
            share.truncate(path, size)
        if valid & (_SET_ATIME | _SET_MTIME):
            self._set_times(fid, valid, times)
        return b""

    def _set_times(self, fid: Fid, valid: int, times: list[int]) -> None:
        status = self._fids.stat(fid)
        now = self._share.now()
        accessed, modified = status.st_atime_ns, status.st_mtime_ns
        if valid & _SET_ATIME:
            accessed = _time(*times[:2]) if valid & _SET_ATIME_TO else now
        if valid & _SET_MTIME:
            modified = _time(*times[2:]) if valid & _SET_MTIME_TO else now
        self._share.utime(fid.path, accessed, modified)

    def _statfs(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        status = self._share.statfs(self._fids.find(number).path)
        return _STATFS.pack(
            _V9FS_MAGIC,
            status.f_bsize,
            status.f_blocks,
            status.f_bfree,
            status.f_bavail,
            status.f_files,
            status.f_ffree,
            status.f_fsid & 0xFFFF_FFFF_FFFF_FFFF,
            status.f_namemax,
        )

    def _readlink(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        return string(self._share.readlink(self._fids.find(number).path))

    # ---- Open files ----

    def _lopen(self, request: Reader) -> bytes:
        number, flags = request.take(_TWO_U32)
        return _qid_of(self._fids.open(self._fids.find(number), flags)) + _U32.pack(0)

    def _lcreate(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        name = request.string()
        flags, mode, _ = request.take(_CREATE)
        fid = self._fids.find(number)
        status = self._fids.create(fid, child(fid.path, name), flags, mode)
        return _qid_of(status) + _U32.pack(0)

    def _fsync(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        self._fids.opened(number).sync()
        return b""

    def _readdir(self, request: Reader) -> bytes:
        number, offset, count = request.take(_IO)
        fid = self._fids.find(number)
        if not offset or not fid.entries:
            self._fids.list(fid)
        room = min(count, self._message_size) - _U32.size
        entries = []
        for position in range(offset, len(fid.entries)):
            name, number, kind = fid.entries[position]
            room -= _ENTRY.size + 2 + len(name)
            if room < 0:
                break
            qid = QID.pack(_QID_TYPES.get(kind, 0), 0, number)
            entries.append(_ENTRY.pack(qid, position + 1, kind) + string(name))
        listing = b"".join(entries)
        return _U32.pack(len(listing)) + listing

    def _lock(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        self._fids.find(number)
        return b"\0"  # granted

    def _getlock(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        self._fids.find(number)
        _, start, length, process = request.take(_GETLOCK)
        unlocked = 2
        return _GETLOCK.pack(unlocked, start, length, process) + string(request.string())

    # ---- Changes of names ----

    def _mkdir(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        path = child(self._fids.find(number).path, request.string())
        mode, _ = request.take(_MODE_GID)
        self._share.mkdir(path, mode)
        return self._qid(path)

    def _symlink(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        path = child(self._fids.find(number).path, request.string())
        self._share.symlink(path, request.string())
        return self._qid(path)

    def _mknod(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        path = child(self._fids.find(number).path, request.string())
        mode, _, _, _ = request.take(_MKNOD)
        if not stat.S_ISFIFO(mode):
            raise _error(EPERM)  # a device of the guest must not become one of the host
        self._share.mkfifo(path, mode)
        return self._qid(path)

    def _link(self, request: Reader) -> bytes:
        directory, number = request.take(_TWO_U32)
        path = child(self._fids.find(directory).path, request.string())
        self._share.link(path, self._fids.find(number).path)
        return b""

    def _rename(self, request: Reader) -> bytes:
        number, directory = request.take(_TWO_U32)
        self._move(
            self._fids.find(number).path, child(self._fids.find(directory).path, request.string())
        )
        return b""

    def _renameat(self, request: Reader) -> bytes:
        (old,) = request.take(_U32)
        path = child(self._fids.find(old).path, request.string())
        (new,) = request.take(_U32)
        self._move(path, child(self._fids.find(new).path, request.string()))
        return b""

    def _move(self, path: Path, to: Path) -> None:
        """Rename, and let the guest's other numbers for the file and what is below it follow."""
        self._share.rename(path, to)
        self._fids.moved(path, to)

    def _unlinkat(self, request: Reader) -> bytes:
        (number,) = request.take(_U32)
        path = child(self._fids.find(number).path, request.string())
        (flags,) = request.take(_U32)
        self._share.remove(path, directory=bool(flags & _AT_REMOVEDIR))
        return b""

    def _remove(self, request: Reader) -> bytes:
        """Remove a file; its fid is gone even if that fails."""
        (number,) = request.take(_U32)
        fid = self._fids.find(number)
        try:
            directory = stat.S_ISDIR(self._fids.stat(fid).st_mode)
            self._share.remove(fid.path, directory=directory)
        finally:
            self._fids.forget(number)
        return b""

    def _qid(self, path: Path) -> bytes:
        return _qid_of(self._share.stat(path))


_HANDLERS: Final = {
    p9.TVERSION: P9Device._version,
    p9.TATTACH: P9Device._attach,
    p9.TFLUSH: P9Device._flush,
    p9.TWALK: P9Device._walk,
    p9.TCLUNK: P9Device._clunk,
    p9.TGETATTR: P9Device._getattr,
    p9.TSETATTR: P9Device._setattr,
    p9.TSTATFS: P9Device._statfs,
    p9.TREADLINK: P9Device._readlink,
    p9.TLOPEN: P9Device._lopen,
    p9.TLCREATE: P9Device._lcreate,
    p9.TFSYNC: P9Device._fsync,
    p9.TREADDIR: P9Device._readdir,
    p9.TLOCK: P9Device._lock,
    p9.TGETLOCK: P9Device._getlock,
    p9.TMKDIR: P9Device._mkdir,
    p9.TSYMLINK: P9Device._symlink,
    p9.TMKNOD: P9Device._mknod,
    p9.TLINK: P9Device._link,
    p9.TRENAME: P9Device._rename,
    p9.TRENAMEAT: P9Device._renameat,
    p9.TUNLINKAT: P9Device._unlinkat,
    p9.TREMOVE: P9Device._remove,
}

_QID_TYPES: Final = {DT_DIR: p9.QID_DIRECTORY, DT_LNK: p9.QID_SYMLINK}


def _qid_of(status: os.stat_result) -> bytes:
    kind = 0
    if stat.S_ISDIR(status.st_mode):
        kind = p9.QID_DIRECTORY
    elif stat.S_ISLNK(status.st_mode):
        kind = p9.QID_SYMLINK
    version = status.st_mtime_ns & 0xFFFF_FFFF
    return QID.pack(kind, version, identity(status.st_dev, status.st_ino))


def _time(seconds: int, nanoseconds: int) -> int:
    """Return a time in nanoseconds."""
    if nanoseconds >= _SECOND:
        raise _error(EINVAL)
    return seconds * _SECOND + nanoseconds


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
