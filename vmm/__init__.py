"""A scriptable virtual machine monitor, and the unikernel it hosts.

    from vmm import Machine

    with Machine("busybox", args=["echo", "hi"], arch="arm64", backend="unicorn") as m:
        m.run(timeout=10)
        print(m.exit_status, m.console.output)

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm.errors import (
        BackendUnavailable,
        GuestMemoryError,
        GuestStopped,
        GuestTimeout,
        UsageError,
        VmmError,
    )
    from vmm.machine.machine import Machine

__version__ = "0.1.0"

__all__ = [
    "BackendUnavailable",
    "GuestMemoryError",
    "GuestStopped",
    "GuestTimeout",
    "Machine",
    "UsageError",
    "VmmError",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name == "Machine":
        from vmm.machine.machine import Machine

        return Machine
    if name in __all__:
        from vmm import errors

        return getattr(errors, name)
    raise AttributeError(f"module 'vmm' has no attribute {name!r}")
