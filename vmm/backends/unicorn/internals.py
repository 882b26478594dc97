"""Access to the engine's private state, where its layout is known for certain.

The public interface cannot do what a full system needs cheaply: deliver exceptions and interrupts
as the hardware does, see a waiting processor, stop without replaying an instruction. The engine
itself can: its library exports its functions, and its state lies at the offsets of `layout`.

A wrong offset would corrupt memory of this process silently. So a table is used only for the very
builds it was verified with, or for a build that passes `self_test`, which reads through the kernel
and writes nothing until everything it read made sense. Elsewhere, and with
``CALYPSO_UNICORN_INTERNALS=0`` in the environment, the backend keeps to the public interface.
"""

from __future__ import annotations

import os

from vmm.backends.unicorn.coherence import watch_all_writes
from vmm.backends.unicorn.layout import LAYOUTS
from vmm.backends.unicorn.shim import load_shims
from vmm.errors import VmmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.unicorn.layout import Layout
    from vmm.backends.unicorn.library import CData, Library
    from vmm.backends.unicorn.shim import Shims

SWITCH: Final = "CALYPSO_UNICORN_INTERNALS"

# Bits of CPUState.interrupt_request (hw/core/cpu.h of the engine).
INTERRUPT_HARD: Final = 0x0002
INTERRUPT_VIRTUAL: Final = 0x0100

# All functions of the engine's inside that either architecture calls.
_FUNCTIONS: Final = (
    "arm_cpu_do_interrupt_aarch64",
    "get_arm_cp_reginfo_aarch64",
    "define_one_arm_cp_reg_with_opaque_aarch64",
    "x86_cpu_do_interrupt_x86_64",
    "x86_update_hflags_x86_64",
    "helper_read_eflags_x86_64",
    "helper_write_eflags_x86_64",
)


class Internals:
    """What is needed to reach into engines of this process.

    Attributes:
        library: the engine's library.
        layout: the verified offsets.
        shims: the native hooks.
    """

    def __init__(self, library: Library, layout: Layout, shims: Shims) -> None:
        self.library = library
        self.layout = layout
        self.shims = shims

    def address(self, function: str) -> int:
        """Return the address of one of the engine's private functions."""
        address = self.library.address_of(function)
        if address is None:
            raise VmmError(f"the engine's library does not export {function}")
        return address

    def prepare(self, target: str) -> bool:
        """Make ready for engines of ``target`` (``"aarch64"``, ``"x86_64"``).

        Returns False where the engine's inside stays closed after all.
        """
        return watch_all_writes(self.library, self.layout, target)

    def state(self, engine: CData) -> EngineState:
        """Return the private state of one engine, which must be initialised."""
        return EngineState(self, engine)


class EngineState:
    """Pointers into one engine; valid until it is closed, written by its own thread only.

    Attributes:
        engine: address of ``struct uc_struct``.
        cpu: address of ``CPUState``.
        env: address of the architecture's register structure.
        interrupt_request: pending interrupts, ``INTERRUPT_*``.
        halted: not 0 while the guest waits for an interrupt.
        block_exit: -1 to look at interrupts and stop requests before the next block.
    """

    def __init__(self, internals: Internals, engine: CData) -> None:
        self._ffi = internals.library.ffi
        layout = internals.layout
        self._layout = layout
        self.engine = int(self._ffi.cast("uintptr_t", engine))
        self.cpu = int(self.pointer("uintptr_t *", self.engine + layout.uc_cpu)[0])
        self.env = int(self.pointer("uintptr_t *", self.cpu + layout.cpu_env)[0])
        self.interrupt_request = self.pointer("uint32_t *", self.cpu + layout.cpu_interrupt_request)
        self.halted = self.pointer("uint32_t *", self.cpu + layout.cpu_halted)
        counter = int(self.pointer("uintptr_t *", self.cpu + layout.cpu_icount)[0])
        self.block_exit = self.pointer("int16_t *", counter + 2)

    def pointer(self, kind: str, address: int) -> CData:
        """Return a pointer of C type ``kind`` to ``address``."""
        return self._ffi.cast(kind, address)

    def field(self, kind: str, offset: int) -> CData:
        """Return a pointer of C type ``kind`` to ``offset`` in the register structure."""
        return self._ffi.cast(kind, self.env + offset)

    def leave_block(self) -> None:
        """Look at interrupts and stop requests before the next block. The engine's thread only."""
        self.block_exit[0] = -1

    def stop_only_between_blocks(self) -> None:
        """Translate code without exits inside a block; before any code is translated.

        By default a stop takes effect after each access to memory, and the instruction whose
        access it was is then executed a second time: an atomic addition adds twice.
        """
        self.pointer("uint8_t *", self.engine + self._layout.uc_no_exit_request)[0] = 1

    def deliver_all_exceptions(self) -> None:
        """Let hooks see every exception; the engine keeps some (#UD on x86) to itself."""
        self.pointer("uintptr_t *", self.engine + self._layout.uc_stop_interrupt)[0] = 0

    def allow_wide_device_accesses(self, bases: set[int]) -> None:
        """Hand 8-byte accesses to the device ranges at ``bases`` over whole, not in halves."""
        layout = self._layout
        count = self.pointer("uint32_t *", self.engine + layout.uc_mapped_block_count)[0]
        blocks = self.pointer("uintptr_t **", self.engine + layout.uc_mapped_blocks)[0]
        for index in range(count):
            region = blocks[index]
            # The operations of RAM are one constant table; those of a device range its own.
            if self.pointer("uint64_t *", region + layout.region_address)[0] in bases:
                operations = self.pointer("uintptr_t *", region + layout.region_operations)[0]
                self.pointer("uint32_t *", operations + layout.operations_largest_access)[0] = 8


def open_internals(library: Library) -> Internals | None:
    """Return access to the engine's inside, or None where only the public interface is certain."""
    if os.environ.get(SWITCH) == "0":
        return None
    layout = LAYOUTS.get(os.uname().machine)
    if layout is None or any(library.address_of(name) is None for name in _FUNCTIONS):
        return None
    shims = load_shims(library)
    if shims is None:
        return None
    internals = Internals(library, layout, shims)
    if library.build_id in layout.builds:
        return internals
    from vmm.backends.unicorn.selftest import adapted

    return adapted(internals)
