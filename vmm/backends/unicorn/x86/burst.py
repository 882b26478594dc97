"""A short run of x86 instructions on an engine of its own, for another backend.

The engine is lent a processor's state, executes the instruction that the other backend cannot, and
goes on while that is likely to save the next hand-over. It keeps clear of everything that the other
backend has a state of its own for: the burst ends before an instruction that `classify` calls a
system instruction, after an access to a device, and before one to the local APIC.

This engine keeps to the public interface: so it can end between any two instructions.
"""

from __future__ import annotations

from vmm.backends.registers import Segment
from vmm.backends.unicorn.engine import (
    ARCH_X86,
    HOOK_CODE,
    HOOK_INTR,
    MODE_64,
    PROT_EXEC,
    Engine,
)
from vmm.backends.unicorn.x86.cpuid import MODEL
from vmm.backends.unicorn.x86.delivery import TripleFault, deliver, raised
from vmm.backends.unicorn.x86.fpu import X86Fpu
from vmm.backends.unicorn.x86.state import REG_RIP, X86State
from vmm.backends.x86_opcodes import PLAIN, SYSTEM, classify
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.backends.api import AccessHandler, Registers, RegisterValue
    from vmm.backends.unicorn.library import CData, Library
    from vmm.memory import GuestMemory

# The local APIC is where a PC has it: its registers are the other backend's.
_LOCAL_APIC: Final = (0xFEE0_0000, 0xFEE0_1000)

# A hand-over costs about as much as this many instructions here, so that it pays to wait this long
# for the next one that needs the engine.
_PATIENCE: Final = 100
# Interrupts and requests of other threads wait for a burst: it is to take about a millisecond.
_LONGEST: Final = 1000

_LONGEST_INSTRUCTION: Final = 15
_PAGE: Final = 0x1000
_EFER_LMA: Final = 1 << 10
_LONG_CODE: Final = 1 << 13  # in `Segment.attributes`
_HOOK_INSN_INVALID: Final = 1 << 14


@value
class BurstResult:
    """What came of a burst.

    Attributes:
        executed: number of instructions executed.
        needed: how many of them were vector instructions.
        registers: those that differ from before.
        refusal: why there is no way on for the engine either; empty if there is.
        shutdown: a triple fault ended it.
    """

    executed: int
    needed: int
    registers: dict[str, RegisterValue]
    refusal: str
    shutdown: bool


class X86Burst:
    """An engine that runs bursts over a machine's RAM and devices."""

    def __init__(self, library: Library, memory: GuestMemory, handler: AccessHandler) -> None:
        """Make the engine.

        Raises:
            EngineError: if that is refused.
        """
        self._memory = memory
        self._handler = handler
        self._engine = engine = Engine(library, None, ARCH_X86, MODE_64, MODEL)
        try:
            engine.map_ram(memory)
            engine.map_devices(memory, self._reader, self._writer, hole=_LOCAL_APIC)
            self._state = X86State(engine)
            self._fpu = X86Fpu(engine)
            self._refusal = ""
            self._shutdown = False
            self._code = engine.ffi.new("uint8_t[]", _LONGEST_INSTRUCTION)
            self._code_bytes = engine.ffi.buffer(self._code, _LONGEST_INSTRUCTION)
            callback = engine.callback
            engine.add_hook(HOOK_CODE, callback("uc_cb_hookblock_t", self._on_instruction))
            engine.add_hook(HOOK_INTR, callback("uc_cb_hookintr_t", self._on_exception))
            invalid = callback("uc_cb_insn_cpuid_t", self._on_invalid_instruction, 1)
            engine.add_hook(_HOOK_INSN_INVALID, invalid)
        except BaseException:
            engine.close()
            raise

    def run(self, registers: Registers, fpu: bytearray) -> BurstResult:
        """Execute at least the instruction at RIP, if the engine can.

        Args:
            registers: all that the contract of backends names.
            fpu: x87 and SSE registers as FXSAVE lays them out; updated.
        """
        engine, state = self._engine, self._state
        # The other backend has executed since: translated code and translations may be stale.
        engine.flush_code()
        state.set_registers(registers)
        self._fpu.load(fpu)
        before = state.registers()
        self._begin(before)
        error = engine.start(engine.read_register(REG_RIP))
        if engine.failure is not None:
            failure, engine.failure = engine.failure, None
            raise failure
        if error and self._executed == 1:
            self._refusal = self._refusal or engine.library.describe(error)
        self._fpu.store(fpu)
        after = state.registers()
        return BurstResult(
            executed=self._executed - bool(error or self._refusal),
            needed=self._needed,
            registers={name: after[name] for name in after if after[name] != before[name]},
            refusal=self._refusal,
            shutdown=self._shutdown,
        )

    def close(self) -> None:
        """Free the engine."""
        self._state.close()
        self._engine.close()

    def _begin(self, registers: dict[str, RegisterValue]) -> None:
        efer, code = registers["efer"], registers["cs"]
        assert isinstance(efer, int)
        assert isinstance(code, Segment)
        self._long_mode = bool(efer & _EFER_LMA and code.attributes & _LONG_CODE)
        self._executed = self._needed = self._idle = 0
        self._done = False
        self._refusal = ""
        self._shutdown = False
        self._kinds: dict[int, str] = {}

    # ---- Called by the engine ----

    def _on_instruction(self, _engine: CData, address: int, size: int, _user: CData) -> None:
        kind = self._kinds.get(address)
        if kind is None:
            kind = self._kinds[address] = self._classify(address, size)
        # The first one is what the burst is for, whatever it is.
        if self._executed:
            if kind == SYSTEM or self._done or self._idle > _PATIENCE or self._executed > _LONGEST:
                self._engine.api.uc_emu_stop(self._engine.handle)
                return
            self._idle += 1
        if kind != PLAIN:
            self._idle = 0
            self._needed += 1
        self._executed += 1

    def _classify(self, address: int, size: int) -> str:
        engine = self._engine
        length = min(size, _LONGEST_INSTRUCTION)
        if engine.api.uc_vmem_read(engine.handle, address, PROT_EXEC, self._code, length) != 0:
            return SYSTEM
        return classify(bytes(self._code_bytes[:length]), long_mode=self._long_mode)

    def _on_exception(self, _engine: CData, vector: int, _user: CData) -> None:
        try:
            deliver(self._state, self._memory, raised(self._state, vector))
        except TripleFault:
            self._shutdown = True
        self._engine.stop_in_exception_hook()

    def _on_invalid_instruction(self, _engine: CData, _user: CData) -> int:
        self._refusal = "the engine does not know the instruction"
        self._engine.stop_in_exception_hook()
        return 1

    def _reader(self, base: int) -> Callable[[CData, int, int, CData], int]:
        def read(_engine: CData, offset: int, size: int, _user: CData) -> int:
            self._done = True
            return self._handler.mmio_read(base + offset, size)

        return read

    def _writer(self, base: int) -> Callable[[CData, int, int, int, CData], None]:
        def write(_engine: CData, offset: int, size: int, word: int, _user: CData) -> None:
            self._done = True
            self._handler.mmio_write(base + offset, size, word)

        return write
