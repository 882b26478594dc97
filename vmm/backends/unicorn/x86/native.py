"""An x86_64 vCPU's dealings with the engine where its inside is open: see `internals`."""

from __future__ import annotations

from vmm.backends.unicorn.counter import SLACK_NS, clock_offset
from vmm.backends.unicorn.engine import HOOK_INSN, HOOK_INTR, PHYSICAL_END
from vmm.backends.unicorn.internals import INTERRUPT_VIRTUAL, SWITCH
from vmm.backends.unicorn.layout import (
    X86_APIC_ID,
    X86_EFLAGS,
    X86_EIP,
    X86_FEATURES,
    X86_OLD_EXCEPTION,
    X86_TR,
    X86_TSC_AUX,
    X86_TSC_OFFSET,
    X86_VERSION,
    X86_VM_VMCB,
)
from vmm.backends.unicorn.x86.cpuid import VERSION
from vmm.backends.unicorn.x86.cpuid import table as cpuid_table
from vmm.backends.unicorn.x86.shims import load_shims, new_port_guard
from vmm.errors import BackendUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.backends.unicorn.engine import Engine
    from vmm.backends.unicorn.internals import EngineState
    from vmm.backends.unicorn.library import CData
    from vmm.lines import Clock

# UC_X86_INS_*
_IN: Final = 218
_OUT: Final = 500
_CPUID: Final = 113
_RDTSC: Final = 608
_RDTSCP: Final = 609
_SYSCALL: Final = 699

# No program is from here on.
_UPPER_HALF: Final = 1 << 63
_LAST_ADDRESS: Final = (1 << 64) - 1

_RFLAGS_IF: Final = 1 << 9
_DOUBLE_FAULT: Final = 8

# A word of the engine's feature array (FeatureWord) and a bit in it, leaf 1, EDX: the engine says
# that it has SYSENTER, but skips it.
_SYSENTER: Final = (0, 1 << 11)

# The virtual-machine control block, behind all physical addresses that page tables can hold.
_CONTROL_BLOCK: Final = PHYSICAL_END
_CONTROL_BLOCK_SIZE: Final = 4096
_INTERRUPT_VECTOR: Final = 0x64  # APM volume 2, appendix B: part of V_INTR

_SEGMENT_PRESENT: Final = 1 << 15
_EMPTY_TSS: Final = 0x8900


