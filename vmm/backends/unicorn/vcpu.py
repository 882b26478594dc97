"""What vCPUs of both architectures have in common: the run loop and device accesses."""

from __future__ import annotations

from time import monotonic_ns

from vmm.backends.exits import Crashed, InternalError, Interrupted
from vmm.backends.unicorn.doorbell import Doorbell
from vmm.backends.unicorn.engine import ERR_FETCH_PROT, ERR_FETCH_UNMAPPED
from vmm.backends.unicorn.signals import signal_watch
from vmm.backends.unicorn.turn import Turn
from vmm.errors import VmmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from vmm.backends.api import AccessHandler, Exit, Registers, Sleep
    from vmm.backends.unicorn.counting import InstructionCounter
    from vmm.backends.unicorn.engine import Engine
    from vmm.backends.unicorn.library import CData
    from vmm.memory import GuestMemory


# For how long a vCPU may execute what another one has changed: some times what it takes to
# translate a kernel's usual paths again.
_OUTDATED_NS: Final = 50_000_000


class EngineVcpu:
    """A vCPU on an engine of its own; the subclasses know the architecture.

    All state, the engine's included, is written by the thread in `run` alone. Other threads leave
    a request (`kick`, an interrupt line) and ring the bell; the vCPU's thread carries it out, in
    `_attend`. The engine itself changes its pending interrupts by load, change and store, so that
    a store of another thread in between would be lost.

    Attributes:
        index: the vCPU's number.
        turn: had while the guest executes; the vCPUs of one machine share it.
        peers: all vCPUs of the machine, by number.
        parked: it is off, until another vCPU starts it; so begin all but the first.
    """

    def __init__(
        self, index: int, engine: Engine, memory: GuestMemory, handler: AccessHandler
    ) -> None:
        self.index = index
        self._engine = engine
        self._handler = handler
        self._bell = Doorbell(engine.stop)
        self._kicked = False
        self._exit: Exit | None = None
        self._waiting = False
        self.turn = Turn()
        self.peers: Sequence[EngineVcpu] = (self,)
        self._outdated = False
        self._flushed = 0
        self.parked = index > 0
        self._parking = False
        self._start: Registers | None = None
        engine.map_ram(memory)
        engine.map_devices(memory, self._device_reader, self._device_writer)

    # ---- Vcpu ----

    def run(self) -> Exit:
        signal_watch.keep()
        bell = self._bell
        while True:
            bell.rung = False
            if self._kicked:
                self._kicked = False
                return Interrupted()
            if self._parking or self.parked:
                self._stay_parked()
                continue
            if self._waiting:
                done = self._wait()
                if done is not None:
                    return done
                if self._waiting:
                    continue
            self._attend()
            error = self._execute()
            if error is None:
                continue
            done = self._outcome(error)
            if done is not None:
                return done

    def kick(self) -> None:
        self._kicked = True
        self._bell.ring()

    def sleep_by(self, sleep: Sleep) -> bool:
        self._bell.sleep = sleep
        return True

    def park(self) -> None:
        """Switch the vCPU off. Any thread."""
        self._parking = True
        self._bell.ring()

    def unpark(self, registers: Registers) -> None:
        """Let a vCPU that is off begin with these registers, the others as after RESET. Any thread.

        Has no effect on one that is on.
        """
        if self.is_off:
            self._start = registers
            self._bell.ring()

    @property
    def is_starting(self) -> bool:
        """Whether it was off and is about to begin."""
        return self._start is not None

    @property
    def is_off(self) -> bool:
        """Whether it is off, or about to be."""
        return self.parked or self._parking

    def set_registers(self, registers: Registers) -> None:
        raise NotImplementedError

    def translate(self, address: int) -> int | None:
        return self._engine.translate(address)

    def invalidate_code(self, address: int, length: int) -> None:
        """See `UnicornMachine.invalidate_code`."""
        self._engine.invalidate_code(address, length)

    def count_instructions(self) -> InstructionCounter:
        """Count the instructions that the guest begins from now on, until the counter is closed.

        Costs a few nanoseconds an instruction. Not during a run.

        Raises:
            VmmError: if this host does not let us run native code.
        """
        from vmm.backends.unicorn.counting import InstructionCounter

        return InstructionCounter(self._engine)

    def follow_program_counter(self) -> None:
        # The engine keeps the program counter up to date while instructions are counted.
        try:
            self._counter = self.count_instructions()
        except VmmError:
            pass  # then it stays that of the block

    def close(self) -> None:
        self._bell.silence()
        self._engine.close()

    # ---- For the architectures ----

    def _reset(self) -> None:
        """Bring the registers to their state after RESET."""
        raise NotImplementedError

    def program_counter(self) -> int:
        raise NotImplementedError

    def _halted(self) -> bool:
        """Tell whether the run that just ended did so because the guest waits for an interrupt."""
        raise NotImplementedError

    def _wait(self) -> Exit | None:
        """Sleep, with the guest waiting; clear `_waiting` when it need not wait any more."""
        raise NotImplementedError

    def _attend(self) -> None:
        """Carry out requests on the engine, which is not executing: drive its interrupt input."""
        raise NotImplementedError

    def _attend_in_callback(self) -> None:
        """Carry out requests from within a callback, so that they take effect after this block.

        Called with the bell's `native` set. By default the run ends and `run` looks after them.
        """
        self._engine.stop()

    def _end_run(self, reason: Exit) -> None:
        """Make `run` return ``reason``; from a callback."""
        self._exit = reason
        self._engine.stop()

    # ---- The run loop's parts ----

    def _stay_parked(self) -> None:
        """Be off until there is a request, to begin maybe."""
        self.parked, self._parking = True, False
        if self._start is None:
            self._bell.wait()
            return
        self._reset()
        self.set_registers(self._start)
        self._waiting = self.parked = False
        self._start = None

    def _execute(self) -> int | None:
        """Let the guest execute; return the engine's error number, None if it did not start."""
        bell = self._bell
        if not self.turn.take(self.index, bell):
            return None
        try:
            if self.turn.previous != self.index:
                self._outdated = True
            if self._outdated:
                self._forget_outdated_code()
            bell.native = True
            if bell.rung:
                return None
            return self._engine.start(self.program_counter())
        finally:
            bell.native = False
            self.turn.give()

    def _forget_outdated_code(self) -> None:
        """Forget translated code, now and then: what other vCPUs write this engine does not see.

        Kernels change their code while other processors run, and tell them by an interrupt; a
        processor that met a breakpoint meanwhile would else meet it for ever.
        """
        now = monotonic_ns()
        if now - self._flushed >= _OUTDATED_NS:
            self._engine.flush_code()
            self._flushed = now
            self._outdated = False

    def _outcome(self, error: int) -> Exit | None:
        engine = self._engine
        if engine.failure is not None:
            failure, engine.failure = engine.failure, None
            raise failure
        if self._exit is not None:
            reason, self._exit = self._exit, None
            return reason
        if error:
            return self._explain(error)
        if self._halted():
            self._waiting = True
        return None

    def _explain(self, error: int) -> Exit:
        if error in (ERR_FETCH_PROT, ERR_FETCH_UNMAPPED):
            where = f"{self.program_counter():#x}"
            return Crashed(f"instruction fetch from {where}, where there is no RAM")
        return InternalError(self._engine.library.describe(error))

    # ---- Device accesses ----

    # Each callback leaves native code as the doorbell's protocol asks, in place rather than in a
    # wrapper: an access costs 0.4 us, a further Python call would add a fifth.

    def _device_reader(self, base: int) -> Callable[[CData, int, int, CData], int]:
        bell = self._bell
        mmio_read = self._handler.mmio_read

        def read(_engine: CData, offset: int, size: int, _user: CData) -> int:
            bell.native = False
            value = mmio_read(base + offset, size)
            bell.native = True
            if bell.rung:
                self._attend_in_callback()
            return value

        return read

    def _device_writer(self, base: int) -> Callable[[CData, int, int, int, CData], None]:
        bell = self._bell
        mmio_write = self._handler.mmio_write

        def write(_engine: CData, offset: int, size: int, value: int, _user: CData) -> None:
            bell.native = False
            mmio_write(base + offset, size, value)
            bell.native = True
            if bell.rung:
                self._attend_in_callback()

        return write
