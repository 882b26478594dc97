"""An x86_64 vCPU's dealings with the engine through its public interface alone.

What `native` has the engine do, Python does here. An exception costs 55 us instead of 0.35, a
system call 30 us instead of 0.1, and:

* An interrupt is taken only when the engine has stopped. While one is pending that the processor
  masks, the engine is stopped every millisecond to look; it cannot tell when the mask is lifted.
* 8-byte accesses to devices arrive as two of 4 bytes.
* Exceptions are delivered with the limits of `delivery`.
* IN and OUT that IOPL forbids read all ones and write nothing, instead of #GP or what an I/O
  permission bitmap allows.
* CPUID has only one APIC id, 0: there is one vCPU. It shows SYSENTER, which does nothing.
"""

from __future__ import annotations

from struct import Struct

from vmm.backends.registers import Segment
from vmm.backends.unicorn.engine import HOOK_INSN, HOOK_INTR
from vmm.backends.unicorn.layout import (
    X86_CSTAR,
    X86_EFLAGS,
    X86_FMASK,
    X86_HFLAGS,
    X86_LSTAR,
    X86_STAR,
)
from vmm.backends.unicorn.x86.cpuid import LEAVES, STRUCTURED_FEATURES, TICKS_PER_NS
from vmm.backends.unicorn.x86.delivery import (
    UNDEFINED_OPCODE,
    Event,
    TripleFault,
    deliver,
    raised,
)
from vmm.backends.unicorn.x86.paging import EFER_LMA, EFER_SCE, translate
from vmm.backends.unicorn.x86.state import (
    REG_RAX,
    REG_RBX,
    REG_RCX,
    REG_RDX,
    REG_RFLAGS,
    REG_RIP,
)
from vmm.errors import BackendUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.backends.unicorn.doorbell import Doorbell
    from vmm.backends.unicorn.engine import Engine
    from vmm.backends.unicorn.library import CData
    from vmm.backends.unicorn.x86.state import X86State
    from vmm.lines import Clock
    from vmm.memory import GuestMemory

_HOOK_INSN_INVALID: Final = 1 << 14
# UC_X86_INS_*
_IN: Final = 218
_OUT: Final = 500
_RDTSC: Final = 608
_RDTSCP: Final = 609
_SYSCALL: Final = 699
_CPUID: Final = 113

_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")

_RFLAGS_IF: Final = 1 << 9
_HFLAGS_INHIBIT_IRQ: Final = 1 << 3  # the shadow of STI and MOV SS
_LONG_CODE: Final = 1 << 13  # in `Segment.attributes`

_LONG_WORD: Final = 0xFFFF_FFFF
_QUAD_WORD: Final = 0xFFFF_FFFF_FFFF_FFFF
_LONGEST_INSTRUCTION: Final = 15
_POLL_NS: Final = 1_000_000


