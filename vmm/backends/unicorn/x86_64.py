"""The x86_64 vCPU on an engine.

The engine executes real, protected and long mode, paging, the TSS, IRET, SYSRET, SWAPGS, SSE up to
4.2, RDRAND and RDSEED. What it leaves out is added here:

* Exceptions, SYSCALL and RDTSC come to hooks, which are machine code (`x86_shims`).
* External interrupts take the engine's path for virtual ones (SVM's V_IRQ): as soon as IF and the
  shadow of STI or MOV SS allow, it reads the vector from a control block in guest-physical memory.
  That block is a device of ours, behind all addresses that page tables can hold, and the read is
  the acknowledge cycle.
* The time-stamp counter counts nanoseconds of the machine's clock.

What a guest may notice: no AVX, no x2APIC, no SVM; CR8 is not connected to the local APIC. MSRs
that the engine does not know read 0 and ignore writes, IA32_APIC_BASE among them. It knows EFER,
STAR, LSTAR, CSTAR, FMASK, FS_BASE, GS_BASE, KERNEL_GS_BASE, TSC_AUX, SYSENTER_*, PAT, the MTRRs,
the machine-check banks, MISC_ENABLE and PERF_STATUS.
"""

from __future__ import annotations

from time import monotonic_ns

from vmm.backends.exits import Crashed, Halted
from vmm.backends.unicorn.engine import (
    ARCH_X86,
    HOOK_INSN,
    HOOK_INTR,
    MODE_64,
    PHYSICAL_END,
    Engine,
)
from vmm.backends.unicorn.internals import INTERRUPT_VIRTUAL
from vmm.backends.unicorn.layout import (
    X86_APIC_ID,
    X86_CR,
    X86_EFLAGS,
    X86_EIP,
    X86_EXPOSE_TCG,
    X86_FEATURES,
    X86_OLD_EXCEPTION,
    X86_TR,
    X86_TSC_AUX,
    X86_TSC_OFFSET,
    X86_VM_VMCB,
)
from vmm.backends.unicorn.vcpu import EngineVcpu
from vmm.backends.unicorn.x86_paging import translate
from vmm.backends.unicorn.x86_shims import load_shims
from vmm.backends.unicorn.x86_state import X86State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.backends.api import AccessHandler, Exit, Registers, RegisterValue
    from vmm.backends.unicorn.internals import EngineState, Internals
    from vmm.backends.unicorn.library import CData, Library
    from vmm.devices.lines import Clock, InterruptLine, InterruptSource
    from vmm.memory import GuestMemory

# Frequency of the time-stamp counter.
COUNTER_HZ: Final = 1_000_000_000

# UC_CPU_X86_SKYLAKE_CLIENT: every instruction set that the engine has, and none that it has not.
_MODEL: Final = 20

# <unicorn/x86.h>
_INSN_IN: Final = 218
_INSN_OUT: Final = 500
_INSN_RDTSC: Final = 608
_INSN_RDTSCP: Final = 609
_INSN_SYSCALL: Final = 699

_RFLAGS_IF: Final = 1 << 9
_DOUBLE_FAULT: Final = 8
_SEGMENT_PRESENT: Final = 1 << 15
_EMPTY_TSS: Final = 0x8900

# What the engine implements without saying so in CPUID: word of the feature array, bit.
_RDSEED: Final = (2, 1 << 18)  # leaf 7, EBX
_PAGES_1G: Final = (6, 1 << 26)  # leaf 0x8000_0001, EDX

# The control block of the interrupt path: APM volume 2, appendix B; V_INTR_VECTOR is at 0x64.
_CONTROL_BLOCK: Final = PHYSICAL_END
_CONTROL_BLOCK_SIZE: Final = 4096
_CONTROL_BLOCK_VECTOR: Final = 0x64


