"""The backend that emulates: Unicorn (QEMU's code generator) as a full system.

Map of the package, from the bottom up:

* `library`, `build_ffi`: the engine's shared library and its functions;
* `layout`, `internals`, `shim`: its private state and functions, where known for certain;
* `engine`: one emulated processor; `doorbell`: how other threads interrupt it;
* `vcpu`, `arm64`, `x86_64`: processors as machines use them; `hypervisor`: the backend's face.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm.backends.unicorn.hypervisor import UnicornHypervisor


def open_unicorn() -> UnicornHypervisor:
    """Open the Unicorn backend.

    Raises:
        BackendUnavailable: if the engine is missing or of another release.
    """
    from vmm.backends.unicorn.hypervisor import UnicornHypervisor

    return UnicornHypervisor()
