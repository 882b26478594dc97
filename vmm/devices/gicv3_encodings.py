"""Encodings of the GICv3 CPU interface's system registers, for who must know them beforehand.

The registers themselves are declared in `vmm.devices.gicv3_cpu`, which most guests never need: this
module costs nothing to import. A test keeps the two the same.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    Encoding = tuple[int, int, int, int, int]  # op0, op1, CRn, CRm, op2

ENCODINGS: Final[tuple[Encoding, ...]] = (
    (3, 0, 4, 6, 0),  # ICC_PMR_EL1
    (3, 0, 12, 8, 0),  # ICC_IAR0_EL1
    (3, 0, 12, 8, 1),  # ICC_EOIR0_EL1
    (3, 0, 12, 8, 2),  # ICC_HPPIR0_EL1
    (3, 0, 12, 8, 3),  # ICC_BPR0_EL1
    (3, 0, 12, 8, 4),  # ICC_AP0R0_EL1
    (3, 0, 12, 9, 0),  # ICC_AP1R0_EL1
    (3, 0, 12, 11, 1),  # ICC_DIR_EL1
    (3, 0, 12, 11, 3),  # ICC_RPR_EL1
    (3, 0, 12, 11, 5),  # ICC_SGI1R_EL1
    (3, 0, 12, 11, 6),  # ICC_ASGI1R_EL1
    (3, 0, 12, 11, 7),  # ICC_SGI0R_EL1
    (3, 0, 12, 12, 0),  # ICC_IAR1_EL1
    (3, 0, 12, 12, 1),  # ICC_EOIR1_EL1
    (3, 0, 12, 12, 2),  # ICC_HPPIR1_EL1
    (3, 0, 12, 12, 3),  # ICC_BPR1_EL1
    (3, 0, 12, 12, 4),  # ICC_CTLR_EL1
    (3, 0, 12, 12, 5),  # ICC_SRE_EL1
    (3, 0, 12, 12, 6),  # ICC_IGRPEN0_EL1
    (3, 0, 12, 12, 7),  # ICC_IGRPEN1_EL1
)
