"""Values of x86 registers that are more than one number."""

from __future__ import annotations

from vmm.value import value


@value
class Segment:
    """A segment register with its hidden part.

    Attributes:
        selector: the visible part.
        base: linear base address.
        limit: in bytes, after granularity has been applied.
        attributes: bits 40-47 and 52-55 of the descriptor as one 16-bit number: type (3:0), S (4),
            DPL (6:5), P (7), AVL (12), L (13), D/B (14), G (15), as in a VMCB (APM volume 2,
            15.5.1 packs the same bits without the gap).
    """

    selector: int
    base: int
    limit: int
    attributes: int


@value
class DescriptorTable:
    """GDTR or IDTR: linear base address and limit in bytes."""

    base: int
    limit: int
