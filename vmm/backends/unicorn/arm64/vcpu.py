"""An arm64 vCPU on the Unicorn engine: EL1 and EL0 of an Armv8-A processor with a firmware."""

from __future__ import annotations

from vmm.backends.exits import Crashed
from vmm.backends.unicorn.arm64 import psci
from vmm.backends.unicorn.arm64.native import NativeCore
from vmm.backends.unicorn.arm64.registers import (
    ID_AA64PFR0_EL1,
    IDENTITY,
    NOWHERE,
    PFR0_GIC,
    Registers,
)
from vmm.backends.unicorn.arm64.timer import COUNTER_HZ, TICK_NS, GenericTimer
from vmm.backends.unicorn.counter import SLACK_NS, clock_offset
from vmm.backends.unicorn.engine import ARCH_ARM64, MODE_LITTLE_ENDIAN, Engine
from vmm.backends.unicorn.vcpu import EngineVcpu

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    from vmm.backends.api import (
        AccessHandler,
        Exit,
        RegisterValue,
        SystemRegisterHandler,
    )
    from vmm.backends.api import (
        Registers as RegisterMapping,
    )
    from vmm.backends.unicorn.arm64.registers import Encoding
    from vmm.backends.unicorn.internals import Internals
    from vmm.backends.unicorn.library import CData, Library
    from vmm.lines import Clock, InterruptLine
    from vmm.memory import GuestMemory

    class Core(Protocol):
        """How the vCPU deals with its engine; see `NativeCore` and `PublicCore`."""

        def close(self) -> None: ...
        def program_counter(self) -> int: ...
        def argument(self, number: int) -> int: ...
        def set_result(self, value: int) -> None: ...
        def halted(self) -> bool: ...
        def drive_interrupt(self, level: bool) -> None: ...
        def drive_interrupt_in_callback(self, level: bool) -> bool: ...
        def define_register(
            self, encoding: Encoding, read: Callable[[], int], write: Callable[[int], None]
        ) -> None: ...
        def identify(self, encoding: Encoding, features: int) -> None: ...


__all__ = ["COUNTER_HZ", "Arm64Vcpu"]

# UC_CPU_ARM64_MAX: all that the engine implements, LSE atomics and RNDR among it.
_MODEL_MAX: Final = 3

# CNTx_TVAL_EL0, CNTx_CTL_EL0, CNTx_CVAL_EL0 are (3, 3, 14, CRm, 0 to 2).
_CRM_PHYSICAL: Final = 2
_CRM_VIRTUAL: Final = 3


def _power_state(vcpu: EngineVcpu) -> int:
    if vcpu.is_starting:
        return psci.STARTING
    return psci.OFF if vcpu.is_off else psci.ON