class PublicCore:
    """Exceptions, system calls and interrupts, emulated; see `x86_64.Core`."""

    def __init__(
        self,
        engine: Engine,
        state: X86State,
        memory: GuestMemory,
        index: int,
        clock: Clock,
        acknowledge: Callable[[], int],
        bell: Doorbell,
    ) -> None:
        """Take over ``engine``; ``acknowledge`` is called outside of its callbacks.

        Raises:
            BackendUnavailable: for a second vCPU.
        """
        if index != 0:
            raise BackendUnavailable(
                "several vCPUs of x86_64 need the Unicorn engine's internals, which are not "
                "available here: use one vCPU"
            )
        self._engine = engine
        self._state = state
        self._memory = memory
        self._clock = clock
        self._acknowledge = acknowledge
        self._bell = bell
        self._poll = clock.timer(bell.ring)
        self._shut_down = False
        callback = engine.callback
        engine.add_hook(HOOK_INTR, callback("uc_cb_hookintr_t", self._on_exception))
        engine.add_hook(
            _HOOK_INSN_INVALID, callback("uc_cb_insn_cpuid_t", self._on_invalid_instruction, 0)
        )
        self._hook(_SYSCALL, callback("uc_cb_insn_syscall_t", self._on_syscall))
        self._hook(_CPUID, callback("uc_cb_insn_cpuid_t", self._on_cpuid, 0))
        self._hook(_RDTSC, callback("uc_cb_insn_cpuid_t", self._on_rdtsc, 1))
        self._hook(_RDTSCP, callback("uc_cb_insn_cpuid_t", self._on_rdtscp, 1))

    def align_counter(self) -> None:
        """Do nothing: the time-stamp counter is the clock."""

    def hook_ports(self, read: CData, write: CData) -> None:
        def guarded_read(engine: CData, port: int, size: int, user: CData) -> int:
            return read(engine, port, size, user) if self._may_access_ports() else _LONG_WORD

        def guarded_write(engine: CData, port: int, size: int, value: int, user: CData) -> None:
            if self._may_access_ports():
                write(engine, port, size, value, user)

        callback = self._engine.callback
        self._hook(_IN, callback("uc_cb_insn_in_t", guarded_read, 0))
        self._hook(_OUT, callback("uc_cb_insn_out_t", guarded_write))

    def program_counter(self) -> int:
        return self._engine.read_register(REG_RIP)

    def halted(self) -> bool:
        # A run without an error ends by a stop or by HLT.
        return not self._engine.stopped

    def resume(self) -> None:
        self._shut_down = False

    def interrupts_enabled(self) -> bool:
        return bool(self._engine.read_register(REG_RFLAGS) & _RFLAGS_IF)

    def triple_fault(self) -> bool:
        return self._shut_down

    def drive_interrupt(self, level: bool) -> None:
        if not level:
            return
        if self.interrupts_enabled() and not self._in_shadow():
            self._deliver(Event(self._acknowledge()))
        self._poll.arm(self._clock.now() + _POLL_NS)

    def drive_interrupt_in_callback(self, level: bool) -> bool:
        return not level

    def _in_shadow(self) -> bool:
        hidden = _U32.unpack_from(self._state.load(), X86_HFLAGS)[0]
        return bool(hidden & _HFLAGS_INHIBIT_IRQ)

    def _hook(self, instruction: int, callback: CData) -> None:
        self._engine.add_hook(HOOK_INSN, callback, None, self._engine.ffi.cast("int", instruction))

    def _may_access_ports(self) -> bool:
        """Tell whether CPL is at most IOPL."""
        memory = self._state.load()
        cpl = _U32.unpack_from(memory, X86_HFLAGS)[0] & 3
        return bool(cpl <= _U64.unpack_from(memory, X86_EFLAGS)[0] >> 12 & 3)

    # ---- Exceptions ----

    def _on_exception(self, _engine: CData, vector: int, _user: CData) -> None:
        self._bell.native = False
        self._deliver(raised(self._state, vector))
        self._return_to_engine()

    def _on_invalid_instruction(self, _engine: CData, _user: CData) -> int:
        self._bell.native = False
        self._deliver(Event(UNDEFINED_OPCODE, exception=True))
        self._return_to_engine()
        return 1

    def _deliver(self, event: Event) -> None:
        try:
            deliver(self._state, self._memory, event)
        except TripleFault:
            self._shut_down = True
            self._engine.stop_in_exception_hook()

    def _return_to_engine(self) -> None:
        self._bell.native = True
        if self._bell.rung:
            self._engine.stop()

    # ---- Instructions ----

    def _on_syscall(self, _engine: CData, _user: CData) -> None:
        """Execute SYSCALL (APM volume 3); the engine adds its length to RIP afterwards."""
        self._bell.native = False
        rip = self._engine.read_register(REG_RIP)
        length = self._syscall_length(rip)
        if not self._enter_system_call(rip + length & _QUAD_WORD):
            self._deliver(Event(UNDEFINED_OPCODE, exception=True))
        target = self._engine.read_register(REG_RIP)
        self._state.set_registers({"rip": target - length & _QUAD_WORD})
        self._return_to_engine()

    def _enter_system_call(self, behind: int) -> bool:
        """Set registers for the handler of a system call; return False where SYSCALL is #UD."""
        registers = self._state.registers()
        memory = self._state.load()
        efer, rflags, cs = registers["efer"], registers["rflags"], registers["cs"]
        assert isinstance(efer, int)
        assert isinstance(rflags, int)
        assert isinstance(cs, Segment)
        if not (efer & EFER_SCE and efer & EFER_LMA):
            return False
        selector = _U64.unpack_from(memory, X86_STAR)[0] >> 32 & 0xFFFC
        handler = X86_LSTAR if cs.attributes & _LONG_CODE else X86_CSTAR
        self._state.set_registers(
            {
                "rcx": behind,
                "r11": rflags,
                "rflags": rflags & ~_U64.unpack_from(memory, X86_FMASK)[0],
                "cs": Segment(selector, 0, _LONG_WORD, 0xA09B),
                "ss": Segment(selector + 8, 0, _LONG_WORD, 0xC093),
                "rip": _U64.unpack_from(memory, handler)[0],
            }
        )
        return True

    def _syscall_length(self, rip: int) -> int:
        """Return the length of the SYSCALL at ``rip``: prefixes, then 0F 05."""
        paging = self._state.paging_registers()
        for prefixes in range(_LONGEST_INSTRUCTION - 1):
            where = translate(self._memory, rip + prefixes & _QUAD_WORD, *paging)
            if where is None or not self._memory.contains(where):
                break
            if self._memory.read(where, 1) == b"\x0f":
                return prefixes + 2
        return 2

    def _on_cpuid(self, _engine: CData, _user: CData) -> int:
        engine = self._engine
        leaf = engine.read_register(REG_RAX) & _LONG_WORD
        answer = LEAVES.get(leaf)
        if answer is None or (leaf == STRUCTURED_FEATURES and self._subleaf() != 0):
            return 0  # the engine answers
        for register, word in zip((REG_RAX, REG_RBX, REG_RCX, REG_RDX), answer, strict=True):
            engine.write_register(register, word)
        return 1

    def _subleaf(self) -> int:
        return self._engine.read_register(REG_RCX) & _LONG_WORD

    def _on_rdtsc(self, _engine: CData, _user: CData) -> int:
        ticks = self._clock.now() * TICKS_PER_NS
        self._engine.write_register(REG_RAX, ticks & _LONG_WORD)
        self._engine.write_register(REG_RDX, ticks >> 32)
        return 1

    def _on_rdtscp(self, engine: CData, user: CData) -> int:
        self._engine.write_register(REG_RCX, 0)
        return self._on_rdtsc(engine, user)
