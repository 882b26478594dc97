"""Notices a processor that has halted for good, where the backend does not tell.

KVM with local APICs of its own keeps a vCPU in HLT until an interrupt comes. With interrupts
disabled none will, and a guest that has stopped so would run for ever.
"""

from __future__ import annotations

from vmm.errors import GuestMemoryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Vcpu
    from vmm.lines import Clock
    from vmm.memory import GuestMemory

PERIOD_NS: Final = 500_000_000

_RFLAGS_IF: Final = 1 << 9
_HLT: Final = b"\xf4"


class HaltWatch:
    """Looks at an x86_64 vCPU twice a second; two looks must agree."""

    def __init__(self, vcpu: Vcpu, memory: GuestMemory, clock: Clock) -> None:
        self._vcpu = vcpu
        self._memory = memory
        self._clock = clock
        self._timer = clock.timer(self._on_timer)
        self._due = False
        self._halted_at: int | None = None

    def start(self) -> None:
        """Begin to kick the vCPU from time to time; after each kick `halted` wants to be asked."""
        self._timer.arm(self._clock.now() + PERIOD_NS)

    def stop(self) -> None:
        """Leave the vCPU alone."""
        self._timer.cancel()

    def halted(self) -> bool:
        """Tell whether the vCPU, which does not run now, has halted and nothing can wake it."""
        if not self._due:
            return False
        self._due = False
        before, self._halted_at = self._halted_at, self._find_halt()
        return before is not None and before == self._halted_at

    def _on_timer(self) -> None:
        self._due = True
        self._vcpu.kick()
        self.start()

    def _find_halt(self) -> int | None:
        """Return where the vCPU stands if that is behind a HLT, with interrupts disabled."""
        registers = self._vcpu.registers()
        rip, rflags, segment = registers["rip"], registers["rflags"], registers["cs"]
        assert isinstance(rip, int)
        assert isinstance(rflags, int)
        assert not isinstance(segment, int)
        if rflags & _RFLAGS_IF:
            return None
        physical = self._vcpu.translate(segment.base + rip - 1)
        try:
            behind = physical is not None and self._memory.read(physical, 1) == _HLT
        except GuestMemoryError:
            return None
        return rip if behind else None
