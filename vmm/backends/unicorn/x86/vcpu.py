"""An x86_64 vCPU on the Unicorn engine.

The engine executes real, protected and long mode, paging, the TSS, IRET, SYSRET, SWAPGS, SSE up to
4.2, RDRAND and RDSEED. What a guest may notice: no AVX, no x2APIC, no SVM, SYSENTER does nothing,
and CR8 is not connected to the local APIC. MSRs that the engine does not know read 0 and ignore
writes, IA32_APIC_BASE among them; it knows EFER, STAR, LSTAR, CSTAR, FMASK, FS_BASE, GS_BASE,
KERNEL_GS_BASE, TSC_AUX, PAT, the MTRRs, the machine-check banks, MISC_ENABLE and PERF_STATUS. The
time-stamp counter counts nanoseconds of the machine's clock and cannot be written.
"""

from __future__ import annotations

from vmm.backends.exits import Crashed, Halted
from vmm.backends.registers import Segment
from vmm.backends.unicorn.engine import ARCH_X86, MODE_64, Engine
from vmm.backends.unicorn.vcpu import EngineVcpu
from vmm.backends.unicorn.x86.cpuid import COUNTER_HZ, MODEL
from vmm.backends.unicorn.x86.native import NativeCore
from vmm.backends.unicorn.x86.paging import translate
from vmm.backends.unicorn.x86.state import X86State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    from vmm.backends.api import AccessHandler, Exit, Registers, RegisterValue
    from vmm.backends.unicorn.internals import Internals
    from vmm.backends.unicorn.library import CData, Library
    from vmm.lines import Clock, InterruptLine, InterruptSource
    from vmm.memory import GuestMemory

    class Core(Protocol):
        """How the vCPU deals with its engine; see `NativeCore` and `PublicCore`."""

        def align_counter(self) -> None: ...
        def hook_ports(self, read: CData, write: CData) -> None: ...
        def program_counter(self) -> int: ...
        def halted(self) -> bool: ...
        def resume(self) -> None: ...
        def interrupts_enabled(self) -> bool: ...
        def triple_fault(self) -> bool: ...
        def drive_interrupt(self, level: bool) -> None: ...
        def drive_interrupt_in_callback(self, level: bool) -> bool: ...


_REAL_MODE_CODE: Final = 0x9B

__all__ = ["COUNTER_HZ", "X86Vcpu"]


class X86Vcpu(EngineVcpu):
    """An x86_64 vCPU; see `vmm.backends.api.X86Vcpu`."""

    def __init__(
        self,
        library: Library,
        internals: Internals | None,
        index: int,
        memory: GuestMemory,
        handler: AccessHandler,
        clock: Clock,
    ) -> None:
        """Make a vCPU in its state after RESET.

        Raises:
            EngineError: if the engine refuses.
            BackendUnavailable: if this build of the engine cannot do what is asked.
        """
        engine = Engine(library, internals, ARCH_X86, MODE_64, MODEL)
        try:
            super().__init__(index, engine, memory, handler)
            self._memory = memory
            self._source: InterruptSource | None = None
            self._requested = False
            self._state = X86State(engine)
            self._state.reset()
            self._core: Core = self._open_core(clock)
            self._core.hook_ports(
                engine.callback("uc_cb_insn_in_t", self._port_reader(), 0),
                engine.callback("uc_cb_insn_out_t", self._port_writer()),
            )
        except BaseException:
            engine.close()
            raise

    def _open_core(self, clock: Clock) -> Core:
        engine = self._engine
        if engine.state is not None:
            return NativeCore(
                engine, engine.state, self.index, clock, self._acknowledge_in_callback
            )
        from vmm.backends.unicorn.x86.public import PublicCore

        return PublicCore(
            engine, self._state, self._memory, self.index, clock, self._acknowledge, self._bell
        )

    # ---- Vcpu and X86Vcpu ----

    def connect_interrupts(self, source: InterruptSource) -> InterruptLine:
        self._source = source
        return self._drive_pin

    def receive_init(self) -> None:
        """Take an INIT from a local APIC: be off until a start-up message. Any thread."""
        if not self.parked:
            self.park()

    def receive_startup(self, page: int) -> None:
        """Take a start-up message (SIPI): begin in real mode at page ``page``. Any thread."""
        self.unpark({"cs": Segment(page << 8, page << 12, 0xFFFF, _REAL_MODE_CODE), "rip": 0})

    def registers(self) -> dict[str, RegisterValue]:
        return self._state.registers()

    def set_registers(self, registers: Registers) -> None:
        """Set the registers given; a new RIP ends the wait of a halted vCPU.

        Raises:
            ValueError: if there is no register of a name.
        """
        self._state.set_registers(registers)
        if "rip" in registers:
            self._waiting = False
            self._core.resume()

    def translate(self, address: int) -> int | None:
        return translate(self._memory, address, *self._state.paging_registers())

    def close(self) -> None:
        self._bell.silence()
        self._state.close()
        super().close()

    # ---- The run loop ----

    def run(self) -> Exit:
        self._core.align_counter()
        return super().run()

    def _reset(self) -> None:
        self._state.reset()
        self._core.resume()

    def program_counter(self) -> int:
        return self._core.program_counter()

    def _halted(self) -> bool:
        return self._core.halted()

    def _wait(self) -> Exit | None:
        if not self._core.interrupts_enabled():
            if self.index == 0:
                return Halted()
            # Another vCPU may still send an INIT.
            self._bell.wait()
            return None
        if self._requested:
            self._waiting = False
        else:
            self._bell.wait()
        return None

    def _outcome(self, error: int) -> Exit | None:
        if self._core.triple_fault() and self._engine.failure is None:
            return Crashed(f"triple fault at {self._core.program_counter():#x}")
        return super()._outcome(error)

    # ---- External interrupts ----

    def _drive_pin(self, level: bool) -> None:
        if level != self._requested:
            self._requested = level
            self._bell.ring()

    def _attend(self) -> None:
        self._core.drive_interrupt(self._requested)

    def _attend_in_callback(self) -> None:
        # Whoever has a request from here on finds the bell silent, and rings it again.
        self._bell.rung = False
        if (
            self._kicked
            or self._exit is not None
            or not self._core.drive_interrupt_in_callback(self._requested)
        ):
            self._engine.stop()

    def _acknowledge(self) -> int:
        """Run the acknowledge cycle and return the vector."""
        source = self._source
        if source is None:
            return 0
        with self._handler.lock:
            return source.acknowledge() & 0xFF

    def _acknowledge_in_callback(self) -> int:
        bell = self._bell
        bell.native = False
        vector = self._acknowledge()
        bell.native = True
        if bell.rung:
            self._attend_in_callback()
        return vector

    # ---- Ports; see `EngineVcpu` about the callbacks' form ----

    def _port_reader(self) -> Callable[[CData, int, int, CData], int]:
        bell = self._bell
        port_read = self._handler.port_read

        def read(_engine: CData, port: int, size: int, _user: CData) -> int:
            bell.native = False
            value = port_read(port, size)
            bell.native = True
            if bell.rung:
                self._attend_in_callback()
            return value

        return read

    def _port_writer(self) -> Callable[[CData, int, int, int, CData], None]:
        bell = self._bell
        port_write = self._handler.port_write

        def write(_engine: CData, port: int, size: int, value: int, _user: CData) -> None:
            bell.native = False
            port_write(port, size, value)
            bell.native = True
            if bell.rung:
                self._attend_in_callback()

        return write
