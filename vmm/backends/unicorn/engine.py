"""One engine: an emulated processor with guest RAM mapped into it, and its callbacks."""

from __future__ import annotations

from vmm.backends.unicorn.shim import load_shims

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Final

    from vmm.backends.unicorn.internals import EngineState, Internals
    from vmm.backends.unicorn.library import CData, Library
    from vmm.memory import GuestMemory

# <unicorn/unicorn.h>
ARCH_ARM64: Final = 2
ARCH_X86: Final = 4
MODE_LITTLE_ENDIAN: Final = 0
MODE_64: Final = 1 << 3
PROT_READ: Final = 1
PROT_EXEC: Final = 4
PROT_ALL: Final = 7
HOOK_INTR: Final = 1 << 0
HOOK_INSN: Final = 1 << 1
HOOK_CODE: Final = 1 << 2
HOOK_BLOCK: Final = 1 << 3

ERR_READ_UNMAPPED: Final = 6
ERR_WRITE_UNMAPPED: Final = 7
ERR_FETCH_UNMAPPED: Final = 8
ERR_FETCH_PROT: Final = 14

# uc_ctl: number | arguments << 26 | direction (1: set) << 30
_SET_ONE: Final = 1 << 26 | 1 << 30
_CTL_USE_EXITS: Final = 4 | _SET_ONE
_CTL_CPU_MODEL: Final = 7 | _SET_ONE
_CTL_TB_FLUSH: Final = 10 | 1 << 30
_CTL_TLB_FLUSH: Final = 11 | 1 << 30
_CTL_TLB_TYPE: Final = 12 | _SET_ONE
_CTL_TCG_BUFFER_SIZE: Final = 13 | _SET_ONE

_TLB_CPU: Final = 0

# Translated code of one engine. The default reserves 1 GiB; what does not fit is translated again.
_TRANSLATION_BUFFER: Final = 32 << 20

# Guest-physical addresses are of at most 52 bits on both architectures.
PHYSICAL_END: Final = 1 << 52


