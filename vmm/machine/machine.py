"""A machine from its configuration to its end: construction, the run loop, the life cycle.

created ──run/start──► running ──guest ends, stop(), timeout──► stopped ──close──► closed
"""

from __future__ import annotations

import os
from _thread import RLock, allocate_lock, start_new_thread

from vmm.arch import ARCHITECTURES, X86_64, host_arch, parse_arch
from vmm.backends.exits import (
    Crashed,
    Halted,
    InternalError,
    Interrupted,
    Reset,
    Shutdown,
    Unsupported,
)
from vmm.backends.select import open_backend
from vmm.boards import board_for
from vmm.bus import Bus
from vmm.console import Console
from vmm.errors import GuestTimeout, UsageError, VmmError
from vmm.hypercall import abi
from vmm.images.bundled import find_image, kernel_path
from vmm.images.image import HERMIT, SOLO5_HVT
from vmm.images.recognise import open_image
from vmm.machine import outcome
from vmm.machine.clock import MachineClock
from vmm.machine.config import MachineConfig, parse_size
from vmm.machine.outcome import Outcome
from vmm.machine.payload import load_image
from vmm.memory import GuestMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Final, Protocol, Self

    from vmm.arch import Arch
    from vmm.backends.api import Exit, RegisterValue, Vcpu, VirtualMachine
    from vmm.backends.assist.assistant import Assistant
    from vmm.boards.options import BoardOptions
    from vmm.devices.peripheral import Peripheral
    from vmm.images.image import Image
    from vmm.machine.attachments import Attachments
    from vmm.machine.caller import Caller
    from vmm.machine.halt_watch import HaltWatch
    from vmm.machine.payload import Place
    from vmm.machine.processors import Processors
    from vmm.service.guest import Guest
    from vmm.trace.recorder import Recorder

    class Closeable(Protocol):
        """Something that a machine holds."""

        def close(self) -> None: ...


_EXIT_KINDS: Final = {
    abi.EXIT_PROGRAM: outcome.EXITED,
    abi.EXIT_SIGNAL: outcome.KILLED,
    abi.EXIT_PANIC: outcome.PANICKED,
    abi.EXIT_REFUSED: outcome.REFUSED,
}

_FAILED: Final = Outcome(outcome.STOPPED, outcome.STATUS_VMM_FAILURE, "the VMM failed")


