"""Why a vCPU came back: small values, the same for every backend.

Accesses to devices are not exits: a backend hands them to its `AccessHandler` and goes on, because
an emulator's callback must answer on the spot and a hypervisor's loop is faster that way. What is
left here needs a decision of the machine.
"""

from __future__ import annotations

from vmm.value import value


@value
class Halted:
    """The vCPU waits for an interrupt that can never come (x86 HLT with IF clear)."""


@value
class Shutdown:
    """The guest asked for power-off through its firmware interface (PSCI SYSTEM_OFF)."""


@value
class Reset:
    """The guest asked for a reset through its firmware interface (PSCI SYSTEM_RESET)."""


@value
class Crashed:
    """The processor gave up: a triple fault, or an exception that nothing handles."""

    reason: str


@value
class Interrupted:
    """`Vcpu.kick` was called; nothing else happened."""


@value
class InternalError:
    """The backend cannot execute an instruction of the guest.

    Attributes:
        reason: what the backend said, with its sub-error.
        instruction: the bytes at the program counter, where the backend gives them.
    """

    reason: str
    instruction: bytes = b""


@value
class Unsupported:
    """An exit that this VMM does not know, by the backend's own number."""

    number: int
