"""What a Hermit unikernel finds when uhyve starts it (hermit-entry, version 4).

0x0_1000  GDT
0x0_2000  boot information
0x1_0000  page tables: the first GiB where it is, and themselves behind entry 511 of the first
0x3_8000  the stack, 32 KiB
"""

from __future__ import annotations

from struct import Struct
from time import time_ns

from vmm.boot import x86_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import RegisterValue
    from vmm.boot.placement import BootRequest, Placement
    from vmm.images.hermit import HermitUnikernel

PAGE_TABLES: Final = 0x1_0000
STACK: Final = 0x3_8000
STACK_SIZE: Final = 0x8000

_PAGE: Final = 0x1000
_BLOCK: Final = 2 << 20
_MAPPED: Final = 512 * _BLOCK
_TABLE_ENTRY: Final = 0x3  # present, writable
_BLOCK_ENTRY: Final = 0x83  # and a page of 2 MiB
_TABLE: Final = Struct("<512Q")

# SDM volume 3A, 2.5: PG, NE, ET, PE; PAE; NXE, LMA, LME.
_CR0: Final = 0x8000_0031
_CR4: Final = 0x20
_EFER: Final = 0xD00

# struct RawBootInfo: RAM from and to, serial port, padding, device tree; kernel from and to, TLS:
# start, size in the file and in memory, alignment; then the platform: a tag, padding, whether there
# is PCI, padding, number of processors, counter's frequency in kHz, padding, time in ns (i128).
_BOOT_INFO: Final = Struct("<QQH6xQ QQ QQQQ I4x ?7xQI4x16s")
_UHYVE: Final = 1  # of the platforms on x86_64: Multiboot, Uhyve, LinuxBootParams, Fdt
# Any number but 0: characters go to the hypercall of that port.
UART: Final = 0x800


def prepare(
    placement: Placement, request: BootRequest, kernel: HermitUnikernel, entry: int
) -> dict[str, RegisterValue]:
    """Put boot information and page tables into RAM; return the start state.

    Raises:
        UsageError: if something does not fit.
    """
    tls = kernel.tls
    start = 0 if tls is None else kernel.base + tls.virtual
    sizes = (0, 0, 0) if tls is None else (tls.file_size, tls.memory_size, tls.alignment)
    content = _BOOT_INFO.pack(
        *(0, x86_start.low_ram_end(placement.memory), UART, 0),
        *(kernel.start, kernel.end, start, *sizes),
        *(_UHYVE, False, request.cpus, request.board.counter_hz // 1_000),
        time_ns().to_bytes(16, "little"),
    )
    placement.put(x86_start.INFORMATION, content, "boot information")
    _put_page_tables(placement)
    placement.take(STACK, STACK_SIZE, "stack")
    return x86_start.start_long_mode(
        placement,
        entry,
        PAGE_TABLES,
        cr0=_CR0,
        cr4=_CR4,
        efer=_EFER,
        rdi=x86_start.INFORMATION,
        rsi=0,
        rsp=STACK + STACK_SIZE,
    )


def _put_page_tables(placement: Placement) -> None:
    pointers, directory = PAGE_TABLES + _PAGE, PAGE_TABLES + 2 * _PAGE
    root = [pointers | _TABLE_ENTRY, *[0] * 510, PAGE_TABLES | _TABLE_ENTRY]
    second = [directory | _TABLE_ENTRY, *[0] * 511]
    blocks = [address | _BLOCK_ENTRY for address in range(0, _MAPPED, _BLOCK)]
    tables = _TABLE.pack(*root) + _TABLE.pack(*second) + _TABLE.pack(*blocks)
    placement.put(PAGE_TABLES, tables, "page tables")