class Machine:
    """One virtual machine.

    A machine belongs to whoever made it; different machines may be used by different threads at
    once. Within one machine, `stop`, `console` and the properties may be used from any thread.

    Attributes:
        config: what it was made from.
        console: the guest's console.
        arch: the guest's architecture.
        title: what is booted how on which board, in one line.
        backend: the name of the backend that executes it.
        backend_reason: why that one, in one line.
        bus: its devices, by address.
        memory: its RAM.
        outcome: how it ended; None until then.
        vcpus: its processors.
        assistants: by vCPU, who executes what KVM has refused to.
        recorder: writes the trace; None if it is not traced.
        turn: held by the thread that executes the guest.
    """

    def __init__(
        self,
        image: str | os.PathLike[str],
        args: Sequence[str] = (),
        *,
        arch: str | None = None,
        backend: str = "auto",
        memory: int | str = "64M",
        cpus: int = 1,
        cmdline: str = "",
        initrd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        board: str = "",
        disks: Sequence[str] = (),
        nets: Sequence[str] = (),
        root: str | os.PathLike[str] = "",
        shares: Sequence[str] = (),
        vsocks: Sequence[str] = (),
        devices: Sequence[str | Peripheral] = (),
        trace: str | os.PathLike[str] = "",
        trace_format: str = "jsonl",
        strace: bool = False,
        assist: bool = True,
        services: bool = False,
    ) -> None:
        """Make a machine that will boot ``image``.

        Args:
            image: path of a program or image, the name of a bundled program, or a program on PATH.
            args: the program's arguments.
            arch: ``x86_64`` or ``arm64``; by default the image's own.
            backend: ``kvm``, ``unicorn``, or ``auto`` for the better one here.
            memory: RAM, in bytes or as ``"64M"``.
            cpus: number of vCPUs.
            cmdline: the kernel's command line.
            initrd: a cpio archive for the root file system.
            env: the program's environment.
            stdin: all of the program's input; by default it comes from ``console.send``.
            board: what the board shall be like, for example ``gic=2``; by default as the image
                expects it.
            disks: virtio disks: ``FILE[,ro][,worker][,serial=TEXT]``.
            nets: virtio network interfaces: ``user`` or ``tap=NAME[,mac=MAC]``.
            root: the directory that is the root file system: ``DIR[:rw]``; ``image`` is then a
                program in it.
            shares: directories for the guest to mount by 9P: ``DIR:TAG[:rw]``.
            vsocks: UNIX sockets for connections with the guest: ``CID=PATH``.
            devices: further devices: ``"rng"``, ``"console"`` or ``"balloon"`` for the virtio
                ones; your own as ``"MODULE:CLASS,OPTION=VALUE"`` or as objects (`Peripheral`).
            trace: file for a trace of all device accesses: ``FILE[,FILTER]``, see `vmm.trace`.
            trace_format: ``jsonl``, or ``perfetto`` for Chrome's trace events.
            strace: whether the program's system calls are written to ``console.log``.
            assist: execute on the Unicorn engine what KVM refuses to.
            services: whether `guest` makes system calls beside the program.

        Raises:
            UsageError: if this cannot be; one line says why.
        """
        config = MachineConfig(
            image=os.fspath(image),
            arguments=tuple(args),
            arch=_parse_arch(arch),
            backend=backend,
            memory=parse_size(memory) if isinstance(memory, str) else memory,
            cpus=cpus,
            command_line=cmdline,
            initrd=None if initrd is None else os.fspath(initrd),
            environment=tuple((env or {}).items()),
            board=board,
            disks=tuple(disks),
            nets=tuple(nets),
            root=os.fspath(root),
            shares=tuple(shares),
            vsocks=tuple(vsocks),
            devices=tuple(devices),
            trace=os.fspath(trace),
            trace_format=trace_format,
            strace=strace,
            assist=assist,
            services=services,
        )
        self._build(config.check())
        if stdin is not None:
            self.console.send(stdin)
            self.console.close_input()

    @classmethod
    def service(
        cls,
        *,
        arch: str | None = None,
        backend: str = "auto",
        memory: int | str = "64M",
        cmdline: str = "",
        initrd: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Make a machine without a program: what runs in it are the system calls of `guest`.

        Args:
            arch: ``x86_64`` or ``arm64``; by default the host's.
            backend: as of the constructor, and so all the others.
            memory: RAM; an eighth of it, at most 4 MiB, is for what calls transfer.
            cmdline: the kernel's command line.
            initrd: a cpio archive for the root file system.

        Raises:
            UsageError: if this cannot be; one line says why.
        """
        chosen = _parse_arch(arch) or host_arch()
        if chosen is None:
            raise UsageError("say which architecture the machine shall have")
        return cls(
            kernel_path(chosen),
            arch=chosen,
            backend=backend,
            memory=memory,
            cmdline=cmdline,
            initrd=initrd,
            services=True,
        )

    @classmethod
    def from_config(cls, config: MachineConfig) -> Self:
        """Make a machine from a checked configuration."""
        machine = cls.__new__(cls)
        machine._build(config)
        return machine

    def _build(self, config: MachineConfig) -> None:
        self.config = config
        self.outcome: Outcome | None = None
        self._state = RLock()
        self._started = False
        self._closed = False
        self._finished = allocate_lock()
        self._finished.acquire()
        self._verdict: Outcome | None = None
        self._idle_deadline: int | None = None
        self._idle = False
        self._interrupt_requested = False
        self._watch: HaltWatch | None = None
        self._wake_fd = -1
        self._error: BaseException | None = None
        self._attachments: Attachments | None = None
        self.assistants: dict[int, Assistant] = {}
        self._processors: Processors | None = None
        self.recorder: Recorder | None = None
        self.turn = allocate_lock()
        self._caller: Caller | None = None
        self._guest: Guest | None = None
        self._resources: list[Closeable] = []
        try:
            self._assemble(config)
        except BaseException:
            self.close()
            raise

    def _assemble(self, config: MachineConfig) -> None:
        name, path = find_image(config.image, config.arch, config.root)
        with open_image(path) as image:
            self.arch: Arch = _agree(config, image.arch)
            hypervisor, self.backend_reason = open_backend(config.backend, self.arch)
            self._resources.append(hypervisor)
            self.backend = hypervisor.name
            self.bus = self._open_trace(config) if config.trace else Bus()
            self.console = Console()
            self.console.on_input = self._on_input
            self.console.on_wait = self.start
            self.clock = MachineClock(self.bus.lock)
            self._resources.append(self.clock)
            options = image.board
            if config.board:
                from vmm.boards.options import choose

                options = choose(config.board, image.board, self.arch)
            board_type = board_for(self.arch, options)
            self.title = (
                f"{image.kind}, {image.protocol} protocol, {_board_name(self.arch, options)}"
            )
            self.memory = GuestMemory(board_type.ram_ranges(config.memory, options))
            self._resources.append(self.memory)
            vm = hypervisor.create_vm(self.arch, self.memory, self.clock)
            self._resources.append(vm)
            self.board = board_type(
                vm, self.bus, self.memory, self.clock, self.console, self, options
            )
            self.vcpus: list[Vcpu] = []
            for index in range(config.cpus):
                recorder = self.recorder
                handler = self.bus if recorder is None else recorder.accesses_of(index)
                self.vcpus.append(vm.create_vcpu(index, handler))
                self._resources.append(self.vcpus[index])
            self.vcpu = self.vcpus[0]
            self.board.connect(self.vcpus)
            if config.cpus > 1:
                from vmm.machine.processors import Processors

                self._processors = Processors(self.vcpus[1:], self._run_secondary)
            if image.kind == HERMIT:
                self._attach_hermit(config)
            if image.kind == SOLO5_HVT:
                self._attach_solo5(config, image)
            elif config.attached:
                self._attach_devices(config, vm)
            self.loaded = load_image(config, name, image, self.board, self.memory)
            if self.loaded.foreign and vm.local_apic and config.cpus == 1:
                from vmm.machine.halt_watch import HaltWatch

                self._watch = HaltWatch(self.vcpu, self.memory, self.clock)
            if self.loaded.ring is not None:
                self._caller = self._make_caller(self.loaded.ring)
            self.vcpu.set_registers(self.loaded.registers)
            if self.recorder is not None:
                self.recorder.begin(self)

    def _open_trace(self, config: MachineConfig) -> Bus:
        from vmm.trace.recorder import Recorder

        self.recorder = Recorder(config.trace, config.trace_format)
        self._resources.append(self.recorder)
        return self.recorder.bus

    def _make_caller(self, place: Place) -> Caller:
        from vmm.hypercall.ring import Ring
        from vmm.machine.caller import Caller

        return Caller(self, Ring(self.memory, place.physical, place.end - place.physical))

    def _attach_devices(self, config: MachineConfig, vm: VirtualMachine) -> None:
        from vmm.machine.attachments import Attachments

        # A trace has every kick, so these must reach the bus then.
        notifier = vm if vm.ioeventfds and self.recorder is None else None
        self._attachments = Attachments(
            self.board, self.memory, self.clock, self.bus.lock, notifier
        )
        self._resources.append(self._attachments)
        self._attachments.attach(config)

    def _attach_solo5(self, config: MachineConfig, image: Image) -> None:
        from vmm.boards.solo5 import Solo5Board
        from vmm.images.solo5 import Solo5Unikernel
        from vmm.machine.solo5_devices import Solo5Devices

        assert isinstance(self.board, Solo5Board)
        assert isinstance(image, Solo5Unikernel)
        devices = Solo5Devices()
        self._resources.append(devices)
        devices.attach(config, image.devices, self.board.calls)

    def _attach_hermit(self, config: MachineConfig) -> None:
        from vmm.hypercall.hermit import HermitCalls

        arguments = (config.image, *config.arguments)
        environment = [f"{name}={content}" for name, content in config.environment]
        HermitCalls(self.memory, self.console, self, arguments, environment).attach(self.bus)

    def translate(self, address: int) -> int | None:
        """Return the guest-physical address of a virtual one of vCPU 0; from its thread."""
        return self.vcpu.translate(address)

    # ---- Life cycle ----

    def run(self, timeout: float | None = None) -> int:
        """Run the guest to its end and return its exit status.

        Raises:
            GuestTimeout: if it runs longer than ``timeout`` seconds; it has been stopped then.
            VmmError: if the VMM failed.
        """
        if not self._claim():
            return self.wait(timeout)
        alarm = None
        if timeout is not None:
            alarm = self.clock.timer(self.time_out)
            alarm.arm(self.clock.now() + int(timeout * 1e9))
        try:
            self._run_loop()
        finally:
            if alarm is not None:
                alarm.cancel()
        return self._result(timeout)

    def start(self) -> None:
        """Run the guest in a thread of its own; harmless if it runs already."""
        if self._claim():
            start_new_thread(self._run_in_thread, ())

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of a started machine and return its exit status.

        Raises:
            GuestTimeout: if that takes longer than ``timeout`` seconds; it has been stopped then.
        """
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
        kind = _EXIT_KINDS.get(reason, outcome.PANICKED)
        if kind == outcome.PANICKED:
            status = outcome.STATUS_GUEST_FAILURE
        elif kind == outcome.REFUSED:
            status = outcome.STATUS_USAGE
        self._end(Outcome(kind, status, message))

    @property
    def guest(self) -> Guest:
        """The guest's kernel, to be called from here: ``m.guest.pipe2(os.O_DIRECT)``.

        The guest runs while a call is waited for; to let it run in between too, `start` it.

        Raises:
            UsageError: if the machine was not made for service calls.
        """
        if self._caller is None:
            raise UsageError(
                "this machine takes no service calls: make it by Machine.service(), or with"
                " services=True"
            )
        if self._guest is None:
            from vmm.service.guest import Guest

            self._guest = Guest(self._caller, self.arch)
        return self._guest

    def attach_input(self, fd: int) -> None:
        """Let the guest's input come from ``fd``, read only as far as the guest asks for it."""
        self.console.attach_input(fd)
        self.board.on_input_attached()

    def set_balloon(self, size: int) -> None:
        """Ask the guest to do without ``size`` bytes of its RAM, which go back to the host.

        Raises:
            UsageError: if the machine has no device ``balloon``.
        """
        balloon = None if self._attachments is None else self._attachments.balloon
        if balloon is None:
            raise UsageError("the machine has no balloon: make it with devices=['balloon']")
        with self.bus.lock:
            balloon.set_target(size)

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

    def close(self) -> None:
        """Stop the machine if it runs, and give back everything it holds."""
        with self._state:
            if self._closed:
                return
            self._closed = True
            running = self._started and self.outcome is None
        if running:
            self.stop()
            self._finished.acquire()
            self._finished.release()
        elif self._caller is not None and self.outcome is None:
            self.stop()
            with self.turn:
                self.run_part(None)
        for resource in reversed(self._resources):
            resource.close()
        if self._wake_fd >= 0:
            os.close(self._wake_fd)
            self._wake_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- What it is like ----

    @property
    def exit_status(self) -> int | None:
        """The exit status, once the machine has stopped."""
        return None if self.outcome is None else self.outcome.status

    def registers(self) -> dict[str, RegisterValue]:
        """Return the registers of vCPU 0; only while the machine does not run."""
        return self.vcpu.registers()

    @property
    def screen(self) -> str:
        """What a guest for PCs has written to its text screen.

        Raises:
            VmmError: if the machine is no PC.
        """
        if self.arch != X86_64:
            raise VmmError("only machines of x86_64 have a text screen")
        from vmm.machine.screen import read_screen

        return read_screen(self.memory)

    def crash_report(self) -> str:
        """Tell what state a stopped machine is in: why, registers, symbols, last accesses."""
        from vmm.machine.report import crash_report

        return crash_report(self)

    # ---- The run loop ----

    def _claim(self) -> bool:
        with self._state:
            if self._closed:
                raise VmmError("the machine is closed")
            if self._started:
                return False
            self._started = True
            return True

    def _run_in_thread(self) -> None:
        try:
            self._run_loop()
        except BaseException as error:
            self._error = error

    def _run_loop(self) -> None:
        if self._watch is not None:
            self._watch.start()
        try:
            with self.turn:
                self.run_part(None)
        finally:
            if self._watch is not None:
                self._watch.stop()

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
                    self._end(_judge(exit_, self.loaded.halts_when_done))
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
                self._end(_judge(exit_, self.loaded.halts_when_done))
            elif done is not None and done():
                return
            elif self._idle:
                self._sleep(done)
            elif self._watch is not None and self._watch.halted():
                self._end(_judge(Halted(), self.loaded.halts_when_done))

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
        if self.console.ready or self._interrupt_requested:
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
        if self.console.input_fd >= 0:
            poller.register(self.console.input_fd, POLLIN)
        ring = None if self._caller is None else self._caller.ring
        while not (self._verdict or self.console.ready or self._interrupt_requested):
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


def _judge(exit_: Exit, halts_when_done: bool) -> Outcome:
    """Say what an exit that ends the run means."""
    failure = outcome.STATUS_GUEST_FAILURE
    match exit_:
        case Shutdown():
            return Outcome(outcome.POWERED_OFF, 0)
        case Reset():
            return Outcome(outcome.RESET, 0)
        case Halted() if halts_when_done:
            return Outcome(outcome.POWERED_OFF, 0, "halted")
        case Halted():
            return Outcome(outcome.CRASHED, failure, "halted with interrupts disabled")
        case Crashed(reason):
            return Outcome(outcome.CRASHED, failure, reason)
        case InternalError(reason, instruction):
            text = f"{reason}; instruction bytes {instruction.hex(' ')}" if instruction else reason
            return Outcome(outcome.STUCK, outcome.STATUS_VMM_FAILURE, text)
        case Unsupported(number):
            text = f"the backend's exit {number} is not known to this VMM"
            return Outcome(outcome.STUCK, outcome.STATUS_VMM_FAILURE, text)
        case _:
            raise AssertionError(f"{exit_} does not end a run")


def _board_name(arch: Arch, options: BoardOptions | None) -> str:
    return f"{arch} board" if options is None else f"{arch} board ({options})"


def _parse_arch(name: str | None) -> Arch | None:
    if name is None:
        return None
    arch = parse_arch(name)
    if arch is None:
        raise UsageError(f"architecture {name!r} is not one of {', '.join(ARCHITECTURES)}")
    return arch


def _agree(config: MachineConfig, image_arch: Arch | None) -> Arch:
    """Return the one architecture that the configuration and the image agree on."""
    if config.arch is not None and image_arch is not None and config.arch != image_arch:
        raise UsageError(f"{config.image} is for {image_arch}, not for {config.arch}")
    arch = image_arch or config.arch or host_arch()
    if arch is None:
        raise UsageError(f"say which architecture {config.image} is for")
    return arch
