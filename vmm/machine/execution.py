"""How a machine runs: to its end, whoever brings that about, with the guest's sleep in between.

created ──run/start──► running ──guest ends, stop(), timeout──► stopped
"""

from __future__ import annotations

import os
from _thread import RLock, allocate_lock

from vmm.arch import X86_64
from vmm.backends.exits import Halted, InternalError, Interrupted
from vmm.errors import GuestTimeout, VmmError
from vmm.host.threads import start_thread
from vmm.machine import outcome
from vmm.machine.outcome import Outcome, of_exit, of_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final, Protocol

    from vmm.arch import Arch
    from vmm.backends.api import Exit, Vcpu
    from vmm.backends.assist.assistant import Assistant
    from vmm.boards.board import Board
    from vmm.bus import Bus
    from vmm.console import Console
    from vmm.machine.attendance import Attendance
    from vmm.machine.caller import Caller
    from vmm.machine.clock import MachineClock
    from vmm.machine.config import MachineConfig
    from vmm.machine.events import EventLoop
    from vmm.machine.halt_watch import HaltWatch
    from vmm.machine.payload import Payload
    from vmm.machine.processors import Processors
    from vmm.memory import GuestMemory

    class Closeable(Protocol):
        """Something that a machine holds."""

        def close(self) -> None: ...


_FAILED: Final = Outcome(outcome.STOPPED, outcome.STATUS_VMM_FAILURE, "the VMM failed")


