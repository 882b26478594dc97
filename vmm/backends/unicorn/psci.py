"""Power State Coordination Interface 1.0 (Arm DEN 0022), as a guest of one vCPU needs it.

Called by HVC or SMC with the function in W0, arguments in X1 to X3, and the result in X0.
"""

from __future__ import annotations

from vmm.backends.exits import Reset, Shutdown
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
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

_SMCCC_1_1: Final = 0x1_0001
_PSCI_1_0: Final = 0x1_0000
_NO_TRUSTED_OS: Final = 2
_AFFINITY_ON: Final = 0

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
    """

    result: int = SUCCESS
    exit: Shutdown | Reset | None = None
    suspend: bool = False


def call(affinity: int, function: int, arguments: tuple[int, int, int]) -> Answer:
    """Carry out a call by the only vCPU of a machine, whose address is ``affinity``."""
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
    return Answer(_query(affinity, function, first))


def _query(affinity: int, function: int, first: int) -> int:
    itself = first & _AFFINITY_MASK == affinity
    if function in _CPU_ON:
        return ALREADY_ON if itself else INVALID_PARAMETERS
    if function in _AFFINITY_INFO:
        return _AFFINITY_ON if itself else INVALID_PARAMETERS
    if function == _PSCI_FEATURES:
        return SUCCESS if first & 0xFFFF_FFFF in _FEATURES else NOT_SUPPORTED
    return {
        _SMCCC_VERSION: _SMCCC_1_1,
        _PSCI_VERSION: _PSCI_1_0,
        # The last core that is on cannot be switched off by this call.
        _CPU_OFF: DENIED,
        _MIGRATE_INFO_TYPE: _NO_TRUSTED_OS,
    }.get(function, NOT_SUPPORTED)