class Arm64Vcpu(EngineVcpu):
    """An arm64 vCPU; see `vmm.backends.api.Arm64Vcpu`."""

    def __init__(
        self,
        library: Library,
        internals: Internals | None,
        index: int,
        memory: GuestMemory,
        handler: AccessHandler,
        clock: Clock,
    ) -> None:
        """Make a vCPU as firmware leaves it: at EL1h, everything masked, translation off.

        Raises:
            EngineError: if the engine refuses.
        """
        engine = Engine(library, internals, ARCH_ARM64, MODE_LITTLE_ENDIAN, _MODEL_MAX)
        try:
            super().__init__(index, engine, memory, handler)
            self._assemble(internals, clock)
        except BaseException:
            engine.close()
            raise

    def _assemble(self, internals: Internals | None, clock: Clock) -> None:
        self._lock = self._handler.lock
        self._clock = clock
        self._irq = False
        self._registers = Registers(self._engine)
        self._registers.reset(self.index)
        self._initial_sctlr = self._registers.get()["sctlr_el1"]
        self._core: Core = self._open_core(internals)
        self._identity: dict[Encoding, int] = {}
        for encoding, (absent, present) in IDENTITY.items():
            features = self._registers.read_system(encoding) & ~absent | present
            self._core.identify(encoding, features)
            self._identity[encoding] = features
        self._counter_offset = 0
        self._align_counter()
        self._virtual = GenericTimer(clock, self._virtual_count)
        self._physical = GenericTimer(clock, self._physical_count)
        self._define_timer(self._virtual, _CRM_VIRTUAL)
        self._define_timer(self._physical, _CRM_PHYSICAL)

    def _open_core(self, internals: Internals | None) -> Core:
        engine = self._engine
        if internals is not None and engine.state is not None:
            return NativeCore(engine, internals, engine.state, self._on_call)
        from vmm.backends.unicorn.arm64.public import PublicCore

        return PublicCore(engine, self._registers, self._on_call, self._clock, self._bell)

    # ---- Vcpu and Arm64Vcpu ----

    def run(self) -> Exit:
        self._align_counter()
        return super().run()

    def registers(self) -> dict[str, RegisterValue]:
        return dict(self._registers.get())

    def set_registers(self, registers: RegisterMapping) -> None:
        values = {name: value for name, value in registers.items() if isinstance(value, int)}
        self._registers.set(values)

    def _reset(self) -> None:
        self._registers.reset(self.index)
        # What software may have set and must find otherwise after CPU_ON: no MMU, no caches.
        self._registers.set({"sctlr_el1": self._initial_sctlr})

    def close(self) -> None:
        self._bell.silence()
        if self._engine.handle is not None:
            self._core.close()
        super().close()

    def irq_line(self) -> InterruptLine:
        return self._drive_irq

    def connect_timer(self, virtual: InterruptLine, physical: InterruptLine) -> None:
        with self._lock:
            self._virtual.connect(virtual)
            self._physical.connect(physical)

    def attach_system_registers(self, handler: SystemRegisterHandler) -> None:
        # The registers of a GICv3's CPU interface.
        features = self._identity[ID_AA64PFR0_EL1] | PFR0_GIC
        self._core.identify(ID_AA64PFR0_EL1, features)
        for encoding in handler.encodings():
            self._define_device_register(handler, encoding)

    # ---- Interrupts ----

    def _drive_irq(self, level: bool) -> None:
        if level != self._irq:
            self._irq = level
            self._bell.ring()

    def _attend(self) -> None:
        self._core.drive_interrupt(self._irq)

    def _attend_in_callback(self) -> None:
        self._bell.rung = False
        if self._kicked or not self._core.drive_interrupt_in_callback(self._irq):
            # The request stands; `run` looks at it again.
            self._engine.stop()

    def program_counter(self) -> int:
        return self._core.program_counter()

    def _halted(self) -> bool:
        return self._core.halted()

    def _explain(self, error: int) -> Exit:
        if self.program_counter() & ~0xFFF == NOWHERE:
            return Crashed("an exception to EL2 or EL3, which this machine does not have")
        return super()._explain(error)

    def _wait(self) -> Exit | None:
        # An interrupt ends WFI whether PSTATE.I masks it or not (Arm ARM D1.17.2).
        if not self._irq:
            self._bell.wait()
        self._waiting = not self._irq
        return None

    # ---- Firmware calls ----

    def _on_call(self, _engine: CData, _exception: int, _user: CData) -> None:
        bell = self._bell
        bell.native = False
        core = self._core
        arguments = (core.argument(1), core.argument(2), core.argument(3))
        states = [_power_state(vcpu) for vcpu in self.peers]
        answer = psci.call(states, self.index, core.argument(0), arguments)
        core.set_result(answer.result & 0xFFFF_FFFF_FFFF_FFFF)
        if answer.start is not None:
            number, entry, context = answer.start
            self.peers[number].unpark({"pc": entry, "x0": context})
        if answer.exit is not None:
            self._end_run(answer.exit)
        elif answer.suspend:
            self._waiting = True
            self._engine.stop()
        elif answer.off:
            self.park()
            self._engine.stop()
        bell.native = True
        if bell.rung:
            self._attend_in_callback()

    # ---- Counter and timers ----

    # The engine's counters are the host's monotonic clock. CNTVOFF_EL2 takes the virtual one back
    # to the guest's clock, so that CNTVCT_EL0 never is behind what timers compare with.

    def _align_counter(self) -> None:
        """Set the virtual counter to the clock, if the clock stood still or was set."""
        offset = -clock_offset(self._clock)
        if abs(offset - self._counter_offset) > SLACK_NS:
            self._counter_offset = offset
            self._registers.set_counter_offset(offset // TICK_NS)

    def _virtual_count(self) -> int:
        return self._clock.now() // TICK_NS

    def _physical_count(self) -> int:
        return (self._clock.now() + self._counter_offset) // TICK_NS

    def _define_timer(self, timer: GenericTimer, crm: int) -> None:
        accesses = (
            (timer.read_value, timer.write_value),
            (timer.read_control, timer.write_control),
            (timer.read_compare, timer.write_compare),
        )
        for op2, (read, write) in enumerate(accesses):
            self._define_register((3, 3, 14, crm, op2), read, write)

    # ---- System registers that are devices ----

    def _define_device_register(self, handler: SystemRegisterHandler, encoding: Encoding) -> None:
        def read() -> int:
            return handler.read_register(encoding)

        def write(value: int) -> None:
            handler.write_register(encoding, value)

        self._define_register(encoding, read, write)

    def _define_register(
        self, encoding: Encoding, read: Callable[[], int], write: Callable[[int], None]
    ) -> None:
        bell = self._bell
        lock = self._lock

        def on_read() -> int:
            bell.native = False
            with lock:
                value = read()
            bell.native = True
            if bell.rung:
                self._attend_in_callback()
            return value

        def on_write(value: int) -> None:
            bell.native = False
            with lock:
                write(value)
            bell.native = True
            if bell.rung:
                self._attend_in_callback()

        self._core.define_register(encoding, on_read, on_write)
