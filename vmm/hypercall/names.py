"""The doorbell's services and their arguments by name, for traces."""

from __future__ import annotations

from vmm.hypercall import abi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

SERVICES: Final = {
    abi.CONSOLE_WRITE: ("CONSOLE_WRITE", ("gpa", "length", "stream")),
    abi.CONSOLE_READ: ("CONSOLE_READ", ("gpa", "length")),
    abi.EXIT: ("EXIT", ("status", "reason", "gpa", "length")),
    abi.CLOCK: ("CLOCK", ()),
    abi.ENTROPY: ("ENTROPY", ("gpa", "length")),
    abi.IDLE: ("IDLE", ("deadline",)),
    abi.TRACE: ("TRACE", ("gpa", "length")),
    abi.CONSOLE_STATUS: ("CONSOLE_STATUS", ()),
}


def name_request(number: int, arguments: Sequence[int]) -> tuple[str, dict[str, int]]:
    """Return the name of service ``number`` and its arguments by name."""
    name, names = SERVICES.get(number, (f"service {number}", ()))
    return name, dict(zip(names, arguments, strict=False))
