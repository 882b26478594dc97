"""What a Solo5 unikernel finds in its memory, and how it is entered (Solo5's hvt ABI, version 2).

0x00_0000  not mapped
0x00_1000  x86_64: GDT, not mapped
0x00_2000  page tables, not mapped
0x01_0000  struct hvt_boot_info, the manifest, the command line; read-only
0x10_0000  the unikernel, each segment with the rights that its file gives it
           the rest of RAM, for data only
"""

from __future__ import annotations

from struct import Struct

from vmm.arch import X86_64
from vmm.boot import pagetables, pagetables_arm64, pagetables_x86_64, x86_start
from vmm.boot.pagetables import EXECUTE, PAGE, READ, WRITE, Mapping
from vmm.errors import UsageError
from vmm.images.elf import PF_W, PF_X
from vmm.images.solo5_notes import pack_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import RegisterValue
    from vmm.boards.solo5 import Solo5Board
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.elf import Elf
    from vmm.images.solo5_notes import DeviceRequest
    from vmm.memory import GuestMemory

PAGE_TABLES: Final = 0x2000
BOOT_INFO: Final = 0x1_0000
BASE: Final = 0x10_0000
MAX_COMMAND_LINE: Final = 8192  # with its NUL

# struct hvt_boot_info: size of RAM, end of the kernel, counter's frequency, command line, manifest;
# features of the host (none), of the guest, a ring.
_BOOT_INFO: Final = Struct("<5QIIQ")

# SDM volume 3A, 2.5: PG, WP, NE, ET, PE; OSXMMEXCPT, OSFXSR, PAE; NXE, LMA, LME.
_CR0: Final = 0x8001_0031
_CR4: Final = 0x0620
_EFER: Final = 0x0D00

# Arm ARM, D17.2: MAIR_EL1 as `pagetables_arm64` counts attributes; TCR_EL1: TTBR0 alone, 48 bits,
# 4 KiB granule, write-back, inner shareable, 40-bit physical; SCTLR_EL1: I, C, M; CPACR_EL1: FPEN.
_MAIR: Final = 0xFF00
_TCR: Final = 2 << 32 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 16
_SCTLR: Final = 1 << 12 | 1 << 2 | 1 << 0
_CPACR: Final = 3 << 20
_PSTATE: Final = 0x3C5  # EL1h; D, A, I and F masked

# Where the hypercalls of arm64 are; of its tables' blocks, one is enough.
_DEVICES_LENGTH: Final = pagetables.BLOCK


def prepare(
    placement: Placement, request: BootRequest, elf: Elf, devices: list[DeviceRequest | None]
) -> dict[str, RegisterValue]:
    """Put the boot information and page tables into RAM; return the start state.

    Raises:
        UsageError: if something does not fit.
    """
    board: Solo5Board = request.board  # type: ignore[assignment]
    memory = placement.memory
    end = memory.regions[0].end
    last = elf.loads[-1]
    kernel_end = -(-last.end // PAGE) * PAGE
    _put_boot_information(placement, request.command_line, board, kernel_end, devices)
    tables = _Tables(placement)
    mappings = _map(elf, kernel_end, end)
    if board.arch == X86_64:
        root = pagetables_x86_64.build(memory, tables.allocate, mappings)
        # The stack ends 8 bytes below, as after a call.
        return x86_start.start_long_mode(
            placement,
            elf.entry,
            root,
            cr0=_CR0,
            cr4=_CR4,
            efer=_EFER,
            rdi=BOOT_INFO,
            rsp=end - 8,
        )
    mappings.append(
        Mapping(board.doorbell, board.doorbell, _DEVICES_LENGTH, READ | WRITE, device=True)
    )
    root = pagetables_arm64.build(memory, tables.allocate, mappings)
    return {
        "pc": elf.entry,
        "pstate": _PSTATE,
        "x0": BOOT_INFO,
        "sp": end - 16,
        "cpacr_el1": _CPACR,
        "mair_el1": _MAIR,
        "tcr_el1": _TCR,
        "ttbr0_el1": root,
        "sctlr_el1": _SCTLR,
    }


def _put_boot_information(
    placement: Placement,
    command_line: str,
    board: Solo5Board,
    kernel_end: int,
    devices: list[DeviceRequest | None],
) -> None:
    line = command_line.encode("utf-8", "surrogateescape")
    if len(line) >= MAX_COMMAND_LINE:
        raise UsageError(
            f"the command line takes {len(line)} bytes, a Solo5 unikernel has {MAX_COMMAND_LINE}"
        )
    manifest = pack_manifest(devices, board.properties)
    manifest_at = BOOT_INFO + _BOOT_INFO.size
    line_at = manifest_at + len(manifest)
    size = placement.memory.regions[0].end
    head = _BOOT_INFO.pack(size, kernel_end, board.counter_hz, line_at, manifest_at, 0, 0, 0)
    placement.put(
        BOOT_INFO, head + manifest + line.ljust(MAX_COMMAND_LINE, b"\0"), "boot information"
    )


def _map(elf: Elf, kernel_end: int, end: int) -> list[Mapping]:
    """Return identity mappings: what is told, the segments, the rest of RAM."""
    mappings = [Mapping(BOOT_INFO, BOOT_INFO, BASE - BOOT_INFO, READ)]
    for segment in elf.loads:
        rights = READ
        if segment.flags & PF_W:
            rights |= WRITE
        if segment.flags & PF_X:
            rights |= EXECUTE
        length = -(-segment.memory_size // PAGE) * PAGE
        mappings.append(Mapping(segment.virtual, segment.virtual, length, rights))
    if kernel_end < end:
        mappings.append(Mapping(kernel_end, kernel_end, end - kernel_end, READ | WRITE))
    return mappings


class _Tables:
    """Hands out the pages for tables."""

    def __init__(self, placement: Placement) -> None:
        self._memory: GuestMemory = placement.memory
        placement.take(PAGE_TABLES, BOOT_INFO - PAGE_TABLES, "page tables")
        self._next = PAGE_TABLES

    def allocate(self) -> int:
        page = self._next
        if page == BOOT_INFO:
            raise UsageError("the unikernel's segments take more page tables than there is room")
        self._next += PAGE
        self._memory.write(page, bytes(PAGE))
        return page
