"""An arm64 vCPU's dealings with the engine where its inside is open: see `internals`."""

from __future__ import annotations

from vmm.backends.unicorn.engine import HOOK_INTR
from vmm.backends.unicorn.internals import INTERRUPT_HARD
from vmm.backends.unicorn.layout import ARM_PC, ARM_X0
from vmm.backends.unicorn.shim import new_dispatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.backends.unicorn.arm64.registers import Encoding
    from vmm.backends.unicorn.engine import Engine
    from vmm.backends.unicorn.internals import EngineState, Internals
    from vmm.backends.unicorn.library import CData

# EXCP_* (target/arm/cpu.h of the engine)
EXCEPTION_HVC: Final = 11
EXCEPTION_SMC: Final = 13

# ARMCPRegInfo (target/arm/cpu.h of the engine)
_STATE_AARCH64: Final = 1
_TYPE_CONSTANT: Final = 0x02
_TYPE_OVERRIDE_IO_NO_RAW: Final = 0x10 | 0x40 | 0x80
_ACCESS_EL1: Final = 0xFC
_SYSTEM_REGISTERS: Final = 1 << 28 | 0x13 << 16


class NativeCore:
    """Exceptions, interrupts and system registers by the engine's own means.

    Exceptions are delivered natively, save HVC and SMC. The interrupt input is the engine's own,
    sampled before each block, so that it honours PSTATE.I. System registers that are devices are
    entered into the engine's table.
    """

    def __init__(
        self,
        engine: Engine,
        internals: Internals,
        state: EngineState,
        on_call: Callable[[CData, int, CData], None],
    ) -> None:
        """Take over ``engine``; ``on_call`` is the hook for HVC and SMC."""
        self._engine = engine
        self._layout = internals.layout
        self._state = state
        self._registers = state.field("uint64_t *", ARM_X0)
        self._pc = state.field("uint64_t *", ARM_PC)
        python = engine.callback("uc_cb_hookintr_t", on_call)
        deliver = internals.address("arm_cpu_do_interrupt_aarch64")
        firmware = (EXCEPTION_HVC, EXCEPTION_SMC)
        dispatch = new_dispatch(engine.library, state.cpu, deliver, python, firmware)
        engine.keep(dispatch)
        hook = engine.ffi.cast("uintptr_t", internals.shims.dispatch)
        engine.add_hook(HOOK_INTR, hook, dispatch)
        self._level_hooks = self._remove_level_hooks()
        # System registers that are devices, by the number that their ``opaque`` holds. All have the
        # same two callbacks: making one takes as long as all else about a register.
        self._devices: list[tuple[Callable[[], int], Callable[[int], None]]] = []
        self._device_name = engine.ffi.new("char[]", b"device")
        reader = engine.callback("register_read_t", self._read_register, 0)
        writer = engine.callback("register_write_t", self._write_register)
        self._reader = engine.ffi.cast("void *", reader)
        self._writer = engine.ffi.cast("void *", writer)

    def close(self) -> None:
        """Undo what would keep the engine from freeing all of its memory."""
        lists = self._level_lists()
        lists[0], lists[1] = self._level_hooks

    def program_counter(self) -> int:
        """Return PC; valid while the engine does not execute, and in exception hooks."""
        return int(self._pc[0])

    def argument(self, number: int) -> int:
        """Return X0 to X30, from an exception hook."""
        return int(self._registers[number])

    def set_result(self, value: int) -> None:
        """Set X0, from an exception hook."""
        self._registers[0] = value

    def halted(self) -> bool:
        """Tell whether the run that just ended did so by WFI."""
        return bool(self._state.halted[0])

    def drive_interrupt(self, level: bool) -> None:
        """Set the IRQ input; while the engine does not execute, or from a callback."""
        request = self._state.interrupt_request
        if level:
            request[0] |= INTERRUPT_HARD
        else:
            request[0] &= ~INTERRUPT_HARD

    def drive_interrupt_in_callback(self, level: bool) -> bool:
        """Set the IRQ input so that it is seen after the current block; True: no stop needed."""
        self.drive_interrupt(level)
        if level:
            self._state.leave_block()
        return True

    def define_register(
        self, encoding: Encoding, read: Callable[[], int], write: Callable[[int], None]
    ) -> None:
        """Have the system register ``encoding`` read and written by functions.

        One that the engine has keeps its access rights; a new one is EL1's.
        """
        existing = self._find(encoding)
        info = self._new_register(encoding) if existing is None else existing
        info.opaque = len(self._devices)
        info.readfn = self._reader
        info.writefn = self._writer
        self._devices.append((read, write))
        if existing is None:
            # The engine copies the structure and the name.
            engine = self._engine
            define = engine.api.define_one_arm_cp_reg_with_opaque_aarch64
            define(engine.ffi.cast("void *", self._state.cpu), info, engine.ffi.NULL)

    def _new_register(self, encoding: Encoding) -> CData:
        info = self._engine.ffi.new("struct register_info *")
        info.name = self._device_name
        info.opc0, info.opc1, info.crn, info.crm, info.opc2 = encoding
        info.state = _STATE_AARCH64
        info.type = _TYPE_OVERRIDE_IO_NO_RAW
        info.access = _ACCESS_EL1
        return info

    def _read_register(self, _env: CData, info: CData) -> int:
        read, _ = self._devices[int(info.opaque)]
        return read()

    def _write_register(self, _env: CData, info: CData, value: int) -> None:
        _, write = self._devices[int(info.opaque)]
        write(value)

    def identify(self, encoding: Encoding, features: int) -> None:
        """Let an identification register read as ``features``."""
        register = self._find(encoding)
        if register is not None:
            register.type |= _TYPE_CONSTANT
            register.resetvalue = features

    def _remove_level_hooks(self) -> tuple[int, int]:
        """Take away what is called at each exception and each return, and return it.

        These functions stop and start the performance counters that count at one exception level
        only, by the host's clock. They take half of the time of a system call.
        """
        lists = self._level_lists()
        removed = lists[0], lists[1]
        lists[0] = lists[1] = 0
        return removed

    def _level_lists(self) -> CData:
        state = self._state
        return state.pointer("uintptr_t *", state.cpu + self._layout.arm_level_hooks)

    def _find(self, encoding: Encoding) -> CData | None:
        state = self._state
        table = state.pointer("void **", state.cpu + self._layout.arm_registers)[0]
        op0, op1, crn, crm, op2 = encoding
        key = _SYSTEM_REGISTERS | op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
        found = self._engine.api.get_arm_cp_reginfo_aarch64(table, key)
        if not found:
            return None
        return self._engine.ffi.cast("struct register_info *", found)
