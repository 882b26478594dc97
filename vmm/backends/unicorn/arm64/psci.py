"""Power State Coordination Interface 1.0 (Arm DEN 0022): what its calls come to.

Called by HVC or SMC with the function in W0, arguments in X1 to X3, and the result in X0.
"""

from __future__ import annotations

from vmm.backends.exits import Reset, Shutdown
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

# Function identifiers; bit 30 chooses the 64-bit calling convention.
_SMCCC_VERSION: Final = 0x8000_0000
_PSCI_VERSION: Final = 0x8400_0000
_CPU_SUSPEND: Final = (0x8400_0001, 0xC400_0001)
_CPU_OFF: Final = 0x8400_0002
_CPU_ON: Final = (0x8400_0003, 0xC400_0003)
_AFFINITY_INFO: Final = (0x8400_0004, 0xC400_0004)
_MIGRATE_INFO_TYPE: Final = 0x8400_0006
_SYSTEM_OFF: Final = 0x8400_0008
_SYSTEM_RESET: Final = 0x8400_0009
_PSCI_FEATURES: Final = 0x8400_000A

_FEATURES: Final = frozenset(
    (
        _SMCCC_VERSION,
        _PSCI_VERSION,
        *_CPU_SUSPEND,
        _CPU_OFF,
        *_CPU_ON,
        *_AFFINITY_INFO,
        _MIGRATE_INFO_TYPE,
        _SYSTEM_OFF,
        _SYSTEM_RESET,
        _PSCI_FEATURES,
    )
)

SUCCESS: Final = 0
NOT_SUPPORTED: Final = -1
INVALID_PARAMETERS: Final = -2
DENIED: Final = -3
ALREADY_ON: Final = -4
ON_PENDING: Final = -5

_SMCCC_1_1: Final = 0x1_0001
_PSCI_1_0: Final = 0x1_0000
_NO_TRUSTED_OS: Final = 2

# States of a core, as AFFINITY_INFO tells them.
ON: Final = 0
OFF: Final = 1
STARTING: Final = 2

# Aff3, Aff2, Aff1, Aff0 in a target address.
_AFFINITY_MASK: Final = 0xFF_00FF_FFFF

# Bit 16 of CPU_SUSPEND's power state (original format): the core loses its state.
_POWER_DOWN: Final = 1 << 16


@value
class Answer:
    """What a call comes to.

    Attributes:
        result: signed value for X0; a call that does not return leaves it unused.
        exit: why the run ends with this call, if it does.
        suspend: the vCPU waits for an interrupt before the call returns.
        off: the vCPU is off from now on; the call does not return.
        start: the number of a vCPU to start, with its PC and its X0.
    """

    result: int = SUCCESS
    exit: Shutdown | Reset | None = None
    suspend: bool = False
    off: bool = False
    start: tuple[int, int, int] | None = None


def call(
    states: Sequence[int], caller: int, function: int, arguments: tuple[int, int, int]
) -> Answer:
    """Carry out a call by the vCPU ``caller`` of a machine whose cores are in ``states``.

    The address of a core is its number, in Aff0.
    """
    function &= 0xFFFF_FFFF
    first = arguments[0]
    if function == _SYSTEM_OFF:
        return Answer(exit=Shutdown())
    if function == _SYSTEM_RESET:
        return Answer(exit=Reset())
    if function in _CPU_SUSPEND:
        # A core that powers down resumes at an address given; standby is all that is offered.
        if first & _POWER_DOWN:
            return Answer(INVALID_PARAMETERS)
        return Answer(suspend=True)
    if function == _CPU_OFF:
        # The last core that is on cannot be switched off by this call.
        others = [state for core, state in enumerate(states) if core != caller]
        return Answer(off=True) if any(state != OFF for state in others) else Answer(DENIED)
    if function in _CPU_ON:
        return _start_core(states, *arguments)
    return Answer(_query(states, function, first))


def _start_core(states: Sequence[int], address: int, entry: int, context: int) -> Answer:
    core = address & _AFFINITY_MASK
    if core >= len(states):
        return Answer(INVALID_PARAMETERS)
    if states[core] != OFF:
        return Answer(ALREADY_ON if states[core] == ON else ON_PENDING)
    return Answer(start=(core, entry, context))


def _query(states: Sequence[int], function: int, first: int) -> int:
    if function in _AFFINITY_INFO:
        core = first & _AFFINITY_MASK
        return states[core] if core < len(states) else INVALID_PARAMETERS
    if function == _PSCI_FEATURES:
        return SUCCESS if first & 0xFFFF_FFFF in _FEATURES else NOT_SUPPORTED
    return {
        _SMCCC_VERSION: _SMCCC_1_1,
        _PSCI_VERSION: _PSCI_1_0,
        _MIGRATE_INFO_TYPE: _NO_TRUSTED_OS,
    }.get(function, NOT_SUPPORTED)
