"""An arm64 vCPU's dealings with the engine through its public interface alone.

What `native` has the engine do, Python does here. Every exception costs 20 us instead of
0.2, and:

* An interrupt is taken only when the engine has stopped. While one is pending that PSTATE.I masks,
  the engine is stopped every millisecond to look; it cannot tell when the mask is lifted.
* 8-byte accesses to devices arrive as two of 4 bytes.
* WFI is noticed by the engine's return.
* Performance counters are wrong once there was an exception.
* Timers are EL1's: accesses from EL0, where CNTKCTL_EL1 lets them through, do nothing.
"""

from __future__ import annotations

from vmm.backends.unicorn.arm64.native import EXCEPTION_HVC, EXCEPTION_SMC
from vmm.backends.unicorn.arm64.registers import (
    PSTATE_EL,
    PSTATE_I,
    PSTATE_SP,
    REG_PC,
    REG_PSTATE,
    REG_X0,
)
from vmm.backends.unicorn.engine import HOOK_INSN, HOOK_INTR
from vmm.backends.unicorn.layout import ARM_FAULT_ADDRESS, ARM_PC, ARM_SYNDROME
from vmm.errors import VmmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.backends.unicorn.arm64.registers import Encoding, Registers
    from vmm.backends.unicorn.doorbell import Doorbell
    from vmm.backends.unicorn.engine import Engine
    from vmm.backends.unicorn.library import CData
    from vmm.lines import Clock

    RegisterHandler = tuple[Callable[[], int], Callable[[int], None]]

# EXCP_* (target/arm/cpu.h of the engine)
_UNDEFINED: Final = 1
_INSTRUCTION_ABORT: Final = 3
_DATA_ABORT: Final = 4

# UC_ARM64_INS_*
_INS_MRS: Final = 1
_INS_MSR: Final = 2

# MRS and MSR (register): bits that tell them from others, and the one that tells them apart.
_SYSTEM_MASK: Final = 0xFFD0_0000
_SYSTEM: Final = 0xD510_0000
_SYSTEM_READ: Final = 1 << 21
_ZERO: Final = "x31"

# Vector offsets (Arm ARM D1.10.2), by where the exception comes from.
_SAME_LEVEL_SP0: Final = 0x000
_SAME_LEVEL_SPX: Final = 0x200
_LOWER_LEVEL: Final = 0x400
_IRQ: Final = 0x080

# op0, op1 and CRn of the generic timers
_TIMERS: Final = (3, 3, 14)
_SPAN: Final = 1 << 23
_PSTATE_PAN: Final = 1 << 22
_DAIF_EL1H: Final = 0x3C5

# The register structure follows this header in a saved context.
_CONTEXT_HEADER: Final = 40

_POLL_NS: Final = 1_000_000