class Execution:
    """Runs the vCPUs of a machine, which is made by its subclass.

    Attributes:
        config: what the machine was made from.
        arch: the guest's architecture.
        backend: the name of the backend that executes it.
        bus: its devices, by address.
        memory: its RAM.
        clock: the guest's time.
        console: the guest's console.
        board: its devices, by purpose.
        vcpus: its processors.
        vcpu: the first of them.
        loaded: what was put into its RAM.
        outcome: how it ended; None until then.
        assistants: who executes what KVM refused to, by vCPU.
        turn: held by the thread that executes the guest.
    """

    config: MachineConfig
    arch: Arch
    backend: str
    bus: Bus
    memory: GuestMemory
    clock: MachineClock
    console: Console
    board: Board
    vcpus: list[Vcpu]
    vcpu: Vcpu
    loaded: Payload

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.assistants: dict[int, Assistant] = {}
        self.turn = allocate_lock()
        self._state = RLock()
        self._started = False
        self._attendance: Attendance | None = None
        self._closed = False
        self._finished = allocate_lock()
        self._finished.acquire()
        self._verdict: Outcome | None = None
        self._error: BaseException | None = None
        self._idle_deadline: int | None = None
        self._idle = False
        self._interrupt_requested = False
        self._wake_fd = -1
        self._events: EventLoop | None = None
        self._watch: HaltWatch | None = None
        self._processors: Processors | None = None
        self._caller: Caller | None = None
        self._resources: list[Closeable] = []

    # ---- Life cycle ----

    def run(self, timeout: float | None = None) -> int:
        """Run the guest to its end and return its exit status.

        Raises:
            GuestTimeout: if it runs longer than ``timeout`` seconds; it has been stopped then.
            OverflowError: if ``timeout`` is infinite.
            VmmError: if the VMM failed.
        """
        nanoseconds = None if timeout is None else int(timeout * 1e9)
        if not self._claim():
            return self.wait(timeout)
        self._run_loop(nanoseconds)
        return self._result(timeout)

    def start(self) -> None:
        """Run the guest in a thread of its own; harmless if it runs already."""
        if self._claim():
            self.run_beside()

    def attend(self, over: Callable[[Callable[[], None]], bool], deadline: float) -> None:
        """Execute the guest for somebody who waits for it, if nobody does yet.

        Args:
            over: tells whether the wait is over, else has its argument called when to ask again.
            deadline: when it is over in any case (s, of `time.monotonic`).

        Raises:
            VmmError: if the VMM failed.
        """
        if self._caller is not None or self._watch is not None or self.config.cpus > 1:
            self.start()
            return
        from vmm.machine.attendance import Attendance

        if self._claim():
            if self._attendance is None:
                self._attendance = Attendance(self)
            self._attendance.execute(lambda: over(self.vcpu.kick), deadline)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of a started machine and return its exit status.

        A machine of service calls without a program (`Machine.service`) does not end by itself:
        another thread has to `stop` it, or to end it by a call.

        Raises:
            GuestTimeout: if that takes longer than ``timeout`` seconds; it has been stopped then.
            VmmError: if the VMM failed, or nobody has started the machine.
        """
        if not self._started and self._caller is None and self.outcome is None:
            raise VmmError("the machine has not been started: start() or run() it")
        if not self._finished.acquire(timeout=-1 if timeout is None else timeout):
            self._end(Outcome(outcome.TIMED_OUT, outcome.STATUS_TIMEOUT))
            self._finished.acquire()
        self._finished.release()
        return self._result(timeout)

    def stop(self, status: int = 0, reason: int | None = None, message: str = "") -> None:
        """End the run from any thread: ``exit_status`` becomes ``status``.

        ``reason`` is the guest's own (enum calypso_exit_reason) where the guest asked for it.
        """
        if reason is None:
            self._end(Outcome(outcome.STOPPED, status, message))
            return
        self._end(of_request(reason, status, message))

    @property
    def running(self) -> bool:
        """Whether the guest is being executed, or about to be."""
        return (self._started and self.outcome is None) or self.turn.locked()

    @property
    def exit_status(self) -> int | None:
        """The exit status, once the machine has stopped."""
        return None if self.outcome is None else self.outcome.status

    # ---- Its end ----

    def power_off(self, status: int = 0) -> None:
        """End the run because the guest switched its machine off."""
        self._end(Outcome(outcome.POWERED_OFF, status))

    def exit(self, status: int) -> None:
        """End the run because the guest has exited by itself."""
        self._end(Outcome(outcome.EXITED, status))

    def abort(self, status: int, message: str) -> None:
        """End the run because the guest has given up, with an exit status of its own."""
        self._end(Outcome(outcome.ABORTED, status, message))

    def crash(self, message: str) -> None:
        """End the run because the guest asked for what cannot be."""
        self._end(Outcome(outcome.CRASHED, outcome.STATUS_GUEST_FAILURE, message))

    def reset(self) -> None:
        """End the run because the guest asked for a reset."""
        self._end(Outcome(outcome.RESET, 0))

    def _halt(self) -> bool:
        """Bring a run to its end for good; False if that was done before."""
        with self._state:
            if self._closed:
                return False
            self._closed = True
            running = self._started and self.outcome is None
        if running:
            self.stop()
            if self._resume():
                with self.turn:
                    self.run_part(None)
            self._finished.acquire()
            self._finished.release()
        elif self._caller is not None and self.outcome is None:
            self.stop()
            with self.turn:
                self.run_part(None)
        return True

    # ---- The run loop ----

    def _claim(self) -> bool:
        with self._state:
            if self._closed:
                raise VmmError("the machine is closed")
            if self._started:
                return self._resume()
            self._started = True
        if self.loaded.bootinfo:
            self.board.services.describe_console(self.loaded.bootinfo)
        return True

    def _resume(self) -> bool:
        """Take a paused guest, to go on with it; False if it is not paused."""
        return self._attendance is not None and self._attendance.resume()

    def run_beside(self) -> None:
        """Run the guest to its end in a thread of its own; for whoever may execute it."""
        try:
            start_thread(self._run_in_thread)
        except VmmError:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """End a run that nobody goes on with."""
        self._end(_FAILED)
        self._finish(self._verdict or _FAILED)

    def _run_in_thread(self) -> None:
        try:
            self._run_loop()
        except BaseException as error:
            self._error = error

    def _run_loop(self, timeout: int | None = None) -> None:
        """Execute the guest to its end, or for ``timeout`` ns."""
        alarm = None
        try:
            if timeout is not None:
                alarm = self.clock.timer(self.time_out)
                alarm.arm(self.clock.now() + timeout)
            if self._watch is not None:
                self._watch.start()
            with self.turn:
                self.run_part(None)
        finally:
            if alarm is not None:
                alarm.cancel()
            if self._watch is not None:
                self._watch.stop()
            if self.outcome is None:  # something failed before or behind the run itself
                self._abandon()

    def run_part(self, done: Callable[[], bool] | None) -> None:
        """Execute the guest to its end, or until ``done``, asked whenever it was interrupted.

        For the thread that holds `turn`.
        """
        try:
            self._execute(done)
        except KeyboardInterrupt:
            self._end(Outcome(outcome.STOPPED, outcome.STATUS_INTERRUPTED, "interrupted"))
            raise
        except BaseException:
            self._end(_FAILED)
            raise
        finally:
            if self._verdict is not None:
                if self._processors is not None:
                    self._processors.join()
                self._finish(self._verdict)

    def _run_secondary(self, vcpu: Vcpu) -> None:
        """Run a vCPU that is not the first until the machine has ended."""
        try:
            while self._verdict is None:
                exit_ = vcpu.run()
                if type(exit_) is InternalError and self.config.assist:
                    exit_ = self._assist(vcpu, exit_)
                if type(exit_) is not Interrupted:
                    self._end(of_exit(exit_, self.loaded.halts_when_done))
        except BaseException as error:
            self._error = error
            self._end(_FAILED)

    def _execute(self, done: Callable[[], bool] | None) -> None:
        run = self.vcpu.run
        self._idle = False
        if self._processors is not None:
            self._processors.start()
        while self._verdict is None:
            exit_ = run()
            if type(exit_) is InternalError and self.config.assist:
                exit_ = self._assist(self.vcpu, exit_)
            if type(exit_) is not Interrupted:
                self._end(of_exit(exit_, self.loaded.halts_when_done))
            elif done is not None and done():
                return
            elif self._idle:
                self._sleep(done)
            elif self._watch is not None and self._watch.halted():
                self._end(of_exit(Halted(), self.loaded.halts_when_done))

    def _assist(self, vcpu: Vcpu, failure: InternalError) -> Exit:
        """Have executed what the backend refused, if there is help; `Interrupted`: go on."""
        if self.backend != "kvm" or self.arch != X86_64:
            return failure
        assistant = self.assistants.get(vcpu.index)
        if assistant is None:
            from vmm.backends.assist.assistant import Assistant
            from vmm.backends.kvm.x86_64 import X86Vcpu

            assert isinstance(vcpu, X86Vcpu)
            assistant = self.assistants[vcpu.index] = Assistant(vcpu, self.memory, self.bus)
            self._resources.append(assistant)
        return assistant.assist(failure) or Interrupted()

    def _finish(self, verdict: Outcome) -> None:
        with self._state:
            if self.outcome is not None:
                return
            self.outcome = verdict
        self.console.finish()
        self._finished.release()
        if self._caller is not None:
            self._caller.release_waiters()

    def _result(self, timeout: float | None) -> int:
        if self._error is not None:
            raise self._error
        if self.outcome is None:
            raise VmmError("the machine has not run")
        if self.outcome.kind == outcome.TIMED_OUT:
            raise GuestTimeout(f"the guest was stopped: it did not end within {timeout} s")
        return self.outcome.status

    def _end(self, verdict: Outcome) -> None:
        with self._state:
            if self._verdict is None:
                self._verdict = verdict
        self.interrupt()
        if self._processors is not None:
            self._processors.kick()

    def time_out(self) -> None:
        """End the run because it took too long."""
        self._end(Outcome(outcome.TIMED_OUT, outcome.STATUS_TIMEOUT))

    # ---- Sleeping, at the guest's wish ----

    def idle_until(self, deadline: int | None) -> None:
        """Let the vCPU sleep until guest time ``deadline``, console input, or `end_idle`.

        Called by the doorbell; the sleep itself happens in the run loop, outside the bus lock.
        """
        if self._caller is not None and self._caller.collect():
            self.vcpu.kick()
            return
        if self._interrupt_requested or self.console.announce():
            self._interrupt_requested = False
            return
        self._idle_deadline = deadline
        self._idle = True
        self.vcpu.kick()

    def end_idle(self) -> None:
        """End the sleep of `idle_until`, or if the vCPU does not sleep, the next one."""
        self._interrupt_requested = True
        self.wake()

    def completed(self) -> None:
        """Take the results of service calls that the guest has posted."""
        if self._caller is not None and self._caller.collect():
            self.vcpu.kick()

    def sleep(self, deadline: int, descriptors: Sequence[int]) -> list[int]:
        """Let the vCPU wait until a descriptor can be read, guest time ``deadline``, or the end.

        Called by a device, in the vCPU's thread, which must bear that others are called meanwhile:
        the bus lock is given up. Returns the descriptors that can be read.
        """
        from select import POLLIN, poll

        poller = poll()
        for descriptor in (self._wake_descriptor(), *descriptors):
            poller.register(descriptor, POLLIN)
        self.bus.lock.release()
        try:
            while True:
                remaining = max(deadline - self.clock.now(), 0)
                found = poller.poll(min(-(-remaining // 1_000_000), 1 << 30))
                ready = [descriptor for descriptor, _ in found if descriptor != self._wake_fd]
                if len(found) > len(ready):
                    os.eventfd_read(self._wake_fd)
                if ready or remaining == 0 or self._verdict is not None:
                    return ready
        finally:
            self.bus.lock.acquire()

    def _sleep(self, done: Callable[[], bool] | None) -> None:
        """Wait on the console's input, a wake-up from another thread, and the deadline."""
        from select import POLLIN, poll

        poller = poll()
        poller.register(self._wake_descriptor(), POLLIN)
        if self.console.input_fd >= 0 and not self.console.announced:
            poller.register(self.console.input_fd, POLLIN)
        if self._events is not None:
            poller.register(self._events, POLLIN)
        ring = None if self._caller is None else self._caller.ring
        while not (self._verdict or self._interrupt_requested or self.console.announce()):
            if (ring is not None and ring.submitted) or (done is not None and done()):
                break
            timeout = None
            if self._idle_deadline is not None:
                remaining = self._idle_deadline - self.clock.now()
                if remaining <= 0:
                    break
                timeout = min(-(-remaining // 1_000_000), 1 << 30)
            for fd, _ in poller.poll(timeout):
                if fd == self._wake_fd:
                    os.eventfd_read(fd)
            if self._events is not None:
                self._events.serve()
        self._interrupt_requested = False
        self._idle = False

    def _wake_descriptor(self) -> int:
        with self._state:
            if self._wake_fd < 0:
                self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                os.eventfd_write(self._wake_fd, 1)  # look once before sleeping
            return self._wake_fd

    def _on_input(self) -> None:
        self.board.on_console_input()
        self.wake()

    def interrupt(self) -> None:
        """Make whoever executes the guest look at what it waits for. Any thread."""
        self.vcpu.kick()
        self.wake()

    def wake(self) -> None:
        """Make it look where the guest sleeps. Any thread."""
        with self._state:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)