class NativeCore:
    """Exceptions, system calls and interrupts by the engine's own means.

    Exceptions, SYSCALL and RDTSC come to hooks in machine code, see `shims`. External
    interrupts take the engine's path for virtual ones (V_IRQ of SVM): when IF and the shadow of
    STI and MOV SS allow, it reads the vector from a control block in guest-physical memory. That
    block is a device of ours, so that the read is the acknowledge cycle.
    """

    def __init__(
        self,
        engine: Engine,
        state: EngineState,
        index: int,
        clock: Clock,
        acknowledge: Callable[[], int],
    ) -> None:
        """Take over ``engine``; ``acknowledge`` is called within a callback of it.

        Raises:
            BackendUnavailable: if machine code that it needs cannot be had.
        """
        self._engine = engine
        self._state = state
        self._acknowledge = acknowledge
        self._level = False
        self._rip = state.field("uint64_t *", X86_EIP)
        self._rflags = state.field("uint64_t *", X86_EFLAGS)
        self._old_exception = state.field("int32_t *", X86_OLD_EXCEPTION)
        self._tr_flags = state.field("uint32_t *", X86_TR + 20)
        shims = load_shims(engine.library, state)
        if shims is None:
            raise BackendUnavailable(
                f"this build of the Unicorn engine lacks functions that x86_64 guests need; set "
                f"{SWITCH}=0 to do without"
            )
        self._shims = shims
        self._clock = clock
        self._counter_offset = state.field("int64_t *", X86_TSC_OFFSET)
        state.field("uint64_t *", X86_TSC_AUX)[0] = index
        self._add_hooks()
        self._complete_cpuid(index)
        self._add_control_block()

    def hook_ports(self, read: CData, write: CData) -> None:
        """Have IN and OUT call these, where the ring may access the port."""
        self._hook_port(_IN, self._shims.read_port, read)
        self._hook_port(_OUT, self._shims.write_port, write)

    def align_counter(self) -> None:
        """Set the time-stamp counter to the clock, if the clock stood still or was set."""
        offset = clock_offset(self._clock)
        if abs(offset - self._counter_offset[0]) > SLACK_NS:
            self._counter_offset[0] = offset

    def program_counter(self) -> int:
        """Return RIP; valid while the engine does not execute."""
        return int(self._rip[0])

    def halted(self) -> bool:
        """Tell whether the run that just ended did so by HLT."""
        return bool(self._state.halted[0])

    def resume(self) -> None:
        """Forget that the last run ended by HLT."""
        self._state.halted[0] = 0

    def interrupts_enabled(self) -> bool:
        """Return RFLAGS.IF; valid while the engine does not execute."""
        return bool(self._rflags[0] & _RFLAGS_IF)

    def triple_fault(self) -> bool:
        """Tell whether the run that just ended did so by a triple fault."""
        # The engine notes the exception that it is delivering. A run ends in the midst of that
        # only when a double fault cannot be delivered.
        return bool(self._old_exception[0] == _DOUBLE_FAULT)

    def drive_interrupt(self, level: bool) -> None:
        """Set the interrupt input; while the engine does not execute, or from a callback."""
        self._level = level
        request = self._state.interrupt_request
        if level:
            request[0] |= INTERRUPT_VIRTUAL
        else:
            request[0] &= ~INTERRUPT_VIRTUAL

    def drive_interrupt_in_callback(self, level: bool) -> bool:
        """Set the interrupt input as of the next block; True: no stop needed."""
        self.drive_interrupt(level)
        self._state.leave_block()
        return True

    def _read_control_block(self, _engine: CData, offset: int, size: int, _user: CData) -> int:
        """Answer the engine, which delivers the vector that it reads right away."""
        if offset != _INTERRUPT_VECTOR or size != 4:
            return 0
        vector = self._acknowledge()
        if self._level:
            # Having delivered this one, the engine takes the request back. It is made again when
            # the next run starts, which is before the handler's first instruction.
            self._engine.stop()
        if not self._tr_flags[0] & _SEGMENT_PRESENT:
            self._tr_flags[0] = _EMPTY_TSS  # as `shims` does
        return vector

    # ---- Construction ----

    def _complete_cpuid(self, index: int) -> None:
        state = self._state
        word, bit = _SYSENTER
        state.field("uint64_t *", X86_FEATURES)[word] &= ~bit
        state.field("uint32_t *", X86_VERSION)[0] = VERSION
        state.field("uint32_t *", X86_APIC_ID)[0] = index
        table = self._engine.keep(self._engine.ffi.new("uint8_t[]", cpuid_table(state.env)))
        self._hook_instruction(_CPUID, self._shims.cpuid, table)

    def _add_hooks(self) -> None:
        shims = self._shims
        self._state.deliver_all_exceptions()
        user = self._engine.ffi.cast("void *", self._state.env)
        self._engine.add_hook(HOOK_INTR, shims.deliver_exception, user)
        # For one of these instructions, the engine goes through the hooks of all that cover its
        # address, and gives up after the first one if somebody else's stop has come meanwhile: the
        # instruction then does nothing, or what it would do without a hook. A program's SYSCALL
        # must not be lost, nor may a kernel's RDTSC give another clock's time, so each is the
        # first where it is.
        self._hook_instruction(_RDTSC, shims.rdtsc, user, begin=_UPPER_HALF)
        self._hook_instruction(_SYSCALL, shims.syscall, user)
        self._hook_instruction(_RDTSC, shims.rdtsc, user, end=_UPPER_HALF - 1)
        self._hook_instruction(_RDTSCP, shims.rdtscp, user)

    def _hook_port(self, instruction: int, shim: int, target: CData) -> None:
        guard = new_port_guard(self._engine.library, self._state.env, target)
        self._hook_instruction(instruction, shim, self._engine.keep(guard))

    def _hook_instruction(
        self, instruction: int, shim: int, user: CData, begin: int = 0, end: int = _LAST_ADDRESS
    ) -> None:
        number = self._engine.ffi.cast("int", instruction)
        self._engine.add_hook(HOOK_INSN, shim, user, number, begin=begin, end=end)

    def _add_control_block(self) -> None:
        engine = self._engine
        read = engine.callback("uc_cb_mmio_read_t", self._read_control_block, 0)
        null = engine.ffi.NULL
        code = engine.api.uc_mmio_map(
            engine.handle, _CONTROL_BLOCK, _CONTROL_BLOCK_SIZE, read, null, null, null
        )
        engine.library.check(code, "cannot map the interrupt control block")
        self._state.field("uint64_t *", X86_VM_VMCB)[0] = _CONTROL_BLOCK
