"""The backend that emulates: Unicorn (QEMU's code generator) as a full system.

Map of the package, from the bottom up:

* `library`, `build_ffi`: the engine's shared library and its functions;
* `layout`, `internals`, `selftest`, `shim`: its private state and functions, where known for
  certain; `coherence`: where these are corrected;
* `engine`: one emulated processor; `doorbell`: how other threads interrupt it;
* `vcpu`: what processors of both architectures have in common; `x86`, `arm64`: a package each, in
  two ways: with the engine's inside open (`native`) and through its public interface alone
  (`public`);
* `hypervisor`: the backend's face.

The engine was made to analyse programs, not to run systems. What corrupts a guest silently if it
is used as its manual says, by number, and where that is dealt with:

1. A stop from another thread takes effect after an access to memory and repeats the instruction:
   `EngineState.stop_only_between_blocks`, `Engine._stop_by_hook`.
2. The address at which a run is to end is translated by the guest's page tables, which overwrites
   the state of an x86 fault: `Engine` ends runs at no address.
3. arm64 resets with AArch32 below EL3, and the walker misreads page tables: `arm64.registers`.
4. An undefined x86 instruction never reaches the hook for exceptions:
   `EngineState.deliver_all_exceptions`.
5. Atomic instructions are plain ones between engines in different threads: `EngineVcpu.turn`.
6. Writes to code through other mappings are missed: `coherence`.
7. Writes to code by other vCPUs, on engines of their own, are missed: within some 50 ms they are
   seen, `EngineVcpu._forget_outdated_code`.
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
