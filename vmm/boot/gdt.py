"""The GDT of a long-mode start, in Linux's order, and the segments loaded from it.

The order matters beyond taste: SYSCALL and SYSRET find their selectors by distance (SDM volume
3A, 5.8.8), and with Linux's some hosts' system calls work that fail with others.
"""

from __future__ import annotations

from struct import Struct

from vmm.backends.registers import Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

KERNEL_CS: Final = 0x10
KERNEL_SS: Final = 0x18
USER32_CS: Final = 0x23
USER_SS: Final = 0x2B
USER_CS: Final = 0x33

# Descriptor attributes as in `Segment.attributes` (SDM volume 3A, 3.4.5).
_ACCESSED_DATA: Final = 0x3  # writable
_ACCESSED_CODE: Final = 0xB  # readable
_BUSY_TSS: Final = 0xB  # as a system descriptor
_LDT: Final = 0x2
_CODE_OR_DATA: Final = 1 << 4
_DPL_USER: Final = 3 << 5
_PRESENT: Final = 1 << 7
_LONG: Final = 1 << 13
_DEFAULT_32: Final = 1 << 14
_PAGES: Final = 1 << 15

_DATA: Final = _ACCESSED_DATA | _CODE_OR_DATA | _PRESENT | _DEFAULT_32 | _PAGES
_CODE_32: Final = _ACCESSED_CODE | _CODE_OR_DATA | _PRESENT | _DEFAULT_32 | _PAGES
_CODE_64: Final = _ACCESSED_CODE | _CODE_OR_DATA | _PRESENT | _LONG | _PAGES

_ORDER: Final = (
    0,
    _CODE_32,
    _CODE_64,
    _DATA,
    _CODE_32 | _DPL_USER,
    _DATA | _DPL_USER,
    _CODE_64 | _DPL_USER,
)
_GDT: Final = Struct(f"<{len(_ORDER)}Q")
GDT_SIZE: Final = _GDT.size

_FLAT_LIMIT: Final = 0xFFFF_FFFF


def gdt() -> bytes:
    """Return the table."""
    return _GDT.pack(*[_descriptor(attributes) for attributes in _ORDER])


def start_segments() -> dict[str, Segment]:
    """Return all segment registers of a kernel at its start: flat, ring 0.

    TR and LDTR hold what VM entry demands, not what the kernel could use.
    """
    data = Segment(KERNEL_SS, 0, _FLAT_LIMIT, _DATA)
    return {
        "cs": Segment(KERNEL_CS, 0, _FLAT_LIMIT, _CODE_64),
        "ss": data,
        "ds": data,
        "es": data,
        "fs": data,
        "gs": data,
        "tr": Segment(0, 0, 0xFFFF, _BUSY_TSS | _PRESENT),
        "ldt": Segment(0, 0, 0xFFFF, _LDT | _PRESENT),
    }


def _descriptor(attributes: int) -> int:
    """Return a flat descriptor: base 0, limit 4 GiB."""
    if attributes == 0:
        return 0
    return 0x000F_0000_0000_FFFF | attributes << 40
