"""Goes on where KVM stops: takes the vCPU's state, has the instruction executed, gives it back.

Registers, segments, control registers, the x87 and SSE state are carried both ways. The local APIC
and MSRs stay with KVM: no instruction that touches them is executed here. An interrupt that comes
meanwhile waits for the vCPU's next entry to KVM.
"""

from __future__ import annotations

from vmm.backends.assist.xsave import CannotExecute, ExtendedState
from vmm.backends.exits import Crashed, InternalError
from vmm.backends.unicorn.library import open_library
from vmm.backends.unicorn.x86.burst import X86Burst
from vmm.backends.unicorn.x86.fpu import FXSAVE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import AccessHandler, Exit
    from vmm.backends.kvm.x86_64 import X86Vcpu
    from vmm.memory import GuestMemory

# XSTATE_BV of an area of XSAVE, and the components that the engine has: x87 and SSE.
_STATE_BITS: Final = FXSAVE_SIZE
_X87_AND_SSE: Final = 3


class Assistant:
    """Helps one vCPU of x86_64. Its methods are for the thread that runs the vCPU.

    Attributes:
        refused: how many instructions of the guest KVM has refused.
        executed: how many were executed here: those, and others on the way.
    """

    def __init__(self, vcpu: X86Vcpu, memory: GuestMemory, handler: AccessHandler) -> None:
        """Make ready to help.

        Raises:
            BackendUnavailable: if the engine's library is missing or of another release.
        """
        self.refused = 0
        self.executed = 0
        self._vcpu = vcpu
        self._state = ExtendedState(vcpu, memory)
        self._burst = X86Burst(open_library(), memory, handler)

    def assist(self, failure: InternalError) -> Exit | None:
        """Execute what KVM refused with ``failure``; return None if KVM can go on.

        Else returns how the run ends: ``failure`` with the reason why there is no help either.
        """
        if not failure.instruction:
            return failure
        self.refused += 1
        vcpu = self._vcpu
        registers = vcpu.registers()
        try:
            changed = self._state.execute(failure.instruction, registers)
        except CannotExecute as problem:
            return _explain(failure, str(problem))
        if changed is not None:
            vcpu.set_registers(changed)
            vcpu.end_interrupt_shadow()
            self.executed += 1
            return None
        image = vcpu.extended_state()
        fpu = bytearray(image[:FXSAVE_SIZE])
        result = self._burst.run(registers, fpu)
        if result.refusal and not result.executed:
            return _explain(failure, result.refusal)
        self.executed += result.executed
        if fpu != image[:FXSAVE_SIZE]:
            image[:FXSAVE_SIZE] = fpu
            image[_STATE_BITS] |= _X87_AND_SSE
            vcpu.set_extended_state(image)
        vcpu.set_registers(result.registers)
        vcpu.end_interrupt_shadow()
        return Crashed("triple fault") if result.shutdown else None

    def close(self) -> None:
        """Free the engine."""
        self._burst.close()


def _explain(failure: InternalError, problem: str) -> InternalError:
    return InternalError(f"{failure.reason}; emulation assist: {problem}", failure.instruction)
