"""The files that a 9P client has numbers for ("fids"), and how many there may be."""

from __future__ import annotations

import os
from errno import EBADF, EMFILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.devices.virtio.p9.file import Entry, SharedFile
    from vmm.devices.virtio.p9.share import Path, Share

# Files that a guest may have numbers for and open at once, and names listed of open directories:
# it could use up the host's memory, and all descriptors of the VMM.
MAX_FIDS: Final = 1 << 16
MAX_OPEN: Final = 512
MAX_LISTED: Final = 1 << 18

NO_FID: Final = 0xFFFF_FFFF


class Fid:
    """One file.

    Attributes:
        path: where it is.
        file: the open file, once opened.
        flags: how it was opened; -1 before.
        entries: what is in it, once it is being listed.
    """

    __slots__ = ("entries", "file", "flags", "path")

    def __init__(self, path: Path, flags: int = -1) -> None:
        self.path = path
        self.file: SharedFile | None = None
        self.flags = flags
        self.entries: list[Entry] = []


class FidTable:
    """All fids of a session. Methods raise `OSError` as the server's reply shall say."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._fids: dict[int, Fid] = {}
        self._open = 0
        self._listed = 0

    def find(self, number: int) -> Fid:
        """Return a fid; EBADF if there is none of this number."""
        fid = self._fids.get(number)
        if fid is None:
            raise _error(EBADF)
        return fid

    def opened(self, number: int) -> SharedFile:
        """Return the open file of a fid; EBADF if it is not open."""
        file = self.find(number).file
        if file is None:
            raise _error(EBADF)
        return file

    def add(self, number: int, path: Path, replaces: int = NO_FID) -> None:
        """Let ``number``, which is free or ``replaces``, mean ``path``."""
        if number == NO_FID or (number in self._fids and number != replaces):
            raise _error(EBADF)
        if len(self._fids) >= MAX_FIDS:
            raise _error(EMFILE)
        self.forget(number)
        self._fids[number] = Fid(path)

    def forget(self, number: int) -> None:
        """Forget a fid and close its file; harmless if there is none."""
        fid = self._fids.pop(number, None)
        if fid is None:
            return
        self._listed -= len(fid.entries)
        if fid.file is not None:
            fid.file.close()
            self._open -= 1

    def clear(self) -> None:
        """Forget all fids."""
        for number in list(self._fids):
            self.forget(number)

    def open(self, fid: Fid, flags: int) -> os.stat_result:
        """Open the file of ``fid`` and return its attributes."""
        self._check_room(fid)
        return self._opened(fid, self._share.open(fid.path, flags), flags)

    def create(self, fid: Fid, path: Path, flags: int, mode: int) -> os.stat_result:
        """Create a file at ``path``; from now on ``fid`` is that file."""
        self._check_room(fid)
        status = self._opened(fid, self._share.create(path, flags, mode), flags)
        fid.path = path
        return status

    def stat(self, fid: Fid) -> os.stat_result:
        """Return the attributes of a file, which may have lost its name since it was opened."""
        return self._share.stat(fid.path) if fid.file is None else fid.file.stat()

    def moved(self, path: Path, to: Path) -> None:
        """Follow the rename of a file or directory."""
        for fid in self._fids.values():
            if fid.path[: len(path)] == path:
                fid.path = to + fid.path[len(path) :]

    def list(self, fid: Fid) -> None:
        """Take down what is in an open directory; the guest's offsets count in this list."""
        if fid.file is None:
            raise _error(EBADF)
        self._listed -= len(fid.entries)
        fid.entries = []
        fid.entries = fid.file.entries(MAX_LISTED - self._listed)
        self._listed += len(fid.entries)

    def snapshot(self) -> tuple[tuple[int, Path, int], ...]:
        """Return (number, path, flags) of each fid."""
        return tuple([(number, fid.path, fid.flags) for number, fid in self._fids.items()])

    def restore(self, snapshot: tuple[tuple[int, Path, int], ...]) -> None:
        """Open again what was open; a file that has gone since fails when it is used."""
        self.clear()
        for number, path, flags in snapshot:
            fid = self._fids[number] = Fid(path, flags)
            if flags >= 0:
                try:
                    self._opened(fid, self._share.open(path, flags & ~os.O_TRUNC), flags)
                except OSError:
                    pass

    def _check_room(self, fid: Fid) -> None:
        if fid.file is not None:
            raise _error(EBADF)
        if self._open >= MAX_OPEN:
            raise _error(EMFILE)

    def _opened(self, fid: Fid, file: SharedFile, flags: int) -> os.stat_result:
        fid.file, fid.flags = file, flags
        self._open += 1
        return file.stat()


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