class X86Vcpu(EngineVcpu):
    """One x86_64 processor; see `vmm.backends.api.X86Vcpu`."""

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
        """
        engine = Engine(library, internals, ARCH_X86, MODE_64, _MODEL)
        super().__init__(index, engine, memory, handler)
        self._memory = memory
        self._source: InterruptSource | None = None
        self._requested = False
        assert engine.state is not None
        self._inside: EngineState = engine.state
        self._state = X86State(engine)
        self._state.reset()
        self._rip: CData = self._inside.field("uint64_t *", X86_EIP)
        self._cr2: CData = self._inside.field("uint64_t *", X86_CR + 16)
        self._tr_flags: CData = self._inside.field("uint32_t *", X86_TR + 20)
        self._rflags: CData = self._inside.field("uint64_t *", X86_EFLAGS)
        self._old_exception: CData = self._inside.field("int32_t *", X86_OLD_EXCEPTION)
        self._advertise(index)
        self._add_port_hooks()
        self._add_native_hooks(clock)
        self._add_control_block()

    # ---- X86Vcpu ----

    def connect_interrupts(self, source: InterruptSource) -> InterruptLine:
        """Connect the INTR pin.

        ``source`` is called by the vCPU's thread, which does not hold the bus lock.
        """
        self._source = source
        return self._drive_interrupt_pin

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

    def translate(self, address: int) -> int | None:
        registers = self._state.control_registers()
        return translate(self._memory, address, *registers)

    def flush_code(self) -> None:
        """Forget translated code; see `UnicornMachine.invalidate_code`."""
        self._engine.flush_code()

    # ---- The run loop ----

    def _program_counter(self) -> int:
        return int(self._rip[0])

    def _halted(self) -> bool:
        return bool(self._inside.halted[0])

    def _wait(self) -> Exit | None:
        if not self._rflags[0] & _RFLAGS_IF:
            return Halted()
        if self._requested:
            self._waiting = False
        else:
            self._bell.wait()
        return None

    def _attend(self) -> None:
        request = self._inside.interrupt_request
        if self._requested:
            request[0] |= INTERRUPT_VIRTUAL
        else:
            request[0] &= ~INTERRUPT_VIRTUAL

    def _attend_in_callback(self) -> None:
        # Whoever has a request from here on finds the bell silent, and rings it again.
        self._bell.rung = False
        if self._kicked or self._exit is not None:
            self._engine.stop()
        else:
            self._attend()
            self._inside.leave_block()

    def _outcome(self, error: int) -> Exit | None:
        if self._old_exception[0] == _DOUBLE_FAULT and self._engine.failure is None:
            return Crashed(f"triple fault at {self._rip[0]:#x}, CR2 {self._cr2[0]:#x}")
        return super()._outcome(error)

    # ---- External interrupts ----

    def _drive_interrupt_pin(self, level: bool) -> None:
        if level != self._requested:
            self._requested = level
            self._bell.ring()

    def _acknowledge(self, _engine: CData, offset: int, size: int, _user: CData) -> int:
        """Answer the engine's read of the control block: it delivers the vector right away."""
        if (offset, size) != (_CONTROL_BLOCK_VECTOR, 4) or self._source is None:
            return 0
        bell = self._bell
        bell.native = False
        vector = self._source.acknowledge()
        bell.native = True
        if bell.rung:
            self._attend_in_callback()
        if self._requested:
            # The engine withdraws the request when it has delivered this one; `_attend` renews it.
            self._engine.stop()
        self._repair_task_register()
        return vector & 0xFF

    def _repair_task_register(self) -> None:
        """Give a TR that LTR loaded with the null selector an empty TSS, as `x86_shims` does."""
        if not self._tr_flags[0] & _SEGMENT_PRESENT:
            self._tr_flags[0] = _EMPTY_TSS

    # ---- Construction ----

    def _advertise(self, index: int) -> None:
        """Complete CPUID: the APIC id, the hypervisor's signature, features that are there."""
        for word, bit in (_RDSEED, _PAGES_1G):
            self._inside.field("uint64_t *", X86_FEATURES + 8 * word)[0] |= bit
        self._inside.field("uint32_t *", X86_APIC_ID)[0] = index
        self._inside.field("uint8_t *", X86_EXPOSE_TCG)[0] = 1

    def _add_port_hooks(self) -> None:
        callback = self._engine.callback
        self._add_instruction_hook(_INSN_IN, callback("uc_cb_insn_in_t", self._port_reader(), 0))
        self._add_instruction_hook(_INSN_OUT, callback("uc_cb_insn_out_t", self._port_writer()))

    def _add_native_hooks(self, clock: Clock) -> None:
        engine = self._engine
        self._inside.deliver_all_exceptions()
        shims = load_shims(engine.library, self._inside)
        assert shims is not None
        state = engine.ffi.cast("void *", self._inside.env)
        engine.add_hook(HOOK_INTR, shims.deliver_exception, state)
        self._add_instruction_hook(_INSN_SYSCALL, shims.syscall, state)
        self._add_instruction_hook(_INSN_RDTSC, shims.rdtsc, state)
        self._add_instruction_hook(_INSN_RDTSCP, shims.rdtscp, state)
        origin = clock.now() - monotonic_ns()
        self._inside.field("int64_t *", X86_TSC_OFFSET)[0] = origin
        self._inside.field("uint64_t *", X86_TSC_AUX)[0] = self.index

    def _add_instruction_hook(
        self, instruction: int, callback: CData, user: CData | None = None
    ) -> None:
        number = self._engine.ffi.cast("int", instruction)
        self._engine.add_hook(HOOK_INSN, callback, user, number)

    def _add_control_block(self) -> None:
        engine = self._engine
        read = engine.callback("uc_cb_mmio_read_t", self._acknowledge, 0)
        null = engine.ffi.NULL
        code = engine.api.uc_mmio_map(
            engine.handle, _CONTROL_BLOCK, _CONTROL_BLOCK_SIZE, read, null, null, null
        )
        engine.library.check(code, "cannot map the interrupt control block")
        self._inside.field("uint64_t *", X86_VM_VMCB)[0] = _CONTROL_BLOCK

    # ---- Ports; see `EngineVcpu` about their form ----

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
