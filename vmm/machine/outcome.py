"""How a run ended, and the exit status that says so."""

from __future__ import annotations

from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

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