class Engine:
    """One engine; used by one thread at a time, save for `stop`.

    Attributes:
        library: the engine's library.
        ffi: its C types.
        api: its functions.
        handle: the ``uc_engine *``.
        state: its private state, or None where only the public interface is certain.
        failure: the exception that a callback raised; it stopped the run.
    """

    def __init__(
        self, library: Library, internals: Internals | None, arch: int, mode: int, model: int
    ) -> None:
        """Open an engine of the processor ``model`` (``UC_CPU_*``).

        Raises:
            EngineError: if the engine refuses.
        """
        self.library = library
        self.ffi = library.ffi
        self.api = library.api
        self.failure: BaseException | None = None
        self._target = "aarch64" if arch == ARCH_ARM64 else "x86_64"
        self._ram: list[tuple[int, int, CData]] = []
        self._kept: list[CData] = []
        self._word = self.ffi.new("uint64_t *")
        stop = library.address_of("uc_emu_stop")
        self._asked = self.ffi.new("uint64_t[3]", [0, stop, 0])  # struct stop, see `shim`
        handle = self.ffi.new("uc_engine **")
        library.check(self.api.uc_open(arch, mode, handle), "cannot open an engine")
        self.handle: CData = handle[0]
        try:
            self._control(_CTL_CPU_MODEL, model)
            self._control(_CTL_TCG_BUFFER_SIZE, _TRANSLATION_BUFFER)
            # No address ends a run. (An address to stop at, as `uc_emu_start` takes it, would be
            # translated through the guest's page tables when the run ends, and the fault that
            # this raises overwrites the state of the guest's own last fault.)
            self._control(_CTL_USE_EXITS, 1)
            # Address translation as the processor does it; this call also initialises the engine.
            self._control(_CTL_TLB_TYPE, _TLB_CPU)
            self.state: EngineState | None = None
            if internals is not None and internals.prepare(self._target):
                self.state = internals.state(self.handle)
            if self.state is not None:
                self.state.stop_only_between_blocks()
            else:
                self._stop_by_hook()
        except BaseException:
            self.close()
            raise

    def map_ram(self, memory: GuestMemory) -> None:
        """Map all RAM into the guest-physical address space, without a copy."""
        buffer = self.ffi.from_buffer(memory.mapping, require_writable=True)
        self._kept.append(buffer)
        for region in memory.regions:
            host = buffer + region.offset
            self.library.check(
                self.api.uc_mem_map_ptr(self.handle, region.base, region.size, PROT_ALL, host),
                f"cannot map RAM at {region.base:#x}",
            )
            self._ram.append((region.base, region.end, host))

    def map_devices(
        self,
        memory: GuestMemory,
        read: Callable[[int], Callable[[CData, int, int, CData], int]],
        write: Callable[[int], Callable[[CData, int, int, int, CData], None]],
        hole: tuple[int, int] | None = None,
    ) -> None:
        """Hand accesses to all guest-physical addresses outside RAM to callbacks.

        ``read(base)`` and ``write(base)`` make the callbacks for a range that starts at ``base``;
        these get offsets from it. An access to the ``hole``, (start, end), ends the run before the
        instruction, with `ERR_READ_UNMAPPED` or `ERR_WRITE_UNMAPPED`.
        """
        gaps = _gaps(memory, hole)
        for start, end in gaps:
            reader = self.callback("uc_cb_mmio_read_t", read(start), 0)
            writer = self.callback("uc_cb_mmio_write_t", write(start))
            null = self.ffi.NULL
            self.library.check(
                self.api.uc_mmio_map(self.handle, start, end - start, reader, null, writer, null),
                f"cannot map devices at {start:#x}",
            )
        if self.state is not None:
            self.state.allow_wide_device_accesses({start for start, _ in gaps})

    def callback(
        self, kind: str, function: Callable[..., object], on_failure: int | None = None
    ) -> CData:
        """Return ``function`` as a C function of pointer type ``kind``, for the engine's life.

        An exception in it stops the run, becomes `failure`, and C is given ``on_failure``.
        """
        pointer = self.ffi.callback(kind, function, on_failure, self._contain)
        self._kept.append(pointer)
        return pointer

    def keep(self, data: CData) -> CData:
        """Keep ``data``, which the engine points to, until the engine is closed; return it."""
        self._kept.append(data)
        return data

    def add_hook(
        self,
        kind: int,
        callback: CData,
        user: CData | None = None,
        *extra: CData,
        begin: int = 1,
        end: int = 0,
    ) -> CData:
        """Add a hook of type ``kind`` and return its handle; by default for all addresses."""
        hook = self.ffi.new("uc_hook *")
        pointer = self.ffi.cast("void *", callback)
        user = self.ffi.NULL if user is None else user
        code = self.api.uc_hook_add(self.handle, hook, kind, pointer, user, begin, end, *extra)
        self.library.check(code, "cannot add a hook")
        return hook[0]

    def remove_hook(self, hook: CData) -> None:
        """Remove a hook; translated code may go on calling it until `flush_code`."""
        self.library.check(self.api.uc_hook_del(self.handle, hook), "cannot remove a hook")

    def start(self, address: int) -> int:
        """Run from ``address`` until something stops the engine; return its error number."""
        self._asked[0] = 0
        self._asked[2] = 0
        return self.api.uc_emu_start(self.handle, address, 0, 0, 0)

    def stop(self) -> None:
        """End the run before the next block. Certain in the engine's own thread only."""
        if self.state is not None:
            self.api.uc_emu_stop(self.handle)
        else:
            self._asked[0] = 1

    def stop_in_exception_hook(self) -> None:
        """End the run once the hook returns, even if no further block can be fetched."""
        self._asked[2] += 1
        self.api.uc_emu_stop(self.handle)

    @property
    def stopped(self) -> bool:
        """Whether the last run was ended by a stop; only where blocks look for stops."""
        return bool(self._asked[2])

    def read_register(self, number: int) -> int:
        """Return a register of at most 64 bits by its ``UC_*_REG_*`` number."""
        self._word[0] = 0
        code = self.api.uc_reg_read(self.handle, number, self._word)
        self.library.check(code, f"cannot read register {number}")
        return int(self._word[0])

    def write_register(self, number: int, value: int) -> None:
        """Set a register of at most 64 bits by its ``UC_*_REG_*`` number."""
        self._word[0] = value
        code = self.api.uc_reg_write(self.handle, number, self._word)
        self.library.check(code, f"cannot write register {number}")

    def translate(self, address: int) -> int | None:
        """Return the guest-physical address that virtual ``address`` maps to for a read."""
        word = self._word
        if self.api.uc_vmem_translate(self.handle, address, PROT_READ, word) != 0:
            return None
        return int(word[0])

    def fetch(self, address: int) -> int | None:
        """Return the 32-bit instruction at virtual ``address``; None if it cannot be fetched."""
        word = self._word
        if self.api.uc_vmem_read(self.handle, address, PROT_EXEC, word, 4) != 0:
            return None
        return int(word[0]) & 0xFFFF_FFFF

    def invalidate_code(self, address: int, length: int) -> None:
        """Forget code translated from ``length`` bytes of RAM at guest-physical ``address``.

        Not during a run, unless from a callback.
        """
        if self.state is None:
            self.flush_code()
            return
        locate = getattr(self.api, f"qemu_ram_addr_from_host_{self._target}")
        invalidate = getattr(self.api, f"tb_invalidate_phys_range_{self._target}")
        for start, end, host in self._ram:
            first, last = max(start, address), min(end, address + length)
            if first < last:
                offset = locate(self.handle, host + (first - start))
                invalidate(self.handle, offset, offset + (last - first))

    def flush_code(self) -> None:
        """Forget translated code. Not during a run, unless from a callback."""
        self._control(_CTL_TB_FLUSH)

    def flush_translations(self) -> None:
        """Forget cached address translations."""
        self._control(_CTL_TLB_FLUSH)

    def close(self) -> None:
        """Free the engine. Nothing of it may be used afterwards."""
        if self.handle is None:
            return
        self.api.uc_close(self.handle)
        self.handle = None
        self.state = None
        self._ram.clear()
        self._kept.clear()

    def _stop_by_hook(self) -> None:
        """Have each block look whether the run shall end.

        The engine's own stop takes effect between the instructions of a block too, after an access
        to memory, and then repeats the instruction whose access it was: an atomic addition adds
        twice. Where this cannot be switched off (`EngineState.stop_only_between_blocks`), stops
        are asked for by a flag, and made where a block starts.
        """
        shims = load_shims(self.library)
        if shims is not None:
            self.add_hook(HOOK_BLOCK, self.ffi.cast("uintptr_t", shims.stop), self._asked)
            return

        def look(_engine: CData, _address: int, _size: int, _user: CData) -> None:
            if self._asked[0]:
                self._asked[2] += 1
                self.api.uc_emu_stop(self.handle)

        self.add_hook(HOOK_BLOCK, self.callback("uc_cb_hookblock_t", look))

    def _control(self, control: int, value: int | None = None) -> None:
        arguments = () if value is None else (self.ffi.cast("int", value),)
        control = control - (1 << 32) if control >> 31 else control
        code = self.api.uc_ctl(self.handle, control, *arguments)
        self.library.check(code, f"control {control & 0xFFFF}")

    def _contain(
        self,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType,
    ) -> None:
        if self.failure is None:
            self.failure = error
        self.stop_in_exception_hook()


def _gaps(memory: GuestMemory, hole: tuple[int, int] | None) -> list[tuple[int, int]]:
    """Return what is neither RAM nor the hole, as (start, end)."""
    taken = [(int(region.base), region.end) for region in memory.regions]
    if hole is not None:
        taken = sorted([*taken, hole])
    gaps: list[tuple[int, int]] = []
    start = 0
    for base, end in taken:
        if base > start:
            gaps.append((start, base))
        start = end
    gaps.append((start, PHYSICAL_END))
    return gaps
