"""How a run ended, and the exit status that says so."""

from __future__ import annotations

from vmm.backends.exits import Crashed, Halted, InternalError, Reset, Shutdown, Unsupported
from vmm.hypercall import abi
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Exit

STATUS_USAGE: Final = 2
STATUS_TIMEOUT: Final = 124
STATUS_VMM_FAILURE: Final = 125
STATUS_GUEST_FAILURE: Final = 126
STATUS_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it

EXITED: Final = "exited"  # the program ended by itself
REFUSED: Final = "refused"  # its kernel could not run the program
KILLED: Final = "killed"  # the program was killed by a signal
PANICKED: Final = "panicked"  # the guest's kernel gave up
POWERED_OFF: Final = "powered off"  # through its firmware or a power register
ABORTED: Final = "aborted"  # it gave up, with an exit status of its own
RESET: Final = "reset"  # the guest asked to start again
CRASHED: Final = "crashed"  # a triple fault, or a halt that nothing can end
STUCK: Final = "cannot be executed"  # the backend gave up on an instruction
STOPPED: Final = "stopped"  # by the host
TIMED_OUT: Final = "timed out"

_REQUESTS: Final = {
    abi.EXIT_PROGRAM: EXITED,
    abi.EXIT_SIGNAL: KILLED,
    abi.EXIT_PANIC: PANICKED,
    abi.EXIT_REFUSED: REFUSED,
}


@value
class Outcome:
    """How a run ended.

    Attributes:
        kind: one of this module's words.
        status: the exit status of `vmm run`: the program's own, or one of ``STATUS_…``.
        message: what the guest or the backend said about it; may be empty.
    """

    kind: str
    status: int
    message: str = ""

    @property
    def failed(self) -> bool:
        """True where somebody will want to see the machine's state."""
        return self.kind in (KILLED, PANICKED, ABORTED, CRASHED, STUCK, TIMED_OUT)


def of_request(reason: int, status: int, message: str) -> Outcome:
    """Return what the guest's own request to end it means (enum calypso_exit_reason)."""
    kind = _REQUESTS.get(reason, PANICKED)
    if kind == PANICKED:
        status = STATUS_GUEST_FAILURE
    elif kind == REFUSED:
        status = STATUS_USAGE
    return Outcome(kind, status, message)


def of_exit(exit_: Exit, halts_when_done: bool) -> Outcome:
    """Return what an exit of a vCPU means that ends the run.

    ``halts_when_done``: whether this kind of guest says so by a halt for ever.
    """
    match exit_:
        case Shutdown():
            return Outcome(POWERED_OFF, 0)
        case Reset():
            return Outcome(RESET, 0)
        case Halted() if halts_when_done:
            return Outcome(POWERED_OFF, 0, "halted")
        case Halted():
            return Outcome(CRASHED, STATUS_GUEST_FAILURE, "halted with interrupts disabled")
        case Crashed(reason):
            return Outcome(CRASHED, STATUS_GUEST_FAILURE, reason)
        case InternalError(reason, instruction):
            text = f"{reason}; instruction bytes {instruction.hex(' ')}" if instruction else reason
            return Outcome(STUCK, STATUS_VMM_FAILURE, text)
        case Unsupported(number):
            text = f"the backend's exit {number} is not known to this VMM"
            return Outcome(STUCK, STATUS_VMM_FAILURE, text)
        case _:
            raise AssertionError(f"{exit_} does not end a run")
