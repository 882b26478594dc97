"""The constants and structures of ``guest/include/calypso/abi.h``, for the VMM's side.

The header is the one source and says what everything means; a test compiles it and compares. Names
are the header's without their ``CALYPSO_`` prefix. All fields are little-endian.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

ABI_VERSION: Final = 1

# ---- Bootinfo ----

BOOTINFO_MAGIC: Final = 0x004F_5350_594C_4143

FEATURE_DOORBELL: Final = 1 << 0
FEATURE_CONSOLE: Final = 1 << 1
FEATURE_IDLE: Final = 1 << 2
FEATURE_ZEROED_RAM: Final = 1 << 3
FEATURE_SERVICES: Final = 1 << 4
FEATURE_GENERATION: Final = 1 << 5
FEATURE_STACK_GUARD: Final = 1 << 6
FEATURE_NO_TERMINAL: Final = 1 << 7
FEATURE_CONTROLLER: Final = 1 << 8

REGION_FREE: Final = 1
REGION_RESERVED: Final = 2
REGION_KERNEL: Final = 3
REGION_BOOT: Final = 4
REGION_PROGRAM: Final = 5
REGION_INITRD: Final = 6
REGION_DEVICETREE: Final = 7
REGION_DEVICE: Final = 8
REGION_SERVICE: Final = 9

REGION_READ: Final = 1 << 0
REGION_WRITE: Final = 1 << 1
REGION_EXECUTE: Final = 1 << 2

# struct calypso_region: physical, virtual, length, type, flags, name.
REGION: Final = Struct("<QQQII16s")
REGION_NAME_LENGTH: Final = 16

CONTROLLER_NONE: Final = 0
CONTROLLER_GICV2: Final = 2
CONTROLLER_GICV3: Final = 3

# struct calypso_bootinfo, in the order of `vmm.boot.bootinfo.Bootinfo`.
BOOTINFO: Final = Struct("<QIIQQIIQQQQQQIIQQQQ32sQQQQQQQ")
BOOTINFO_FEATURES_OFFSET: Final = 16
SEED_LENGTH: Final = 32

# struct calypso_generation: number, seed.
GENERATION: Final = Struct("<Q32s")
GENERATION_SEED_OFFSET: Final = 8

# ---- Services ----

REQUEST_ALIGNMENT: Final = 64

CONSOLE_WRITE: Final = 1
CONSOLE_READ: Final = 2
EXIT: Final = 3
CLOCK: Final = 4
ENTROPY: Final = 5
IDLE: Final = 6
TRACE: Final = 7
CONSOLE_STATUS: Final = 8
COMPLETED: Final = 9

STREAM_OUTPUT: Final = 1
STREAM_ERROR: Final = 2
STREAM_LOG: Final = 3

EXIT_PROGRAM: Final = 0
EXIT_SIGNAL: Final = 1
EXIT_PANIC: Final = 2
EXIT_REFUSED: Final = 3

# struct calypso_request: service, flags, result, six arguments.
REQUEST: Final = Struct("<IIq6Q")
REQUEST_RESULT_OFFSET: Final = 8
REQUEST_ARGUMENTS_OFFSET: Final = 16

# ---- The service ring ----

RING_MAGIC: Final = 0x0047_4E49_5250_4C43
RING_VERSION: Final = 1

RING_CALLS: Final = 1 << 0
RING_TASKS: Final = 1 << 1

# struct calypso_ring: magic, version, size; offset and count of submissions, of completions; offset
# and length of the window; what the guest fills: its address, features; then the four indices.
RING: Final = Struct("<QIIIIIIIIQQIIII")
RING_WINDOW_ADDRESS_OFFSET: Final = 40
RING_INDICES_OFFSET: Final = 56

FIRST_TASK: Final = 1

CALL: Final = 1
TASK_NEW: Final = 2
TASK_END: Final = 3

TASK_SHARES_FILES: Final = 1 << 0

# struct calypso_submission: tag, operation, flags, task, number, six arguments.
SUBMISSION: Final = Struct("<QIIII6Q")
# struct calypso_completion: tag, result.
COMPLETION: Final = Struct("<Qq")