class PublicCore:
    """Exceptions, interrupts and system registers, emulated; see `arm64.Core`."""

    def __init__(
        self,
        engine: Engine,
        registers: Registers,
        on_call: Callable[[CData, int, CData], None],
        clock: Clock,
        bell: Doorbell,
    ) -> None:
        """Take over ``engine``; ``on_call`` is the hook for HVC and SMC."""
        self._engine = engine
        self._registers = registers
        self._on_call = on_call
        self._clock = clock
        self._poll = clock.timer(bell.ring)
        self._bell = bell
        # By whether the engine has such a register, if one without function. Hooks see accesses to
        # both kinds, but must not answer for one that the engine does not have: it has translated
        # the access into an exception, with nothing behind it.
        self._known: dict[Encoding, RegisterHandler] = {}
        self._unknown: dict[Encoding, RegisterHandler] = {}
        self._context = self._allocate_context()
        # The timers exist in the engine, where they do nothing, so accesses to them do not trap.
        self._hook_accesses(_INS_MRS, self._on_mrs)
        self._hook_accesses(_INS_MSR, self._on_msr)
        engine.add_hook(HOOK_INTR, engine.callback("uc_cb_hookintr_t", self._on_exception))

    def close(self) -> None:
        pass

    def program_counter(self) -> int:
        return self._engine.read_register(REG_PC)

    def argument(self, number: int) -> int:
        return self._engine.read_register(REG_X0 + number)

    def set_result(self, value: int) -> None:
        self._engine.write_register(REG_X0, value)

    def halted(self) -> bool:
        # A run without an error ends by a stop or by WFI.
        return not self._engine.stopped

    def drive_interrupt(self, level: bool) -> None:
        if not level:
            return
        if self._engine.read_register(REG_PSTATE) & PSTATE_I:
            self._poll.arm(self._clock.now() + _POLL_NS)
            return
        self._enter(_IRQ)

    def drive_interrupt_in_callback(self, level: bool) -> bool:
        return not level

    def define_register(
        self, encoding: Encoding, read: Callable[[], int], write: Callable[[int], None]
    ) -> None:
        known = encoding[:3] == _TIMERS
        (self._known if known else self._unknown)[encoding] = (read, write)

    def identify(self, encoding: Encoding, features: int) -> None:
        """Let an identification register read as ``features``."""

        def read() -> int:
            return features

        def write(_value: int) -> None:
            pass

        self._known[encoding] = (read, write)

    # ---- Exceptions ----

    def _on_exception(self, engine: CData, number: int, user: CData) -> None:
        if number in (EXCEPTION_HVC, EXCEPTION_SMC):
            self._on_call(engine, number, user)
            return
        self._bell.native = False
        if number != _UNDEFINED or not self._emulate_access():
            self._deliver(number)
        self._bell.native = True
        if self._bell.rung:
            self._engine.stop_in_exception_hook()

    def _deliver(self, number: int) -> None:
        syndrome, address = self._fault()
        values = {"esr_el1": syndrome}
        if number in (_INSTRUCTION_ABORT, _DATA_ABORT):
            values["far_el1"] = address
        self._registers.set(values)
        self._enter(0)

    def _enter(self, kind: int) -> None:
        """Take an exception to EL1 (Arm ARM D1.10)."""
        values = self._registers.get()
        pstate = values["pstate"]
        if not pstate & PSTATE_EL:
            vector = _LOWER_LEVEL
        elif pstate & PSTATE_SP:
            vector = _SAME_LEVEL_SPX
        else:
            vector = _SAME_LEVEL_SP0
        entered = _DAIF_EL1H | pstate & _PSTATE_PAN
        if not values["sctlr_el1"] & _SPAN:
            entered |= _PSTATE_PAN
        self._registers.set(
            {
                "elr_el1": values["pc"],
                "spsr_el1": pstate,
                "pstate": entered,
                "pc": values["vbar_el1"] + vector + kind,
            }
        )

    def _allocate_context(self) -> CData:
        engine = self._engine
        context = engine.ffi.new("void **")
        code = engine.api.uc_context_alloc(engine.handle, context)
        engine.library.check(code, "cannot allocate a context")
        return engine.ffi.gc(context[0], engine.api.uc_context_free)

    def _fault(self) -> tuple[int, int]:
        """Return syndrome and address of the exception being taken, out of a saved context."""
        engine = self._engine
        engine.library.check(
            engine.api.uc_context_save(engine.handle, self._context), "cannot save a context"
        )
        state = engine.ffi.cast("char *", self._context) + _CONTEXT_HEADER
        cast = engine.ffi.cast
        if cast("uint64_t *", state + ARM_PC)[0] != self.program_counter():
            raise VmmError("the engine's saved state is not laid out as in the release expected")
        syndrome = cast("uint32_t *", state + ARM_SYNDROME)[0]
        return int(syndrome), int(cast("uint64_t *", state + ARM_FAULT_ADDRESS)[0])

    # ---- System registers ----

    def _hook_accesses(self, instruction: int, function: Callable[..., int]) -> None:
        engine = self._engine
        callback = engine.callback("uc_cb_insn_sys_t", function, 0)
        engine.add_hook(HOOK_INSN, callback, None, engine.ffi.cast("int", instruction))

    def _on_mrs(self, _engine: CData, target: int, register: CData, _user: CData) -> int:
        handler = self._handler(self._known, _encoding(register))
        if handler is None:
            return 0
        self._engine.write_register(target, handler[0]())
        return 1

    def _on_msr(self, _engine: CData, _source: int, register: CData, _user: CData) -> int:
        handler = self._handler(self._known, _encoding(register))
        if handler is None:
            return 0
        handler[1](int(register.val))
        return 1

    def _emulate_access(self) -> bool:
        """Carry out the undefined instruction if it accesses a register that is a device."""
        engine = self._engine
        pc = self.program_counter()
        instruction = engine.fetch(pc)
        if instruction is None or instruction & _SYSTEM_MASK != _SYSTEM:
            return False
        handler = self._handler(self._unknown, _encoding_in(instruction))
        if handler is None:
            return False
        name = f"x{instruction & 31}"
        if instruction & _SYSTEM_READ:
            value = handler[0]()
            if name != _ZERO:
                self._registers.set({name: value})
        else:
            handler[1](0 if name == _ZERO else self._registers.get()[name])
        engine.write_register(REG_PC, pc + 4)
        return True

    def _handler(
        self, handlers: dict[Encoding, RegisterHandler], encoding: Encoding
    ) -> RegisterHandler | None:
        """Return who answers an access from the current exception level, if anybody does."""
        if not self._engine.read_register(REG_PSTATE) & PSTATE_EL:
            return None
        return handlers.get(encoding)


def _encoding(register: CData) -> Encoding:
    return register.op0, register.op1, register.crn, register.crm, register.op2


def _encoding_in(instruction: int) -> Encoding:
    """Return which system register an MRS or MSR instruction names (Arm ARM C5.2)."""
    return (
        instruction >> 19 & 3,
        instruction >> 16 & 7,
        instruction >> 12 & 15,
        instruction >> 8 & 15,
        instruction >> 5 & 7,
    )
