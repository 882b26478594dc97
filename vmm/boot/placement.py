"""Guest RAM while a foreign kernel and its boot structures are put there: who has which part."""

from __future__ import annotations

from vmm.errors import UsageError
from vmm.images.file import ImageFile
from vmm.memory import PAGE_SIZE
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from vmm.boards.board import Board
    from vmm.images.elf import Segment
    from vmm.memory import Buffer, GuestMemory


@value
class BootRequest:
    """What goes to a kernel besides itself.

    Attributes:
        name: of the image, for protocols whose command line begins with it.
        command_line: for the kernel.
        initrd: path of a file for the kernel, or None.
        board: the machine around it.
        cpus: number of vCPUs.
    """

    name: str
    command_line: str
    initrd: str | None
    board: Board
    cpus: int = 1


@value
class Piece:
    """A part of RAM that is taken: [physical, end)."""

    physical: int
    end: int
    name: str


class Placement:
    """RAM, and the pieces of it that are taken.

    Attributes:
        memory: the RAM.
        pieces: what is taken, in the order of taking.
    """

    def __init__(self, memory: GuestMemory) -> None:
        self.memory = memory
        self.pieces: list[Piece] = []

    def take(self, gpa: int, length: int, name: str) -> int:
        """Take ``length`` bytes at ``gpa`` and return it.

        Raises:
            UsageError: if they are not in RAM, or taken already.
        """
        end = gpa + length
        if not self.memory.contains(gpa, length):
            raise UsageError(f"the {name} at {gpa:#x}..{end:#x} is not in RAM: {self._ram()}")
        for piece in self.pieces:
            if gpa < piece.end and piece.physical < end:
                raise UsageError(
                    f"the {name} at {gpa:#x}..{end:#x} overlaps the {piece.name}"
                    f" at {piece.physical:#x}..{piece.end:#x}"
                )
        self.pieces.append(Piece(gpa, end, name))
        return gpa

    def take_high(
        self, length: int, name: str, *, below: int = 1 << 64, alignment: int = PAGE_SIZE
    ) -> int:
        """Take ``length`` bytes as high in RAM as they fit below ``below``, and return where.

        Raises:
            UsageError: if they fit nowhere.
        """
        for region in reversed(self.memory.regions):
            end = min(region.end, below)
            while end - length >= region.base:
                gpa = (end - length) & -alignment
                if gpa < region.base:
                    break
                obstacle = self._obstacle(gpa, gpa + length)
                if obstacle is None:
                    return self.take(gpa, length, name)
                end = obstacle.physical
        raise UsageError(
            f"no room for the {name} of {length} bytes in one piece of RAM: {self._ram()}"
        )

    def put(self, gpa: int, data: Buffer, name: str) -> int:
        """Take a place for ``data``, put it there, and return where."""
        self.take(gpa, len(data), name)
        self.memory.write(gpa, data)
        return gpa

    def load(
        self, file: ImageFile, offset: int, length: int, gpa: int, name: str, size: int = 0
    ) -> None:
        """Take a place of ``length`` bytes, or ``size`` if that is more, and read a file into it.

        Raises:
            UsageError: if the place cannot be had, or the file not be read.
        """
        self.take(gpa, max(length, size), name)
        self.fill(file, offset, length, gpa)

    def fill(self, file: ImageFile, offset: int, length: int, gpa: int) -> None:
        """Read ``length`` bytes of a file to ``gpa``, a place that has been taken.

        Raises:
            UsageError: if the file cannot be read that far.
        """
        try:
            done = self.memory.load_file(file.fd, gpa, length, offset)
        except OSError as error:
            raise UsageError(f"{file.path}: {error.strerror}") from None
        if done < length:
            raise UsageError(f"{file.path}: became shorter while it was read")

    def load_segments(self, file: ImageFile, segments: Iterable[Segment]) -> None:
        """Load the segments of an ELF file to their physical addresses."""
        for segment in segments:
            self.load(
                file,
                segment.offset,
                segment.file_size,
                segment.physical,
                f"segment with p_paddr {segment.physical:#x}",
                segment.memory_size,
            )

    def load_initrd(self, path: str | None, *, below: int = 1 << 64) -> tuple[int, int] | None:
        """Load an initrd as high as it fits below ``below``; return its start and end.

        Raises:
            UsageError: if it cannot be read, is empty, or does not fit.
        """
        if path is None:
            return None
        file = ImageFile(path)
        try:
            if not file.size:
                raise UsageError(f"{path}: an initrd must be a file that is not empty")
            start = self.take_high(file.size, "initrd", below=below)
            self.fill(file, 0, file.size, start)
            return start, start + file.size
        finally:
            file.close()

    def _obstacle(self, start: int, end: int) -> Piece | None:
        for piece in self.pieces:
            if start < piece.end and piece.physical < end:
                return piece
        return None

    def _ram(self) -> str:
        ranges = ", ".join(f"{r.base:#x}..{r.end:#x}" for r in self.memory.regions)
        return f"RAM is at {ranges}; --memory gives more"
