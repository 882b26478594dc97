"""Registers of x86_64 between the kernel's structures and the names of `vmm.backends.api`."""

from __future__ import annotations

from vmm.backends.registers import DescriptorTable, Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Registers, RegisterValue
    from vmm.backends.kvm.foreign import CData

# Fields of struct kvm_regs.
GENERAL: Final = (
    *("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
    *("rip", "rflags"),
)
# Fields of struct kvm_sregs.
CONTROL: Final = ("cr0", "cr2", "cr3", "cr4", "efer")
SEGMENTS: Final = ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldt")
TABLES: Final = {"gdtr": "gdt", "idtr": "idt"}

# Where the fields of struct kvm_segment are in `Segment.attributes`: name, lowest bit, mask.
_ATTRIBUTES: Final = (
    ("type", 0, 0xF),
    ("s", 4, 1),
    ("dpl", 5, 3),
    ("present", 7, 1),
    ("avl", 12, 1),
    ("l", 13, 1),
    ("db", 14, 1),
    ("g", 15, 1),
)


def read_general(regs: CData) -> dict[str, RegisterValue]:
    """Return what ``struct kvm_regs`` holds."""
    return {name: getattr(regs, name) for name in GENERAL}


def read_special(sregs: CData) -> dict[str, RegisterValue]:
    """Return what ``struct kvm_sregs`` holds."""
    values: dict[str, RegisterValue] = {name: getattr(sregs, name) for name in CONTROL}
    for name in SEGMENTS:
        values[name] = _segment(getattr(sregs, name))
    for name, field in TABLES.items():
        table = getattr(sregs, field)
        values[name] = DescriptorTable(table.base, table.limit)
    return values


def write_general(regs: CData, values: Registers) -> bool:
    """Put those of ``values`` that belong there into ``struct kvm_regs``; tell if any did."""
    names = [name for name in GENERAL if name in values]
    for name in names:
        setattr(regs, name, values[name])
    return bool(names)


def write_special(sregs: CData, values: Registers) -> bool:
    """Put those of ``values`` that belong there into ``struct kvm_sregs``; tell if any did."""
    known = 0
    for name, value in values.items():
        if name in CONTROL:
            setattr(sregs, name, value)
        elif name in SEGMENTS:
            assert isinstance(value, Segment)
            _set_segment(getattr(sregs, name), value)
        elif name in TABLES:
            assert isinstance(value, DescriptorTable)
            table = getattr(sregs, TABLES[name])
            table.base, table.limit = value.base, value.limit
        else:
            continue
        known += 1
    return known > 0


def _segment(source: CData) -> Segment:
    attributes = 0
    for name, shift, _mask in _ATTRIBUTES:
        attributes |= getattr(source, name) << shift
    return Segment(source.selector, source.base, source.limit, attributes)


def _set_segment(target: CData, segment: Segment) -> None:
    target.selector, target.base, target.limit = segment.selector, segment.base, segment.limit
    for name, shift, mask in _ATTRIBUTES:
        setattr(target, name, segment.attributes >> shift & mask)
    target.unusable = not target.present
